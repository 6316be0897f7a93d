//! What is told of supervision, and that telling holds up nothing.

use std::time::Duration;

use coord_bus::vocabulary::{ERROR_DETECTED, ERROR_RECOVERY, Recovery, Severity};
use coord_bus::{Backoff, Bus, BusExt, LocalBus};
use coord_recovery::{ChildEnd, ChildError, ChildSpec, MAX_CHILDREN, Supervisor};

use crate::stage::{Stage, at, clock, ends, fails, pass, seconds, serves, within};

#[derive(Debug, thiserror::Error)]
#[error("cannot listen")]
struct CannotListen(#[source] std::io::Error);

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_with_its_source_and_its_causes() {
    let mut stage = Stage::new();
    stage.start(ChildSpec::new("api"), |_| {
        Box::pin(async { Err(CannotListen(std::io::Error::other("port 80 is taken")).into()) })
    });
    let error = stage.error().await;
    assert_eq!((&*error.source, &*error.kind), ("api", "child-failed"));
    assert_eq!(error.message, "cannot listen: port 80 is taken");
    assert_eq!(error.severity, Severity::Error);
    assert_eq!(error.at, coord_bus::Timestamp::UNIX_EPOCH);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_child_that_is_to_stay_is_a_warning() {
    let mut stage = Stage::new();
    stage.start(ChildSpec::new("api"), ends);
    let error = stage.error().await;
    assert_eq!(
        (&*error.kind, error.severity),
        ("child-ended", Severity::Warning)
    );
    assert_eq!(error.message, "it ended, although it is there to stay");
}

#[tokio::test(start_paused = true)]
async fn restarts_and_giving_up_are_told() {
    let mut stage = Stage::new();
    let spec = ChildSpec::new("api").intensity(2, seconds(60));
    let (child, _) = stage.start(spec, fails);
    within(child.ended()).await;
    let event = within(stage.recoveries.recv()).await.unwrap();
    assert_eq!((&*event.source, &*event.strategy), ("api", "restart"));
    let wait = seconds(1);
    assert_eq!(event.progress, Recovery::Attempting { attempt: 1, wait });
    let wait = seconds(2);
    assert_eq!(
        stage.recovery().await,
        Recovery::Attempting { attempt: 2, wait }
    );
    let reason = "restarted 2 times within 60s".to_owned();
    assert_eq!(
        stage.recovery().await,
        Recovery::GaveUp {
            attempts: 2,
            reason
        }
    );
    assert_eq!(stage.errors_left(), 3);
    assert_eq!(stage.recoveries_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_topic_holds_up_neither_restarts_nor_stops() {
    let stage = Stage::new();
    let errors = stage.bus.publisher(&ERROR_DETECTED).unwrap();
    let filler = coord_bus::vocabulary::ErrorDetected {
        source: "filler".to_owned(),
        kind: "filler".to_owned(),
        message: String::new(),
        severity: Severity::Info,
        at: coord_bus::Timestamp::UNIX_EPOCH,
    };
    let mut fillers = 0;
    while errors.try_publish(filler.clone()).is_ok() {
        fillers += 1;
    }
    let backoff = Backoff::constant(Duration::from_millis(1));
    let spec = ChildSpec::new("api").backoff(backoff).unlimited_restarts();
    let (child, starts) = stage.start(spec, fails);
    pass(seconds(3)).await;
    assert!(at(&starts).len() > 2500);
    assert!(matches!(within(child.stop()).await, ChildEnd::Stopped));

    // Once somebody reads again, what has found room in the meantime is told.
    let mut stage = stage;
    let mut told = 0;
    loop {
        let more = stage.errors_left() + stage.recoveries_left();
        if more == 0 {
            break;
        }
        told += more;
        pass(seconds(1)).await;
    }
    let told = (told - fillers) as u64;
    assert!(told >= 4000, "{told}");
    let failures = at(&starts).len() as u64;
    assert_eq!(told + stage.supervisor.untold(), 2 * failures);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_all_children_fail_at_once() {
    let mut stage = Stage::new();
    for number in 0..MAX_CHILDREN {
        let spec = ChildSpec::new(number.to_string());
        stage.start(spec, |context| match context.incarnation() {
            1 => fails(context),
            _ => serves(context),
        });
    }
    for _ in 0..MAX_CHILDREN {
        assert_eq!(stage.error().await.kind, "child-failed");
    }
    let mut recovered = 0;
    for _ in 0..2 * MAX_CHILDREN {
        recovered += usize::from(matches!(stage.recovery().await, Recovery::Recovered { .. }));
    }
    assert_eq!(recovered, MAX_CHILDREN);
    let report = within(stage.supervisor.shutdown(seconds(60))).await;
    assert_eq!((report.aborted.len(), report.untold), (0, 0));
    assert!(report.is_complete());
}

#[tokio::test(start_paused = true)]
async fn on_a_closed_bus_children_are_kept_alive_and_what_is_not_told_is_counted() {
    let bus = LocalBus::new();
    let supervisor = Supervisor::new("services", &bus, clock()).unwrap();
    bus.close();
    let child = supervisor
        .start(ChildSpec::new("api"), |context| async move {
            if context.incarnation() == 1 {
                return Err(ChildError::message("once"));
            }
            context.ready();
            context.token().cancelled().await;
            Ok(())
        })
        .unwrap();
    within(child.ready()).await.unwrap();
    let report = within(supervisor.shutdown(seconds(1))).await;
    assert_eq!(report.untold, 3);
    assert!(!report.is_complete());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_publishes_what_was_told_before() {
    let bus = LocalBus::new();
    let supervisor = Supervisor::new("services", &bus, clock()).unwrap();
    let mut recoveries = bus.subscribe(&ERROR_RECOVERY).unwrap();
    let spec = ChildSpec::new("api").intensity(0, seconds(1));
    let child = supervisor
        .start(spec, |_| async { Err(ChildError::message("once")) })
        .unwrap();
    within(child.ended()).await;
    let report = within(supervisor.shutdown(seconds(1))).await;
    assert_eq!(report.untold, 0);
    let told = recoveries.try_recv().unwrap();
    assert!(matches!(
        told.progress,
        Recovery::GaveUp { attempts: 0, .. }
    ));
}
