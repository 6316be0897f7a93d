//! What lives on where `coord` and its watchdog are killed is ended before the run goes on.
#![cfg(target_os = "linux")]

use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{effects, id, kill, list, on, started};
use crate::coord::{Folder, Running, done, is_gone, pids, until};

/// Waits until something is in a file of the folder.
fn until_told(folder: &Folder, file: &str, text: &str) {
    until(|| folder.read(file).is_some_and(|told| told.contains(text)));
}

/// Kills the watchdog, and then `coord`, which does not get to start another.
fn kill_both(running: Running, processes: &[Pid]) {
    let children = format!("/proc/{0}/task/{0}/children", running.id());
    let children = std::fs::read_to_string(children).unwrap();
    let children = children.split_whitespace().map(|id| id.parse().unwrap());
    let others = children.filter_map(Pid::from_raw);
    let watchdogs: Vec<_> = others.filter(|pid| !processes.contains(pid)).collect();
    let [watchdog] = watchdogs[..] else {
        panic!("{watchdogs:?}");
    };
    running.signal(Signal::STOP);
    kill_process(watchdog, Signal::KILL).unwrap();
    until(|| is_gone(watchdog));
    kill(running);
}

/// The notes of which processes run, of all runs.
fn notes(folder: &Folder) -> Vec<PathBuf> {
    let runs = std::fs::read_dir(folder.path().join("state/coord/output")).unwrap();
    let files = runs.flat_map(|run| std::fs::read_dir(run.unwrap().path()).unwrap());
    let paths = files.map(|file| file.unwrap().path());
    let is_note = |path: &PathBuf| path.file_stem().is_some_and(|name| name == "groups");
    paths.filter(is_note).collect()
}

/// Notes that it begins, and whether the one before still lives; then waits until there is a file `go`.
/// What the shell says of a signal has nobody who reads it, and would end it.
const STEP: &str = "\
    if test -e pid && grep -q '^State:.[^ZX]' /proc/$(cat pid)/status; then echo both >> effects; fi
    echo $$ > pid
    trap 'echo stopped >> effects; exit 1' TERM
    echo begun >> effects
    echo pid=$$
    exec 2> /dev/null
    until test -e go; do sleep 0.01; done
    echo done >> effects";

#[test]
fn a_step_that_lives_on_is_ended_before_it_runs_again() {
    let file = format!("[[step]]\nid = 's'\nrun = \"\"\"\n{STEP}\n\"\"\"\n");
    let (folder, running) = started(&file, "pid=", 1);
    let step = pids(&running.printed)[0];
    kill_both(running, &[step]);
    let runs = list(&folder, "interrupted");
    assert!(!is_gone(step));
    assert_eq!(notes(&folder).len(), 1);

    let resumed = on(&folder, ["resume", "--output", "jsonl"], "pid=", 1);
    assert!(is_gone(step));
    let ended = format!(
        "process {step} of an earlier `coord` was ended with SIGTERM",
        step = step.as_raw_pid()
    );
    assert!(resumed.printed.contains(&ended), "{}", resumed.printed);
    folder.write("go", "");
    let (status, printed) = resumed.end();
    assert!(status.success(), "{printed}");
    let noted = effects(&folder);
    assert_eq!(noted, ["begun", "begun", "done", "stopped"]);
    // With nothing that lives there is nothing to note.
    assert!(notes(&folder).is_empty());
    done(folder.coord(["resume", id(&runs[0])])).exits(0);
}

#[test]
fn it_is_said_what_is_ended_and_a_service_that_lives_on_is_too() {
    let file = "[[service]]\nid = 'db'\nrun = 'echo pid=$$; exec sleep 1000'\nready = { log = 'pid' }\n\
                [[step]]\nid = 's'\nneeds = ['db']\nrun = 'echo pid=$$; echo ran; until test -e go; do sleep 0.01; done'\n";
    let folder = Folder::new();
    folder.write("coord.toml", file);
    let running = on(&folder, ["run", "--id", "r"], "ran", 1);
    let lived = pids(&running.printed);
    let db = lived[0];
    kill_both(running, &lived);
    assert!(!is_gone(db));
    folder.write("go", "");
    let mut resumed = folder.coord(["resume", "r"]);
    resumed.stdout(std::process::Stdio::null());
    let resumed = done(resumed);
    assert!(is_gone(db));
    let said = format!("db: process {} lives on", db.as_raw_pid());
    assert!(resumed.err.contains(&said), "{}", resumed.err);
    resumed.exits(0);
}

/// A run with something to undo and a step that lives on, as the `coord` that ran it was killed with its watchdog.
fn left() -> (Folder, Pid) {
    let file = "[[step]]\nid = 'done'\nrun = 'true'\nundo = { run = 'echo undone >> effects' }\n\
                [[step]]\nid = 's'\nneeds = ['done']\nrun = 'echo pid=$$; exec sleep 1000'\n";
    let folder = Folder::new();
    folder.write("coord.toml", file);
    let running = on(&folder, ["run", "--id", "r"], "pid=", 1);
    let step = pids(&running.printed)[0];
    kill_both(running, &[step]);
    list(&folder, "interrupted");
    assert!(!is_gone(step));
    (folder, step)
}

#[test]
fn what_lives_on_is_told_and_what_ends_it_and_who_cancels_the_run_ends_it() {
    let (folder, step) = left();
    let pid = step.as_raw_pid();
    let said = format!(
        "s (process {pid}) lives on, though nobody drives the run: \
         `coord resume r` ends it first, `coord cancel r` at once\n"
    );
    done(folder.coord(["show", "r"])).says(&said).exits(0);
    let why = done(folder.coord(["why", "r", "s"]));
    why.says(&format!("run r: {said}")).exits(0);
    for arguments in [
        ["show", "--output", "json", "r"].as_slice(),
        &["why", "--output", "json", "r", "s"],
    ] {
        let mut command = folder.coord([]);
        command.args(arguments);
        let told = done(command);
        let told: Value = serde_json::from_str(&told.out).unwrap();
        assert_eq!(told["living"], json!([{ "process": "s", "id": pid }]));
    }
    assert!(!is_gone(step), "who looks ends nothing");

    let cancelled = done(folder.coord(["cancel", "r"]));
    cancelled.says("run r is cancelled, once it goes on: `coord resume r`\n");
    let said = format!("s: process {pid} lives on");
    assert!(cancelled.err.contains(&said), "{}", cancelled.err);
    assert!(is_gone(step) && notes(&folder).is_empty());
    let shown = done(folder.coord(["show", "r", "--output", "json"]));
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(shown.get("living"), None);
    done(folder.coord(["resume", "r"])).exits(130);
    assert_eq!(effects(&folder), ["undone"]);
}

#[test]
fn a_run_that_is_ended_as_it_is_leaves_nothing_that_lives_on() {
    let (folder, step) = left();
    done(folder.coord(["cancel", "--no-undo", "r"])).exits(0);
    assert!(is_gone(step) && notes(&folder).is_empty());
}

#[test]
fn a_signal_while_what_lives_on_is_ended_lets_that_end_and_nothing_begin_and_a_second_kills_it() {
    let file = "[[step]]\nid = 's'\nrun = \"\"\"\ntrap 'echo stopped >> effects' TERM
        echo begun >> effects; echo pid=$$; exec 2> /dev/null
        until test -e go; do sleep 0.01; done; echo done >> effects\n\"\"\"\n";
    for is_killed in [false, true] {
        let (folder, running) = started(file, "pid=", 1);
        let step = pids(&running.printed)[0];
        kill_both(running, &[step]);
        list(&folder, "interrupted");
        // As in the background of a script.
        let mut command = folder.command("sh");
        command.args(["-c", "trap '' INT; exec \"$0\" resume"]);
        command.arg(env!("CARGO_BIN_EXE_coord"));
        command.stderr(std::fs::File::create(folder.path().join("told")).unwrap());
        let resumed = Running::start(command);
        until_told(&folder, "effects", "stopped");
        resumed.signal(Signal::INT);
        until_told(&folder, "told", "once more kills it");
        assert!(!is_gone(step));
        match is_killed {
            true => resumed.signal(Signal::TERM),
            false => folder.write("go", ""),
        }
        let (status, printed) = resumed.end();
        let told = folder.read("told").unwrap();
        assert_eq!(status.code(), Some(130), "{printed}{told}");
        assert!(told.contains("goes on with `coord resume"), "{told}");
        assert!(is_gone(step) && notes(&folder).is_empty());
        assert!(printed.is_empty(), "{printed}");
        list(&folder, "interrupted");
        let expected = ["begun", "done", "stopped"];
        let expected: Vec<_> = expected
            .into_iter()
            .filter(|effect| !is_killed || *effect != "done")
            .collect();
        let mut effects = effects(&folder);
        // Before it is killed it is asked once more.
        effects.dedup();
        assert_eq!(effects, expected);
    }
}
