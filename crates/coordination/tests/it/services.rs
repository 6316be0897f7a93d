//! How services start, become ready, are restarted and given up.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordination::bus::Backoff;
use coordination::bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, PROCESS_OUTPUT, Recovery, SERVICE_LIFECYCLE, ServiceState,
};
use coordination::patterns::process::ProcessSpec;
use coordination::patterns::service::{Check, Probe, ServiceError, ServiceSpec};
use coordination::recovery::{ChildEnd, ChildSpec, GiveUpReason, RecoveryError, Restart};
use coordination::{CoordinationError, ServiceExit};

use crate::stage::{STAY, Stage, left, next, seconds, service, within};

/// Restarted at once, and often enough.
fn eager(name: &str) -> ChildSpec {
    ChildSpec::new(name)
        .backoff(Backoff::constant(Duration::from_millis(1)))
        .intensity(100, seconds(100))
}

#[tokio::test]
async fn a_service_is_ready_when_its_probe_says_so() {
    let stage = Stage::new();
    let mut lifecycle = stage.subscribe(&SERVICE_LIFECYCLE);
    let mut output = stage.subscribe(&PROCESS_OUTPUT);
    let services = stage.module.services().unwrap();
    let api = services
        .start(ChildSpec::new("api"), service("api", STAY))
        .unwrap();
    within(api.ready()).await.unwrap();
    // Who knows that it is ready can read why, and can be told so.
    assert!(output.try_recv().is_ok());
    assert_eq!(next(&mut lifecycle).await.state, ServiceState::Starting);
    let ready = next(&mut lifecycle).await.state;
    assert!(matches!(ready, ServiceState::Ready { .. }), "{ready:?}");
}

#[tokio::test]
async fn a_crash_is_followed_by_another_incarnation_which_is_described_anew() {
    let stage = Stage::new();
    let mut output = stage.subscribe(&PROCESS_OUTPUT);
    let mut errors = stage.subscribe(&ERROR_DETECTED);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let services = stage.module.services().unwrap();
    let api = services
        .start_with(eager("api"), move |incarnation| {
            noted.lock().unwrap().push(incarnation);
            let life = "echo life $LIFE; test $LIFE = 3 && exec sleep 1000; exit 4";
            let process = ProcessSpec::shell("api", life).env("LIFE", incarnation.to_string());
            let third = Check::log("life 3").expect("it is a pattern");
            ServiceSpec::new(process).ready(Probe::new(third))
        })
        .unwrap();
    within(api.ready()).await.unwrap();
    assert_eq!(api.restarts(), 2);
    // Once for each, also for the first.
    assert_eq!(*asked.lock().unwrap(), [1, 2, 3]);
    let lines: Vec<_> = left(&mut output)
        .into_iter()
        .map(|line| line.line)
        .collect();
    assert_eq!(lines, ["life 1", "life 2", "life 3"]);
    for _ in 0..2 {
        let error = next(&mut errors).await;
        assert_eq!((&*error.source, &*error.message), ("api", "exit code 4"));
    }
}

#[tokio::test]
async fn a_service_that_crashes_too_often_is_given_up_and_told_of() {
    let stage = Stage::new();
    let mut recoveries = stage.subscribe(&ERROR_RECOVERY);
    let services = stage.module.services().unwrap();
    let twice = eager("api").intensity(2, seconds(100));
    services.start(twice, service("api", "exit 5")).unwrap();
    let other = services.start(ChildSpec::new("other"), service("other", STAY));
    let gave_up = within(services.gave_up()).await;
    assert_eq!(gave_up.child, "api");
    let reason = GiveUpReason::TooManyRestarts {
        restarts: 2,
        within: seconds(100),
    };
    assert_eq!(gave_up.reason, reason);
    let exit: &ServiceExit = gave_up.error.downcast_ref().expect("it is its exit");
    assert_eq!(exit.0.code, Some(5));
    let last = loop {
        let event = next(&mut recoveries).await;
        if let Recovery::GaveUp { attempts, .. } = event.progress {
            break (event.source, attempts);
        }
    };
    assert_eq!(last, ("api".to_owned(), 2));
    // What follows is for whoever asked.
    within(other.unwrap().ready()).await.unwrap();
}

#[tokio::test]
async fn a_service_that_does_not_become_ready_is_given_up_at_once() {
    let stage = Stage::new();
    let mut lifecycle = stage.subscribe(&SERVICE_LIFECYCLE);
    let mut probe = Probe::new(Check::log("never").unwrap());
    probe.period = Duration::from_millis(20);
    let spec = ServiceSpec::new(ProcessSpec::shell("api", STAY)).ready(probe);
    let services = stage.module.services().unwrap();
    let api = services.start(eager("api"), spec).unwrap();
    let end = within(api.ready()).await.unwrap_err();
    let ChildEnd::GaveUp(gave_up) = end else {
        panic!("it should be given up: {end}");
    };
    assert_eq!(gave_up.reason, GiveUpReason::Permanent);
    let error = gave_up.error.downcast_ref();
    assert!(
        matches!(error, Some(ServiceError::NotReady { .. })),
        "{error:?}"
    );
    let starts = left(&mut lifecycle).into_iter();
    assert_eq!(
        starts
            .filter(|event| event.state == ServiceState::Starting)
            .count(),
        1
    );
}

#[tokio::test]
async fn a_service_whose_program_is_not_there_is_given_up_at_once() {
    let stage = Stage::new();
    let spec = ServiceSpec::new(ProcessSpec::program("api", "/no/such/program"));
    let services = stage.module.services().unwrap();
    let api = services.start(eager("api"), spec).unwrap();
    let end = within(api.ended()).await;
    let ChildEnd::GaveUp(gave_up) = end else {
        panic!("it should be given up: {end}");
    };
    assert_eq!(gave_up.reason, GiveUpReason::Permanent);
    assert!(gave_up.error.to_string().contains("/no/such/program"));
    assert_eq!(api.restarts(), 0);
}

#[tokio::test]
async fn a_service_that_ends_well_is_restarted_only_if_it_is_there_to_stay() {
    let stage = Stage::new();
    let services = stage.module.services().unwrap();
    let work = eager("work").restart(Restart::Transient);
    let work = services.start(work, service("work", "exit 0")).unwrap();
    assert!(matches!(within(work.ended()).await, ChildEnd::Completed));
    let stays = services
        .start_with(eager("stays"), |incarnation| match incarnation {
            1 => ServiceSpec::new(ProcessSpec::shell("stays", "exit 0")),
            _ => service("stays", STAY),
        })
        .unwrap();
    crate::stage::until(|| stays.restarts() == 1).await;
    within(stays.ready()).await.unwrap();
}

#[tokio::test]
async fn a_restart_by_hand_is_no_failure() {
    let stage = Stage::new();
    let mut errors = stage.subscribe(&ERROR_DETECTED);
    let mut output = stage.subscribe(&PROCESS_OUTPUT);
    let services = stage.module.services().unwrap();
    let api = services
        .start(ChildSpec::new("api"), service("api", STAY))
        .unwrap();
    within(api.ready()).await.unwrap();
    let first = next(&mut output).await.line;
    assert!(services.service("api").expect("it is there").restart());
    let second = next(&mut output).await.line;
    assert_ne!(first, second);
    assert!(!crate::stage::is_alive(&first));
    assert_eq!(left(&mut errors), []);
}

#[tokio::test(start_paused = true)]
async fn two_services_of_one_name_are_refused() {
    let stage = Stage::new();
    let services = stage.module.services().unwrap();
    let start = || services.start(ChildSpec::new("api"), service("api", STAY));
    start().unwrap();
    let error = start().unwrap_err();
    let exists = CoordinationError::Recovery(RecoveryError::ChildExists {
        supervisor: "services".to_owned(),
        child: "api".to_owned(),
    });
    assert_eq!(error.to_string(), exists.to_string());
}
