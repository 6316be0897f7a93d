//! `coord` as a job of a shell in a terminal: in the background, stopped, and continued.

use std::fs::read_to_string;
use std::process::Command;

use rustix::process::{Pid, Signal};

use crate::adopted::FIRST;
use crate::coord::{Folder, is_gone, pids, until};
use crate::live::{STAYS, start};
use crate::mounts::{run, skipped};
use crate::terminal::{CONTROL_Z, Terminal, command};

/// A shell that does what is typed, with job control, and shows nothing of its own. Unlike one that is for people it
/// ends when it is told to.
const SHELL: &str = "stty -echo; set -m; echo begun; while read -r line; do eval \"$line\"; done";

/// Starts what is stopped and continued many times.
const STARTS: &str = r#"
concurrency = 8
[params]
l = ""
[[step]]
id = "one"
for_each = { param = "l", max_parallel = 8 }
run = "echo >> started"
[[step]]
id = "two"
for_each = { param = "l", max_parallel = 8 }
run = "echo >> started"
[[step]]
id = "three"
for_each = { param = "l", max_parallel = 8 }
run = "echo >> started"
[[step]]
id = "four"
for_each = { param = "l", max_parallel = 8 }
run = "echo >> started"
"#;

/// The state of a process, as the letter that Linux has for it.
fn state_of(pid: Pid) -> Option<char> {
    let stat = read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn are(state: char, processes: &[Pid]) -> bool {
    processes.iter().all(|pid| state_of(*pid) == Some(state))
}

fn shell(folder: &Folder, workflow: &str) -> Terminal {
    folder.write("coord.toml", workflow);
    let shell = command(folder.path(), "sh").args(["-c", SHELL]);
    let shell = shell.env("COORD", env!("CARGO_BIN_EXE_coord"));
    let shell = Terminal::start(shell, 24, 80);
    shell.shows("begun");
    shell
}

fn shows_screen(terminal: &Terminal) -> Vec<Pid> {
    terminal.until_screen("the screen", vt100::Screen::alternate_screen);
    pids(&terminal.shows("testing"))
}

/// Waits until `coord` is stopped with what it runs. What is typed while it has the terminal is for it.
fn is_suspended(shell: &Terminal, coord: Pid, running: &[Pid]) {
    shell.until_screen("what was before", |screen| !screen.alternate_screen());
    until(|| are('T', running) && are('T', &[coord]));
}

#[test]
fn ctrl_z_suspends_coord_with_what_it_runs_and_gives_the_terminal_back_meanwhile() {
    let folder = Folder::new();
    let shell = shell(&folder, STAYS);
    shell.keys("\"$COORD\"\n");
    let running = shows_screen(&shell);
    let coord = parent(running[0]);
    shell.keys(CONTROL_Z);
    is_suspended(&shell, coord, &running);
    shell.keys("echo in between\n");
    shell.shows("in between");
    shell.keys("fg\n");
    shows_screen(&shell);
    until(|| are('S', &running));
    shell.keys("t");
    shell.shows("what runs, and why");
}

#[test]
fn sigtstp_from_outside_does_the_same_and_who_continues_it_in_the_background_wakes_nothing() {
    let folder = Folder::new();
    let shell = shell(&folder, STAYS);
    shell.keys("\"$COORD\"\n");
    let running = shows_screen(&shell);
    let coord = parent(running[0]);
    rustix::process::kill_process(coord, Signal::TSTP).unwrap();
    is_suspended(&shell, coord, &running);
    shell.keys("bg; echo behind\n");
    shell.shows("behind");
    until(|| are('T', &[coord]));
    assert!(are('T', &running));
    shell.keys("fg\n");
    shows_screen(&shell);
    until(|| are('S', &running));
}

#[test]
fn ctrl_z_stops_the_script_too_that_coord_is_run_by() {
    let folder = Folder::new();
    let shell = shell(&folder, STAYS);
    folder.write("dev.sh", "\"$COORD\"; echo after it");
    shell.keys("sh dev.sh\n");
    let running = shows_screen(&shell);
    let coord = parent(running[0]);
    let script = parent(coord);
    shell.keys(CONTROL_Z);
    // As soon as the script is stopped the shell does what comes next: what it continues then is stopped by then.
    until(|| are('T', &[script]));
    shell.keys("echo > between; fg\n");
    until(|| folder.read("between").is_some());
    until(|| are('S', &running));
    assert!(!shows_screen(&shell).is_empty());
    // It is stopped by the next one, too.
    shell.keys(CONTROL_Z);
    is_suspended(&shell, coord, &running);
    shell.keys("echo once more\n");
    assert!(!shell.shows("once more").contains("after it"));
    drop(shell);
    until(|| is_gone(coord));
}

#[test]
fn a_terminal_that_is_closed_ends_what_is_suspended_there_with_the_script_that_it_is_run_by() {
    for command in ["\"$COORD\"\n", "sh dev.sh\n"] {
        let folder = Folder::new();
        let shell = shell(&folder, STAYS);
        folder.write("dev.sh", "\"$COORD\"; echo after it");
        shell.keys(command);
        let running = shows_screen(&shell);
        let coord = parent(running[0]);
        shell.keys(CONTROL_Z);
        is_suspended(&shell, coord, &running);
        drop(shell);
        until(|| is_gone(coord) && running.iter().all(|pid| is_gone(*pid)));
    }
}

#[test]
fn what_no_shell_could_continue_is_not_suspended() {
    let folder = Folder::new();
    let terminal = start(&folder, STAYS);
    let running = pids(&terminal.shows("testing"));
    terminal.keys(CONTROL_Z);
    terminal.shows("not suspended: there is no shell here");
    terminal.signal(Signal::TSTP);
    terminal.keys("t");
    terminal.shows("what runs, and why");
    assert!(!are('T', &running) && !are('T', &[terminal.pid()]));
}

#[test]
fn who_stands_above_it_outside_its_namespace_of_processes_is_no_shell() {
    const TEST: &str = "who_stands_above_it_outside_its_namespace_of_processes_is_no_shell";
    if let Err(why) = run(Command::new("unshare").args(FIRST).arg("true")) {
        return skipped(TEST, &why);
    }
    // Of the first, the group of `coord` is outside; of the second, that of the one that runs it.
    for within in [
        "\"$0\"; echo over",
        "script -qec \"$0\" /dev/null; echo over",
    ] {
        let folder = Folder::new();
        folder.write("coord.toml", STAYS);
        let shell = command(folder.path(), "unshare").args(FIRST);
        let shell = shell.args(["sh", "-c", within, env!("CARGO_BIN_EXE_coord")]);
        let mut terminal = Terminal::start(shell, 24, 80);
        terminal.shows("testing");
        terminal.keys(CONTROL_Z);
        terminal.shows("not suspended: there is no shell here");
        terminal.keys("q");
        let (_, screen) = terminal.end();
        assert!(screen.contains("over"), "{screen}");
    }
}

#[test]
fn in_the_background_of_a_terminal_the_screen_waits_to_be_in_front() {
    let folder = Folder::new();
    let shell = shell(&folder, STAYS);
    shell.keys("\"$COORD\" & echo pid=$! begins\n");
    let coord = pids(&shell.shows("begins"));
    until(|| are('T', &coord));
    shell.keys("fg\n");
    shows_screen(&shell);
    shell.keys("q");
    shell.shows("stays cancelled");
    shell.keys("echo over\n");
    shell.shows("over");
}

#[test]
fn a_run_is_stopped_and_goes_on_also_while_it_starts_processes() {
    let folder = Folder::new();
    let shell = shell(&folder, STARTS);
    shell.keys("items=$(seq 1000); \"$COORD\" run --quiet --param \"l=$items\"\n");
    let started = || folder.read("started").map_or(0, |lines| lines.len());
    let mut before = 0;
    for round in 0..20 {
        // What was typed before is lost with Ctrl-Z: so only once it goes on.
        until(|| started() > before);
        shell.keys(CONTROL_Z);
        shell.keys(&format!("echo stopped {round}.\n"));
        shell.shows(&format!("stopped {round}."));
        before = started();
        assert!(before < 4_000, "it was over in round {round}");
        shell.keys("fg\n");
    }
    shell.shows("coord completed in");
}

fn parent(process: Pid) -> Pid {
    let status = read_to_string(format!("/proc/{}/status", process.as_raw_nonzero())).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    Pid::from_raw(parent.unwrap().trim().parse().unwrap()).unwrap()
}
