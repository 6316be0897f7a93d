//! Services: started, restarted, given up, stopped, killed. Their processes are real.

use std::time::Duration;

use coordination::bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, PROCESS_LIFECYCLE, ProcessState, Recovery, SERVICE_LIFECYCLE,
    ServiceState,
};
use coordination::bus::{Backoff, BusExt};
use coordination::patterns::process::ProcessSpec;
use coordination::patterns::service::{Check, Probe, ServiceError, ServiceSpec};
use coordination::recovery::{ChildEnd, ChildSpec, GiveUpReason, RecoveryError, Restart};
use coordination::{CoordinationError, ServiceExit};

use crate::stage::{Stage, is_alive, until, within};

/// Prints its id, and stays.
const STAYS: &str = "echo $$; exec sleep 1000";
/// Prints its id, and stays whatever it is asked.
const DEAF: &str = "trap '' TERM; echo $$; while :; do sleep 1000; done";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn patient(name: &str) -> ChildSpec {
    let at_once = Backoff::constant(Duration::from_millis(1));
    ChildSpec::new(name)
        .backoff(at_once)
        .intensity(2, seconds(1000))
}

#[tokio::test]
async fn a_service_is_ready_when_its_probe_says_so() {
    let mut stage = Stage::new();
    let process = ProcessSpec::shell("db", "echo $$; read line < /dev/zero & echo ready; wait");
    let ready = Probe::new(Check::log("^ready$").unwrap());
    let child = stage.start(ServiceSpec::new(process).ready(ready), ChildSpec::new("db"));
    within(child.ready()).await.unwrap();
    let pid = stage.pid().await;
    assert!(is_alive(pid));
    assert!(matches!(within(child.stop()).await, ChildEnd::Stopped));
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_service_that_crashes_is_restarted_and_that_is_told() {
    let mut stage = Stage::new();
    let mut errors = stage.bus.subscribe(&ERROR_DETECTED).unwrap();
    let mut recoveries = stage.bus.subscribe(&ERROR_RECOVERY).unwrap();
    let mut processes = stage.bus.subscribe(&PROCESS_LIFECYCLE).unwrap();
    let service = ServiceSpec::new(ProcessSpec::shell("db", STAYS));
    let child = stage.start(service, patient("db"));
    within(child.ready()).await.unwrap();
    let first = stage.pid().await;
    std::process::Command::new("kill")
        .args(["-9", &first.to_string()])
        .status()
        .unwrap();
    let second = stage.pid().await;
    within(child.ready()).await.unwrap();
    assert!(is_alive(second) && !is_alive(first));

    let error = within(errors.recv()).await.unwrap().event().clone();
    assert_eq!(
        (&*error.source, &*error.message),
        ("db", "killed by SIGKILL")
    );
    let mut progress = Vec::new();
    while progress.len() < 2 {
        progress.push(within(recoveries.recv()).await.unwrap().progress.clone());
    }
    assert!(matches!(
        progress[0],
        Recovery::Attempting { attempt: 1, .. }
    ));
    assert!(matches!(
        progress[1],
        Recovery::Recovered { attempt: 1, .. }
    ));
    let mut started = 0;
    while let Ok(event) = processes.try_recv() {
        started += usize::from(matches!(event.state, ProcessState::Started { .. }));
    }
    assert_eq!(started, 2);
}

#[tokio::test]
async fn a_service_that_goes_on_crashing_is_given_up() {
    let stage = Stage::new();
    let mut processes = stage.bus.subscribe(&PROCESS_LIFECYCLE).unwrap();
    let service = ServiceSpec::new(ProcessSpec::shell("db", "exit 4"));
    stage.start(service, patient("db"));
    let gave_up = within(stage.services().gave_up()).await;
    assert_eq!(gave_up.child, "db");
    let exit: &ServiceExit = gave_up.error.downcast_ref().unwrap();
    assert_eq!(exit.0.code, Some(4));
    let restarts = GiveUpReason::TooManyRestarts {
        restarts: 2,
        within: seconds(1000),
    };
    assert_eq!(gave_up.reason, restarts);
    let mut started = 0;
    while let Ok(event) = processes.try_recv() {
        started += usize::from(matches!(event.state, ProcessState::Started { .. }));
    }
    assert_eq!(started, 3);
}

#[tokio::test]
async fn what_a_restart_would_not_help_is_given_up_at_once() {
    let stage = Stage::new();
    let missing = ProcessSpec::program("db", "./there-is-no-such-program");
    let child = stage.start(ServiceSpec::new(missing), patient("db"));
    let end = within(child.ready()).await.unwrap_err();
    let ChildEnd::GaveUp(gave_up) = end else {
        panic!("{end}");
    };
    assert_eq!(gave_up.reason, GiveUpReason::Permanent);
    let error = gave_up.error.downcast_ref();
    assert!(matches!(error, Some(ServiceError::Process(_))));

    let mut never = Probe::new(Check::exec("exit 1"));
    never.period = Duration::from_millis(50);
    let service = ServiceSpec::new(ProcessSpec::shell("web", STAYS)).ready(never);
    let end = within(stage.start(service, patient("web")).ready())
        .await
        .unwrap_err();
    let ChildEnd::GaveUp(gave_up) = end else {
        panic!("{end}");
    };
    let error = gave_up.error.downcast_ref();
    assert!(matches!(error, Some(ServiceError::NotReady { .. })));
}

#[tokio::test]
async fn a_service_that_ends_well_is_over_where_that_is_agreed() {
    let stage = Stage::new();
    let service = ServiceSpec::new(ProcessSpec::shell("seed", "exit 0"));
    let child = stage.start(service, patient("seed").restart(Restart::Transient));
    assert!(matches!(within(child.ended()).await, ChildEnd::Completed));
}

#[tokio::test]
async fn services_stop_in_reverse_order_each_when_the_one_before_it_has_ended() {
    let mut stage = Stage::new();
    for name in ["db", "api", "web"] {
        stage.serve(name, STAYS);
        stage.pid().await;
    }
    let mut lifecycle = stage.bus.subscribe(&SERVICE_LIFECYCLE).unwrap();
    let report = within(stage.services().shutdown(seconds(30))).await;
    assert_eq!(report.aborted, [""; 0]);
    let mut ended = Vec::new();
    while let Ok(event) = lifecycle.try_recv() {
        if let ServiceState::Ended { asked, .. } = event.state {
            assert!(asked);
            ended.push(event.service.clone());
        }
    }
    assert_eq!(ended, ["web", "api", "db"]);
}

#[tokio::test]
async fn a_deadline_kills_the_services_that_do_not_stop() {
    let mut stage = Stage::new();
    stage.serve("deaf", DEAF);
    let pid = stage.pid().await;
    let report = within(stage.services().shutdown(Duration::from_millis(50))).await;
    assert_eq!(report.aborted, ["deaf"]);
    // SIGKILL was sent; the system takes its time.
    until(|| !is_alive(pid)).await;
}

#[tokio::test]
async fn killed_services_have_stopped_and_not_failed() {
    let mut stage = Stage::new();
    let mut errors = stage.bus.subscribe(&ERROR_DETECTED).unwrap();
    let deaf = [("db", Restart::Permanent), ("web", Restart::Transient)].map(|(name, restart)| {
        let service = ServiceSpec::new(ProcessSpec::shell(name, DEAF));
        stage.start(service, patient(name).restart(restart))
    });
    let pids = [stage.pid().await, stage.pid().await];
    stage.services().kill();
    for child in &deaf {
        let end = within(child.ended()).await;
        assert!(matches!(end, ChildEnd::Stopped), "{end}");
    }
    assert_eq!(pids.map(is_alive), [false, false]);
    let report = within(stage.services().shutdown(seconds(1))).await;
    assert_eq!((report.aborted.len(), report.untold), (0, 0));
    assert!(errors.try_recv().is_err());
}

#[tokio::test]
async fn no_service_starts_after_the_kill() {
    let stage = Stage::new();
    stage.services().kill();
    let service = ServiceSpec::new(ProcessSpec::shell("db", STAYS));
    let refused = stage
        .services()
        .start(ChildSpec::new("db"), service)
        .unwrap_err();
    let shut_down = matches!(
        refused,
        CoordinationError::Recovery(RecoveryError::ShutDown { .. })
    );
    assert!(shut_down, "{refused}");
}
