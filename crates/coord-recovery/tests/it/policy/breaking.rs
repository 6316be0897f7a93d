//! What a circuit breaker does within a policy, and what it tells.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use coord_recovery::policy::{
    BreakerEvent, BreakerState, CircuitBreaker, Policy, PolicyError, Retry, SlidingWindow,
};
use futures_util::future::join_all;

use super::{Count, plan};
use crate::stage::{pass, seconds};

fn small() -> CircuitBreaker {
    CircuitBreaker::builder("db")
        .sliding_window(SlidingWindow::Count(4))
        .permitted_number_of_calls_in_half_open_state(2)
        .build()
        .expect("these settings can work")
}

#[tokio::test(start_paused = true)]
async fn the_defaults_are_those_of_resilience4j() {
    let breaker = CircuitBreaker::new("db");
    let fail = || async { breaker.call(async { Err::<(), _>("down") }).await };
    for _ in 0..50 {
        breaker.call(async { Ok::<_, &str>(()) }).await.unwrap();
    }
    for _ in 0..49 {
        let _ = fail().await;
    }
    assert_eq!(breaker.metrics().failure_rate, None);
    assert_eq!(breaker.state(), BreakerState::Closed);
    let _ = fail().await;
    assert_eq!(breaker.metrics().failure_rate, Some(50.0));
    assert_eq!(breaker.state(), BreakerState::Open);
    pass(seconds(59)).await;
    let refused = fail().await.unwrap_err();
    assert_eq!(refused.retry_after(), Some(seconds(1)));
    pass(seconds(1)).await;
    let permits: Vec<_> = (0..11).map(|_| breaker.try_acquire()).collect();
    assert_eq!(permits.iter().filter(|permit| permit.is_ok()).count(), 10);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_slow_by_the_time_that_it_waits() {
    let breaker = CircuitBreaker::builder("db")
        .sliding_window(SlidingWindow::Count(2))
        .slow_call_duration_threshold(seconds(3))
        .slow_call_rate_threshold(50.0)
        .build()
        .unwrap();
    let policy = plan().circuit_breaker(breaker.clone()).build().unwrap();
    for takes in [3, 4] {
        let result = policy.run(|| async move {
            pass(seconds(takes)).await;
            Ok(1)
        });
        assert_eq!(result.await, Ok(1));
    }
    let metrics = breaker.metrics();
    assert_eq!((metrics.slow, metrics.slow_call_rate), (1, Some(50.0)));
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn slow_calls_have_a_minimum_of_their_own() {
    let breaker = CircuitBreaker::builder("db")
        .sliding_window(SlidingWindow::Count(10))
        .minimum_number_of_calls(10)
        .slow_call_minimum_number_of_calls(2)
        .slow_call_duration_threshold(seconds(1))
        .build()
        .unwrap();
    for _ in 0..2 {
        breaker.try_acquire().unwrap().success(seconds(2));
    }
    assert_eq!(breaker.metrics().failure_rate, None);
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_within_a_breaker_counts_and_one_around_it_does_not() {
    let breaker = small();
    let within = plan()
        .circuit_breaker(breaker.clone())
        .timeout(seconds(1))
        .build()
        .unwrap();
    assert!(within.run(std::future::pending).await.is_err());
    assert_eq!(breaker.metrics().failed, 1);
    let around = plan()
        .timeout(seconds(1))
        .circuit_breaker(breaker.clone())
        .build()
        .unwrap();
    assert!(around.run(std::future::pending).await.is_err());
    assert_eq!(breaker.metrics().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_a_failure_may_be_said_of_results_and_errors() {
    let breaker = small();
    let policy = plan().circuit_breaker_if(breaker.clone(), |result| match result {
        Ok(503) => Some(true),
        Ok(_) => Some(false),
        Err(error) => (error.operation() != Some(&"my fault")).then_some(true),
    });
    let policy = policy.build().unwrap();
    for result in [Ok(200), Ok(503), Err("my fault"), Err("down")] {
        let _ = policy.run(|| async move { result }).await;
    }
    let metrics = breaker.metrics();
    assert_eq!((metrics.calls, metrics.failed), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_retry_around_an_open_breaker_does_not_call() {
    let breaker = small();
    breaker.transition_to(BreakerState::Open);
    let calls = Count::default();
    let policy = plan()
        .retry(Retry::constant(seconds(1)).server_delay(PolicyError::retry_after))
        .circuit_breaker(breaker.clone())
        .build()
        .unwrap();
    let result = policy.run(|| {
        let call = calls.up();
        async move { Ok(call) }
    });
    // The first attempt is refused, and told to wait for what is left of the minute.
    assert_eq!(result.await, Ok(1));
    assert_eq!(breaker.metrics().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn manual_states_stay_until_told_otherwise() {
    let breaker = small();
    let policy = plan().circuit_breaker(breaker.clone()).build().unwrap();
    let fail = || policy.run(|| async { Err("down") });
    breaker.transition_to(BreakerState::Disabled);
    for _ in 0..9 {
        assert_eq!(fail().await, Err(PolicyError::Operation("down")));
    }
    assert_eq!(breaker.metrics().calls, 0);
    breaker.transition_to(BreakerState::MetricsOnly);
    for _ in 0..9 {
        assert_eq!(fail().await, Err(PolicyError::Operation("down")));
    }
    assert_eq!(breaker.metrics().failure_rate, Some(100.0));
    breaker.transition_to(BreakerState::ForcedOpen);
    pass(seconds(1_000)).await;
    assert_eq!(fail().await.unwrap_err().kind(), "circuit-open");
    breaker.reset();
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert_eq!(fail().await, Err(PolicyError::Operation("down")));
}

#[tokio::test(start_paused = true)]
async fn a_half_open_breaker_that_waits_too_long_for_its_probes_opens_again() {
    let breaker = CircuitBreaker::builder("db")
        .permitted_number_of_calls_in_half_open_state(1)
        .max_wait_duration_in_half_open_state(seconds(5))
        .build()
        .unwrap();
    breaker.transition_to(BreakerState::HalfOpen);
    let probe = breaker.try_acquire().unwrap();
    pass(seconds(7)).await;
    assert_eq!(breaker.state(), BreakerState::Open);
    let refused = breaker.try_acquire().map(drop).unwrap_err();
    assert_eq!(refused.state, BreakerState::Open);
    // It has been open for 2 s, though nobody looked.
    assert_eq!(refused.retry_after, Some(seconds(58)));
    probe.success(seconds(5));
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_half_open_breaker_that_is_to_wait_no_time_waits_for_ever_as_resilience4js() {
    let breaker = CircuitBreaker::builder("db")
        .max_wait_duration_in_half_open_state(seconds(0))
        .build()
        .unwrap();
    breaker.transition_to(BreakerState::HalfOpen);
    pass(seconds(1_000)).await;
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert!(breaker.try_acquire().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_when_it_is_half_open_costs_no_probe() {
    let breaker = CircuitBreaker::builder("db")
        .permitted_number_of_calls_in_half_open_state(1)
        .build()
        .unwrap();
    let is_first = AtomicBool::new(true);
    breaker.listen(move |event| {
        let is_half_open = event.name() == "on_circuit_half_opened";
        assert!(!is_half_open || !is_first.swap(false, Ordering::Relaxed));
    });
    breaker.transition_to(BreakerState::Open);
    pass(seconds(60)).await;
    let asked = catch_unwind(AssertUnwindSafe(|| breaker.try_acquire().is_ok()));
    assert!(asked.is_err());
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    breaker.try_acquire().unwrap().success(seconds(0));
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_call_counts_only_while_the_breaker_is_in_the_state_that_permitted_it() {
    let breaker = small();
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&told);
    breaker.listen(move |event| noted.lock().unwrap().push(event.name()));
    let mut early: Vec<_> = (0..4).map(|_| breaker.try_acquire().unwrap()).collect();
    breaker.transition_to(BreakerState::Open);
    early.pop().unwrap().failure(seconds(0));
    assert_eq!(breaker.metrics().calls, 0);
    breaker.transition_to(BreakerState::HalfOpen);
    let probe = breaker.try_acquire().unwrap();
    for permit in early {
        permit.success(seconds(0));
    }
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(breaker.metrics().calls, 0);
    let expected = [
        "on_circuit_opened",
        "on_ignored_error",
        "on_circuit_half_opened",
        "on_ignored_error",
        "on_ignored_error",
        "on_ignored_error",
    ];
    assert_eq!(*told.lock().unwrap(), expected);
    probe.failure(seconds(0));
    breaker.try_acquire().unwrap().failure(seconds(0));
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_an_earlier_half_open_state_does_not_decide_for_the_next() {
    let breaker = small();
    breaker.transition_to(BreakerState::HalfOpen);
    let early = breaker.try_acquire().unwrap();
    breaker.transition_to(BreakerState::Open);
    breaker.transition_to(BreakerState::HalfOpen);
    let probe = breaker.try_acquire().unwrap();
    early.success(seconds(0));
    probe.success(seconds(0));
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    breaker.try_acquire().unwrap().success(seconds(0));
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_half_open_breaker_has_only_its_own_permits_back() {
    let breaker = small();
    let early = breaker.try_acquire().unwrap();
    breaker.transition_to(BreakerState::HalfOpen);
    drop(early);
    let permits: Vec<_> = (0..3).map(|_| breaker.try_acquire().ok()).collect();
    assert_eq!(permits.iter().flatten().count(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_listens_to_a_breaker_hears_it_open_once_and_close_once() {
    let breaker = small();
    let told = Arc::new(Mutex::new(Vec::new()));
    let (noted, asked) = (Arc::clone(&told), breaker.clone());
    breaker.listen(move |event| {
        // A listener may ask.
        let _ = asked.metrics();
        noted.lock().unwrap().push(event.name());
    });
    let policy = plan().circuit_breaker(breaker.clone()).build().unwrap();
    for _ in 0..4 {
        let _ = policy.run(|| async { Err("down") }).await;
    }
    let _ = policy.run(|| async { Ok(1) }).await;
    pass(seconds(60)).await;
    let both = join_all([0, 1].map(|_| policy.run(|| async { Ok(1) }))).await;
    assert_eq!(both, [Ok(1), Ok(1)]);
    let expected = [
        "on_error",
        "on_error",
        "on_error",
        "on_error",
        "on_failure_rate_exceeded",
        "on_circuit_opened",
        "on_call_not_permitted",
        "on_circuit_half_opened",
        "on_success",
        "on_success",
        "on_circuit_closed",
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_is_exceeded_is_told_once_where_nothing_follows_from_it() {
    let breaker = small();
    breaker.transition_to(BreakerState::MetricsOnly);
    let exceeded = Count::default();
    let counted = exceeded.clone();
    breaker.listen(move |event| {
        if let BreakerEvent::FailureRateExceeded { .. } = event {
            counted.up();
        }
    });
    for _ in 0..9 {
        let _ = breaker.call(async { Err::<(), _>("down") }).await;
    }
    assert_eq!(exceeded.get(), 1);
}

#[test]
fn no_result_is_lost_when_many_threads_report_at_once() {
    const THREADS: u32 = 4;
    const CALLS: u32 = 5_000;
    let breaker = CircuitBreaker::builder("db")
        .sliding_window(SlidingWindow::Count(THREADS * CALLS))
        .minimum_number_of_calls(THREADS * CALLS)
        .failure_rate_threshold(100.0)
        .build()
        .unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let breaker = &breaker;
            scope.spawn(move || {
                for _ in 0..CALLS {
                    let permit = breaker.try_acquire().unwrap();
                    match thread % 2 {
                        0 => permit.success(seconds(0)),
                        _ => permit.failure(seconds(0)),
                    }
                }
            });
        }
    });
    let metrics = breaker.metrics();
    assert_eq!(metrics.calls, u64::from(THREADS * CALLS));
    assert_eq!(metrics.failure_rate, Some(50.0));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_has_failed_closed_and_half_open() {
    let breaker = CircuitBreaker::builder("db")
        .sliding_window(SlidingWindow::Count(2))
        .minimum_number_of_calls(2)
        .permitted_number_of_calls_in_half_open_state(1)
        .build()
        .unwrap();
    let policy: Policy<(), &str> = Policy::builder("plan")
        .circuit_breaker(breaker.clone())
        .build()
        .unwrap();
    let panics = || coord_bus::catch(policy.run(|| async { panic!("bug") }));
    assert!(panics().await.is_err());
    let by_hand = coord_bus::catch(breaker.call::<(), &str>(async { panic!("bug") }));
    assert!(by_hand.await.is_err());
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker.transition_to(BreakerState::HalfOpen);
    assert!(panics().await.is_err());
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_at_a_call_that_panics_is_not_the_end_of_the_program() {
    let breaker = CircuitBreaker::new("db");
    breaker.listen(|_| panic!("the listener too"));
    let call = breaker.call::<(), &str>(async { panic!("bug") });
    let panic = coord_bus::catch(call).await.unwrap_err();
    assert_eq!(coord_bus::panic_message(&*panic), "bug");
    assert_eq!(breaker.metrics().failed, 1);
}
