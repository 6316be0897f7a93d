//! How what runs is suspended together, and goes on.

use std::time::Duration;

use coord_bus::vocabulary::{Exit, ServiceState};
use coord_patterns::process::{ProcessRunner, Stop};
use coord_patterns::service::{Check, Probe, ServiceError, ServiceSpec};
use tokio::time::Instant;

use crate::house::{House, file, hanging, idle, pids, probe};
use crate::stage::{Stage, ended, is_alive, shell_with_children, state_of, until};

fn all_in_state(pids: &[i32], state: char) -> bool {
    pids.iter().all(|pid| state_of(*pid) == Some(state))
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn all_groups_of_a_runner_and_its_clones_are_suspended_and_resumed() {
    let mut stage = Stage::new();
    let stop = Stop::default();
    let script = "echo $$; sh -c \"$CHILD\" & wait";
    let runs = [
        stage.start(shell_with_children(script), &stop),
        stage.start(shell_with_children(script), &stop),
    ];
    let mut pids = Vec::new();
    while pids.len() < 4 {
        pids.push(stage.pid().await);
    }
    stage.runner.suspend();
    until(|| all_in_state(&pids, 'T')).await;
    // Somebody else's are not.
    let other = Stage::new();
    other.runner.resume();
    assert!(all_in_state(&pids, 'T'));
    stage.runner.resume();
    until(|| all_in_state(&pids, 'S')).await;
    stop.graceful.cancel();
    for run in runs {
        assert_eq!(ended(run).await.unwrap(), Exit::signal(15));
    }
    // Of what has ended, nothing is signalled.
    stage.runner.suspend();
    stage.runner.resume();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_is_suspended_hears_a_stop() {
    let mut stage = Stage::new();
    let stop = Stop::default();
    let script = "trap 'exit 3' TERM; sh -c \"$CHILD\" & wait";
    let run = stage.start(shell_with_children(script), &stop);
    let child = stage.pid().await;
    stage.runner.suspend();
    until(|| state_of(child) == Some('T')).await;
    stop.graceful.cancel();
    assert_eq!(ended(run).await.unwrap(), Exit::code(3));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_starts_while_others_are_suspended_runs() {
    let mut stage = Stage::new();
    stage.runner.suspend();
    let (exit, lines) = stage.shell("echo runs").await;
    assert_eq!((exit, lines), (Exit::code(0), vec!["runs".to_owned()]));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_asks_a_service_is_suspended_with_it() {
    let mut house = House::new();
    let hung = file("suspended_with_it");
    let live = probe(Check::exec(hanging(&hung)));
    let service = house.start(ServiceSpec::new(idle()).live(live));
    let mut all = pids(&hung).await;
    all.push(house.pid().await);
    house.processes.suspend();
    until(|| all_in_state(&all, 'T')).await;
    house.processes.resume();
    until(|| all_in_state(&all, 'S')).await;
    service.stopped().await.unwrap();
    until(|| !all.iter().copied().any(is_alive)).await;
}

#[tokio::test(start_paused = true)]
async fn while_all_is_suspended_the_clocks_of_probes_stand_still() {
    let mut house = House::new();
    house.processes.suspend();
    let ready = Probe::new(Check::log("listening").unwrap());
    let service = house.start(ServiceSpec::new(idle()).ready(ready));
    // Nothing else is timed here, so time would go on by itself only for the probe.
    let line = house.output.recv().await.unwrap().line.clone();
    tokio::time::advance(Duration::from_secs(1000)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(is_alive(line.parse().unwrap()));
    assert_eq!(house.states(), [ServiceState::Starting]);

    house.processes.resume();
    let error = service.task.await.unwrap().expect_err("it is not ready");
    assert!(matches!(error, ServiceError::NotReady { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_time_before_and_after_a_suspension_is_counted_as_one() {
    let mut house = House::new();
    house.processes.suspend();
    let mut ready = Probe::new(Check::log("listening").unwrap());
    ready.period = Duration::from_secs(1000);
    let service = house.start(ServiceSpec::new(idle()).ready(ready));
    house.output.recv().await.unwrap();
    let begun = Instant::now();
    for _ in 0..2 {
        house.processes.resume();
        tokio::time::advance(Duration::from_secs(1000)).await;
        house.processes.suspend();
        tokio::time::advance(Duration::from_secs(1000)).await;
    }
    house.processes.resume();
    let error = service.task.await.unwrap().expect_err("it is not ready");
    assert!(matches!(error, ServiceError::NotReady { .. }), "{error}");
    // Three times 1000 s awake, twice suspended; and it may have taken its grace.
    let taken = begun.elapsed().as_secs();
    assert!((5000..=5011).contains(&taken), "{taken}");
}

#[test]
fn a_runner_can_be_made_outside_of_a_runtime() {
    let bus = coord_bus::LocalBus::new();
    ProcessRunner::new(&bus).unwrap().suspend();
}
