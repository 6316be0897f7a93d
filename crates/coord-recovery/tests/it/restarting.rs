//! When children are restarted, how soon, and how often.

use std::time::Duration;

use coord_bus::vocabulary::Recovery;
use coord_bus::{Backoff, Jitter};
use coord_recovery::{ChildEnd, ChildError, ChildSpec, ChildState, GiveUpReason, Restart};

use crate::stage::{Stage, at, ends, fails, fails_after, pass, seconds, stays, within};

fn at_once(name: &str) -> ChildSpec {
    ChildSpec::new(name).backoff(Backoff::constant(Duration::ZERO))
}

#[tokio::test(start_paused = true)]
async fn a_permanent_child_is_restarted_however_it_ends() {
    let stage = Stage::new();
    let spec = at_once("api").intensity(2, seconds(5));
    let (child, starts) = stage.start(spec, |context| match context.incarnation() {
        1 => ends(context),
        2 => fails(context),
        _ => stays(context),
    });
    pass(seconds(1)).await;
    assert_eq!(at(&starts).len(), 3);
    assert!(matches!(
        child.state(),
        ChildState::Running { incarnation: 3, .. }
    ));
    assert_eq!(child.restarts(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_transient_child_is_restarted_only_after_a_failure() {
    let stage = Stage::new();
    let spec = at_once("job").restart(Restart::Transient);
    let (child, starts) = stage.start(spec, |context| match context.incarnation() {
        1 => fails(context),
        _ => ends(context),
    });
    assert!(matches!(within(child.ended()).await, ChildEnd::Completed));
    assert_eq!(at(&starts).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_temporary_child_is_never_restarted() {
    let stage = Stage::new();
    let spec = at_once("probe").restart(Restart::Temporary);
    let (child, starts) = stage.start(spec, fails);
    match within(child.ended()).await {
        ChildEnd::Failed { error } => assert_eq!(error.to_string(), "the port is taken"),
        other => panic!("{other}"),
    }
    assert_eq!(at(&starts).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure() {
    let mut stage = Stage::new();
    let (child, starts) = stage.start(at_once("api"), |context| match context.incarnation() {
        1 => Box::pin(async { panic!("boom") }),
        _ => stays(context),
    });
    let error = stage.error().await;
    assert_eq!(
        (&*error.kind, &*error.message),
        ("panic", "it panicked: boom")
    );
    pass(seconds(1)).await;
    assert_eq!(at(&starts).len(), 2);
    assert!(matches!(
        child.state(),
        ChildState::Running { incarnation: 2, .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_there_is_a_future_is_one_too() {
    let stage = Stage::new();
    let (_, starts) = stage.start(at_once("api"), |context| {
        assert!(context.incarnation() > 1, "boom");
        stays(context)
    });
    pass(seconds(1)).await;
    assert_eq!(at(&starts).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_its_backoff_each_time() {
    let stage = Stage::new();
    let backoff = Backoff::exponential(seconds(1)).max(seconds(5));
    let spec = ChildSpec::new("api").backoff(backoff).unlimited_restarts();
    let (_, starts) = stage.start(spec, fails);
    pass(seconds(18)).await;
    assert_eq!(at(&starts), [0, 1000, 3000, 7000, 12_000, 17_000]);
}

#[tokio::test(start_paused = true)]
async fn by_default_it_waits_for_a_second_doubled_up_to_a_minute() {
    let stage = Stage::new();
    let spec = ChildSpec::new("api").unlimited_restarts();
    let (_, starts) = stage.start(spec, fails);
    pass(seconds(200)).await;
    let at = at(&starts);
    let waits: Vec<_> = at
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) / 1000)
        .collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[tokio::test(start_paused = true)]
async fn the_backoff_begins_anew_after_an_incarnation_that_outlived_the_period() {
    let stage = Stage::new();
    let backoff = Backoff::exponential(seconds(1));
    let spec = ChildSpec::new("api")
        .backoff(backoff)
        .intensity(10, seconds(5));
    let (_, starts) = stage.start(spec, |context| {
        fails_after(match context.incarnation() {
            2 => seconds(5),
            3 => Duration::from_millis(5001),
            _ => Duration::ZERO,
        })
    });
    pass(seconds(16)).await;
    // 2 s after one of exactly the period, 1 s after one that was longer.
    assert_eq!(at(&starts), [0, 1000, 8000, 14_001]);
}

#[tokio::test(start_paused = true)]
async fn by_default_it_is_given_up_at_the_second_failure_in_five_seconds() {
    let stage = Stage::new();
    let (child, starts) = stage.start(ChildSpec::new("api"), fails);
    let ChildEnd::GaveUp(gave_up) = within(child.ended()).await else {
        panic!("{:?}", child.state());
    };
    let (restarts, within) = (1, seconds(5));
    assert_eq!(
        gave_up.reason,
        GiveUpReason::TooManyRestarts { restarts, within }
    );
    assert_eq!(
        gave_up.to_string(),
        "`api` was given up: restarted 1 time within 5s: the port is taken"
    );
    assert_eq!(at(&starts), [0, 1000]);
}

#[tokio::test(start_paused = true)]
async fn waits_do_not_count_towards_the_period_so_that_what_fails_at_once_is_given_up() {
    let stage = Stage::new();
    let spec = ChildSpec::new("api").intensity(3, seconds(5));
    let (child, starts) = stage.start(spec, fails);
    assert!(matches!(within(child.ended()).await, ChildEnd::GaveUp(_)));
    assert_eq!(at(&starts), [0, 1000, 3000, 7000]);
}

#[tokio::test(start_paused = true)]
async fn a_restart_counts_until_the_period_has_passed_and_not_longer() {
    for (run, expected) in [(5000, 2), (5001, 3)] {
        let stage = Stage::new();
        let spec = at_once("api").intensity(1, Duration::from_millis(5000));
        let (child, starts) = stage.start(spec, move |context| match context.incarnation() {
            1 => fails(context),
            2 => fails_after(Duration::from_millis(run)),
            _ => stays(context),
        });
        pass(seconds(10)).await;
        assert_eq!(at(&starts).len(), expected, "after {run} ms");
        let is_over = matches!(child.state(), ChildState::Ended(ChildEnd::GaveUp(_)));
        assert_eq!(is_over, expected == 2);
    }
}

#[tokio::test(start_paused = true)]
async fn with_an_intensity_of_zero_the_first_failure_is_the_last() {
    let stage = Stage::new();
    let spec = at_once("api").intensity(0, seconds(5));
    let (child, starts) = stage.start(spec, fails);
    assert!(matches!(within(child.ended()).await, ChildEnd::GaveUp(_)));
    assert_eq!(at(&starts).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_gives_the_child_up_at_once() {
    let stage = Stage::new();
    let (child, starts) = stage.start(at_once("api").unlimited_restarts(), |_| {
        Box::pin(async { Err(ChildError::from(std::io::Error::other("no such file")).permanent()) })
    });
    let ChildEnd::GaveUp(gave_up) = within(child.ended()).await else {
        panic!("{:?}", child.state());
    };
    assert_eq!(gave_up.reason, GiveUpReason::Permanent);
    assert!(gave_up.error.downcast_ref::<std::io::Error>().is_some());
    assert_eq!(at(&starts).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_child_that_is_given_up_is_told_once_also_to_who_comes_late() {
    let stage = Stage::new();
    let never = |name: &str| at_once(name).intensity(0, seconds(1));
    stage.start(at_once("temporary").restart(Restart::Temporary), fails);
    stage.start(never("first"), |_| fails_after(seconds(2)));
    let early = stage.supervisor.gave_up();
    assert_eq!(within(early).await.child, "first");
    assert_eq!(stage.now(), 2000);
    stage.start(never("third"), |_| fails_after(seconds(1)));
    stage.start(never("second"), fails);
    pass(seconds(1)).await;
    // Given up before it is not lost on who gives up asking.
    drop(stage.supervisor.gave_up());
    for child in ["second", "third"] {
        assert_eq!(within(stage.supervisor.gave_up()).await.child, child);
    }
    let another = coord_bus::time::timeout(seconds(60), stage.supervisor.gave_up());
    assert!(another.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_child_that_was_started_anew_is_not_told_as_given_up_any_more() {
    let stage = Stage::new();
    let never = |name: &str| at_once(name).intensity(0, seconds(1));
    stage.start(never("comes back"), fails);
    stage.start(never("is gone"), fails);
    pass(seconds(1)).await;
    stage.start(never("comes back"), stays);
    assert_eq!(within(stage.supervisor.gave_up()).await.child, "is gone");
    let another = coord_bus::time::timeout(seconds(60), stage.supervisor.gave_up());
    assert!(another.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn children_fail_each_for_itself() {
    let stage = Stage::new();
    let (stays_up, starts) = stage.start(ChildSpec::new("stays"), stays);
    let (fails, _) = stage.start(ChildSpec::new("fails"), fails);
    assert!(matches!(within(fails.ended()).await, ChildEnd::GaveUp(_)));
    assert_eq!(at(&starts).len(), 1);
    assert!(matches!(
        stays_up.state(),
        ChildState::Running { incarnation: 1, .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_fails_without_pause_leaves_room_for_its_stop() {
    let stage = Stage::new();
    let (child, starts) = stage.start(at_once("api").unlimited_restarts(), fails);
    while at(&starts).len() < 100 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(within(child.stop()).await, ChildEnd::Stopped));
}

#[tokio::test(start_paused = true)]
async fn with_decorrelated_jitter_a_wait_is_at_most_three_times_the_one_before() {
    let mut stage = Stage::new();
    let (first, longest) = (Duration::from_millis(10), seconds(3600));
    let backoff = Backoff::exponential(first).max(longest);
    let spec = ChildSpec::new("api")
        .backoff(backoff.jitter(Jitter::Decorrelated))
        .intensity(30, seconds(1_000_000));
    let _child = stage.start(spec, fails);
    let mut before = first;
    for restart in 1..=30 {
        let Recovery::Attempting { wait, .. } = stage.recovery().await else {
            panic!("it is given up after {restart} restarts");
        };
        let bounds = first..=(before * 3).min(longest);
        assert!(
            bounds.contains(&wait),
            "{wait:?} of restart {restart}, {bounds:?}"
        );
        before = wait;
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_says_when_is_restarted_after_then_whatever_the_backoff() {
    let stage = Stage::new();
    let spec = ChildSpec::new("api").unlimited_restarts();
    let (_, starts) = stage.start(spec, |context| match context.incarnation() {
        1 => Box::pin(async { Err(ChildError::message("busy").retry_after(seconds(30))) }),
        _ => fails(context),
    });
    pass(seconds(33)).await;
    // The second wait is that of the backoff.
    assert_eq!(at(&starts), [0, 30_000, 32_000]);
}
