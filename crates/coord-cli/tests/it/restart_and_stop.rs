//! Steps and services that are restarted and stopped by another `coord` than the one that runs them.

use rustix::process::Signal;

use crate::coord::{Folder, Running, done, until, until_some};
use crate::kept::list;
use crate::terminal::{DOWN, Terminal, coord};

/// A service and a step, each of which notes that it was started, and another that comes after.
const STARTS: &str = r#"
[[service]]
id = "api"
run = "echo api >> starts; echo listening; exec sleep 1000"
ready = { log = "listening" }
[[step]]
id = "work"
run = "echo work >> starts; echo working; until test -e go; do sleep 0.01; done"
needs = ["api"]
retry = { max_attempts = 3 }
[[step]]
id = "after"
run = "true"
needs = ["work"]
"#;

fn detached(folder: &Folder) {
    folder.write("coord.toml", STARTS);
    done(folder.coord(["run", "--detach", "--id", "r"])).exits(0);
    started(folder, "work", 1);
}

/// Until that was started so often.
fn started(folder: &Folder, what: &str, times: usize) {
    until(|| {
        let starts = folder.read("starts").unwrap_or_default();
        let found = starts.lines().filter(|line| *line == what).count();
        assert!(found <= times, "{starts}");
        found == times
    });
}

/// Until the run is in that state; before, it is in one of these.
fn shows(folder: &Folder, state: &str, before: &[&str]) -> String {
    until_some(|| {
        let shown = done(folder.coord(["show", "r"])).out;
        if shown.contains(state) {
            return Some(shown);
        }
        let is_on_its_way = before.iter().any(|before| shown.contains(before));
        assert!(is_on_its_way, "{shown}");
        None
    })
}

fn ends(folder: &Folder, state: &str) -> String {
    shows(folder, state, &["running"])
}

#[test]
fn a_step_and_a_service_are_restarted_from_another_process_and_have_not_failed() {
    let folder = Folder::new();
    detached(&folder);
    done(folder.coord(["restart", "r", "work"]))
        .exits(0)
        .says("run r restarts the step `work`");
    started(&folder, "work", 2);
    done(folder.coord(["restart", "r", "api"]))
        .exits(0)
        .says("run r restarts the service `api`");
    started(&folder, "api", 2);
    folder.write("go", "");
    let shown = ends(&folder, "completed, started");
    assert!(!shown.contains("attempts"), "{shown}");
    let kept = done(folder.coord(["logs", "r"])).out;
    let expected = "api   | listening\nwork  | working\nwork  · restarted\nwork  | working\n\
                    api   · restarted\napi   | listening\n";
    assert_eq!(kept, expected);
}

#[test]
fn a_step_that_is_stopped_from_another_process_has_failed_and_is_not_tried_again() {
    let folder = Folder::new();
    detached(&folder);
    done(folder.coord(["stop", "r", "work"]))
        .exits(0)
        .says("run r stops the step `work`");
    let shown = ends(&folder, "failed, started");
    assert!(shown.contains("it was stopped by hand"), "{shown}");
    started(&folder, "work", 1);
}

#[test]
fn a_service_that_is_stopped_from_another_process_lets_a_run_end_that_is_up_for_it() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[service]]\nid = 'api'\nrun = 'exec sleep 1000'\n",
    );
    done(folder.coord(["run", "--detach", "--id", "r"])).exits(0);
    shows(&folder, "up, started", &["running"]);
    done(folder.coord(["stop", "r", "api"])).exits(0);
    shows(&folder, "completed, started", &["up"]);
}

#[test]
fn who_looks_on_restarts_and_stops_what_runs_elsewhere() {
    let folder = Folder::new();
    detached(&folder);
    let attach = coord(folder.path()).args(["attach", "r", "--journal", "state/coord"]);
    let mut terminal = Terminal::start(attach, 24, 80);
    terminal.keys(DOWN);
    terminal.shows_all(["work  running", "working"]);
    terminal.keys("r");
    terminal.shows("restarting work");
    started(&folder, "work", 2);
    terminal.keys("K");
    terminal.shows_all(["failed", "stopped by hand"]);
    terminal.keys("q");
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(100), "{screen}");
}

#[test]
fn what_was_restarted_before_a_kill_is_not_restarted_again_when_the_run_is_taken_up() {
    let folder = Folder::new();
    folder.write("coord.toml", STARTS);
    let driver = Running::start(folder.coord(["run", "--id", "r"]));
    started(&folder, "work", 1);
    done(folder.coord(["restart", "r", "work"])).exits(0);
    started(&folder, "work", 2);
    driver.signal(Signal::KILL);
    list(&folder, "interrupted");
    for does in ["restart", "stop"] {
        let refused = done(folder.coord([does, "r", "work"]));
        refused.exits(96);
        let is_told = refused.err.contains("coord::runs::not_driven");
        assert!(is_told, "{}", refused.err);
    }
    let resumed = Running::start(folder.coord(["resume", "r", "--output", "text"]));
    started(&folder, "work", 3);
    folder.write("go", "");
    let (status, printed) = resumed.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    started(&folder, "work", 3);
}

#[test]
fn what_is_not_under_way_is_neither_restarted_nor_stopped() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'first'\nrun = 'true'\n\
         [[step]]\nid = 'ask'\nneeds = ['first']\nsignal = 'go'\n\
         [[step]]\nid = 'last'\nneeds = ['ask']\nrun = 'true'\n",
    );
    let mut driver = Running::start(folder.coord(["run", "--id", "r"]));
    driver.until("ask   · waits");
    let refused = |does: &str, step: &str, code: &str, why: &str| {
        let refused = done(folder.coord([does, "r", step]));
        refused.exits(96);
        let told = refused.err.replace("\n  │ ", " ");
        assert!(told.contains(code) && told.contains(why), "{told}");
    };
    let code = "coord::runs::not_under_way";
    refused("restart", "first", code, "is completed");
    refused("stop", "ask", code, "waits for the signal `go`");
    refused("stop", "last", code, "has not begun");
    refused(
        "stop",
        "lats",
        "coord::runs::no_step",
        "did you mean `last`?",
    );
    done(folder.coord(["signal", "r", "go"])).exits(0);
    driver.end();
    refused("stop", "last", "coord::runs::finished", "has finished");
}

#[test]
fn a_service_that_has_ended_for_good_is_not_stopped() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[service]]\nid = 'api'\nrun = 'echo up; exec sleep 1000'\nready = { log = 'up' }\n\
         [[service]]\nid = 'bad'\nrun = 'echo up; until test -e fail; do sleep 0.01; done; exit 3'\n\
         ready = { log = 'up' }\nrestart = 'no'\n\
         [[step]]\nid = 'work'\nneeds = ['api', 'bad']\nrun = 'echo working; exec sleep 1000'\n",
    );
    let mut driver = Running::start(folder.coord(["run", "--id", "r"]));
    driver.until("working");
    done(folder.coord(["stop", "r", "api"])).exits(0);
    folder.write("fail", "");
    for (service, is) in [("api", "is stopped"), ("bad", "has failed")] {
        until(|| {
            let shown = done(folder.coord(["show", "r"])).out;
            let state = &is[is.rfind(' ').unwrap() + 1..];
            let mut lines = shown.lines();
            lines.any(|line| line.contains(service) && line.contains(state))
        });
        let refused = done(folder.coord(["stop", "r", service]));
        refused.exits(96);
        let told = refused.err.replace("\n  │ ", " ");
        let why = format!("nothing to stop: `{service}` of run `r` {is}");
        assert!(told.contains(&why), "{told}");
    }
    done(folder.coord(["cancel", "r"])).exits(0);
    driver.end();
}

#[test]
fn who_looks_on_sees_that_a_step_waits_for_its_next_attempt_and_has_it_made_at_once() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'flaky'\nrun = 'echo tried $COORD_ATTEMPT; test -e mended'\n\
         retry = { max_attempts = 3, initial = '1h', max = '1h' }\n",
    );
    done(folder.coord(["run", "--detach", "--id", "r"])).exits(0);
    shows(&folder, "retrying", &["running"]);
    let attach = coord(folder.path()).args(["attach", "r", "--journal", "state/coord"]);
    let mut terminal = Terminal::start(attach, 24, 80);
    terminal.shows_all(["retrying", "r try now"]);
    terminal.keys("r");
    // Twice, as it was when it was first tried.
    terminal.until("both crashes", |screen| {
        screen.matches("flaky crashed: exit code 1").count() == 2
    });
    folder.write("mended", "");
    terminal.keys("r");
    let (status, screen) = terminal.end();
    assert_eq!(status.code(), Some(0), "{screen}");
    done(folder.coord(["logs", "r"])).says("tried 2");
}

#[test]
fn a_signal_that_is_sent_twice_with_its_id_is_taken_once() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'one'\nsignal = 'go'\n\
         [[step]]\nid = 'two'\nneeds = ['one']\nsignal = 'go'\n\
         [[step]]\nid = 'say'\nneeds = ['two']\nrun = 'echo got $N'\n\
         env = { N = { output = 'two.value' } }\n",
    );
    let mut driver = Running::start(folder.coord(["run", "--id", "r"]));
    driver.until("one · waits");
    let signal = |value| done(folder.coord(["signal", "r", "go", value, "--id", "m-1"]));
    signal("1").exits(0).says("run r is sent the signal `go`\n");
    signal("1")
        .exits(0)
        .says("run r was sent the signal `go` before, with the id `m-1`: nothing is sent anew\n");
    let other = signal("2");
    other.exits(96);
    assert!(other.err.contains("coord::runs::other_signal"), "{other:?}");
    driver.until("two · waits");
    done(folder.coord(["signal", "r", "go", "2"])).exits(0);
    driver.until("got 2");
    driver.end();
    // What is delivered again reaches a step that is done again.
    let mut driver = Running::start(folder.coord(["retry", "r", "--from", "one"]));
    driver.until("one · waits");
    signal("3").exits(0).says("run r is sent the signal `go`\n");
    driver.until("two · waits");
    done(folder.coord(["signal", "r", "go", "4"])).exits(0);
    driver.until("got 4");
    driver.end();
}

#[test]
fn a_signal_for_which_nobody_waits_any_more_is_refused() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'one'\nsignal = 'go'\n\
         [[step]]\nid = 'two'\nneeds = ['one']\nsignal = 'go'\n\
         [[step]]\nid = 'last'\nneeds = ['two']\nsignal = 'end'\n",
    );
    let mut driver = Running::start(folder.coord(["run", "--id", "r"]));
    driver.until("one  · waits");
    done(folder.coord(["signal", "r", "go"])).exits(0);
    driver.until("two  · waits");
    done(folder.coord(["signal", "r", "go", "--id", "m-2"])).exits(0);
    driver.until("last · waits");
    // One that is sent again is no other.
    done(folder.coord(["signal", "r", "go", "--id", "m-2"])).exits(0);
    let refused = done(folder.coord(["signal", "r", "go", "--id", "m-3"]));
    refused.exits(96);
    assert!(
        refused.err.contains("coord::runs::no_signal"),
        "{}",
        refused.err
    );
    assert!(
        refused.err.contains("`two` is completed"),
        "{}",
        refused.err
    );
    done(folder.coord(["signal", "r", "end"])).exits(0);
    driver.end();
}

/// A step for each of six, two at once, each of which notes that it was started.
const ITEMS: &str = r#"
[[step]]
id = "work"
run = "echo $COORD_ITEM >> starts; until test -e go; do sleep 0.01; done"
for_each = { items = ["a", "b", "c", "d", "e", "f"], max_parallel = 2 }
retry = { max_attempts = 3, initial = "10ms" }
[[step]]
id = "other"
run = "until test -e go; do sleep 0.01; done"
"#;

#[test]
fn no_further_item_of_a_step_begins_that_is_stopped_also_in_a_run_that_is_paused() {
    for pauses in [false, true] {
        let folder = Folder::new();
        folder.write("coord.toml", ITEMS);
        done(folder.coord(["run", "--detach", "--id", "r"])).exits(0);
        started(&folder, "a", 1);
        started(&folder, "b", 1);
        if pauses {
            done(folder.coord(["pause", "r"])).exits(0);
        }
        done(folder.coord(["stop", "r", "work"]))
            .exits(0)
            .says("run r stops the step `work`");
        // Where the other step goes on the run has not ended, but this step has.
        let shown = shows(&folder, "it was stopped by hand", &["running", "paused"]);
        assert!(!shown.contains("attempts"), "{shown}");
        folder.write("go", "");
        shows(
            &folder,
            "failed, started",
            &["running", "paused", "failing"],
        );
        let starts = folder.read("starts").unwrap();
        assert_eq!(starts.lines().count(), 2, "{starts}");
    }
}

#[test]
fn the_items_that_run_are_restarted_and_those_that_follow_begin_once() {
    let folder = Folder::new();
    folder.write("coord.toml", ITEMS);
    done(folder.coord(["run", "--detach", "--id", "r"])).exits(0);
    started(&folder, "b", 1);
    done(folder.coord(["restart", "r", "work"])).exits(0);
    started(&folder, "a", 2);
    started(&folder, "b", 2);
    folder.write("go", "");
    let shown = ends(&folder, "completed, started");
    assert!(!shown.contains("attempts"), "{shown}");
    let starts = folder.read("starts").unwrap();
    let mut starts: Vec<_> = starts.lines().collect();
    starts.sort_unstable();
    assert_eq!(starts, ["a", "a", "b", "b", "c", "d", "e", "f"]);
}

#[test]
fn no_further_item_begins_while_a_run_is_paused_by_another_process() {
    let folder = Folder::new();
    folder.write("coord.toml", ITEMS);
    let mut driver = Running::start(folder.coord(["run", "--id", "r"]));
    started(&folder, "a", 1);
    started(&folder, "b", 1);
    done(folder.coord(["pause", "r"])).exits(0);
    driver.until("the run is paused");
    folder.write("go", "");
    let why = until_some(|| {
        let why = done(folder.coord(["why", "r", "work"])).out;
        why.contains("2 of 6 items are done").then_some(why)
    });
    let paused = "no further one begins while run `r` is paused";
    assert!(why.contains(paused), "{why}");
    assert_eq!(folder.read("starts").unwrap().lines().count(), 2);
    done(folder.coord(["continue", "r"])).exits(0);
    assert!(driver.end().0.success());
    assert_eq!(folder.read("starts").unwrap().lines().count(), 6);
}
