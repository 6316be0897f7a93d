//! What is said of errors, and of what was done about them.

use coord_bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, ErrorRecovery, Recovery, Severity,
};
use coord_bus::{BusExt, Timestamp};
use coord_monitor::{MAX_ERROR_KINDS, OTHER};

use crate::stage::{Stage, millis, pass, seconds};

pub(crate) fn detected(stage: &Stage, kind: &str, severity: Severity) {
    let errors = stage.bus.publisher(&ERROR_DETECTED).expect("it is open");
    let error = ErrorDetected {
        source: "module".to_owned(),
        kind: kind.to_owned(),
        message: "it went wrong".to_owned(),
        severity,
        at: Timestamp::UNIX_EPOCH,
    };
    errors.try_publish(error).expect("there is room");
}

pub(crate) fn recovery(stage: &Stage, progress: Recovery) {
    let recoveries = stage.bus.publisher(&ERROR_RECOVERY).expect("it is open");
    let recovery = ErrorRecovery {
        source: "module".to_owned(),
        strategy: "restart".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        progress,
    };
    recoveries.try_publish(recovery).expect("there is room");
}

#[tokio::test(start_paused = true)]
async fn they_are_counted_by_severity_and_kind_and_by_what_came_of_them() {
    let stage = Stage::new();
    detected(&stage, "panic", Severity::Error);
    detected(&stage, "timeout", Severity::Warning);
    detected(&stage, "panic", Severity::Critical);
    let wait = seconds(1);
    recovery(&stage, Recovery::Attempting { attempt: 1, wait });
    recovery(&stage, Recovery::Attempting { attempt: 2, wait });
    let (attempt, duration) = (2, seconds(3));
    recovery(&stage, Recovery::Recovered { attempt, duration });
    let reason = "enough".to_owned();
    recovery(
        &stage,
        Recovery::GaveUp {
            attempts: 3,
            reason,
        },
    );
    pass(millis(1)).await;
    let errors = stage.monitor.performance_metrics().errors;
    assert_eq!((errors.infos, errors.warnings), (0, 1));
    assert_eq!(
        (errors.errors, errors.critical, errors.detected()),
        (1, 1, 3)
    );
    let kinds: Vec<_> = errors
        .kinds
        .iter()
        .map(|it| (&*it.kind, it.count))
        .collect();
    assert_eq!(kinds, [("panic", 2), ("timeout", 1)]);
    assert_eq!(
        (errors.attempts, errors.recovered, errors.given_up),
        (2, 1, 1)
    );
    assert_eq!(errors.time_to_recover.unwrap().mean, 3.0);
    stage.monitor.reset();
    assert_eq!(
        stage.monitor.performance_metrics().errors,
        Default::default()
    );
}

#[tokio::test(start_paused = true)]
async fn kinds_beyond_the_limit_are_one_row() {
    let stage = Stage::new();
    for number in 0..MAX_ERROR_KINDS + 9 {
        detected(&stage, &number.to_string(), Severity::Error);
    }
    detected(&stage, "0", Severity::Error);
    pass(millis(1)).await;
    let errors = stage.monitor.performance_metrics().errors;
    assert_eq!(errors.kinds.len(), MAX_ERROR_KINDS + 1);
    let count = |kind| {
        errors
            .kinds
            .iter()
            .find(|it| it.kind == kind)
            .unwrap()
            .count
    };
    assert_eq!((count(OTHER), count("0")), (9, 2));
}
