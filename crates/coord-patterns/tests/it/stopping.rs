//! How processes are asked to stop, and what happens to those that do not.

use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::vocabulary::{Exit, ProcessState};
use coord_patterns::process::{ProcessError, ProcessRunner, ProcessSpec, Stop, StopSignal};

use crate::stage::{Stage, ended, is_alive, shell_with_children, state_of, until};

const TERM: ProcessState = ProcessState::Stopping { signal: 15 };
const KILL: ProcessState = ProcessState::Stopping { signal: 9 };

/// Ignores SIGTERM, and so do its children.
const STUBBORN: &str = "trap '' TERM; sh -c \"$CHILD\" & sh -c \"$CHILD\" & wait";

#[tokio::test]
async fn a_process_may_end_in_its_own_way() {
    let mut stage = Stage::new();
    let stop = Stop::default();
    let script = "trap 'echo bye; exit 3' TERM; sh -c \"$CHILD\" & wait";
    let run = stage.start(shell_with_children(script), &stop);
    let child = stage.pid().await;
    stop.graceful.cancel();
    assert_eq!(ended(run).await.unwrap(), Exit::code(3));
    assert_eq!(stage.printed(), ["bye"]);
    assert_eq!(
        stage.states_after_start(),
        [TERM, ProcessState::Exited(Exit::code(3))]
    );
    assert!(!is_alive(child));
}

#[tokio::test]
async fn what_does_not_stop_within_its_grace_is_killed() {
    let mut stage = Stage::new();
    let stop = Stop::default();
    let spec = shell_with_children(STUBBORN).grace(Duration::from_millis(50));
    let run = stage.start(spec, &stop);
    let children = [stage.pid().await, stage.pid().await];
    stop.graceful.cancel();
    assert_eq!(ended(run).await.unwrap(), Exit::signal(9));
    let exited = ProcessState::Exited(Exit::signal(9));
    assert_eq!(stage.states_after_start(), [TERM, KILL, exited]);
    assert!(!children.into_iter().any(is_alive));
}

#[tokio::test]
async fn a_second_request_kills_at_once() {
    let mut stage = Stage::new();
    let stop = Stop::default();
    let spec = shell_with_children(STUBBORN).grace(Duration::from_secs(1000));
    let run = stage.start(spec, &stop);
    let children = [stage.pid().await, stage.pid().await];
    stop.graceful.cancel();
    while stage.state().await != TERM {}
    assert!(children.into_iter().all(is_alive));
    stop.immediate.cancel();
    assert_eq!(ended(run).await.unwrap(), Exit::signal(9));
    assert_eq!(stage.state().await, KILL);
    assert!(!children.into_iter().any(is_alive));
}

#[tokio::test]
async fn a_request_to_stop_at_once_is_no_sigterm() {
    let mut stage = Stage::new();
    let stop = Stop::default();
    let script = "trap 'echo asked; exit 3' TERM; sh -c \"$CHILD\" & wait";
    let run = stage.start(shell_with_children(script), &stop);
    let child = stage.pid().await;
    stop.immediate.cancel();
    assert_eq!(ended(run).await.unwrap(), Exit::signal(9));
    let exited = ProcessState::Exited(Exit::signal(9));
    assert_eq!(stage.states_after_start(), [KILL, exited]);
    assert_eq!(stage.printed(), Vec::<String>::new());
    assert!(!is_alive(child));
}

#[tokio::test]
async fn a_process_is_asked_by_the_signal_that_it_wants() {
    for name in StopSignal::NAMES {
        let signal: StopSignal = name.parse().unwrap();
        let mut stage = Stage::new();
        let stop = Stop::default();
        let short = name.strip_prefix("SIG").unwrap();
        let script = match signal {
            StopSignal::Kill => "echo $$; exec sleep 1000".to_owned(),
            _ => format!(
                "trap '' TERM; trap 'echo {short}; exit 3' {short}
                echo $$; while :; do sleep 0.01; done"
            ),
        };
        let spec = ProcessSpec::shell("asked", script).stop_signal(signal);
        let run = stage.start(spec, &stop);
        stage.pid().await;
        stop.graceful.cancel();
        let exit = ended(run).await.unwrap();
        if signal == StopSignal::Kill {
            assert_eq!(exit, Exit::signal(9));
        } else {
            assert_eq!(exit, Exit::code(3), "{name}");
            // A shell may say besides what its child died of.
            assert!(stage.printed().contains(&short.to_owned()), "{name}");
        }
    }
}

#[test]
fn a_stop_signal_is_read_in_either_case_with_its_prefix_or_without() {
    for name in StopSignal::NAMES {
        let signal: StopSignal = name.parse().unwrap();
        assert_eq!(signal.to_string(), name);
        let short = name.strip_prefix("SIG").unwrap();
        for name in [short.to_owned(), short.to_lowercase(), name.to_lowercase()] {
            assert_eq!(name.parse(), Ok(signal));
        }
    }
    for name in ["", "SIG", "SIGSIGTERM", "SIGSTOP", "15", " TERM"] {
        let error = name.parse::<StopSignal>().unwrap_err();
        assert!(error.to_string().contains("use one of SIGTERM, SIGINT"));
        assert!(error.to_string().contains(&format!("`{name}`")));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_grace_is_for_the_whole_group() {
    let mut stage = Stage::new();
    let stop = Stop::default();
    // The shell that leads dies at once; what it began has something to do first.
    let script = r#"sh -c 'trap "sleep 0.3; echo saved; exit" TERM
        sh -c "$CHILD" & wait' & wait"#;
    let run = stage.start(shell_with_children(script), &stop);
    let child = stage.pid().await;
    stop.graceful.cancel();
    assert_eq!(ended(run).await.unwrap(), Exit::signal(15));
    assert_eq!(stage.printed(), ["saved"]);
    let exited = ProcessState::Exited(Exit::signal(15));
    assert_eq!(stage.states_after_start(), [TERM, exited]);
    assert!(!is_alive(child));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_outlives_its_leader_and_its_grace_is_killed() {
    let mut stage = Stage::new();
    let stop = Stop::default();
    let script = "(trap '' TERM; exec sh -c \"$CHILD\") & wait";
    let spec = shell_with_children(script).grace(Duration::from_millis(200));
    let run = stage.start(spec, &stop);
    let child = stage.pid().await;
    stop.graceful.cancel();
    assert_eq!(ended(run).await.unwrap(), Exit::signal(15));
    let exited = ProcessState::Exited(Exit::signal(15));
    assert_eq!(stage.states_after_start(), [TERM, KILL, exited]);
    assert!(!is_alive(child));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_suspended_process_hears_the_request_too() {
    let mut stage = Stage::new();
    let stop = Stop::default();
    let script = "trap 'exit 3' TERM; echo $$; kill -STOP $$; sleep 1000 & wait";
    let run = stage.start(shell_with_children(script), &stop);
    let process = stage.pid().await;
    until(|| state_of(process) == Some('T')).await;
    stop.graceful.cancel();
    assert_eq!(ended(run).await.unwrap(), Exit::code(3));
}

#[tokio::test]
async fn a_full_bus_holds_up_the_telling_and_not_the_stop() {
    let mut stage = Stage::new();
    let stop = Stop::default();
    let run = stage.start(ProcessSpec::shell("flood", "echo $$; exec yes"), &stop);
    let process = stage.pid().await;
    // Nobody takes the lines, and the pipe is full: it waits to write.
    until(|| state_of(process) == Some('S')).await;
    stop.immediate.cancel();
    until(|| !is_alive(process)).await;
    assert!(!run.is_finished());
    let taking = async {
        while stage
            .output
            .recv()
            .await
            .is_some_and(|event| event.line == "y")
        {}
    };
    let exit = tokio::select! {
        exit = ended(run) => exit,
        () = taking => panic!("something else was printed"),
    };
    assert_eq!(exit.unwrap(), Exit::signal(9));
}

#[tokio::test]
async fn a_flood_that_nobody_takes_leaves_room_for_the_stop() {
    let runner = ProcessRunner::new(&LocalBus::new()).unwrap();
    let stop = Stop::default();
    let spec = ProcessSpec::program("flood", "yes");
    let run = tokio::spawn({
        let stop = stop.clone();
        async move { runner.run(&spec, &stop).await }
    });
    tokio::task::yield_now().await;
    stop.graceful.cancel();
    assert_eq!(ended(run).await.unwrap(), Exit::signal(15));
}

#[tokio::test]
async fn on_a_closed_bus_nothing_goes_on_running() {
    let mut stage = Stage::new();
    let run = stage.start(
        ProcessSpec::shell("flood", "echo $$; while :; do echo more; done"),
        &Stop::default(),
    );
    let process = stage.pid().await;
    coord_bus::Bus::close(&stage.bus);
    let error = ended(run).await.expect_err("nobody can be told");
    assert!(matches!(error, ProcessError::Unpublished { .. }), "{error}");
    assert!(!is_alive(process));

    let run = stage.start(
        ProcessSpec::shell("late", "exec sleep 1000"),
        &Stop::default(),
    );
    let error = ended(run).await.expect_err("nobody can be told");
    assert!(error.to_string().contains("`process-lifecycle`"), "{error}");
}
