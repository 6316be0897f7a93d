//! What calls under a guarded policy report.

use std::sync::Arc;

use coord_bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, ErrorRecovery, Recovery, Severity,
};
use coord_bus::{BusExt, Failure, LocalBus, Subscriber};
use coord_recovery::policy::{CircuitBreaker, Policy, PolicyBuilder, Retry, SlidingWindow};
use coord_recovery::{ErrorRecoveryManager, RecoveryStrategy};

use crate::policy::Count;
use crate::stage::{clock, pass, seconds};

struct Scene {
    manager: ErrorRecoveryManager,
    errors: Subscriber<ErrorDetected>,
    recoveries: Subscriber<ErrorRecovery>,
}

impl Scene {
    fn new() -> Self {
        let bus = LocalBus::new();
        Self {
            errors: bus.subscribe(&ERROR_DETECTED).expect("it is open"),
            recoveries: bus.subscribe(&ERROR_RECOVERY).expect("it is open"),
            manager: ErrorRecoveryManager::new(Arc::new(bus), clock()).expect("it is open"),
        }
    }

    /// What has been reported by now.
    async fn errors(&mut self) -> Vec<(String, Severity, String)> {
        pass(seconds(1)).await;
        let next = || Some((*self.errors.try_recv().ok()?).clone());
        let errors = std::iter::from_fn(next).filter(|error| error.source == "fetch");
        errors
            .map(|error| (error.kind, error.severity, error.message))
            .collect()
    }

    fn recoveries(&mut self) -> Vec<(String, Recovery)> {
        let next = || Some((*self.recoveries.try_recv().ok()?).clone());
        std::iter::from_fn(next)
            .map(|event| (event.strategy, event.progress))
            .collect()
    }
}

fn policy() -> PolicyBuilder<u32, Failure> {
    Policy::builder("http")
}

fn line(kind: &str, severity: Severity, message: &str) -> (String, Severity, String) {
    (kind.to_owned(), severity, message.to_owned())
}

#[derive(Debug, thiserror::Error)]
#[error("the quote could not be fetched")]
struct Fetch(#[source] std::io::Error);

#[tokio::test(start_paused = true)]
async fn a_call_that_goes_well_reports_nothing() {
    let mut scene = Scene::new();
    let fetch = scene
        .manager
        .guard_failures("fetch", policy().build().unwrap());
    assert_eq!(fetch.run(|| async { Ok(1) }).await.unwrap(), 1);
    assert_eq!(scene.errors().await, []);
    assert_eq!(scene.recoveries(), []);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_an_error_with_all_its_causes() {
    let mut scene = Scene::new();
    let retry = Retry::constant(seconds(1)).max_attempts(2);
    let policy: Policy<u32, Fetch> = Policy::builder("http").retry(retry).build().unwrap();
    let fetch = scene.manager.guard("fetch", policy);
    let failed = fetch
        .run(|| async { Err(Fetch(std::io::Error::other("no route"))) })
        .await;
    assert!(failed.is_err());
    let message = "the quote could not be fetched: no route";
    assert_eq!(
        scene.errors().await,
        [line("operation-failed", Severity::Error, message)]
    );
    let reason = message.to_owned();
    let gave_up = Recovery::GaveUp {
        attempts: 2,
        reason,
    };
    assert_eq!(scene.recoveries(), [("retry".to_owned(), gave_up)]);
    let statistics = scene.manager.error_statistics();
    assert_eq!((statistics.total, statistics.gave_up), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_the_policy_itself_refuses_has_its_kind() {
    let mut scene = Scene::new();
    let fetch = scene
        .manager
        .guard_failures("fetch", policy().timeout(seconds(2)).build().unwrap());
    assert!(fetch.run(std::future::pending).await.is_err());
    let message = "it took longer than its timeout of 2s";
    assert_eq!(
        scene.errors().await,
        [line("timed-out", Severity::Error, message)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_succeeds_after_failing_is_a_recovery() {
    let mut scene = Scene::new();
    let retry = Retry::constant(seconds(3));
    let fetch = scene
        .manager
        .guard_failures("fetch", policy().retry(retry).build().unwrap());
    let attempts = Count::default();
    let result = fetch.run(|| {
        let attempt = attempts.up();
        async move {
            if attempt == 3 {
                Ok(attempt)
            } else {
                Err(Failure::message("down"))
            }
        }
    });
    assert_eq!(result.await.unwrap(), 3);
    let message = "it succeeded in attempt 3";
    assert_eq!(
        scene.errors().await,
        [line("operation-failed", Severity::Warning, message)]
    );
    let recovered = Recovery::Recovered {
        attempt: 3,
        duration: seconds(6),
    };
    assert_eq!(scene.recoveries(), [("retry".to_owned(), recovered)]);
    let statistics = scene.manager.error_statistics();
    assert_eq!(statistics.mean_time_to_recover(), Some(seconds(6)));
}

#[tokio::test(start_paused = true)]
async fn another_value_instead_is_a_recovery_too() {
    let mut scene = Scene::new();
    let fetch = scene
        .manager
        .guard_failures("fetch", policy().fallback_value(7).build().unwrap());
    let result = fetch.run(|| async { Err(Failure::message("down")) }).await;
    assert_eq!(result.unwrap(), 7);
    assert_eq!(
        scene.errors().await,
        [line("operation-failed", Severity::Warning, "down")]
    );
    assert_eq!(scene.recoveries()[0].0, "fallback");
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_opens_is_an_error_and_closed_again_it_is_recovered_from() {
    let mut scene = Scene::new();
    let breaker = CircuitBreaker::builder("db")
        .sliding_window(SlidingWindow::Count(1))
        .permitted_number_of_calls_in_half_open_state(1)
        .build()
        .unwrap();
    let policy = policy().circuit_breaker(breaker.clone()).build().unwrap();
    let fetch = scene.manager.guard_failures("fetch", policy);
    assert!(
        fetch
            .run(|| async { Err(Failure::message("down")) })
            .await
            .is_err()
    );
    let opened = line(
        "circuit-opened",
        Severity::Error,
        "circuit breaker `db` is open",
    );
    let failed = line("operation-failed", Severity::Error, "down");
    assert_eq!(scene.errors().await, [opened, failed]);
    pass(seconds(59)).await;
    assert!(fetch.run(|| async { Ok(1) }).await.is_ok());
    pass(seconds(1)).await;
    let recovered = Recovery::Recovered {
        attempt: 1,
        duration: seconds(60),
    };
    assert_eq!(
        scene.recoveries(),
        [("circuit-break".to_owned(), recovered)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_strategy_attends_to_what_guards_report() {
    let scene = Scene::new();
    let attended = Count::default();
    let counted = attended.clone();
    let strategy = RecoveryStrategy::custom("count", move |_| {
        counted.up();
        async { Ok::<(), std::io::Error>(()) }
    });
    scene
        .manager
        .register_recovery_strategy("operation-failed", strategy)
        .unwrap();
    let fetch = scene
        .manager
        .guard_failures("fetch", policy().build().unwrap());
    assert!(
        fetch
            .run(|| async { Err(Failure::message("down")) })
            .await
            .is_err()
    );
    // What was reported before the end is attended to.
    let report = scene.manager.shutdown(seconds(9)).await;
    assert!(report.aborted.is_empty());
    assert_eq!(attended.get(), 1);
}
