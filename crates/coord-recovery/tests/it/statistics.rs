//! What is counted of errors and recoveries.

use std::collections::BTreeMap;
use std::sync::Arc;

use coord_bus::vocabulary::{ERROR_DETECTED, ErrorDetected, Severity};
use coord_bus::{Backoff, BusExt, Timestamp};
use coord_recovery::{ChildSpec, ErrorRecoveryManager, ErrorStatistics, MAX_NAMES, OTHER};

use crate::stage::{Stage, clock, fails, pass, seconds, serves, within};

fn manager(stage: &Stage) -> ErrorRecoveryManager {
    ErrorRecoveryManager::new(Arc::new(stage.bus.clone()), clock()).expect("the topics are free")
}

#[tokio::test(start_paused = true)]
async fn errors_are_counted_by_kind_source_and_severity_whoever_published_them() {
    let stage = Stage::new();
    let manager = manager(&stage);
    assert_eq!(manager.error_statistics(), ErrorStatistics::default());
    assert_eq!(manager.error_statistics().success_rate(), None);

    let backoff = Backoff::constant(seconds(1));
    let spec = ChildSpec::new("api").backoff(backoff);
    let (api, _) = stage.start(spec.intensity(3, seconds(60)), |context| {
        match context.incarnation() {
            1 | 2 => fails(context),
            3 => Box::pin(async { panic!("boom") }),
            _ => serves(context),
        }
    });
    within(api.ready()).await.unwrap();
    let (web, _) = stage.start(ChildSpec::new("web").intensity(0, seconds(1)), fails);
    within(web.ended()).await;
    pass(seconds(1)).await;

    let statistics = manager.error_statistics();
    assert_eq!(statistics.total, 4);
    let counts =
        |counts: [(&str, u64); 2]| BTreeMap::from(counts.map(|(name, n)| (name.to_owned(), n)));
    assert_eq!(
        statistics.by_kind,
        counts([("child-failed", 3), ("panic", 1)])
    );
    assert_eq!(statistics.by_source, counts([("api", 3), ("web", 1)]));
    assert_eq!(
        statistics.by_severity,
        BTreeMap::from([(Severity::Error, 4)])
    );
    assert_eq!(
        (statistics.recovered, statistics.gave_up, statistics.missed),
        (1, 1, 0)
    );
    assert_eq!(statistics.success_rate(), Some(0.5));
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_of_names_the_rest_is_one() {
    let stage = Stage::new();
    let manager = manager(&stage);
    drop(stage.errors);
    let errors = stage.bus.publisher(&ERROR_DETECTED).unwrap();
    for number in 0..MAX_NAMES + 20 {
        let error = ErrorDetected {
            source: format!("source {number}"),
            kind: "crash".to_owned(),
            message: String::new(),
            severity: Severity::Info,
            at: Timestamp::UNIX_EPOCH,
        };
        errors.publish(error).await.unwrap();
        tokio::task::yield_now().await;
    }
    pass(seconds(1)).await;
    let statistics = manager.error_statistics();
    assert_eq!(statistics.by_source.len(), MAX_NAMES + 1);
    assert_eq!(statistics.by_source[OTHER], 20);
    assert_eq!(statistics.total, (MAX_NAMES + 20) as u64);
}
