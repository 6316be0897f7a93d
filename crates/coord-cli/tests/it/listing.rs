//! `coord list`: which runs, by their name, their state and their time, a page after the other.

use crate::coord::{Folder, Running, done};

/// The ids that are listed, one a line.
#[track_caller]
fn listed(folder: &Folder, arguments: &[&str]) -> String {
    let mut list = folder.coord(["list", "--output=jsonl"]);
    list.args(arguments);
    let listed = done(list);
    listed.exits(0);
    let runs = listed.out.lines().map(|line| {
        let run: serde_json::Value = serde_json::from_str(line).unwrap();
        run["run"].as_str().unwrap().to_owned()
    });
    runs.collect::<Vec<_>>().join(" ")
}

#[test]
fn runs_are_listed_by_name_state_and_time_a_page_after_the_other() {
    let folder = Folder::new();
    for (name, id, run) in [
        ("build", "a", "true"),
        ("test", "b", "false"),
        ("build", "c", "false"),
        ("build", "d", "true"),
    ] {
        let file = format!("name = '{name}'\n[[step]]\nid = 'it'\nrun = '{run}'\n");
        folder.write("coord.toml", file);
        done(folder.coord(["run", "--id", id]));
    }
    assert_eq!(listed(&folder, &[]), "d c b a");
    assert_eq!(listed(&folder, &["--workflow", "build"]), "d c a");
    assert_eq!(listed(&folder, &["--state", "failed"]), "c b");
    let either = ["--state", "failed,completed", "--workflow=test"];
    assert_eq!(listed(&folder, &either), "b");
    let paged = ["--workflow=build", "--limit=2"];
    assert_eq!(listed(&folder, &paged), "d c");
    let next = ["--workflow=build", "--limit=2", "--before", "c"];
    assert_eq!(listed(&folder, &next), "a");
    for flag in ["--since", "--finished-since"] {
        assert_eq!(listed(&folder, &[flag, "1h"]), "d c b a");
        assert_eq!(listed(&folder, &[flag, "2999-01-01"]), "");
    }
    let text = done(folder.coord(["list", "--state=completed", "--workflow=build"]));
    let lines: Vec<_> = text.exits(0).out.lines().collect();
    assert_eq!(lines.len(), 3, "{text:?}");
    assert!(lines[1].starts_with("d ") && lines[2].starts_with("a "));
}

#[test]
fn a_state_that_there_is_not_is_refused_with_the_nearest_and_all_that_there_are() {
    let folder = Folder::new();
    let refused = done(folder.coord(["list", "--state", "complete"]));
    refused.exits(2);
    for said in ["completed", "timing-out", "interrupted"] {
        assert!(refused.err.contains(said), "{said}: {}", refused.err);
    }
    assert!(refused.err.contains("similar"), "{}", refused.err);
}

#[test]
fn why_runs_failed_is_listed_with_the_step_that_did() {
    let folder = Folder::new();
    let file =
        "[[step]]\nid = 'a'\nrun = 'true'\n[[step]]\nid = 'b'\nneeds = ['a']\nrun = 'exit 9'\n";
    folder.write("coord.toml", file);
    done(folder.coord(["run", "--id", "r"])).exits(100);
    let list = done(folder.coord(["list"]));
    list.exits(0)
        .says("  WHY")
        .says("  step `b` failed: exit code 9\n");
    let list = done(folder.coord(["list", "--output=jsonl"]));
    list.says(r#""error":"step `b` failed: exit code 9""#);
    // The step says it already.
    let shown = done(folder.coord(["show", "r"]));
    assert_eq!(shown.out.matches("exit code 9").count(), 1, "{shown:?}");
}

#[test]
fn why_a_run_was_cancelled_is_told_where_it_is_driven_and_by_whoever_looks_at_it() {
    let folder = Folder::new();
    let file =
        "[[step]]\nid = 'a'\nrun = 'echo begun; while :; do echo goes on; sleep 0.05; done'\n";
    folder.write("coord.toml", file);
    let mut running = Running::start(folder.coord(["run", "--id", "r"]));
    running.until("begun");
    let mut attached = Running::start(folder.coord(["attach", "r"]));
    attached.until("goes on");
    let cancel = folder.coord(["cancel", "r", "--reason", "the disk: is full"]);
    done(cancel).exits(0).says("is cancelled");
    let (_, out) = running.end();
    assert!(out.contains("cancelled (the disk: is full)"), "{out}");
    let (_, out) = attached.end();
    assert!(out.contains("the disk: is full"), "{out}");
    let list = done(folder.coord(["list"]));
    list.exits(0).says("  WHY").says("  the disk: is full");
    let list = done(folder.coord(["list", "--output=jsonl"]));
    list.says(r#""error":"the disk: is full""#);
    done(folder.coord(["show", "r"])).says("the disk: is full");
    done(folder.coord(["report", "r", "--output=text"])).says("the disk: is full");
    // Tried again, it has no reason any more, nor is it that of a service.
    let mut running = Running::start(folder.coord(["retry", "r"]));
    running.until("begun");
    done(folder.coord(["cancel", "r"])).exits(0);
    let (_, out) = running.end();
    assert!(!out.contains("full"), "{out}");
    let list = done(folder.coord(["list"]));
    assert!(
        !list.out.contains("WHY") && !list.out.contains("full"),
        "{list:?}"
    );
}
