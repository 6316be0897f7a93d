//! `coord resume --all`: every run that was interrupted goes on.

use coordination::bus::{AppendTo, EventLog, Record};
use coordination::journal::Journal;

use super::{kill, list, on, said};
use crate::coord::{Folder, done};

/// Notes that it began; then waits for a file, and fails if it says so.
const FILE: &str = "[params]\nname = ''\nfails = ''\n[[step]]\nid = 's'\n\
     run = 'echo began; until test -e go; do sleep 0.01; done; \
     echo $PARAM_NAME >> effects; test -z \"$PARAM_FAILS\"'\n";

/// A folder with interrupted runs of these names; those that begin with `bad` will fail.
fn interrupted<const N: usize>(names: [&str; N]) -> Folder {
    let folder = Folder::new();
    folder.write("coord.toml", FILE);
    for name in names {
        let named = format!("name={name}");
        let fails = format!("fails={}", name.strip_prefix("bad").unwrap_or_default());
        let arguments = ["run", "--id", name, "--param", &named, "--param", &fails];
        kill(on(&folder, arguments, "began", 1));
        list(&folder, "interrupted");
    }
    folder
}

#[tokio::main(flavor = "current_thread")]
async fn damage(folder: &Folder) {
    let journal = Journal::open(folder.path().join("state/coord")).unwrap();
    let no_run = AppendTo::stream("run.broken").record(Record::new("something", "{}"));
    journal.append(no_run).await.unwrap();
}

#[test]
fn all_interrupted_runs_go_on_the_oldest_first_whatever_becomes_of_each() {
    let folder = interrupted(["one", "bad-two", "three"]);
    damage(&folder);
    folder.write("go", "");
    let all = done(folder.coord(["resume", "--all"]));
    all.exits(100);
    assert_eq!(
        folder.read("effects").as_deref(),
        Some("one\nbad-two\nthree\n")
    );
    assert!(said(&all).contains("run `broken`"), "{all:?}");
    let states = ["completed", "failed", "completed"];
    for (name, state) in ["one", "bad-two", "three"].into_iter().zip(states) {
        let shown = done(folder.coord(["show", name]));
        shown.exits(0).says(&format!(": {state}, started"));
    }
    // What cannot be read is there still, and is no reason to do anything twice.
    done(folder.coord(["resume", "--all"])).exits(96);
    assert_eq!(folder.read("effects").unwrap().lines().count(), 3);
}

#[test]
fn where_no_run_was_interrupted_there_is_nothing_to_resume() {
    let folder = interrupted(["one"]);
    folder.write("go", "");
    done(folder.coord(["resume", "--all"]))
        .exits(0)
        .says("1 done");
    let nothing = done(folder.coord(["resume", "--all"]));
    nothing.exits(4);
    assert!(
        said(&nothing).contains("no run was interrupted"),
        "{nothing:?}"
    );
    done(folder.coord(["resume", "one", "--all"])).exits(2);
}

#[test]
fn a_signal_gives_also_the_second_of_them_its_grace() {
    let folder = Folder::new();
    let file = "[[step]]\nid = 's'\nrun = \"trap 'echo saved; exit' TERM; echo began; \
         until test -e go-$COORD_RUN_ID; do sleep 0.01; done\"\n";
    folder.write("coord.toml", file);
    for name in ["one", "two"] {
        kill(on(&folder, ["run", "--id", name], "began", 1));
        list(&folder, "interrupted");
    }
    folder.write("go-one", "");
    let mut running = on(&folder, ["resume", "--all"], "began", 1);
    running.until("completed");
    running.until("began");
    running.signal(rustix::process::Signal::INT);
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(130));
    assert!(printed.contains("saved"), "{printed}");
    done(folder.coord(["show", "two"])).says(": cancelled");
}

#[test]
fn who_ends_one_ends_it_all_and_leaves_the_others_as_they_were() {
    let folder = interrupted(["one", "two"]);
    let running = on(&folder, ["resume", "--all"], "began", 1);
    running.signal(rustix::process::Signal::INT);
    assert_eq!(running.end().0.code(), Some(130));
    done(folder.coord(["show", "one"]))
        .exits(0)
        .says(": cancelled");
    done(folder.coord(["show", "two"]))
        .exits(0)
        .says(": interrupted");
}
