//! How what goes wrong is told: failing steps as errors, crashes as notifications.

use coordination::bus::vocabulary::{ERROR_DETECTED, NOTIFICATION, Severity};
use coordination::patterns::process::{ProcessSpec, Stop};
use coordination::workflow::{StepError, Workflow};

use crate::stage::{Stage, left, next, seconds, within};

/// A workflow whose only step fails for good.
fn failing() -> Workflow {
    let mut workflow = Workflow::builder("release");
    workflow
        .step("build")
        .run(async || Err::<(), _>(StepError::message("no compiler")));
    workflow.build().expect("it is in order")
}

#[tokio::test(start_paused = true)]
async fn a_failing_step_is_an_error_and_is_counted() {
    let stage = Stage::new();
    let mut errors = stage.subscribe(&ERROR_DETECTED);
    let orchestrator = stage.module.orchestrator().unwrap();
    let outcome = within(orchestrator.execute_workflow(&failing(), ())).await;
    assert!(!outcome.unwrap().is_completed());
    let error = next(&mut errors).await;
    assert_eq!(error.kind, "failing-steps");
    assert_eq!(
        (&*error.source, &*error.message),
        ("release/build", "no compiler")
    );
    assert_eq!(error.severity, Severity::Error);
    tokio::task::yield_now().await;
    let counted = stage.module.system_health().errors.unwrap();
    assert_eq!((counted.total, counted.by_kind["failing-steps"]), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_just_before_the_shutdown_is_told_and_counted() {
    // Without the parts whose own shutdown gives the errors time to be read.
    for _ in 0..100 {
        let stage = Stage::with(|config| {
            config.event_flows = false;
            config.performance_monitoring = false;
            config.integration_patterns = false;
        });
        let mut errors = stage.subscribe(&ERROR_DETECTED);
        let orchestrator = stage.module.orchestrator().unwrap();
        within(orchestrator.execute_workflow(&failing(), ()))
            .await
            .unwrap();
        assert!(
            within(stage.module.shutdown(seconds(5)))
                .await
                .is_complete()
        );
        assert_eq!(left(&mut errors).len(), 1);
        let counted = stage.module.system_health().errors.unwrap();
        assert_eq!(counted.total, 1);
    }
}

#[tokio::test]
async fn a_crash_is_a_notification_and_an_end_that_was_asked_for_is_none() {
    let stage = Stage::new();
    let mut notifications = stage.subscribe(&NOTIFICATION);
    let processes = stage.module.processes().unwrap();
    let asked = Stop::default();
    let running = ProcessSpec::shell("server", "kill -TERM $$; exec sleep 1000");
    let exit = within(processes.run(&running, &asked)).await.unwrap();
    assert_eq!(exit.signal, Some(15));
    let crash = next(&mut notifications).await;
    assert_eq!(
        (&*crash.title, &*crash.message),
        ("server crashed", "killed by signal 15")
    );

    let stop = Stop::default();
    let running = ProcessSpec::shell("server", "exec sleep 1000");
    let running = processes.run(&running, &stop);
    let asking = async {
        tokio::task::yield_now().await;
        stop.graceful.cancel();
    };
    let (exit, ()) = within(async { tokio::join!(running, asking) }).await;
    assert_eq!(exit.unwrap().signal, Some(15));
    assert!(
        within(stage.module.shutdown(seconds(30)))
            .await
            .is_complete()
    );
    assert_eq!(left(&mut notifications), []);
}
