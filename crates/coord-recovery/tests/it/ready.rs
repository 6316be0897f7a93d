//! When a child is ready.

use coord_bus::vocabulary::Recovery;
use coord_recovery::{ChildEnd, ChildSpec, ChildState, Restart};

use crate::stage::{Stage, fails, pass, seconds, serves, stays, within};

#[tokio::test(start_paused = true)]
async fn a_child_is_ready_once_it_says_so() {
    let stage = Stage::new();
    let (child, _) = stage.start(ChildSpec::new("api"), |context| {
        Box::pin(async move {
            pass(seconds(3)).await;
            context.ready();
            context.token().cancelled().await;
            Ok(())
        })
    });
    assert!(matches!(
        child.state(),
        ChildState::Running { ready: false, .. }
    ));
    within(child.ready()).await.unwrap();
    assert_eq!(stage.now(), 3000);
    assert!(matches!(
        child.state(),
        ChildState::Running { ready: true, .. }
    ));
    within(child.ready()).await.unwrap();
    assert_eq!(stage.now(), 3000);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_answered_by_a_later_incarnation_too() {
    let stage = Stage::new();
    let (child, _) = stage.start(ChildSpec::new("api"), |context| {
        match context.incarnation() {
            1 => fails(context),
            _ => serves(context),
        }
    });
    within(child.ready()).await.unwrap();
    assert_eq!(stage.now(), 1000);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_ended_before_will_not_be_ready_and_says_why() {
    let stage = Stage::new();
    let spec = ChildSpec::new("api").restart(Restart::Temporary);
    let (child, _) = stage.start(spec, fails);
    let end = within(child.ready()).await.unwrap_err();
    assert!(matches!(end, ChildEnd::Failed { .. }));
    assert_eq!(end.to_string(), "it failed: the port is taken");
}

#[tokio::test(start_paused = true)]
async fn whether_a_child_has_been_ready_is_known_also_where_nobody_saw_it() {
    let stage = Stage::new();
    let spec = ChildSpec::new("api").restart(Restart::Temporary);
    let (child, _) = stage.start(spec, |context| {
        context.ready();
        fails(context)
    });
    assert!(!child.has_been_ready());
    // It has ended before who waits comes to look.
    assert!(within(child.ready()).await.is_err());
    assert!(child.has_been_ready());
}

#[tokio::test(start_paused = true)]
async fn each_incarnation_has_to_say_it_anew() {
    let stage = Stage::new();
    let (child, _) = stage.start(ChildSpec::new("api"), |context| {
        match context.incarnation() {
            1 => serves(context),
            _ => stays(context),
        }
    });
    within(child.ready()).await.unwrap();
    child.restart();
    pass(seconds(1)).await;
    let not_ready = ChildState::Running {
        incarnation: 2,
        ready: false,
    };
    assert_eq!(format!("{:?}", child.state()), format!("{not_ready:?}"));
}

#[tokio::test(start_paused = true)]
async fn an_incarnation_that_is_over_cannot_say_it_for_the_next() {
    let stage = Stage::new();
    let (late, mut contexts) = tokio::sync::mpsc::unbounded_channel();
    let (child, _) = stage.start(ChildSpec::new("api"), move |context| {
        late.send(context.clone()).unwrap();
        stays(context)
    });
    let first = contexts.recv().await.unwrap();
    child.restart();
    let second = contexts.recv().await.unwrap();
    assert!(first.token().is_cancelled());
    first.ready();
    assert!(matches!(
        child.state(),
        ChildState::Running { ready: false, .. }
    ));
    second.ready();
    assert!(matches!(
        child.state(),
        ChildState::Running { ready: true, .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_recovery_lasts_from_the_first_failure_until_a_child_is_ready() {
    let mut stage = Stage::new();
    let spec = ChildSpec::new("api").intensity(5, seconds(60));
    let (child, _) = stage.start(spec, |context| match context.incarnation() {
        1 | 2 => fails(context),
        _ => Box::pin(async move {
            pass(seconds(4)).await;
            context.ready();
            context.ready();
            context.token().cancelled().await;
            Ok(())
        }),
    });
    within(child.ready()).await.unwrap();
    let attempting = |attempt, wait| Recovery::Attempting { attempt, wait };
    assert_eq!(stage.recovery().await, attempting(1, seconds(1)));
    assert_eq!(stage.recovery().await, attempting(2, seconds(2)));
    let duration = seconds(1 + 2 + 4);
    assert_eq!(
        stage.recovery().await,
        Recovery::Recovered {
            attempt: 2,
            duration
        }
    );
    child.restart();
    pass(seconds(10)).await;
    assert_eq!(stage.recoveries_left(), 0);
}
