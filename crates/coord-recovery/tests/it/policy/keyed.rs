//! A policy for each key, and no more keys than there may be.

use coord_recovery::policy::{
    Bulkhead, CircuitBreaker, KeyedPolicy, Policy, PolicyError, SlidingWindow,
};

use super::Plan;

fn hosts(max_keys: usize) -> KeyedPolicy<u32, u32, &'static str> {
    let hosts = KeyedPolicy::new(|key: &u32| -> Result<Plan, _> {
        let breaker = CircuitBreaker::builder(key.to_string())
            .sliding_window(SlidingWindow::Count(1))
            .build()?;
        Policy::builder("host")
            .circuit_breaker(breaker)
            .bulkhead(Bulkhead::new(1)?)
            .build()
    });
    hosts.max_keys(max_keys)
}

#[tokio::test(start_paused = true)]
async fn what_one_key_fails_of_is_no_matter_of_the_others() {
    let hosts = hosts(10);
    assert!(hosts.run(&1, || async { Err("down") }).await.is_err());
    assert_eq!(
        hosts.run(&1, || async { Ok(1) }).await.unwrap_err().kind(),
        "circuit-open"
    );
    assert_eq!(hosts.run(&2, || async { Ok(2) }).await, Ok(2));
    assert_eq!(hosts.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_key_that_was_called_least_recently_makes_place() {
    let hosts = hosts(2);
    for key in [1, 2] {
        assert!(hosts.run(&key, || async { Err("down") }).await.is_err());
    }
    // 1 is called again, and so 2 makes place.
    assert!(hosts.run(&1, || async { Ok(1) }).await.is_err());
    assert_eq!(hosts.run(&3, || async { Ok(3) }).await, Ok(3));
    assert_eq!(
        hosts.run(&1, || async { Ok(1) }).await.unwrap_err().kind(),
        "circuit-open"
    );
    assert_eq!(hosts.run(&2, || async { Ok(2) }).await, Ok(2));
    assert_eq!(hosts.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_with_a_call_under_way_keeps_its_place_and_its_limit() {
    let hosts = hosts(1);
    let busy = hosts.run(&1, || async {
        let other = hosts.run(&2, || async { Ok(2) }).await;
        assert!(matches!(other, Err(PolicyError::NoPolicy { .. })));
        let same = hosts.run(&1, || async { Ok(1) }).await;
        assert_eq!(same.unwrap_err().kind(), "bulkhead-full");
        Ok(1)
    });
    assert_eq!(busy.await, Ok(1));
    assert_eq!(hosts.run(&2, || async { Ok(2) }).await, Ok(2));
    assert_eq!(hosts.len(), 1);
}
