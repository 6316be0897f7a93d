//! What calls under a guarded policy report.

use std::sync::Arc;

use coord_bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, ErrorRecovery, Recovery, Severity,
};
use coord_bus::{BusExt, Failure, LocalBus, Subscriber};
use coord_recovery::policy::{
    BreakerState, CircuitBreaker, Hedge, MAX_LISTENERS, Policy, PolicyBuilder, Retry, SlidingWindow,
};
use coord_recovery::{ErrorRecoveryManager, RecoveryStrategy};

use crate::policy::Count;
use crate::stage::{clock, pass, seconds};

pub(crate) struct Scene {
    pub(crate) manager: ErrorRecoveryManager,
    errors: Subscriber<ErrorDetected>,
    recoveries: Subscriber<ErrorRecovery>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let bus = LocalBus::new();
        Self {
            errors: bus.subscribe(&ERROR_DETECTED).expect("it is open"),
            recoveries: bus.subscribe(&ERROR_RECOVERY).expect("it is open"),
            manager: ErrorRecoveryManager::new(Arc::new(bus), clock()).expect("it is open"),
        }
    }

    /// All errors that have been reported by now.
    pub(crate) async fn reported(&mut self) -> impl Iterator<Item = ErrorDetected> {
        pass(seconds(1)).await;
        std::iter::from_fn(|| Some((*self.errors.try_recv().ok()?).clone()))
    }

    pub(crate) fn recovered(&mut self) -> impl Iterator<Item = ErrorRecovery> {
        std::iter::from_fn(|| Some((*self.recoveries.try_recv().ok()?).clone()))
    }

    /// Those of `fetch`.
    async fn errors(&mut self) -> Vec<(String, Severity, String)> {
        let errors = self.reported().await;
        let errors = errors.filter(|error| error.source == "fetch");
        errors
            .map(|error| (error.kind, error.severity, error.message))
            .collect()
    }

    fn recoveries(&mut self) -> Vec<(String, Recovery)> {
        let recoveries = self.recovered();
        recoveries
            .map(|event| (event.strategy, event.progress))
            .collect()
    }
}

fn policy() -> PolicyBuilder<u32, Failure> {
    Policy::builder("http")
}

fn open(name: &str) -> CircuitBreaker {
    let breaker = CircuitBreaker::new(name);
    breaker.transition_to(BreakerState::Open);
    breaker
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
    let fetch = scene.manager.guard("fetch", policy().build().unwrap());
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
async fn a_hedge_is_a_recovery_where_an_attempt_failed_and_nothing_where_it_was_slow() {
    let mut scene = Scene::new();
    let hedge = Hedge::after(seconds(2));
    let fetch = scene
        .manager
        .guard("fetch", policy().hedge(hedge).build().unwrap());
    let attempts = Count::default();
    let slow_at_first = fetch.run(|| {
        let is_slow = attempts.up() == 1;
        async move {
            if is_slow {
                pass(seconds(60)).await;
            }
            Ok(1)
        }
    });
    assert_eq!(slow_at_first.await.unwrap(), 1);
    assert_eq!((scene.errors().await, attempts.get()), (Vec::new(), 2));
    assert_eq!(scene.recoveries(), []);
    let fails_at_first = fetch.run(|| {
        let fails = attempts.up() == 3;
        async move {
            pass(seconds(1)).await;
            if fails {
                return Err(Failure::message("no route"));
            }
            Ok(1)
        }
    });
    assert_eq!(fails_at_first.await.unwrap(), 1);
    assert_eq!(
        scene.errors().await,
        [line("operation-failed", Severity::Warning, "no route")]
    );
    let recovered = Recovery::Recovered {
        attempt: 2,
        duration: seconds(1),
    };
    assert_eq!(scene.recoveries(), [("hedge".to_owned(), recovered)]);
}

#[tokio::test(start_paused = true)]
async fn what_the_policy_itself_refuses_has_its_kind() {
    let mut scene = Scene::new();
    let fetch = scene
        .manager
        .guard("fetch", policy().timeout(seconds(2)).build().unwrap());
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
        .guard("fetch", policy().retry(retry).build().unwrap());
    let attempts = Count::default();
    let result = fetch.run(|| {
        let attempt = attempts.up();
        async move {
            if attempt == 3 {
                Ok(attempt)
            } else {
                Err(Failure::message(format!("down {attempt}")))
            }
        }
    });
    assert_eq!(result.await.unwrap(), 3);
    // What the last failure said.
    assert_eq!(
        scene.errors().await,
        [line("operation-failed", Severity::Warning, "down 2")]
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
        .guard("fetch", policy().fallback_value(7).build().unwrap());
    let result = fetch.run(|| async { Err(Failure::message("down")) }).await;
    assert_eq!(result.unwrap(), 7);
    assert_eq!(
        scene.errors().await,
        [line("operation-failed", Severity::Warning, "down")]
    );
    assert_eq!(scene.recoveries()[0].0, "fallback");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_that_a_retry_makes_good_is_reported() {
    let mut scene = Scene::new();
    let policy = policy()
        .retry(Retry::constant(seconds(3)))
        .timeout(seconds(2));
    let fetch = scene.manager.guard("fetch", policy.build().unwrap());
    let attempts = Count::default();
    let result = fetch.run(|| {
        let attempt = attempts.up();
        async move {
            if attempt == 1 {
                std::future::pending::<()>().await;
            }
            Ok(attempt)
        }
    });
    assert_eq!(result.await.unwrap(), 2);
    let message = "it took longer than its timeout of 2s";
    assert_eq!(
        scene.errors().await,
        [line("timed-out", Severity::Warning, message)]
    );
    let recovered = Recovery::Recovered {
        attempt: 2,
        duration: seconds(3),
    };
    assert_eq!(scene.recoveries(), [("retry".to_owned(), recovered)]);
}

#[tokio::test(start_paused = true)]
async fn attempts_that_never_came_to_the_operation_count_when_it_is_given_up() {
    let mut scene = Scene::new();
    let policy = policy()
        .retry(Retry::constant(seconds(3)).max_attempts(2))
        .circuit_breaker(open("db"));
    let fetch = scene.manager.guard("fetch", policy.build().unwrap());
    assert!(fetch.run(|| async { Ok(1) }).await.is_err());
    let errors = scene.errors().await;
    assert_eq!(errors.len(), 1);
    assert_eq!(
        (errors[0].0.as_str(), errors[0].1),
        ("circuit-open", Severity::Error)
    );
    let recoveries = scene.recoveries();
    assert!(matches!(
        recoveries[..],
        [(_, Recovery::GaveUp { attempts: 2, .. })]
    ));
}

#[tokio::test(start_paused = true)]
async fn another_value_instead_of_what_the_policy_refused_is_a_recovery_too() {
    let timing_out = || policy().fallback_value(7).timeout(seconds(2));
    let refusing = || policy().fallback_value(7).circuit_breaker(open("db"));
    let timing_out: &dyn Fn() -> PolicyBuilder<u32, Failure> = &timing_out;
    let refused = "circuit breaker `db` is open and permits no call: try again in 60s";
    let told = [
        (
            timing_out,
            "timed-out",
            "it took longer than its timeout of 2s",
        ),
        (&refusing, "circuit-open", refused),
    ];
    for (policy, kind, message) in told {
        let mut scene = Scene::new();
        let policy = policy().build().unwrap();
        let fetch = scene.manager.guard("fetch", policy);
        assert_eq!(fetch.run(std::future::pending).await.unwrap(), 7);
        assert_eq!(
            scene.errors().await,
            [line(kind, Severity::Warning, message)]
        );
        let recoveries = scene.recoveries();
        assert!(matches!(
            &recoveries[..],
            [(strategy, Recovery::Recovered { attempt: 1, .. })] if strategy == "fallback"
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_last_has_recovered_it() {
    let mut scene = Scene::new();
    let policy = policy()
        .fallback_value(7)
        .retry(Retry::constant(seconds(3)).max_attempts(2));
    let fetch = scene.manager.guard("fetch", policy.build().unwrap());
    let result = fetch.run(|| async { Err(Failure::message("down")) }).await;
    assert_eq!(result.unwrap(), 7);
    assert_eq!(
        scene.errors().await,
        [line("operation-failed", Severity::Warning, "down")]
    );
    let recovered = Recovery::Recovered {
        attempt: 2,
        duration: seconds(3),
    };
    assert_eq!(scene.recoveries(), [("fallback".to_owned(), recovered)]);
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
    let fetch = scene.manager.guard("fetch", policy);
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
async fn a_breaker_that_is_reset_has_recovered_and_its_next_outage_is_another() {
    let mut scene = Scene::new();
    let breaker = CircuitBreaker::new("db");
    let policy = policy().circuit_breaker(breaker.clone()).build().unwrap();
    let _fetch = scene.manager.guard("fetch", policy);
    for outage in [seconds(60), seconds(5)] {
        breaker.transition_to(BreakerState::Open);
        pass(outage).await;
        breaker.reset();
        // There is nothing to tell of one that is closed.
        breaker.reset();
        pass(seconds(1)).await;
        let recovered = Recovery::Recovered {
            attempt: 1,
            duration: outage,
        };
        assert_eq!(
            scene.recoveries(),
            [("circuit-break".to_owned(), recovered)]
        );
        pass(seconds(3_600)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_cannot_listen_to_its_breaker_says_so() {
    let mut scene = Scene::new();
    let breaker = CircuitBreaker::new("db");
    let guard = || {
        let policy = policy().circuit_breaker(breaker.clone()).build().unwrap();
        scene.manager.guard("fetch", policy)
    };
    let guards: Vec<_> = (0..MAX_LISTENERS).map(|_| guard()).collect();
    assert_eq!(guards.len(), MAX_LISTENERS);
    pass(seconds(1)).await;
    assert_eq!(scene.manager.error_statistics().total, 0);
    drop(guard());
    let errors = scene.errors().await;
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].0, "breaker-unwatched");
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
    let fetch = scene.manager.guard("fetch", policy().build().unwrap());
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
