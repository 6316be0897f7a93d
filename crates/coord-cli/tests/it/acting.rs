//! What a person does with a step on the live screen: in a terminal, with real keys.

use rustix::process::Signal;

use crate::coord::{Folder, done};
use crate::kept::list;
use crate::terminal::{DOWN, Terminal, coord};

fn kept(folder: &Folder, workflow: &str) -> Terminal {
    folder.write("coord.toml", workflow);
    let run = ["run", "--id", "r", "--journal", "state/coord"];
    Terminal::start(coord(folder.path()).args(run), 24, 80)
}

/// A step that waits for a signal, and one after it that runs until there is a file.
const APPROVED: &str = "[[step]]\nid = 'approve'\nsignal = 'go'\n\
     [[step]]\nid = 'deploy'\nneeds = ['approve']\n\
     run = 'echo deploying; until test -e done; do sleep 0.01; done'\n";

#[test]
fn a_step_gets_its_signal_which_outlives_the_program() {
    let folder = Folder::new();
    let terminal = kept(&folder, APPROVED);
    terminal.shows("waits for the signal `go`");
    terminal.keys("s{\"by\": me}\r");
    terminal.shows("no JSON: expected value");
    // The cursor is where the fault is.
    terminal.keys("\"\u{1b}[C\u{1b}[C\"\r");
    // Whoever did something with a step goes on looking at it.
    terminal.keys(DOWN);
    terminal.shows("deploying");
    terminal.signal(Signal::KILL);
    folder.write("done", "");
    let resumed = done(folder.coord(["resume", "r", "--output", "text"]));
    resumed.exits(0);
}

#[test]
fn what_does_not_wait_for_a_signal_gets_none_and_what_only_waits_is_not_stopped() {
    let folder = Folder::new();
    let terminal = kept(&folder, APPROVED);
    terminal.shows("waits for the signal `go`");
    terminal.keys("K");
    terminal.shows("approve is running: there is nothing to stop");
    terminal.keys(DOWN);
    terminal.keys("s");
    terminal.shows("deploy waits for no signal");
}

#[test]
fn what_failed_in_every_attempt_is_tried_again() {
    let folder = Folder::new();
    let mut terminal = kept(
        &folder,
        "[[step]]\nid = 'flaky'\nrun = 'echo trying; test -e mended'\non_exhausted = 'pause'\n",
    );
    terminal.shows_all(["paused", "exit code 1"]);
    folder.write("mended", "");
    terminal.keys("r");
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(0), "{screen}");
    assert!(screen.contains("completed"), "{screen}");
}

#[test]
fn a_step_that_waits_for_another_attempt_makes_it_at_once_or_never() {
    let folder = Folder::new();
    let mut terminal = kept(
        &folder,
        "[[step]]\nid = 'flaky'\nrun = 'echo attempt $COORD_ATTEMPT; exit 7'\n\
         retry = { max_attempts = 9, initial = '1h', max = '1h' }\n\
         hooks = { failure = 'echo \"$COORD_ERROR\" > told' }\n",
    );
    terminal.shows("retrying");
    terminal.keys("r");
    terminal.shows_all(["trying flaky at once", "attempt 2", "retry 2/9"]);
    terminal.keys("K");
    let screen = terminal.shows("what failed");
    assert!(
        screen.contains("flaky: it was stopped by hand; coord.toml:2:6"),
        "{screen}"
    );
    assert!(!screen.contains("cpu"), "{screen}");
    terminal.keys("q");
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(100), "{screen}");
    assert!(!screen.contains("attempt 3"), "{screen}");
    let told = folder.read("told");
    assert_eq!(told.as_deref(), Some("it was stopped by hand\n"));
}

#[test]
fn a_step_is_skipped_and_what_needs_it_goes_on() {
    let folder = Folder::new();
    let terminal = kept(&folder, APPROVED);
    terminal.shows("waits for the signal `go`");
    terminal.keys("x");
    terminal.keys(DOWN);
    terminal.shows("deploying");
    terminal.keys("\u{1b}[A\u{1b}[Ax");
    terminal.shows("approve is skipped: there is nothing to skip");
    folder.write("done", "");
    terminal.shows("completed");
    terminal.keys("q");
}

#[test]
fn a_service_is_not_skipped() {
    let folder = Folder::new();
    let mut terminal = kept(
        &folder,
        "[[service]]\nid = 'api'\nrun = 'exec sleep 1000'\n\
         [[step]]\nid = 'tests'\nneeds = ['api']\nsignal = 'go'\n",
    );
    terminal.shows("waits for the signal `go`");
    terminal.keys("\u{1b}[A\u{1b}[Ax");
    terminal.shows("api is a service");
    let refused = done(folder.coord(["skip", "r", "api"]));
    refused.exits(96);
    assert!(
        refused.err.contains("coord::runs::skipped_service"),
        "{}",
        refused.err
    );
    let misspelt = done(folder.coord(["skip", "r", "test"]));
    assert!(
        misspelt.err.contains("did you mean `tests`?"),
        "{}",
        misspelt.err
    );
    done(folder.coord(["skip", "r", "tests"]))
        .exits(0)
        .says("skips the step `tests`");
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(0), "{screen}");
}

#[test]
fn a_step_whose_every_attempt_failed_is_skipped_also_where_nobody_drives_the_run() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'flaky'\nrun = 'exit 1'\non_exhausted = 'pause'\n\
         [[step]]\nid = 'next'\nneeds = ['flaky']\nrun = 'echo next'\n",
    );
    let run = ["run", "--id", "r", "--journal", "state/coord"];
    let terminal = Terminal::start(coord(folder.path()).args(run), 24, 80);
    terminal.shows("paused");
    terminal.signal(Signal::KILL);
    // Nobody drives it once its watchdog has done.
    list(&folder, "interrupted");
    let told = done(folder.coord(["skip", "r", "flaky"]));
    told.exits(0).says("once it goes on: `coord resume r`");
    let resumed = done(folder.coord(["resume", "r", "--output", "text"]));
    resumed.exits(0).says("next  | next");
}
