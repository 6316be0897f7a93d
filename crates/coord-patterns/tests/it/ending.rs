//! How processes end, and what they leave behind: nothing.

use coord_bus::vocabulary::{Exit, ProcessState};
use coord_patterns::process::{ProcessSpec, Stop};
use rustix::process::{Pid, Signal, kill_process};

use crate::stage::{Stage, ended, is_alive, state_of, until};

#[tokio::test]
async fn a_process_ends_with_its_code_or_with_the_signal_that_killed_it() {
    for (script, exit) in [
        ("exit 0", Exit::code(0)),
        ("exit 7", Exit::code(7)),
        ("no-such-program", Exit::code(127)),
        ("kill -KILL $$", Exit::signal(9)),
        ("kill -TERM $$", Exit::signal(15)),
    ] {
        let mut stage = Stage::new();
        assert_eq!(stage.shell(script).await.0, exit, "{script}");
        assert_eq!(stage.states_after_start(), [ProcessState::Exited(exit)]);
    }
}

#[tokio::test]
async fn a_child_left_in_the_background_ends_with_its_leader() {
    let mut stage = Stage::new();
    // The first two hold the pipes, the third does not, and the second does not listen.
    let script = "sleep 1000 & echo $!
        (trap '' TERM HUP INT; exec sleep 1000) & echo $!
        sleep 1000 >/dev/null 2>&1 & echo $!";
    let (exit, children) = stage.shell(script).await;
    assert_eq!((exit, children.len()), (Exit::code(0), 3));
    for child in children {
        assert!(!is_alive(child.parse().unwrap()), "{child}");
    }
}

#[tokio::test]
async fn a_child_that_has_left_the_group_holds_nothing_up() {
    let mut stage = Stage::new();
    // It keeps standard error open.
    let script = "escaped=$(setsid sh -c 'sleep 1000 >&2 & echo $!'); echo $escaped";
    let (exit, lines) = stage.shell(script).await;
    assert_eq!(exit, Exit::code(0));
    let escaped: i32 = lines[0].parse().unwrap();
    assert!(is_alive(escaped));
    kill_process(Pid::from_raw(escaped).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_child_that_has_left_the_group_may_print_for_ever() {
    let mut stage = Stage::new();
    let escaped = "setsid sh -c '(while :; do echo more; done) >&2 & echo $!'";
    let script = format!("escaped=$({escaped}); echo $escaped");
    let run = stage.start(ProcessSpec::shell("leave", script), &Stop::default());
    let mut escaped = None;
    let taking = async {
        while let Some(event) = stage.output.recv().await {
            escaped = escaped.or(event.line.parse::<i32>().ok());
        }
    };
    let exit = tokio::select! {
        exit = ended(run) => exit,
        () = taking => panic!("the bus is open"),
    };
    assert_eq!(exit.unwrap(), Exit::code(0));
    let escaped = escaped.unwrap_or_else(|| {
        let lines = stage.printed();
        lines
            .iter()
            .find_map(|line| line.parse().ok())
            .expect("it printed its id")
    });
    // With nobody at the other end of its pipe, it may have ended.
    let _ = kill_process(Pid::from_raw(escaped).unwrap(), Signal::KILL);
}

#[tokio::test]
async fn dropping_the_future_kills_the_group_and_reaps_it() {
    let mut stage = Stage::new();
    let script = "trap '' TERM; sleep 1000 & echo $!; echo $$; wait";
    let run = stage.start(ProcessSpec::shell("serve", script), &Stop::default());
    let (child, leader) = (stage.pid().await, stage.pid().await);
    run.abort();
    until(|| !is_alive(child) && state_of(leader).is_none()).await;
}

#[tokio::test]
async fn dropping_the_future_kills_also_what_outlives_its_leader() {
    let mut stage = Stage::new();
    let stop = Stop::default();
    let script = "sh -c 'trap \"\" TERM; echo $$; echo $PPID; exec sleep 1000' & wait";
    let run = stage.start(ProcessSpec::shell("serve", script), &stop);
    let (child, leader) = (stage.pid().await, stage.pid().await);
    stop.graceful.cancel();
    until(|| state_of(leader) == Some('Z')).await;
    assert!(is_alive(child));
    run.abort();
    until(|| !is_alive(child) && state_of(leader).is_none()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_run_at_once_and_each_is_seen_to_its_end() {
    let stage = Stage::new();
    let stop = Stop::default();
    let runs: Vec<_> = (0..100)
        .map(|code| {
            stage.start(
                ProcessSpec::shell(format!("p{code}"), format!("exit {code}")),
                &stop,
            )
        })
        .collect();
    for (code, run) in runs.into_iter().enumerate() {
        assert_eq!(ended(run).await.unwrap().code, i32::try_from(code).ok());
    }
}
