//! Restarts that somebody asks for.

use std::time::Duration;

use coord_bus::Backoff;
use coord_recovery::{ChildEnd, ChildSpec, ChildState, Restart};

use crate::stage::{Stage, at, fails, fails_after, ignores, pass, seconds, serves, stays, within};

#[tokio::test(start_paused = true)]
async fn a_restart_ends_the_present_incarnation_and_starts_another_at_once() {
    let stage = Stage::new();
    let (child, starts) = stage.start(ChildSpec::new("api").restart(Restart::Temporary), stays);
    pass(seconds(1)).await;
    assert!(child.restart());
    pass(seconds(1)).await;
    assert_eq!(at(&starts), [0, 1000]);
    assert_eq!(child.restarts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_was_asked_to_stop_is_not_restarted() {
    let stage = Stage::new();
    let (child, starts) = stage.start(ChildSpec::new("api"), stays);
    pass(seconds(1)).await;
    child.ask_to_stop();
    assert!(!child.restart());
    within(child.ended()).await;
    assert_eq!(at(&starts), [0]);
}

#[tokio::test(start_paused = true)]
async fn it_does_not_count_and_is_no_failure() {
    let mut stage = Stage::new();
    let (child, starts) = stage.start(ChildSpec::new("api").intensity(0, seconds(5)), serves);
    for incarnation in 2..=5 {
        child.restart();
        pass(Duration::from_millis(1)).await;
        assert_eq!(at(&starts).len(), incarnation);
    }
    assert_eq!((stage.errors_left(), stage.recoveries_left()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn it_starts_a_child_that_waits_for_its_backoff() {
    let stage = Stage::new();
    let spec = ChildSpec::new("api").backoff(Backoff::constant(seconds(60)));
    let (child, starts) = stage.start(spec, |context| match context.incarnation() {
        1 => fails(context),
        _ => stays(context),
    });
    pass(seconds(1)).await;
    assert!(matches!(
        child.state(),
        ChildState::Waiting { failures: 1, .. }
    ));
    assert!(child.restart());
    pass(seconds(100)).await;
    assert_eq!(at(&starts), [0, 1000]);
}

#[tokio::test(start_paused = true)]
async fn the_backoff_begins_anew_after_it() {
    let stage = Stage::new();
    let backoff = Backoff::exponential(seconds(1));
    let spec = ChildSpec::new("api").backoff(backoff).unlimited_restarts();
    let (child, starts) = stage.start(spec, fails);
    pass(seconds(4)).await;
    assert_eq!(at(&starts), [0, 1000, 3000]);
    child.restart();
    pass(Duration::from_millis(1500)).await;
    assert_eq!(at(&starts), [0, 1000, 3000, 4000, 5000]);
}

#[tokio::test(start_paused = true)]
async fn asking_while_the_present_incarnation_stops_is_the_same_request() {
    let stage = Stage::new();
    let (child, starts) = stage.start(ChildSpec::new("api").shutdown(seconds(3)), ignores);
    pass(seconds(1)).await;
    child.restart();
    pass(seconds(1)).await;
    child.restart();
    pass(seconds(10)).await;
    assert_eq!(at(&starts), [0, 4000]);
}

#[tokio::test(start_paused = true)]
async fn an_ended_child_stays_ended() {
    let stage = Stage::new();
    let (child, starts) = stage.start(ChildSpec::new("job").restart(Restart::Temporary), fails);
    within(child.ended()).await;
    assert!(!child.restart());
    pass(seconds(10)).await;
    assert_eq!(at(&starts).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_a_restart_wins() {
    let stage = Stage::new();
    let (child, starts) = stage.start(ChildSpec::new("api").shutdown(seconds(3)), ignores);
    pass(seconds(1)).await;
    child.restart();
    pass(seconds(1)).await;
    assert!(matches!(within(child.stop()).await, ChildEnd::Aborted));
    assert_eq!(stage.now(), 4000);
    assert_eq!(at(&starts).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_failed_after_it_is_restarted_by_itself_again() {
    let stage = Stage::new();
    let (child, starts) = stage.start(ChildSpec::new("api"), |context| {
        match context.incarnation() {
            2 => fails_after(seconds(1)),
            _ => stays(context),
        }
    });
    child.restart();
    pass(seconds(10)).await;
    assert_eq!(at(&starts).last(), Some(&2000));
    assert_eq!(child.restarts(), at(&starts).len() as u32 - 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_asked_to_stop_is_not_waited_for_and_not_restarted() {
    let mut stage = Stage::new();
    let (child, starts) = stage.start(ChildSpec::new("api").intensity(5, seconds(5)), stays);
    pass(seconds(1)).await;
    child.ask_to_stop();
    assert!(matches!(child.state(), ChildState::Running { .. }));
    assert!(matches!(within(child.ended()).await, ChildEnd::Stopped));
    pass(seconds(100)).await;
    assert_eq!(at(&starts), [0]);
    assert_eq!((stage.errors_left(), stage.recoveries_left()), (0, 0));
}
