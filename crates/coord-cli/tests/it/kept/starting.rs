//! Killed while it starts processes, `coord` leaves none of them behind that was not known yet.
#![cfg(target_os = "linux")]

use std::fmt::Write;
use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use super::list;
use crate::coord::{Folder, Running, done, is_gone, until, until_some};

const STEPS: usize = 8;

/// Steps that do not end by themselves, all at once.
fn steps() -> String {
    let mut file = String::new();
    for step in 0..STEPS {
        writeln!(file, "[[step]]\nid = 's{step}'\nrun = 'exec sleep 1000'").unwrap();
    }
    file
}

/// The processes of a run that live.
fn of_run(run: &str) -> Vec<Pid> {
    let variable = format!("COORD_RUN_ID={run}");
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let of_run = entries.filter_map(|entry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let environment = fs::read(entry.path().join("environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        let is_of_run = variables.any(|one| one == variable.as_bytes());
        (is_of_run && !is_gone(pid)).then_some(pid)
    });
    of_run.collect()
}

/// A run of which so many processes have begun, and others are about to: no two runs have the same name.
fn starting(round: usize) -> (Folder, String, Running) {
    let folder = Folder::new();
    folder.write("coord.toml", steps());
    let run = format!("r-{}-{round}", std::process::id());
    let mut command = folder.coord(["run", "--concurrency", "8", "--id"]);
    command.arg(&run);
    let running = Running::start(command);
    until(|| of_run(&run).len() > round % STEPS);
    (folder, run, running)
}

/// Its watchdog, once that has the name by which it is told from what else was started.
fn watchdog(running: &Running) -> Option<Pid> {
    let children = format!("/proc/{0}/task/{0}/children", running.id());
    let children = fs::read_to_string(children).unwrap();
    let mut children = children.split_whitespace();
    children.find_map(|child| {
        let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
        let is_watchdog = name.trim() == "watchdog";
        is_watchdog.then(|| Pid::from_raw(child.parse().unwrap()).unwrap())
    })
}

#[test]
fn what_it_was_starting_is_killed_with_the_rest() {
    for round in 0..2 * STEPS {
        let (folder, run, running) = starting(round);
        running.signal(Signal::KILL);
        running.end();
        // Its watchdog has done, then.
        list(&folder, "interrupted");
        let left = of_run(&run);
        for pid in &left {
            let _ = kill_process(*pid, Signal::KILL);
        }
        assert!(left.is_empty(), "round {round}: {left:?}");
    }
}

#[test]
fn where_its_watchdog_is_killed_too_what_it_was_starting_is_ended_before_the_run_goes_on() {
    for round in 0..STEPS {
        let (folder, run, running) = starting(round);
        let watchdog = until_some(|| watchdog(&running));
        running.signal(Signal::KILL);
        let _ = kill_process(watchdog, Signal::KILL);
        running.end();
        list(&folder, "interrupted");
        let left = of_run(&run);
        let resumed = Running::start(folder.coord(["resume"]));
        let now = until_some(|| {
            let now = of_run(&run);
            now.iter().any(|pid| !left.contains(pid)).then_some(now)
        });
        resumed.signal(Signal::KILL);
        resumed.end();
        assert!(
            now.iter().all(|pid| !left.contains(pid)),
            "round {round}: {left:?} {now:?}"
        );
        list(&folder, "interrupted");
        assert!(of_run(&run).is_empty());
        done(folder.coord(["list"])).exits(0);
    }
}
