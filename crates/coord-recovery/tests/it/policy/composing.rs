//! What the order of the parts means, and which orders are refused.

use std::time::Duration;

use coord_bus::time::Instant;
use coord_recovery::RecoveryError;
use coord_recovery::policy::{
    Bulkhead, CircuitBreaker, Policy, PolicyBuilder, PolicyError, RateLimit, Retry,
};

use super::{Count, plan};
use crate::stage::{pass, seconds};

type Builder = PolicyBuilder<u32, &'static str>;

#[test]
fn a_policy_prints_its_order() {
    let policy = plan()
        .fallback(|error| async { Err(error) })
        .retry(Retry::exponential().max_attempts(4))
        .circuit_breaker(CircuitBreaker::new("db"))
        .rate_limit(RateLimit::new(10, seconds(1)).unwrap())
        .timeout(seconds(2))
        .bulkhead(Bulkhead::default().waiting(5, seconds(1)))
        .build()
        .unwrap();
    assert_eq!(
        policy.to_string(),
        "fallback → retry(4 attempts) → circuit_breaker(db) → rate_limit(10 in 1s) → timeout(2s) → \
         bulkhead(25, waits 1s) → call"
    );
    assert_eq!(plan().build().unwrap().to_string(), "call");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_within_a_retry_is_of_each_attempt() {
    let policy = plan()
        .retry(Retry::constant(seconds(1)))
        .timeout(seconds(10))
        .build()
        .unwrap();
    let (attempts, began) = (Count::default(), Instant::now());
    let result = policy.run(|| {
        attempts.up();
        std::future::pending()
    });
    let after = seconds(10);
    assert_eq!(result.await, Err(PolicyError::TimedOut { after }));
    assert_eq!(attempts.get(), 3);
    assert_eq!(began.elapsed(), seconds(10 + 1 + 10 + 1 + 10));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_around_a_retry_is_of_all_attempts_and_waits() {
    let policy = plan()
        .timeout(seconds(25))
        .retry(Retry::constant(seconds(1)).max_attempts(100))
        .timeout(seconds(10))
        .build()
        .unwrap();
    let (attempts, began) = (Count::default(), Instant::now());
    let result = policy.run(|| {
        attempts.up();
        std::future::pending()
    });
    let after = seconds(25);
    assert_eq!(result.await, Err(PolicyError::TimedOut { after }));
    assert_eq!(attempts.get(), 3);
    assert_eq!(began.elapsed(), after);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_the_wait_between_attempts_too() {
    let policy = plan()
        .timeout(seconds(15))
        .retry(Retry::linear(seconds(10)))
        .build()
        .unwrap();
    let began = Instant::now();
    let result = policy.run(|| async { Err("down") }).await;
    assert_eq!(result, Err(PolicyError::TimedOut { after: seconds(15) }));
    assert_eq!(began.elapsed(), seconds(15));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_an_operation_that_never_lets_the_runtime_in() {
    let policy = plan().timeout(seconds(5)).build().unwrap();
    let result = policy.run(|| async {
        loop {
            tokio::task::consume_budget().await;
            // Time goes on by itself only while everybody waits.
            tokio::time::advance(Duration::from_millis(10)).await;
        }
    });
    assert_eq!(
        result.await,
        Err(PolicyError::TimedOut { after: seconds(5) })
    );
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_dropped_before_what_it_holds_is_given_back() {
    struct Checks(Bulkhead, Count);
    impl Drop for Checks {
        fn drop(&mut self) {
            if self.0.available() == 0 {
                self.1.up();
            }
        }
    }
    let (bulkhead, held) = (Bulkhead::new(1).unwrap(), Count::default());
    let policy = plan()
        .timeout(seconds(1))
        .bulkhead(bulkhead.clone())
        .build()
        .unwrap();
    let result = policy.run(|| {
        let checks = Checks(bulkhead.clone(), held.clone());
        async move {
            pass(seconds(9)).await;
            drop(checks);
            Ok(1)
        }
    });
    assert_eq!(
        result.await,
        Err(PolicyError::TimedOut { after: seconds(1) })
    );
    assert_eq!((held.get(), bulkhead.available()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_for_what_all_parts_further_in_fail_of() {
    let policy = plan()
        .fallback(|error| async move {
            match error {
                PolicyError::TimedOut { .. } => Ok(7),
                other => Err(other),
            }
        })
        .timeout(seconds(1))
        .build()
        .unwrap();
    assert_eq!(policy.run(std::future::pending).await, Ok(7));
    let failed = policy.run(|| async { Err("down") }).await;
    assert_eq!(failed, Err(PolicyError::Operation("down")));
    let value = plan().fallback_value(9).build().unwrap();
    assert_eq!(value.run(|| async { Err("down") }).await, Ok(9));
    let other = plan().fallback_if(|error| error.kind() == "timed-out", |_| async { Ok(1) });
    let other = other.build().unwrap().run(|| async { Err("down") }).await;
    assert_eq!(other, Err(PolicyError::Operation("down")));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_hangs_is_ended_by_a_timeout_further_out() {
    let policy = plan()
        .timeout(seconds(3))
        .fallback(|_| std::future::pending())
        .build()
        .unwrap();
    let result = policy.run(|| async { Err("down") }).await;
    assert_eq!(result, Err(PolicyError::TimedOut { after: seconds(3) }));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_gives_back_what_it_holds() {
    let bulkhead = Bulkhead::new(1).unwrap();
    let policy = plan().bulkhead(bulkhead.clone()).build().unwrap();
    let panicked = coord_bus::catch(policy.run(|| async { panic!("bug") })).await;
    assert!(panicked.is_err());
    assert_eq!(bulkhead.available(), 1);
}

#[tokio::test(start_paused = true)]
async fn policies_print_what_was_wrong_in_words() {
    let breaker = CircuitBreaker::new("db");
    breaker.transition_to(coord_recovery::policy::BreakerState::Open);
    let policy: Policy<(), std::io::Error> = Policy::builder("plan")
        .circuit_breaker(breaker)
        .build()
        .unwrap();
    let error = policy.run(|| async { Ok(()) }).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "circuit breaker `db` is open and permits no call: try again in 60s"
    );
    assert_eq!(error.retry_after(), Some(seconds(60)));
    let error: PolicyError<std::io::Error> = PolicyError::TimedOut { after: seconds(2) };
    assert_eq!(error.to_string(), "it took longer than its timeout of 2s");
    assert_eq!(
        error.into_failure().to_string(),
        "it took longer than its timeout of 2s"
    );
}

fn refused(builder: Builder) -> String {
    let refused = builder.build().expect_err("it cannot work");
    assert!(matches!(refused, RecoveryError::Composition { .. }));
    refused.to_string()
}

#[test]
fn a_composition_that_cannot_work_is_refused_with_the_reason() {
    let backwards = plan()
        .timeout(seconds(2))
        .retry(Retry::exponential())
        .timeout(seconds(5));
    assert_eq!(
        refused(backwards),
        "policy `plan`, which is timeout(2s) → retry(3 attempts) → timeout(5s) → call, cannot work: \
         the inner timeout of 5s can never be reached, as the outer one of 2s comes first: make the \
         inner one shorter"
    );
    let no_errors = plan().retry(Retry::exponential()).fallback_value(1);
    assert!(
        refused(no_errors)
            .ends_with("leaves no error that retry(3 attempts) could see: put it further out")
    );
    let no_failures = plan()
        .circuit_breaker(CircuitBreaker::new("db"))
        .fallback_value(1);
    assert!(refused(no_failures).contains("leaves no error that circuit_breaker(db) could see"));
    let too_late = plan()
        .timeout(seconds(1))
        .retry(Retry::constant(seconds(1)));
    assert!(refused(too_late).contains("waits at least 1s before it tries again"));
    let bulkhead = Bulkhead::default();
    let waits = plan()
        .timeout(seconds(1))
        .bulkhead(bulkhead.clone().waiting(5, seconds(9)));
    assert!(refused(waits).contains("would wait 9s within the timeout of 1s"));
    let limit = RateLimit::new(1, seconds(1)).unwrap();
    let waits = plan()
        .timeout(seconds(1))
        .rate_limit(limit.clone().waiting(5, seconds(9)));
    assert!(refused(waits).contains("would wait 9s within the timeout of 1s"));
    let twice = plan().bulkhead(bulkhead.clone()).bulkhead(bulkhead);
    assert!(refused(twice).contains("a call would wait for itself"));
    let twice = plan().rate_limit(limit.clone()).rate_limit(limit);
    assert!(refused(twice).contains("the same rate limit is in it twice"));
    let breaker = CircuitBreaker::new("db");
    let twice = plan()
        .circuit_breaker(breaker.clone())
        .circuit_breaker(breaker);
    assert!(refused(twice).contains("circuit breaker `db` is in it twice"));
    assert!(refused(plan().timeout(Duration::ZERO)).contains("a timeout of 0 s"));
    let many = (0..17).fold(plan(), |builder, _| builder.bulkhead(Bulkhead::default()));
    assert!(refused(many).contains("it has 17 parts, and may have 16"));
}

#[test]
fn compositions_that_can_work_are_not_refused() {
    let breaker = CircuitBreaker::new("db");
    let can_work: [Builder; 5] = [
        plan()
            .retry(Retry::exponential())
            .retry(Retry::exponential()),
        plan().fallback_value(1).retry(Retry::exponential()),
        plan().timeout(seconds(1)).fallback_value(1),
        plan()
            .circuit_breaker_if(breaker, |result| Some(result == Ok(&0)))
            .fallback_value(0),
        plan()
            .timeout(seconds(1))
            .retry(Retry::constant(seconds(9)).max_attempts(1)),
    ];
    for builder in can_work {
        builder.build().unwrap();
    }
}

#[test]
fn a_part_that_cannot_work_is_refused_when_it_is_made() {
    let faults = [
        Bulkhead::new(0).map(drop),
        RateLimit::new(0, seconds(1)).map(drop),
        RateLimit::with_burst(1, seconds(1), 0).map(drop),
        RateLimit::new(100, Duration::from_nanos(50)).map(drop),
        coord_recovery::policy::RetryBudget::new(1.5, 3).map(drop),
        coord_recovery::policy::RetryBudget::new(f64::NAN, 3).map(drop),
        CircuitBreaker::builder("db")
            .failure_rate_threshold(f64::INFINITY)
            .build()
            .map(drop),
        CircuitBreaker::builder("db")
            .failure_rate_threshold(0.0)
            .build()
            .map(drop),
        CircuitBreaker::builder("db")
            .slow_call_rate_threshold(f64::NAN)
            .build()
            .map(drop),
        CircuitBreaker::builder("db")
            .minimum_number_of_calls(0)
            .build()
            .map(drop),
    ];
    for fault in faults {
        assert!(matches!(fault, Err(RecoveryError::Setting { .. })));
    }
    let fault = CircuitBreaker::builder("db")
        .failure_rate_threshold(101.0)
        .build();
    assert_eq!(
        fault.unwrap_err().to_string(),
        "circuit breaker `db` cannot work: its failure_rate_threshold is 101 %, and has to be above 0 \
         and at most 100"
    );
}
