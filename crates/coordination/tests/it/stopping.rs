//! How services stop, and how they are killed.

use coordination::bus::Backoff;
use coordination::bus::vocabulary::{
    ERROR_DETECTED, PROCESS_LIFECYCLE, PROCESS_OUTPUT, ProcessState,
};
use coordination::recovery::{ChildEnd, ChildSpec, ChildState};

use crate::stage::{IGNORE, STAY, Stage, is_alive, left, next, seconds, service, until, within};

#[tokio::test]
async fn a_service_that_is_stopped_has_not_failed_whatever_its_exit() {
    let stage = Stage::new();
    let mut errors = stage.subscribe(&ERROR_DETECTED);
    let trap = "trap 'exit 9' TERM; while :; do sleep 0.02; done";
    let services = stage.module.services().unwrap();
    let api = services
        .start(ChildSpec::new("api"), service("api", trap))
        .unwrap();
    within(api.ready()).await.unwrap();
    assert!(matches!(within(api.stop()).await, ChildEnd::Stopped));
    assert_eq!(left(&mut errors), []);
}

#[tokio::test]
async fn a_service_has_the_grace_of_its_process() {
    let stage = Stage::new();
    let mut output = stage.subscribe(&PROCESS_OUTPUT);
    let mut lifecycle = stage.subscribe(&PROCESS_LIFECYCLE);
    let mut spec = service("api", IGNORE);
    spec.process.grace = std::time::Duration::from_millis(100);
    // Of a child alone it would be too short a time.
    let child = ChildSpec::new("api").shutdown(std::time::Duration::from_millis(1));
    let services = stage.module.services().unwrap();
    let api = services.start(child, spec).unwrap();
    within(api.ready()).await.unwrap();
    let pid = next(&mut output).await.line;
    // Stopped, not aborted: all of its end was told.
    assert!(matches!(within(api.stop()).await, ChildEnd::Stopped));
    assert!(!is_alive(&pid));
    let signals = left(&mut lifecycle)
        .into_iter()
        .filter_map(|event| match event.state {
            ProcessState::Stopping { signal } => Some(signal),
            _ => None,
        });
    assert_eq!(signals.collect::<Vec<_>>(), [15, 9]);
}

#[tokio::test]
async fn killed_services_end_at_once_and_for_good_and_have_not_failed() {
    let stage = Stage::new();
    let mut errors = stage.subscribe(&ERROR_DETECTED);
    let mut output = stage.subscribe(&PROCESS_OUTPUT);
    let services = stage.module.services().unwrap();
    let mut children = Vec::new();
    let mut pids = Vec::new();
    for name in ["one", "two"] {
        let eager = ChildSpec::new(name).backoff(Backoff::constant(seconds(0)));
        let child = services.start(eager, service(name, IGNORE)).unwrap();
        within(child.ready()).await.unwrap();
        pids.push(next(&mut output).await.line);
        children.push(child);
    }
    services.kill();
    for child in &children {
        let end = within(child.ended()).await;
        assert!(matches!(end, ChildEnd::Stopped), "{end}");
        assert_eq!(child.restarts(), 0);
    }
    assert!(!pids.iter().any(|pid| is_alive(pid)));
    assert_eq!(left(&mut errors), []);
    assert!(
        within(services.shutdown(seconds(0)))
            .await
            .aborted
            .is_empty()
    );
}

#[tokio::test]
async fn a_service_that_waits_to_be_restarted_is_killed_too() {
    let stage = Stage::new();
    let services = stage.module.services().unwrap();
    let patient = ChildSpec::new("api").backoff(Backoff::constant(seconds(1000)));
    let api = services.start(patient, service("api", "exit 1")).unwrap();
    until(|| matches!(api.state(), ChildState::Waiting { .. })).await;
    services.kill();
    assert!(matches!(within(api.ended()).await, ChildEnd::Stopped));
}

#[tokio::test]
async fn what_is_started_after_a_kill_does_not_run() {
    let stage = Stage::new();
    let mut lifecycle = stage.subscribe(&PROCESS_LIFECYCLE);
    let services = stage.module.services().unwrap();
    services.kill();
    let late = services
        .start(ChildSpec::new("late"), service("late", STAY))
        .unwrap();
    let end = within(late.ready()).await.unwrap_err();
    assert!(matches!(end, ChildEnd::Stopped), "{end}");
    let started = left(&mut lifecycle).into_iter();
    let mut started = started.filter(|event| matches!(event.state, ProcessState::Started { .. }));
    assert!(started.next().is_none());
}
