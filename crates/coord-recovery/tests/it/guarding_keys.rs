//! What calls under a guarded policy for each key report, and of which key.

use coord_bus::Failure;
use coord_recovery::KeyedGuard;
use coord_recovery::policy::{
    CircuitBreaker, KeyedPolicy, Policy, PolicyError, Retry, SlidingWindow,
};

use crate::guarding::Scene;
use crate::stage::seconds;

/// The sources and kinds of the errors by now.
async fn errors(scene: &mut Scene) -> Vec<(String, String)> {
    let errors = scene.reported().await;
    errors.map(|error| (error.source, error.kind)).collect()
}

/// The sources and strategies of the recoveries.
fn recoveries(scene: &mut Scene) -> Vec<(String, String)> {
    let recoveries = scene.recovered();
    recoveries
        .map(|event| (event.source, event.strategy))
        .collect()
}

fn pair(source: &str, of: &str) -> (String, String) {
    (source.to_owned(), of.to_owned())
}

/// Each with a breaker that opens at its first failure, for a second.
fn hosts() -> KeyedPolicy<String, u32, Failure> {
    KeyedPolicy::new(|host: &String| {
        let breaker = CircuitBreaker::builder(host.as_str())
            .sliding_window(SlidingWindow::Count(1))
            .wait_duration_in_open_state(seconds(1))
            .permitted_number_of_calls_in_half_open_state(1)
            .build()?;
        Policy::builder("http").circuit_breaker(breaker).build()
    })
}

async fn fail(fetch: &KeyedGuard<String, u32, Failure>, host: &str) -> PolicyError<Failure> {
    let down = || async { Err(Failure::message("down")) };
    let result = fetch.run(&host.to_owned(), down).await;
    result.expect_err("it is down")
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_is_reported_of_its_key_and_of_no_other() {
    let mut scene = Scene::new();
    let fetch = scene.manager.guard_keyed("fetch", hosts());
    fail(&fetch, "a").await;
    let well = fetch.run(&"b".to_owned(), || async { Ok(2) }).await;
    assert_eq!(well.unwrap(), 2);
    let of_a = ["circuit-opened", "operation-failed"].map(|kind| pair("fetch/a", kind));
    assert_eq!(errors(&mut scene).await, of_a);

    let well = fetch.run(&"a".to_owned(), || async { Ok(1) }).await;
    assert_eq!(well.unwrap(), 1);
    assert_eq!(errors(&mut scene).await, []);
    assert_eq!(recoveries(&mut scene), [pair("fetch/a", "circuit-break")]);
    let statistics = scene.manager.error_statistics();
    assert_eq!(statistics.by_source["fetch/a"], 2);
    assert_eq!(statistics.by_source.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_called_before_they_were_guarded_are_reported_too() {
    let mut scene = Scene::new();
    let hosts = hosts();
    let well = hosts.run(&"a".to_owned(), || async { Ok(1) }).await;
    assert_eq!(well.unwrap(), 1);
    let fetch = scene.manager.guard_keyed("fetch", hosts);
    fail(&fetch, "a").await;
    let of_a = ["circuit-opened", "operation-failed"].map(|kind| pair("fetch/a", kind));
    assert_eq!(errors(&mut scene).await, of_a);
}

#[tokio::test(start_paused = true)]
async fn a_guarded_key_makes_place_and_a_refused_one_is_no_source_of_its_own() {
    let mut scene = Scene::new();
    let fetch = scene.manager.guard_keyed("fetch", hosts().max_keys(1));
    let (a, b) = ("a".to_owned(), "b".to_owned());
    let busy = fetch.run(&a, || async {
        let refused = fetch.run(&b, || async { Ok(2) }).await;
        assert_eq!(refused.unwrap_err().kind(), "no-policy");
        Ok(1)
    });
    assert_eq!(busy.await.unwrap(), 1);
    assert_eq!(errors(&mut scene).await, [pair("fetch", "no-policy")]);
    assert_eq!(fetch.run(&b, || async { Ok(2) }).await.unwrap(), 2);
    assert_eq!(fetch.policies().keys(), [b]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_succeeds_after_failing_is_a_recovery_of_its_key() {
    let mut scene = Scene::new();
    let hosts = KeyedPolicy::new(|_: &u32| {
        let retry = Retry::constant(seconds(1));
        Policy::builder("http").retry(retry).build()
    });
    let fetch = scene.manager.guard_keyed("fetch", hosts);
    let mut attempts = 0;
    let result = fetch.run(&7, || {
        attempts += 1;
        let is_up = attempts == 2;
        async move { is_up.then_some(attempts).ok_or(std::fmt::Error) }
    });
    assert_eq!(result.await, Ok(2));
    assert_eq!(
        errors(&mut scene).await,
        [pair("fetch/7", "operation-failed")]
    );
    assert_eq!(recoveries(&mut scene), [pair("fetch/7", "retry")]);
}

#[tokio::test(start_paused = true)]
async fn of_a_long_key_the_beginning_is_told() {
    let mut scene = Scene::new();
    let fetch = scene.manager.guard_keyed("fetch", hosts());
    for key in ["ä".repeat(100), "ä".repeat(101)] {
        fail(&fetch, &key).await;
    }
    let all = format!("fetch/{}", "ä".repeat(100));
    let cut = format!("{all}…");
    let sources: Vec<_> = errors(&mut scene)
        .await
        .into_iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(sources, [&*all, &*all, &*cut, &*cut]);
}
