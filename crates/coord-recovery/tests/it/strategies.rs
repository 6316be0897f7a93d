//! What is done about errors.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, ErrorRecovery, NOTIFICATION, Notification,
    Recovery, Severity,
};
use coord_bus::{BusExt, Envelope, LocalBus, Publisher, Subscriber, Timestamp};
use coord_recovery::{
    ErrorRecoveryManager, MAX_RECOVERING, MAX_STRATEGIES, MAX_WAITING, RecoveryError,
    RecoveryStrategy,
};

use crate::stage::{clock, pass, seconds, within};

struct Scene {
    manager: ErrorRecoveryManager,
    errors: Publisher<ErrorDetected>,
    recoveries: Subscriber<ErrorRecovery>,
    notifications: Subscriber<Notification>,
}

impl Scene {
    fn new(kind: &str, strategy: RecoveryStrategy) -> Self {
        let bus = LocalBus::new();
        let manager = ErrorRecoveryManager::new(Arc::new(bus.clone()), clock())
            .expect("nobody panics with it");
        manager
            .register_recovery_strategy(kind, strategy)
            .expect("there is room");
        Self {
            manager,
            errors: bus.publisher(&ERROR_DETECTED).expect("the topics are free"),
            recoveries: bus.subscribe(&ERROR_RECOVERY).expect("the topics are free"),
            notifications: bus.subscribe(&NOTIFICATION).expect("the topics are free"),
        }
    }

    async fn recovery(&mut self) -> (String, String, Recovery) {
        let event = within(self.recoveries.recv())
            .await
            .expect("the bus is open");
        (
            event.source.clone(),
            event.strategy.clone(),
            event.progress.clone(),
        )
    }

    fn recoveries_left(&mut self) -> usize {
        std::iter::from_fn(|| self.recoveries.try_recv().ok().map(drop)).count()
    }
}

fn error(kind: &str, severity: Severity) -> ErrorDetected {
    ErrorDetected {
        source: "api".to_owned(),
        kind: kind.to_owned(),
        message: "it crashed".to_owned(),
        severity,
        at: Timestamp::UNIX_EPOCH,
    }
}

fn recovery(strategy: &str, progress: Recovery) -> (String, String, Recovery) {
    ("api".to_owned(), strategy.to_owned(), progress)
}

const ATTEMPTING: Recovery = Recovery::Attempting {
    attempt: 1,
    wait: Duration::ZERO,
};

#[tokio::test(start_paused = true)]
async fn notify_and_continue_tells_a_person() {
    let mut scene = Scene::new("crash", RecoveryStrategy::NotifyAndContinue);
    scene
        .errors
        .publish(error("crash", Severity::Critical))
        .await
        .unwrap();
    let expected = Notification {
        at: Timestamp::UNIX_EPOCH,
        severity: Severity::Critical,
        title: "api: crash".to_owned(),
        message: "it crashed".to_owned(),
    };
    assert_eq!(*within(scene.notifications.recv()).await.unwrap(), expected);
    let recovered = Recovery::Recovered {
        attempt: 1,
        duration: Duration::ZERO,
    };
    assert_eq!(
        scene.recovery().await,
        recovery("notify-and-continue", recovered)
    );
}

#[tokio::test(start_paused = true)]
async fn a_custom_strategy_is_given_the_error_and_its_course_is_told() {
    let given = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&given);
    let mut scene = Scene::new(
        "crash",
        RecoveryStrategy::custom("clear-cache", move |error| {
            log.lock().unwrap().push(error);
            async {
                pass(seconds(3)).await;
                Ok::<(), io::Error>(())
            }
        }),
    );
    let error = error("crash", Severity::Error);
    scene.errors.publish(error.clone()).await.unwrap();
    assert_eq!(scene.recovery().await, recovery("clear-cache", ATTEMPTING));
    let recovered = Recovery::Recovered {
        attempt: 1,
        duration: seconds(3),
    };
    assert_eq!(scene.recovery().await, recovery("clear-cache", recovered));
    assert_eq!(*given.lock().unwrap(), [error]);
}

#[tokio::test(start_paused = true)]
async fn a_strategy_that_fails_gives_up_with_the_reason() {
    let mut scene = Scene::new(
        "crash",
        RecoveryStrategy::custom("clear-cache", |_| async {
            Err(io::Error::other("read-only"))
        }),
    );
    scene
        .errors
        .publish(error("crash", Severity::Error))
        .await
        .unwrap();
    assert_eq!(scene.recovery().await, recovery("clear-cache", ATTEMPTING));
    let gave_up = Recovery::GaveUp {
        attempts: 1,
        reason: "read-only".to_owned(),
    };
    assert_eq!(scene.recovery().await, recovery("clear-cache", gave_up));
}

#[tokio::test(start_paused = true)]
async fn a_strategy_that_panics_fails_and_is_run_again_for_the_next_error() {
    let mut scene = Scene::new(
        "crash",
        RecoveryStrategy::custom("clear-cache", |error| {
            assert!(error.severity > Severity::Error, "boom");
            async { Ok::<(), io::Error>(()) }
        }),
    );
    for _ in 0..=MAX_RECOVERING {
        scene
            .errors
            .publish(error("crash", Severity::Error))
            .await
            .unwrap();
        assert_eq!(scene.recovery().await, recovery("clear-cache", ATTEMPTING));
        let reason = "it panicked: boom".to_owned();
        let gave_up = Recovery::GaveUp {
            attempts: 1,
            reason,
        };
        assert_eq!(scene.recovery().await, recovery("clear-cache", gave_up));
    }
    scene
        .errors
        .publish(error("crash", Severity::Critical))
        .await
        .unwrap();
    assert_eq!(scene.recovery().await, recovery("clear-cache", ATTEMPTING));
    let recovered = Recovery::Recovered {
        attempt: 1,
        duration: Duration::ZERO,
    };
    assert_eq!(scene.recovery().await, recovery("clear-cache", recovered));
}

#[tokio::test(start_paused = true)]
async fn other_kinds_and_mere_notes_are_let_be() {
    let mut scene = Scene::new("crash", RecoveryStrategy::NotifyAndContinue);
    scene
        .errors
        .publish(error("panic", Severity::Critical))
        .await
        .unwrap();
    scene
        .errors
        .publish(error("crash", Severity::Info))
        .await
        .unwrap();
    pass(seconds(1)).await;
    assert_eq!(scene.recoveries_left(), 0);
    scene
        .errors
        .publish(error("crash", Severity::Warning))
        .await
        .unwrap();
    pass(seconds(1)).await;
    assert_eq!(scene.recoveries_left(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_later_strategy_replaces_an_earlier_one() {
    let mut scene = Scene::new("crash", RecoveryStrategy::NotifyAndContinue);
    let other = RecoveryStrategy::custom("other", |_| async { Ok::<(), io::Error>(()) });
    scene
        .manager
        .register_recovery_strategy("crash", other)
        .unwrap();
    scene
        .errors
        .publish(error("crash", Severity::Error))
        .await
        .unwrap();
    pass(seconds(1)).await;
    assert_eq!(scene.recovery().await, recovery("other", ATTEMPTING));
    assert_eq!(scene.recoveries_left(), 1);
}

#[tokio::test(start_paused = true)]
async fn so_many_are_attended_to_at_once_so_many_wait_and_the_rest_is_counted() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (Arc::clone(&running), Arc::clone(&most));
    let scene = Scene::new(
        "crash",
        RecoveryStrategy::custom("slow", move |_| {
            peak.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let now = Arc::clone(&now);
            async move {
                pass(seconds(10)).await;
                now.fetch_sub(1, Ordering::Relaxed);
                Ok::<(), io::Error>(())
            }
        }),
    );
    let wave = MAX_RECOVERING + MAX_WAITING + 100;
    for _ in 0..wave {
        scene
            .errors
            .publish(error("crash", Severity::Error))
            .await
            .unwrap();
        // The strategies take theirs before the next comes.
        pass(Duration::from_millis(1)).await;
    }
    assert_eq!(most.load(Ordering::Relaxed), MAX_RECOVERING);
    assert_eq!(scene.manager.error_statistics().unhandled, 100);
    assert_eq!(scene.manager.error_statistics().total, wave as u64);
    pass(seconds(1000)).await;
    let recovered = scene.manager.error_statistics().recovered;
    assert_eq!(recovered, (MAX_RECOVERING + MAX_WAITING) as u64);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_strategies_end_and_aborts_them_at_its_deadline() {
    for (deadline, ended) in [(seconds(60), 1), (seconds(5), 0)] {
        let count = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&count);
        let scene = Scene::new(
            "crash",
            RecoveryStrategy::custom("slow", move |_| {
                let counting = Arc::clone(&counting);
                async move {
                    pass(seconds(10)).await;
                    counting.fetch_add(1, Ordering::Relaxed);
                    Ok::<(), io::Error>(())
                }
            }),
        );
        scene
            .errors
            .publish(error("crash", Severity::Error))
            .await
            .unwrap();
        pass(Duration::from_millis(1)).await;
        let report = within(scene.manager.shutdown(deadline)).await;
        assert_eq!(count.load(Ordering::Relaxed), ended);
        assert_eq!(report.aborted.is_empty(), ended == 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_errors_during_a_shutdown_is_counted() {
    let scene = Scene::new(
        "crash",
        RecoveryStrategy::custom("restart", |error| async move {
            pass(seconds(2)).await;
            match error.severity {
                Severity::Critical => Err(io::Error::other("read-only")),
                _ => Ok(()),
            }
        }),
    );
    for severity in [Severity::Error, Severity::Critical, Severity::Error] {
        scene.errors.try_publish(error("crash", severity)).unwrap();
    }
    let report = within(scene.manager.shutdown(seconds(9))).await;
    assert!(report.aborted.is_empty(), "{report:?}");
    let statistics = scene.manager.error_statistics();
    assert_eq!((statistics.recovered, statistics.gave_up), (2, 1));
    assert_eq!(statistics.time_to_recover, seconds(4));
    assert_eq!(
        (statistics.escalated, statistics.by_kind["recovery-failed"]),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn two_recoveries_of_one_source_can_be_told_apart() {
    let mut scene = Scene::new(
        "crash",
        RecoveryStrategy::custom("restart", |_| async { Err(io::Error::other("read-only")) }),
    );
    scene
        .manager
        .register_recovery_strategy("recovery-failed", RecoveryStrategy::NotifyAndContinue)
        .unwrap();
    for order in ["order 1", "order 2"] {
        let error = Envelope::new(error("crash", Severity::Error)).correlation_id(order);
        scene.errors.publish_with(error).await.unwrap();
        pass(seconds(1)).await;
    }
    let mut told = Vec::new();
    while let Ok(event) = scene.recoveries.try_recv() {
        let meta = event.meta();
        let id = |id: Option<&str>| id.expect("it is said").to_owned();
        told.push((id(meta.correlation_id()), id(meta.causation_id())));
    }
    let of = |order: &str, cause: &str| (order.to_owned(), format!("error-detected#{cause}"));
    // Attempted, given up, and somebody was notified of that.
    let first = [of("order 1", "1"), of("order 1", "1"), of("order 1", "2")];
    let second = [of("order 2", "3"), of("order 2", "3"), of("order 2", "4")];
    assert_eq!(told, [first, second].concat());
    for order in ["order 1", "order 2"] {
        let notification = within(scene.notifications.recv()).await.unwrap();
        assert_eq!(notification.meta().correlation_id(), Some(order));
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_a_limit_to_strategies() {
    let scene = Scene::new("0", RecoveryStrategy::NotifyAndContinue);
    let register = |kind: String| {
        let notify = RecoveryStrategy::NotifyAndContinue;
        scene.manager.register_recovery_strategy(kind, notify)
    };
    for kind in 0..MAX_STRATEGIES {
        register(kind.to_string()).unwrap();
    }
    let error = register("one more".to_owned()).unwrap_err();
    assert!(matches!(
        error,
        RecoveryError::TooMany {
            limit: MAX_STRATEGIES,
            ..
        }
    ));
    register("0".to_owned()).unwrap();
}
