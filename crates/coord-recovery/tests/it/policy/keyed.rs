//! A policy for each key, and no more keys than there may be.

use std::sync::{Arc, Mutex};

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
async fn a_key_for_which_no_policy_can_be_made_takes_the_place_of_none() {
    let hosts: KeyedPolicy<u32, u32, &str> = KeyedPolicy::new(|key: &u32| {
        let breaker = CircuitBreaker::builder(key.to_string());
        // Of 0 no window can be made.
        let breaker = breaker.sliding_window(SlidingWindow::Count(*key)).build()?;
        Policy::builder("host").circuit_breaker(breaker).build()
    });
    let hosts = hosts.max_keys(1);
    assert!(hosts.run(&1, || async { Err("down") }).await.is_err());
    let none = hosts.run(&0, || async { Ok(0) }).await;
    assert_eq!(none.unwrap_err().kind(), "no-policy");
    // What was counted of it is still there.
    assert_eq!(hosts.keys(), [1]);
    let refused = hosts.run(&1, || async { Ok(1) }).await;
    assert_eq!(refused.unwrap_err().kind(), "circuit-open");
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

#[tokio::test(start_paused = true)]
async fn the_keys_are_listed_and_who_listens_hears_what_was_run() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let hosts: KeyedPolicy<u32, u32, &str> = KeyedPolicy::new(move |key: &u32| {
        let (log, key) = (Arc::clone(&log), *key);
        Policy::builder("host")
            .fallback_value(0)
            .listen(move |event| {
                let operation = event.operation.map(str::to_owned);
                log.lock().expect("nobody panics").push((key, operation));
            })
            .build()
    });
    for key in [1, 2] {
        let result = hosts.run_as(&key, "fetch", || async { Err("down") }).await;
        assert_eq!(result, Ok(0));
    }
    assert_eq!(hosts.run(&1, || async { Ok(1) }).await, Ok(1));
    assert_eq!(hosts.keys(), [2, 1]);
    let fetch = || Some("fetch".to_owned());
    assert_eq!(*heard.lock().unwrap(), [(1, fetch()), (2, fetch())]);
}

#[tokio::test(start_paused = true)]
async fn a_key_for_which_there_is_no_room_is_named() {
    let hosts = hosts(1);
    let _held = hosts.policy(&1).unwrap();
    let refused = hosts.run(&17, || async { Ok(17) }).await.unwrap_err();
    let message = "there is no policy for its key: `17` was not registered";
    assert!(refused.to_string().starts_with(message), "{refused}");
}
