//! Bulkheads and rate limits: how many get in, who waits, in which order.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::Instant;
use coord_recovery::RecoveryError;
use coord_recovery::policy::{Bulkhead, PolicyError, RateLimit};
use futures_util::future::join_all;
use proptest::prelude::*;

use super::{Count, plan};
use crate::stage::{pass, seconds};

#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_refuses_at_once_where_none_may_wait() {
    let bulkhead = Bulkhead::new(2).unwrap();
    let policy = plan().bulkhead(bulkhead.clone()).build().unwrap();
    let call = || async {
        pass(seconds(1)).await;
        Ok(1)
    };
    let began = Instant::now();
    let results = join_all((0..3).map(|_| policy.run(call))).await;
    let (limit, waited) = (2, seconds(0));
    let full = PolicyError::BulkheadFull { limit, waited };
    assert_eq!(results, [Ok(1), Ok(1), Err(full)]);
    assert_eq!(began.elapsed(), seconds(1));
    assert_eq!(bulkhead.available(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_bulkhead_waits_no_longer_than_it_may() {
    let bulkhead = Bulkhead::new(1).unwrap().waiting(1, seconds(3));
    let policy = plan().bulkhead(bulkhead.clone()).build().unwrap();
    let call = || async {
        pass(seconds(10)).await;
        Ok(1)
    };
    let began = Instant::now();
    let (first, second, third) = tokio::join!(policy.run(call), policy.run(call), policy.run(call));
    assert_eq!(first, Ok(1));
    let full = |waited| PolicyError::BulkheadFull { limit: 1, waited };
    assert_eq!(second, Err(full(seconds(3))));
    assert_eq!(third, Err(full(seconds(0))));
    assert_eq!(began.elapsed(), seconds(10));
    assert_eq!((bulkhead.available(), bulkhead.waiting_now()), (1, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_bulkhead_serves_in_order_of_arrival_and_never_more_than_its_limit(
        limit in 1..5_usize,
        takes in prop::collection::vec(0..4_u64, 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let bulkhead = Bulkhead::new(limit).unwrap().waiting(100, seconds(1_000));
            let policy = plan().bulkhead(bulkhead.clone()).build().unwrap();
            let (inside, served) = (Count::default(), Arc::new(Mutex::new(Vec::new())));
            let calls = takes.iter().enumerate().map(|(number, takes)| {
                let (inside, served, takes) = (inside.clone(), Arc::clone(&served), *takes);
                let policy = policy.clone();
                async move {
                    policy.run(|| {
                        assert!(inside.up() as usize <= limit);
                        served.lock().unwrap().push(number);
                        let inside = inside.clone();
                        async move {
                            pass(seconds(takes)).await;
                            inside.down();
                            Ok(1)
                        }
                    }).await
                }
            });
            let results = join_all(calls).await;
            assert!(results.iter().all(|result| *result == Ok(1)));
            let expected: Vec<usize> = (0..takes.len()).collect();
            assert_eq!(*served.lock().unwrap(), expected);
            assert_eq!((bulkhead.available(), bulkhead.waiting_now()), (limit, 0));
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_refuses_what_comes_too_soon_and_says_when_to_come_again() {
    let limit = RateLimit::new(2, seconds(10)).unwrap();
    let policy = plan().rate_limit(limit).build().unwrap();
    let call = || async { Ok(1) };
    assert_eq!(policy.run(call).await, Ok(1));
    assert_eq!(policy.run(call).await, Ok(1));
    let refused = policy.run(call).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the rate limit of 2 in 10s is reached: try again in 5s"
    );
    pass(refused.retry_after().unwrap()).await;
    assert_eq!(policy.run(call).await, Ok(1));
    assert!(policy.run(call).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_for_a_rate_limit_begin_one_by_one_in_order() {
    let limit = RateLimit::with_burst(1, seconds(1), 1)
        .unwrap()
        .waiting(10, seconds(100));
    let policy = plan().rate_limit(limit).build().unwrap();
    let (began, begun) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
    let calls = (0..5).map(|number| {
        let (policy, begun) = (policy.clone(), Arc::clone(&begun));
        async move {
            policy
                .run(|| {
                    begun
                        .lock()
                        .unwrap()
                        .push((number, began.elapsed().as_secs()));
                    async { Ok(1) }
                })
                .await
        }
    });
    join_all(calls).await;
    let expected = [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)];
    assert_eq!(*begun.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn nobody_overtakes_those_that_wait_for_a_rate_limit() {
    let limit = RateLimit::with_burst(1, seconds(1), 1).unwrap();
    let patient = plan()
        .rate_limit(limit.clone().waiting(1, seconds(9)))
        .build()
        .unwrap();
    let hasty = plan().rate_limit(limit).build().unwrap();
    assert_eq!(patient.run(|| async { Ok(0) }).await, Ok(0));
    let (waited, refused) = tokio::join!(patient.run(|| async { Ok(1) }), async {
        tokio::task::yield_now().await;
        hasty.run(|| async { Ok(2) }).await
    });
    assert_eq!(waited, Ok(1));
    assert_eq!(refused.unwrap_err().kind(), "rate-limited");
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_in_vain_is_told_how_long_it_still_is() {
    let limit = RateLimit::new(1, seconds(10))
        .unwrap()
        .waiting(1, seconds(3));
    let policy = plan().rate_limit(limit).build().unwrap();
    assert_eq!(policy.run(|| async { Ok(0) }).await, Ok(0));
    let began = Instant::now();
    let refused = policy.run(|| async { Ok(1) }).await.unwrap_err();
    assert_eq!(began.elapsed(), seconds(3));
    assert_eq!(refused.retry_after(), Some(seconds(7)));
    pass(seconds(7)).await;
    assert_eq!(policy.run(|| async { Ok(2) }).await, Ok(2));
}

#[test]
fn a_rate_limit_over_a_time_that_cannot_be_reckoned_with_is_refused() {
    let century = seconds(100 * 365 * 24 * 60 * 60);
    let refused = [
        RateLimit::new(1, Duration::MAX),
        RateLimit::with_burst(1, seconds(60), u32::MAX),
        RateLimit::new(1, century),
    ];
    for limit in refused {
        let error = limit.map(|limit| limit.to_string()).unwrap_err();
        assert!(matches!(error, RecoveryError::Setting { .. }), "{error}");
    }
}

proptest! {
    #[test]
    fn whatever_a_rate_limit_is_told_it_is_refused_or_works(
        calls in extreme(),
        burst in extreme(),
        (seconds, nanos) in (
            prop_oneof![Just(0), Just(u64::MAX), 0..2_000_000_000_u64, any::<u64>()],
            prop_oneof![Just(0), Just(1), Just(999_999_999), 0..1_000_000_000_u32],
        ),
        passes in prop::collection::vec(0..1_000_000_u64, 1..5),
    ) {
        let period = Duration::new(seconds, nanos);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let Ok(limit) = RateLimit::with_burst(calls, period, burst) else {
                return;
            };
            let patient = limit.clone().waiting(2, Duration::from_secs(5));
            let patient = plan().rate_limit(patient).build().unwrap();
            let hasty = plan().rate_limit(limit).build().unwrap();
            // The first one always may.
            assert_eq!(hasty.run(|| async { Ok(1) }).await, Ok(1));
            for time in passes {
                pass(Duration::from_secs(time)).await;
                for policy in [&hasty, &patient] {
                    if let Err(error) = policy.run(|| async { Ok(1) }).await {
                        assert!(error.retry_after().is_some());
                    }
                }
            }
        });
    }
}

fn extreme() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), Just(u32::MAX), 1..1_000_u32, any::<u32>()]
}
