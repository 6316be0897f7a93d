//! Errors that are seen without anybody having asked for it.

use coordination::bus::BusExt;
use coordination::bus::vocabulary::{ERROR_DETECTED, LOG_EVENTS, NOTIFICATION, Severity};
use coordination::patterns::process::{ProcessSpec, Stop};

use crate::stage::{Stage, failing, until, within};

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_is_an_error_and_is_counted() {
    let stage = Stage::new();
    let mut errors = stage.bus.subscribe(&ERROR_DETECTED).unwrap();
    let orchestrator = stage.module.orchestrator().unwrap();
    orchestrator.execute_workflow(&failing(), ()).await.unwrap();

    let error = within(errors.recv()).await.unwrap().event().clone();
    assert_eq!(
        (&*error.source, &*error.kind),
        ("release/build", "failing-steps")
    );
    assert_eq!(
        (&*error.message, error.severity),
        ("no space left", Severity::Error)
    );
    let counted = || stage.module.system_health().errors.unwrap();
    until(|| counted().total > 0).await;
    assert_eq!(counted().total, 1);
    assert_eq!(counted().by_source["release/build"], 1);
    assert!(errors.try_recv().is_err());
}

#[tokio::test]
async fn a_crash_is_a_notification_and_an_entry_of_the_log() {
    let stage = Stage::new();
    let mut notifications = stage.bus.subscribe(&NOTIFICATION).unwrap();
    let mut log = stage.bus.subscribe(&LOG_EVENTS).unwrap();
    let crash = ProcessSpec::shell("server", "exit 3");
    let runner = stage.module.processes().unwrap();
    within(runner.run(&crash, &Stop::default())).await.unwrap();

    let notification = within(notifications.recv()).await.unwrap().event().clone();
    assert_eq!(notification.title, "server crashed");
    assert_eq!(notification.message, "exit code 3");
    let mut entries = Vec::new();
    while entries.len() < 2 {
        entries.push(within(log.recv()).await.unwrap().message.clone());
    }
    assert_eq!(entries[1], "exit code 3");
    assert!(notifications.try_recv().is_err());
}
