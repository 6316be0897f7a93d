//! How children stop: one, all in reverse order, and those that do not.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use coord_bus::{Backoff, LocalBus};
use coord_recovery::{
    ChildContext, ChildEnd, ChildError, ChildSpec, ChildState, Closing, RecoveryError, Supervisor,
};
use tokio::sync::oneshot;

use crate::stage::{Ran, Stage, at, clock, fails, ignores, pass, seconds, serves, stays, within};

#[tokio::test(start_paused = true)]
async fn a_child_that_stops_when_asked_is_not_restarted() {
    let stage = Stage::new();
    let (child, starts) = stage.start(ChildSpec::new("api"), stays);
    pass(seconds(1)).await;
    assert!(matches!(within(child.stop()).await, ChildEnd::Stopped));
    assert_eq!(stage.now(), 1000);
    pass(seconds(100)).await;
    assert_eq!(at(&starts).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_on_the_way_out_is_no_failure() {
    let mut stage = Stage::new();
    let (child, starts) = stage.start(ChildSpec::new("api"), |context| {
        Box::pin(async move {
            context.token().cancelled().await;
            Err(ChildError::message("interrupted"))
        })
    });
    pass(seconds(1)).await;
    assert!(matches!(within(child.stop()).await, ChildEnd::Stopped));
    pass(seconds(1)).await;
    assert_eq!((stage.errors_left(), at(&starts).len()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_on_the_way_out_is_told() {
    let mut stage = Stage::new();
    let (child, _) = stage.start(ChildSpec::new("api"), |context| {
        Box::pin(async move {
            context.token().cancelled().await;
            panic!("boom")
        })
    });
    pass(seconds(1)).await;
    assert!(matches!(within(child.stop()).await, ChildEnd::Stopped));
    assert_eq!(stage.error().await.kind, "panic");
}

#[tokio::test(start_paused = true)]
async fn a_child_that_ignores_its_token_is_aborted_after_its_time() {
    let stage = Stage::new();
    let (child, _) = stage.start(ChildSpec::new("api"), ignores);
    pass(seconds(1)).await;
    assert!(matches!(within(child.stop()).await, ChildEnd::Aborted));
    assert_eq!(stage.now(), 6000, "by default it has 5 s");

    let spec = ChildSpec::new("api").shutdown(Duration::from_millis(700));
    let (child, _) = stage.start(spec, ignores);
    assert!(matches!(within(child.stop()).await, ChildEnd::Aborted));
    assert!(stage.now() <= 6700);
}

#[tokio::test(start_paused = true)]
async fn a_child_is_gone_when_it_has_ended() {
    let stage = Stage::new();
    let (gone, mut is_gone) = oneshot::channel::<()>();
    let mut gone = Some(gone);
    let (child, _) = stage.start(ChildSpec::new("api"), move |_| {
        let gone = gone.take();
        Box::pin(async move {
            let _gone = gone;
            std::future::pending().await
        })
    });
    pass(seconds(1)).await;
    within(child.stop()).await;
    assert_eq!(
        is_gone.try_recv(),
        Err(oneshot::error::TryRecvError::Closed)
    );
}

#[tokio::test(start_paused = true)]
async fn a_child_that_waits_for_its_backoff_stops_at_once() {
    let stage = Stage::new();
    let spec = ChildSpec::new("api").backoff(Backoff::constant(seconds(60)));
    let (child, starts) = stage.start(spec, fails);
    pass(seconds(1)).await;
    assert!(matches!(within(child.stop()).await, ChildEnd::Stopped));
    assert_eq!((stage.now(), at(&starts).len()), (1000, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_nobody_waits_for_goes_on() {
    let stage = Stage::new();
    let (child, _) = stage.start(ChildSpec::new("api"), ignores);
    pass(seconds(1)).await;
    let impatient = coord_bus::time::timeout(seconds(1), child.stop());
    assert!(impatient.await.is_err());
    assert!(matches!(within(child.ended()).await, ChildEnd::Aborted));
    assert_eq!(stage.now(), 6000);
}

type Log = Arc<Mutex<Vec<String>>>;

/// Takes this long to stop, and says when it is asked and when it does.
fn slow(
    log: &Log,
    name: &'static str,
    takes: Duration,
) -> impl FnMut(coord_recovery::ChildContext) -> Ran + Send + use<> {
    let log = Arc::clone(log);
    move |context| {
        let log = Arc::clone(&log);
        Box::pin(async move {
            context.token().cancelled().await;
            log.lock()
                .expect("nobody panics with it")
                .push(format!("{name} is asked"));
            pass(takes).await;
            log.lock()
                .expect("nobody panics with it")
                .push(format!("{name} stops"));
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn children_stop_one_after_the_other_the_last_started_first() {
    let stage = Stage::new();
    let log = Log::default();
    for name in ["database", "api", "web"] {
        stage.start(ChildSpec::new(name), slow(&log, name, seconds(2)));
    }
    pass(seconds(1)).await;
    let report = within(stage.supervisor.shutdown(seconds(60))).await;
    assert!(report.aborted.is_empty());
    assert_eq!(stage.now(), 7000);
    let expected = ["web", "api", "database"]
        .map(|name| [format!("{name} is asked"), format!("{name} stops")]);
    assert_eq!(*log.lock().unwrap(), expected.concat());
}

#[tokio::test(start_paused = true)]
async fn a_child_that_does_not_stop_holds_up_the_others_for_its_time_and_is_named() {
    let stage = Stage::new();
    let log = Log::default();
    stage.start(
        ChildSpec::new("database"),
        slow(&log, "database", seconds(2)),
    );
    stage.start(ChildSpec::new("stuck").shutdown(seconds(3)), ignores);
    let report = within(stage.supervisor.shutdown(seconds(60))).await;
    assert_eq!(report.aborted, ["stuck"]);
    assert_eq!(log.lock().unwrap().len(), 2);
    assert_eq!(stage.now(), 5000);
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_whatever_still_runs_is_aborted_and_named() {
    let stage = Stage::new();
    for name in ["a", "b", "c"] {
        stage.start(ChildSpec::new(name).shutdown(seconds(10)), ignores);
    }
    let (polite, _) = stage.start(ChildSpec::new("polite"), stays);
    let report = within(stage.supervisor.shutdown(seconds(15))).await;
    assert_eq!(report.aborted, ["c", "b", "a"]);
    assert!(matches!(polite.ended().await, ChildEnd::Stopped));
    assert_eq!(stage.now(), 15_000);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_was_dropped_can_be_asked_for_again() {
    let stage = Stage::new();
    let (first, _) = stage.start(ChildSpec::new("first"), stays);
    stage.start(ChildSpec::new("second").shutdown(seconds(3)), ignores);
    let impatient = coord_bus::time::timeout(seconds(1), stage.supervisor.shutdown(seconds(60)));
    assert!(impatient.await.is_err());
    pass(seconds(10)).await;
    assert!(!matches!(
        first.state(),
        coord_recovery::ChildState::Ended(_)
    ));
    let report = within(stage.supervisor.shutdown(seconds(60))).await;
    assert!(report.aborted.is_empty());
    assert!(matches!(first.ended().await, ChildEnd::Stopped));
}

#[tokio::test(start_paused = true)]
async fn after_a_shutdown_nothing_starts() {
    let stage = Stage::new();
    let _ = stage.supervisor.shutdown(seconds(1)).await;
    let refused = stage.supervisor.start(ChildSpec::new("late"), stays);
    let error = refused.unwrap_err();
    assert!(matches!(error, RecoveryError::ShutDown { .. }));
    assert_eq!(
        error.to_string(),
        "supervisor `services` is shut down and takes nothing more"
    );
}

#[tokio::test(start_paused = true)]
async fn dropping_the_supervisor_aborts_all_children() {
    let stage = Stage::new();
    let (gone, is_gone) = oneshot::channel::<()>();
    let mut gone = Some(gone);
    let (running, _) = stage.start(ChildSpec::new("running"), move |_| {
        let gone = gone.take();
        Box::pin(async move {
            let _gone = gone;
            std::future::pending().await
        })
    });
    let spec = ChildSpec::new("waiting").backoff(Backoff::constant(seconds(60)));
    let (waiting, _) = stage.start(spec, fails);
    pass(seconds(1)).await;
    let Stage { supervisor, .. } = stage;
    drop(supervisor);
    assert!(within(is_gone).await.is_err());
    assert!(matches!(within(running.ended()).await, ChildEnd::Aborted));
    assert!(matches!(within(waiting.ended()).await, ChildEnd::Aborted));
    assert!(within(running.ready()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_cancelled_when_its_incarnation_is_over_in_whatever_way() {
    let stage = Stage::new();
    let (send, mut tokens) = tokio::sync::mpsc::unbounded_channel();
    let spec = ChildSpec::new("api").shutdown(seconds(1));
    let (child, _) = stage.start(spec, move |context| {
        send.send(context.token()).unwrap();
        match context.incarnation() {
            1 => fails(context),
            _ => ignores(context),
        }
    });
    let failed = tokens.recv().await.unwrap();
    within(failed.cancelled()).await;
    let dropped = within(tokens.recv()).await.unwrap();
    assert!(!dropped.is_cancelled());
    drop(stage);
    within(dropped.cancelled()).await;
    within(child.ended()).await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_panics_in_being_aborted_has_failed_and_is_restarted_all_the_same() {
    struct Trap;
    impl Drop for Trap {
        fn drop(&mut self) {
            panic!("the lock is poisoned");
        }
    }
    let mut stage = Stage::new();
    let spec = ChildSpec::new("api").shutdown(seconds(1));
    let (child, _) = stage.start(spec, |context| match context.incarnation() {
        1 => Box::pin(async {
            let _trap = Trap;
            std::future::pending().await
        }),
        _ => serves(context),
    });
    pass(seconds(1)).await;
    child.restart();
    within(child.ready()).await.unwrap();
    let error = stage.error().await;
    assert_eq!(
        (
            error.source.as_str(),
            error.kind.as_str(),
            error.message.as_str()
        ),
        ("api", "panic", "it panicked: the lock is poisoned")
    );
}

#[tokio::test(start_paused = true)]
async fn a_child_that_has_always_something_to_do_is_aborted_after_its_time_too() {
    let stage = Stage::new();
    let (child, _) = stage.start(ChildSpec::new("busy"), |_| {
        Box::pin(async {
            for _ in 0..1_000_000 {
                tokio::task::consume_budget().await;
            }
            Ok(())
        })
    });
    let stopping = tokio::spawn(async move { child.stop().await });
    // Time does not go on by itself while somebody is busy.
    for _ in 0..60 {
        tokio::time::advance(seconds(1) / 10).await;
    }
    assert!(matches!(stopping.await.unwrap(), ChildEnd::Aborted));
}

/// A child that holds its thread until the sender goes; and when it does.
fn holds() -> (
    mpsc::Sender<()>,
    oneshot::Receiver<()>,
    impl FnMut(ChildContext) -> Ran + Send + 'static,
) {
    let ((go_on, wait), (begun, has_begun)) = (mpsc::channel(), oneshot::channel());
    let mut once = Some((begun, wait));
    let run = move |_context| -> Ran {
        let (begun, wait) = once.take().expect("it runs once");
        Box::pin(async move {
            begun.send(()).expect("somebody waits");
            let _ = wait.recv();
            Ok(())
        })
    };
    (go_on, has_begun, run)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_returns_at_its_deadline_also_where_a_child_holds_its_thread() {
    let stage = Stage::new();
    let (go_on, has_begun, run) = holds();
    let first = stage.start(ChildSpec::new("first"), stays).0;
    let spec = ChildSpec::new("holds").shutdown(Duration::from_millis(1));
    let child = stage.start(spec, run).0;
    has_begun.await.unwrap();
    let shutdown = stage.supervisor.shutdown(seconds(2));
    let report = coord_bus::time::timeout(seconds(20), shutdown).await;
    let report = report.expect("it does not wait for the thread");
    assert_eq!(report.aborted, ["holds"]);
    assert_eq!(report.still_running, ["holds"]);
    assert!(!report.is_complete());
    // There was time left for this one.
    assert!(matches!(
        first.state(),
        ChildState::Ended(ChildEnd::Stopped)
    ));
    drop(go_on);
    child.ended().await;
    let report = stage.supervisor.shutdown(seconds(5)).await;
    assert!(report.still_running.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_that_closes_does_not_wait_for_a_child_that_holds_its_thread() {
    let group = Supervisor::builder("group").intensity(0, seconds(1));
    let group = group.build(&LocalBus::new(), clock()).unwrap();
    let (go_on, has_begun, run) = holds();
    let spec = ChildSpec::new("holds").shutdown(Duration::from_millis(1));
    group.start(spec, run).unwrap();
    has_begun.await.unwrap();
    group.start(ChildSpec::new("fails"), fails).unwrap();
    let closing = coord_bus::time::timeout(seconds(20), group.closed()).await;
    assert!(matches!(closing, Ok(Closing::TooManyRestarts { .. })));
    drop(go_on);
}
