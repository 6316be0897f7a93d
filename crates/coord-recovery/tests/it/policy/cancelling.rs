//! A call that is dropped at any await gives back what it holds, and nothing is counted twice or lost.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use coord_recovery::policy::{
    BreakerState, Bulkhead, CircuitBreaker, RateLimit, Retry, RetryBudget, SlidingWindow,
};

use super::{Count, plan};
use crate::stage::{pass, seconds};

/// Polls a future so often, with time going on between, and drops it. Says whether it was done.
async fn poll_so_often(polls: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        let mut context = Context::from_waker(Waker::noop());
        if future.as_mut().poll(&mut context).is_ready() {
            return true;
        }
        pass(seconds(1)).await;
    }
    false
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_any_await_gives_back_everything() {
    let bulkhead = Bulkhead::new(1).unwrap().waiting(3, seconds(20));
    let limit = RateLimit::with_burst(1, seconds(2), 1)
        .unwrap()
        .waiting(3, seconds(20));
    let budget = RetryBudget::default();
    let breaker = CircuitBreaker::builder("db")
        .sliding_window(SlidingWindow::Count(10))
        .permitted_number_of_calls_in_half_open_state(1)
        .build()
        .unwrap();
    let policy = plan()
        .timeout(seconds(1_000))
        .fallback(|error| async move {
            pass(seconds(2)).await;
            Err(error)
        })
        .retry(Retry::constant(seconds(2)).budget(&budget))
        .circuit_breaker(breaker.clone())
        .rate_limit(limit.clone())
        .timeout(seconds(100))
        .bulkhead(bulkhead.clone())
        .build()
        .unwrap();
    let (mut polls, mut is_done) = (0, false);
    while !is_done {
        // The one probe of a breaker that is half open; another call has both limits for a while.
        breaker.reset();
        breaker.transition_to(BreakerState::HalfOpen);
        let other = plan()
            .rate_limit(limit.clone())
            .bulkhead(bulkhead.clone())
            .build()
            .unwrap();
        let other = tokio::spawn(async move {
            let result = other.run(|| async {
                pass(seconds(5)).await;
                Ok(1)
            });
            result.await
        });
        tokio::task::yield_now().await;
        is_done = poll_so_often(
            polls,
            policy.run(|| async {
                pass(seconds(2)).await;
                Err("down")
            }),
        )
        .await;
        let _ = other.await.unwrap();
        assert_eq!(
            (bulkhead.available(), bulkhead.waiting_now()),
            (1, 0),
            "after {polls} polls"
        );
        assert_eq!(
            (budget.calls(), budget.retries()),
            (0, 0),
            "after {polls} polls"
        );
        if breaker.state() == BreakerState::HalfOpen {
            breaker
                .try_acquire()
                .map(drop)
                .expect("the probe was given back");
        }
        // The limit has a place, as nobody waits for it.
        pass(seconds(10)).await;
        let next = plan().rate_limit(limit.clone()).build().unwrap();
        assert_eq!(
            next.run(|| async { Ok(1) }).await,
            Ok(1),
            "after {polls} polls"
        );
        pass(seconds(10)).await;
        polls += 1;
    }
    // It has waited at each of its places: bulkhead, operation, retries, fallback.
    assert!(polls > 10, "it was done after {polls} polls");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_does_not_count_in_a_breaker() {
    let breaker = CircuitBreaker::new("db");
    let policy = plan().circuit_breaker(breaker.clone()).build().unwrap();
    let begun = Count::default();
    let call = policy.run(|| {
        begun.up();
        std::future::pending()
    });
    assert!(!poll_so_often(3, call).await);
    assert_eq!((begun.get(), breaker.metrics().calls), (1, 0));
    assert!(!poll_so_often(3, breaker.call(std::future::pending::<Result<(), ()>>())).await);
    assert_eq!(breaker.metrics().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_queue_of_a_bulkhead_lets_the_next_one_move_up() {
    let bulkhead = Bulkhead::new(1).unwrap().waiting(2, seconds(100));
    let policy = plan().bulkhead(bulkhead.clone()).build().unwrap();
    let call = |takes: u64| {
        policy.run(move || async move {
            pass(seconds(takes)).await;
            Ok(1)
        })
    };
    let mut leaves = Box::pin(call(1));
    let (first, third, ()) = tokio::join!(
        call(10),
        async {
            tokio::task::yield_now().await;
            call(1).await
        },
        async {
            assert!(!poll_so_often(2, leaves.as_mut()).await);
            drop(leaves);
        }
    );
    assert_eq!((first, third), (Ok(1), Ok(1)));
    assert_eq!((bulkhead.available(), bulkhead.waiting_now()), (1, 0));
}
