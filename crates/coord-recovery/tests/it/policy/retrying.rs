//! When an operation is tried again, and when it is not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::Instant;
use coord_bus::{Backoff, Failure, Jitter};
use coord_recovery::policy::{Policy, PolicyAction, PolicyError, Retry};

use super::{Count, plan};
use crate::stage::{pass, seconds};

#[tokio::test(start_paused = true)]
async fn an_operation_is_tried_until_it_succeeds_with_the_waits_of_its_backoff() {
    let policy = plan()
        .retry(Retry::linear(seconds(1)).max_attempts(5))
        .build()
        .unwrap();
    let (attempts, began) = (Count::default(), Instant::now());
    let result = policy.run(|| {
        let attempt = attempts.up();
        async move {
            if attempt == 4 {
                Ok(attempt)
            } else {
                Err("down")
            }
        }
    });
    assert_eq!(result.await, Ok(4));
    assert_eq!(began.elapsed(), seconds(1 + 2 + 3));
}

#[tokio::test(start_paused = true)]
async fn the_default_is_three_attempts_and_waits_of_about_half_a_second() {
    let policy = plan().retry(Retry::default()).build().unwrap();
    let (attempts, began) = (Count::default(), Instant::now());
    let result = policy.run(|| {
        attempts.up();
        async { Err("down") }
    });
    assert_eq!(result.await, Err(PolicyError::Operation("down")));
    assert_eq!(attempts.get(), 3);
    // 500 ms and 750 ms, each give or take half; timers are of milliseconds.
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(625), "{waited:?}");
    assert!(waited <= Duration::from_millis(1877), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_not_to_be_retried_is_the_outcome_at_once() {
    let retry = Retry::constant(seconds(1)).retry_if(|error| error.operation() != Some(&"gone"));
    let policy = plan().retry(retry).build().unwrap();
    let attempts = Count::default();
    let result = policy.run(|| {
        let error = if attempts.up() == 2 { "gone" } else { "down" };
        async move { Err(error) }
    });
    assert_eq!(result.await, Err(PolicyError::Operation("gone")));
    assert_eq!(attempts.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_not_retried() {
    let policy: Policy<(), Failure> = Policy::builder("plan")
        .retry(Retry::constant(seconds(1)))
        .build()
        .unwrap();
    let attempts = Count::default();
    let result = policy.run(|| {
        let failure = Failure::message("down");
        let is_second = attempts.up() == 2;
        async move {
            Err(if is_second {
                failure.permanent()
            } else {
                failure
            })
        }
    });
    assert!(result.await.unwrap_err().into_failure().is_permanent());
    assert_eq!(attempts.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_how_long_to_wait_is_waited_for() {
    let retry = Retry::constant(seconds(1)).server_delay(|error| match error {
        PolicyError::Operation("in 7 s") => Some(seconds(7)),
        _ => None,
    });
    let policy = plan().retry(retry).build().unwrap();
    let (attempts, began) = (Count::default(), Instant::now());
    let result = policy.run(|| {
        let error = if attempts.up() == 1 { "in 7 s" } else { "down" };
        async move { Err(error) }
    });
    assert_eq!(result.await, Err(PolicyError::Operation("down")));
    assert_eq!(began.elapsed(), seconds(7 + 1));
}

#[tokio::test(start_paused = true)]
async fn decorrelated_waits_stay_between_the_first_and_three_times_the_one_before() {
    let first = seconds(1);
    let backoff = Backoff::exponential(first)
        .max(seconds(1000))
        .jitter(Jitter::Decorrelated);
    let waits = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&waits);
    let policy = plan()
        .retry(Retry::with(backoff).max_attempts(8))
        .listen(move |event| {
            if let PolicyAction::Retry { wait } = event.action {
                noted.lock().unwrap().push(wait);
            }
        })
        .build()
        .unwrap();
    let _ = policy.run(|| async { Err("down") }).await;
    let waits = waits.lock().unwrap().clone();
    assert_eq!(waits.len(), 7);
    let mut previous = first;
    for wait in waits {
        assert!(
            wait >= first && wait <= previous * 3,
            "{wait:?} after {previous:?}"
        );
        previous = wait;
    }
}

#[tokio::test(start_paused = true)]
async fn who_listens_is_told_of_each_retry_with_pollys_numbers() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&told);
    let policy = plan()
        .retry(Retry::constant(seconds(1)))
        .timeout(seconds(5))
        .listen(move |event| {
            let operation = event.operation.unwrap_or_default().to_owned();
            let line = (
                event.action.name(),
                event.strategy.to_owned(),
                event.attempt,
                operation,
            );
            noted.lock().unwrap().push(line);
        })
        .build()
        .unwrap();
    let attempts = Count::default();
    let result = policy.run_as("read", || {
        let attempt = attempts.up();
        async move {
            if attempt == 2 {
                pass(seconds(10)).await;
            }
            if attempt < 3 {
                Err("down")
            } else {
                Ok(attempt)
            }
        }
    });
    assert_eq!(result.await, Ok(3));
    let line =
        |name, strategy: &str, attempt| (name, strategy.to_owned(), attempt, "read".to_owned());
    let expected = [
        line("on_retry", "retry", 0),
        line("on_timeout", "timeout", 1),
        line("on_retry", "retry", 1),
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn retries_without_a_wait_let_others_run_and_are_timed() {
    let policy = plan()
        .timeout(seconds(1))
        .retry(Retry::constant(Duration::ZERO).max_attempts(1_000_000))
        .build()
        .unwrap();
    let calling = tokio::spawn(async move { policy.run(|| async { Err("down") }).await });
    // Time does not go on by itself while somebody is busy.
    for _ in 0..20 {
        tokio::time::advance(seconds(1) / 10).await;
    }
    assert!(matches!(
        calling.await.unwrap(),
        Err(PolicyError::TimedOut { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_says_when_is_tried_again_then_whatever_the_backoff() {
    let policy: Policy<(), Failure> = Policy::builder("plan")
        .retry(Retry::constant(seconds(1)))
        .build()
        .unwrap();
    let began = Instant::now();
    let busy = || async { Err(Failure::message("busy").retry_after(seconds(30))) };
    assert!(policy.run(busy).await.is_err());
    assert_eq!(began.elapsed(), seconds(30 + 30));
}

#[tokio::test(start_paused = true)]
async fn what_a_policy_is_told_to_do_goes_before_what_a_failure_says() {
    let retry = Retry::constant(seconds(1))
        .retry_if(|_| true)
        .server_delay(|_| Some(seconds(7)));
    let policy: Policy<(), Failure> = Policy::builder("plan").retry(retry).build().unwrap();
    let began = Instant::now();
    let busy = Failure::message("busy")
        .permanent()
        .retry_after(seconds(30));
    assert!(policy.run(|| async { Err(busy.clone()) }).await.is_err());
    assert_eq!(began.elapsed(), seconds(7 + 7));
}
