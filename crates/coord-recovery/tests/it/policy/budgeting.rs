//! How many retries a budget admits.

use coord_recovery::policy::{PolicyError, Retry, RetryBudget};
use futures_util::future::join_all;

use super::{Count, plan};
use crate::stage::{pass, seconds};

#[tokio::test(start_paused = true)]
async fn calls_that_fail_together_are_retried_no_more_than_their_budget_admits() {
    let budget = RetryBudget::default();
    let policy = plan()
        .retry(Retry::constant(seconds(1)).budget(&budget))
        .build()
        .unwrap();
    let attempts = Count::default();
    let calls = (0..100).map(|_| {
        policy.run(|| {
            attempts.up();
            async {
                pass(seconds(1)).await;
                Err("down")
            }
        })
    });
    let results = join_all(calls).await;
    assert!(
        results
            .iter()
            .all(|result| *result == Err(PolicyError::Operation("down")))
    );
    // The first to fail see 100 calls under way, and so 20 are retried. When those fail, 20 retries
    // are under way, and more than 4 may not be: most end, until the last 3 may go on in any case.
    assert_eq!(attempts.get(), 100 + 20 + 3);
    assert_eq!((budget.calls(), budget.retries()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_lonely_call_has_its_three_retries() {
    let budget = RetryBudget::default();
    let policy = plan()
        .retry(Retry::constant(seconds(1)).max_attempts(4).budget(&budget))
        .build()
        .unwrap();
    let attempts = Count::default();
    let result = policy.run(|| {
        attempts.up();
        async { Err("down") }
    });
    assert!(result.await.is_err());
    assert_eq!(attempts.get(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_budget_holds_under_thousands_of_calls_at_once() {
    const CALLS: u32 = 4000;
    let budget = RetryBudget::new(0.1, 5).unwrap();
    let policy = plan()
        .retry(Retry::constant(seconds(0)).max_attempts(5).budget(&budget))
        .build()
        .unwrap();
    let (begun, retrying, most) = (Count::default(), Count::default(), Count::default());
    let tasks: Vec<_> = (0..CALLS)
        .map(|_| {
            let (policy, begun) = (policy.clone(), begun.clone());
            let (retrying, most) = (retrying.clone(), most.clone());
            tokio::spawn(async move {
                let mut attempt = 0;
                let result = policy.run(|| {
                    attempt += 1;
                    let (retrying, most, begun) = (retrying.clone(), most.clone(), begun.clone());
                    async move {
                        if attempt == 1 {
                            // All are under way before the first fails.
                            begun.up();
                            while begun.get() < CALLS {
                                tokio::task::yield_now().await;
                            }
                        } else {
                            most.raise(retrying.up());
                            tokio::task::yield_now().await;
                            retrying.down();
                        }
                        Err("down")
                    }
                });
                result.await.is_err()
            })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    // A tenth of those that were ever under way at once, at most.
    assert!(
        most.get() >= 1 && most.get() <= CALLS / 10,
        "{}",
        most.get()
    );
    assert_eq!((budget.calls(), budget.retries()), (0, 0));
}
