//! How many children there may be, and how they are called.

use coord_recovery::{ChildSpec, MAX_CHILDREN, RecoveryError};

use crate::stage::{Stage, pass, seconds, stays, within};

fn names(stage: &Stage) -> Vec<String> {
    let children = stage.supervisor.children();
    children.into_iter().map(|child| child.name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_name_belongs_to_one_child_until_that_has_ended() {
    let stage = Stage::new();
    let (first, _) = stage.start(ChildSpec::new("api"), stays);
    stage.start(ChildSpec::new("web"), stays);
    let error = stage
        .supervisor
        .start(ChildSpec::new("api"), stays)
        .unwrap_err();
    assert!(matches!(error, RecoveryError::ChildExists { .. }));
    assert_eq!(
        error.to_string(),
        "supervisor `services` has a child `api` that has not ended: stop it first, or use another \
         name"
    );
    within(first.stop()).await;
    assert_eq!(names(&stage), ["api", "web"]);
    let (second, _) = stage.start(ChildSpec::new("api"), stays);
    // What was started after the first may need it: it is stopped last.
    assert_eq!(names(&stage), ["api", "web"]);
    pass(seconds(1)).await;
    within(second.stop()).await;
}

#[tokio::test(start_paused = true)]
async fn a_child_is_found_by_its_name() {
    let stage = Stage::new();
    stage.start(ChildSpec::new("api"), stays);
    assert_eq!(stage.supervisor.child("api").unwrap().name(), "api");
    assert!(stage.supervisor.child("web").is_none());
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_a_child_takes_the_place_of_one_that_has_ended() {
    let stage = Stage::new();
    for number in 0..MAX_CHILDREN {
        stage.start(ChildSpec::new(number.to_string()), stays);
    }
    let one_more = || stage.supervisor.start(ChildSpec::new("one more"), stays);
    let error = one_more().unwrap_err();
    assert!(matches!(error, RecoveryError::TooManyChildren { .. }));
    pass(seconds(1)).await;
    within(stage.supervisor.child("17").unwrap().stop()).await;
    assert!(one_more().is_ok());
    let names = names(&stage);
    assert_eq!(names.len(), MAX_CHILDREN);
    assert!(!names.contains(&"17".to_owned()));
    assert_eq!(names.last().unwrap(), "one more");
}
