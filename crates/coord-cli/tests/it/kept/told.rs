//! What is seen of a run, and said to it, from another process.

use serde_json::Value;

use super::{NOTE, diamond, id, kill, list, said, started};
use crate::coord::{Folder, done, until};

fn show(folder: &Folder, run: &str) -> Value {
    let shown = done(folder.coord(["show", run, "--output=json"]));
    shown.exits(0);
    serde_json::from_str(&shown.out).unwrap()
}

#[test]
fn a_run_in_another_process_is_cancelled_and_undone() {
    let file = "[[step]]\nid = 'done'\nrun = 'true'\nundo = 'echo undone >> effects'\n\
         [[step]]\nid = 'waits'\nneeds = ['done']\nrun = 'echo began; exec sleep 1000'\n";
    let (folder, running) = started(file, "began", 1);
    let run = list(&folder, "running");
    let told = done(folder.coord(["cancel", id(&run[0])]));
    told.exits(0).says("is cancelled\n");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(130), "{printed}");
    assert_eq!(folder.read("effects").as_deref(), Some("undone\n"));
    list(&folder, "cancelled");
    let refused = done(folder.coord(["cancel", id(&run[0])]));
    refused.exits(96);
    assert!(said(&refused).contains("has finished"), "{refused:?}");
}

#[test]
fn a_run_that_is_undone_is_said_to_be_cancelled_soon_and_is_not_paused() {
    let file = "[[step]]\nid = 'done'\nrun = 'true'\n\
         undo = 'echo undoing; until test -e go; do sleep 0.01; done'\n\
         [[step]]\nid = 'waits'\nneeds = ['done']\nrun = 'echo began; exec sleep 1000'\n";
    let (folder, mut running) = started(file, "began", 1);
    let runs = list(&folder, "running");
    let run = id(&runs[0]);
    done(folder.coord(["cancel", run])).exits(0);
    running.until("undoing");
    let refused = done(folder.coord(["pause", run]));
    refused.exits(96);
    assert!(
        said(&refused).contains("coord::runs::ending"),
        "{refused:?}"
    );
    done(folder.coord(["list"])).exits(0).says("  cancelling  ");
    let why = done(folder.coord(["why", run, "done"]));
    why.exits(0).says("done: it is being undone\n");
    let shown = show(&folder, run);
    assert_eq!(shown["ending"], "cancelled");
    assert_eq!(shown["is_paused"], false);
    assert_eq!(shown["steps"][0]["is_being_undone"], true);
    folder.write("go", "");
    assert_eq!(running.end().0.code(), Some(130));
    assert_eq!(show(&folder, run)["ending"], Value::Null);
}

#[test]
fn what_an_interrupted_run_is_told_is_done_when_it_goes_on() {
    let (folder, running) = started(&diamond(), "began", 2);
    kill(running);
    let run = list(&folder, "interrupted");
    let told = done(folder.coord(["cancel", id(&run[0])]));
    told.exits(0).says("once it goes on: `coord resume ");
    done(folder.coord(["resume"])).exits(130).says("cancelled");
    list(&folder, "cancelled");
}

#[test]
fn a_run_that_nobody_drives_is_ended_as_it_is_if_that_is_wanted() {
    let file = "[[step]]\nid = 'done'\nrun = 'true'\nundo = 'echo undone >> effects'\n\
         [[step]]\nid = 'waits'\nneeds = ['done']\nrun = 'echo began; exec sleep 1000'\n";
    let (folder, running) = started(file, "began", 1);
    let runs = list(&folder, "running");
    let end = || done(folder.coord(["cancel", "--no-undo", id(&runs[0])]));
    let refused = end();
    refused.exits(96);
    assert!(said(&refused).contains("is driven by"), "{refused:?}");
    kill(running);
    list(&folder, "interrupted");
    end()
        .exits(0)
        .says("is over, and nothing of it was undone\n");
    list(&folder, "failed");
    let shown = done(folder.coord(["show", id(&runs[0])]));
    shown.exits(0).says("ended by `coord cancel --no-undo`");
    done(folder.coord(["resume", id(&runs[0])]));
    assert_eq!(folder.read("effects"), None);
}

#[test]
fn a_paused_run_begins_no_step_until_it_is_continued() {
    let file = format!(
        "[[step]]\nid = 'one'\nrun = 'echo began; until test -e go; do sleep 0.01; done'\n\
         [[step]]\nid = 'two'\nneeds = ['one']\nrun = '{NOTE}'\n"
    );
    let (folder, mut running) = started(&file, "began", 1);
    let runs = list(&folder, "running");
    let run = id(&runs[0]);
    let why = |step| done(folder.coord(["why", run, step]));
    why("two").exits(0).says("two: it waits for `one`\n");
    done(folder.coord(["pause", run]))
        .exits(0)
        .says("is paused\n");
    // Who drives it says so, too.
    running.until("the run is paused: no step begins until it is continued");
    folder.write("go", "");
    until(|| show(&folder, run)["steps"][0]["phase"] == "completed");
    why("two").exits(0).says("two: the run is paused");
    assert_eq!(list(&folder, "running")[0]["is_paused"], true);
    assert_eq!(folder.read("effects"), None);
    done(folder.coord(["list"])).exits(0).says("  paused  ");
    done(folder.coord(["continue", run]))
        .exits(0)
        .says("is continued\n");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    why("two").exits(0).says("two: it is over: completed\n");
}

#[test]
fn a_run_is_listed_and_shown() {
    let file = "name = 'w'\n\
         [[step]]\nid = 'good'\nrun = 'true'\n\
         [[step]]\nid = 'bad'\nneeds = ['good']\nrun = 'exit 3'\n\
         retry = { max_attempts = 2, initial = '1ms' }\n\
         [[step]]\nid = 'never'\nneeds = ['bad']\nrun = 'true'\n";
    let folder = Folder::new();
    folder.write("coord.toml", file);
    done(folder.coord(["run", "--id", "r"])).exits(100);
    let listed = done(folder.coord(["list"]));
    let row: Vec<_> = listed
        .out
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(row[..4], ["r", "w", "failed", "1/3"]);
    let shown = done(folder.coord(["show", "r"]));
    shown.exits(0).says("run r of w: failed, started ");
    let rows: Vec<Vec<_>> = shown
        .out
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0][..2], ["completed", "good"]);
    assert_eq!(rows[1][..2], ["failed", "bad"]);
    assert!(
        shown.out.contains("2 attempts; exit code 3"),
        "{}",
        shown.out
    );
    let why_not = "`bad` failed before it began";
    assert_eq!(rows[2][..3], ["not", "run", "never"]);
    assert!(shown.out.contains(why_not), "{}", shown.out);
    done(folder.coord(["why", "r", "never"]))
        .exits(0)
        .says(&format!("never: it did not run: {why_not}\n"));
    let json = show(&folder, "r");
    assert_eq!(json["state"], "failed");
    assert_eq!(json["steps"][1]["attempts"], 2);
    assert_eq!(json["steps"][1]["error"], "exit code 3");
    assert_eq!(json["steps"][2]["not_run"], why_not);
    done(folder.coord(["graph", "r"])).exits(0).says("failed");
    done(folder.coord(["why", "r", "bad"]))
        .exits(0)
        .says("bad: exit code 3\n");
    let wrong = done(folder.coord(["why", "r", "baad"]));
    wrong.exits(96);
    assert!(said(&wrong).contains("did you mean `bad`?"), "{wrong:?}");
}

#[test]
fn unfinished_runs_alone_are_listed_and_no_more_than_are_asked_for() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 's'\nrun = 'true'\n");
    for run in ["r1", "r2", "r3"] {
        done(folder.coord(["run", "--id", run])).exits(0);
    }
    let lines = |arguments: [&str; 4]| done(folder.coord(arguments)).out.lines().count();
    assert_eq!(lines(["list", "--output=jsonl", "--limit", "9"]), 3);
    assert_eq!(lines(["list", "--output=jsonl", "--limit", "2"]), 2);
    assert_eq!(
        lines(["list", "--output=jsonl", "--unfinished", "--limit=9"]),
        0
    );
}

#[test]
fn a_run_is_meant_by_the_beginning_or_the_end_of_its_id() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 's'\nrun = 'true'\n");
    for run in ["release-1-red", "release-2-blue", "nightly"] {
        done(folder.coord(["run", "--id", run])).exits(0);
    }
    let shown = |run: &str| done(folder.coord(["show", run]));
    shown("night").exits(0).says("run nightly of");
    shown("red").exits(0).says("run release-1-red of");
    shown("nightly").exits(0).says("run nightly of");
    let ambiguous = shown("release");
    ambiguous.exits(96);
    assert!(said(&ambiguous).contains("any of 2 runs"), "{ambiguous:?}");
    assert!(said(&ambiguous).contains("release-1-red"), "{ambiguous:?}");
    let wrong = shown("nihgtly");
    wrong.exits(96);
    assert!(
        said(&wrong).contains("did you mean `nightly`?"),
        "{wrong:?}"
    );
    assert!(said(&shown("\u{1b}[2J")).contains("no run"));
}

#[test]
fn a_journal_of_ones_own_is_used_wherever_it_is_named() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 's'\nrun = 'true'\n");
    done(folder.coord(["run", "--id", "r", "--journal", "mine"])).exits(0);
    assert!(!folder.path().join("state").exists());
    done(folder.coord(["list", "--journal", "mine"]))
        .exits(0)
        .says("completed");
    done(folder.coord(["show", "r", "--journal=mine"])).exits(0);
    done(folder.coord(["journal", "check", "mine"]))
        .exits(0)
        .says("no damage");
}

const APPROVAL: &str = "[[step]]\nid = 'approval'\nsignal = 'approved'\n\
     [[step]]\nid = 'act'\nneeds = ['approval']\nrun = 'echo acted >> effects'\n";

#[test]
fn a_step_that_waits_for_a_signal_goes_on_when_it_is_sent() {
    let waits = "approval · waits for the signal `approved`";
    let (folder, running) = started(APPROVAL, waits, 1);
    let runs = list(&folder, "running");
    let run = id(&runs[0]);
    done(folder.coord(["why", run, "approval"]))
        .exits(0)
        .says("it waits for the signal `approved`");
    let no_json = done(folder.coord(["signal", run, "approved", "yes"]));
    no_json.exits(2);
    assert_eq!(folder.read("effects"), None);
    done(folder.coord(["signal", run, "approved", "{ \"by\": \"Ann\" }"]))
        .exits(0)
        .says("is sent the signal `approved`\n");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert_eq!(folder.read("effects").as_deref(), Some("acted\n"));
    assert_eq!(show(&folder, run)["steps"][0]["output"]["by"], "Ann");
}

#[test]
fn a_signal_to_a_run_that_nobody_drives_is_there_when_it_goes_on() {
    let (folder, running) = started(APPROVAL, "waits", 1);
    kill(running);
    let run = list(&folder, "interrupted");
    done(folder.coord(["signal", id(&run[0]), "approved"])).exits(0);
    done(folder.coord(["resume"])).exits(0).says("2 done");
}

#[test]
fn a_step_that_sleeps_does_so_while_the_run_is_interrupted_too() {
    let file = "[[step]]\nid = 'rest'\nsleep = '500ms'\n\
         [[step]]\nid = 'long'\nrun = 'echo began; until test -e go; do sleep 0.01; done'\n\
         [[step]]\nid = 'last'\nneeds = ['rest', 'long']\nrun = 'true'\n";
    let (folder, running) = started(file, "began", 1);
    kill(running);
    list(&folder, "interrupted");
    folder.write("go", "");
    done(folder.coord(["resume"])).exits(0).says("3 done");
}

#[test]
fn of_a_run_that_is_driven_elsewhere_nothing_is_said_but_that() {
    let (folder, running) = started(APPROVAL, "waits", 1);
    let runs = list(&folder, "running");
    let refused = done(folder.coord(["resume", id(&runs[0])]));
    refused.exits(96);
    assert_eq!(refused.out, "");
    assert!(
        said(&refused).contains("is driven by process"),
        "{refused:?}"
    );
    running.signal(rustix::process::Signal::INT);
    assert_eq!(running.end().0.code(), Some(130));
}

#[test]
fn a_run_that_is_not_kept_does_not_wait_for_a_signal_that_nobody_can_send() {
    let folder = Folder::new();
    folder.write("coord.toml", APPROVAL);
    let refused = done(folder.coord(["run", "--no-journal"]));
    refused.exits(96);
    assert!(
        said(&refused).contains("waits for the signal `approved`"),
        "{refused:?}"
    );
    assert!(
        said(&refused).contains("leave out `--no-journal`"),
        "{refused:?}"
    );
}

#[test]
fn how_much_time_a_step_and_its_run_have_left_is_said() {
    let folder = Folder::new();
    let file = "timeout = '2h'\n[[step]]\nid = 'a'\ntotal_timeout = '1h'\nrun = 'exec sleep 1000'\n\
         [[step]]\nid = 'b'\nneeds = ['a']\nrun = 'true'\n";
    folder.write("coord.toml", file);
    done(folder.coord(["run", "--id", "r", "--detach"])).exits(0);
    until(|| show(&folder, "r")["steps"][0]["phase"] == "running");
    let why = done(folder.coord(["why", "r", "a"]));
    why.exits(0).says("a: it is running\na: 59 min ");
    why.says(" left of its total_timeout, until 2");
    why.says("run r: 1 h 59 min left of its timeout, until 2");
    let why = done(folder.coord(["why", "r", "b"]));
    assert!(!why.out.contains("total_timeout"), "{}", why.out);
    why.says("run r: 1 h 59 min left of its timeout");
    let told = done(folder.coord(["why", "r", "a", "--output", "json"]));
    let told: Value = serde_json::from_str(&told.out).unwrap();
    let left = |key: &str| told[key].as_f64().unwrap();
    assert!((3_000.0..3_600.0).contains(&left("time_left")), "{told}");
    assert!(
        (6_600.0..7_200.0).contains(&left("run_time_left")),
        "{told}"
    );
    let shown = done(folder.coord(["show", "r"]));
    shown.says("; 1 h 59 min left of its timeout, until 2");
    shown.says("left of its total_timeout, until 2");
    done(folder.coord(["cancel", "r"])).exits(0);
}

#[test]
fn of_a_step_that_only_waits_it_is_said_until_when() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'nap'\nsleep = '1h'\n");
    done(folder.coord(["run", "--id", "r", "--detach"])).exits(0);
    until(|| show(&folder, "r")["steps"][0]["phase"] == "running");
    let until = show(&folder, "r")["steps"][0]["sleeps_until"].clone();
    assert!(
        (3_600.0..3_660.0).contains(&until.as_f64().unwrap()),
        "{until}"
    );
    done(folder.coord(["why", "r", "nap"])).says("nap: it waits until 2");
    done(folder.coord(["show", "r"])).says("it waits until 2");
    done(folder.coord(["cancel", "r"])).exits(0);
}
