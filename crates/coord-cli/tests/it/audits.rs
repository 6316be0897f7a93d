//! `coord audit` on real trails: whole, and as copies in which something was changed.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::vocabulary::{AUDIT_LOG, AuditEvent};
use coordination::bus::{AppendTo, BusExt, EventLog, LocalBus, Record, Timestamp};
use coordination::journal::Journal;
use coordination::patterns::audit::AuditConfig;
use coordination::{CoordinationConfig, CoordinationModule};
use serde_json::Value;

use crate::coord::{Folder, done};

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// A journal `trail` with three entries in `audit`, closed.
fn folder() -> Folder {
    let folder = Folder::new();
    runtime().block_on(async {
        let log = Arc::new(Journal::open(folder.path().join("trail")).unwrap());
        let bus = Arc::new(LocalBus::new());
        let config = CoordinationConfig::default();
        let module = CoordinationModule::start(bus.clone(), config).unwrap();
        let patterns = module.patterns().unwrap();
        patterns
            .create_audit_trail_pattern(log, AuditConfig::default(), |trail| trail)
            .unwrap();
        patterns.enable("audit-trail").await.unwrap();
        let happened = bus.publisher(&AUDIT_LOG).unwrap();
        for (actor, limit) in [("ada", 100), ("charles", 5000), ("ada", 200)] {
            let event = AuditEvent {
                at: Timestamp::UNIX_EPOCH,
                actor: actor.to_owned(),
                action: "set-limit".to_owned(),
                subject: "account/17".to_owned(),
                before: None,
                after: Some(limit.into()),
            };
            happened.publish(event).await.unwrap();
        }
        let account = module.shutdown(Duration::from_secs(30)).await;
        assert!(account.is_complete(), "{account}");
    });
    folder
}

/// A journal `copy` of the trail, of which this makes other lines.
fn copy(folder: &Folder, change: impl FnOnce(&mut Vec<String>)) {
    runtime().block_on(async {
        let journal = Journal::open(folder.path().join("trail")).unwrap();
        let records = journal.read("audit", 1, 100).await.unwrap();
        let mut lines: Vec<_> = records
            .iter()
            .map(|stored| String::from_utf8(stored.record.payload.to_vec()).unwrap())
            .collect();
        change(&mut lines);
        let copy = Journal::open(folder.path().join("copy")).unwrap();
        let kind = &records[0].record.kind;
        let records = lines
            .into_iter()
            .map(|line| Record::new(kind.clone(), line));
        copy.append(AppendTo::stream("audit").records(records))
            .await
            .unwrap();
    });
}

/// The head that `verify` prints.
fn head(folder: &Folder) -> String {
    let done = done(folder.coord(["audit", "verify", "trail"]));
    done.exits(0);
    let (_, head) = done.out.trim_end().rsplit_once(' ').unwrap();
    head.to_owned()
}

#[test]
fn a_whole_trail_is_said_to_be_whole_with_its_head() {
    let folder = folder();
    let head = head(&folder);
    let done = done(folder.coord(["audit", "verify", "trail"]));
    done.exits(0)
        .says(&format!("trail: whole; entries: 3, head: {head}\n"));
    let done = done_json(
        &folder,
        "json",
        ["audit", "verify", "trail", "--head", &head],
    );
    assert_eq!(
        (&done.1["whole"], &done.1["entries"]),
        (&true.into(), &3.into())
    );
    assert_eq!(format!("3:{}", done.1["head"].as_str().unwrap()), head);
    assert_eq!(done.0, 0);
}

/// The exit code, and what a command says in this form of JSON.
fn done_json<const N: usize>(folder: &Folder, output: &str, arguments: [&str; N]) -> (i32, Value) {
    let mut command = folder.coord(arguments);
    command.args(["--output", output]);
    let done = done(command);
    (done.code.unwrap(), serde_json::from_str(&done.out).unwrap())
}

#[test]
fn what_was_changed_is_named_and_the_exit_code_says_so() {
    type Change = fn(&mut Vec<String>);
    let changes: [(Change, &str); 4] = [
        (
            |lines| lines[1] = lines[1].replace("5000", "500"),
            "entry 2 was altered",
        ),
        (|lines| drop(lines.remove(1)), "entry 2 is missing"),
        (
            |lines| lines.swap(0, 1),
            "entry 1 is out of order: it is in place 2",
        ),
        (
            |lines| lines.push(lines[2].clone()),
            "entry 3 is there a second time, in place 4",
        ),
    ];
    for (change, expected) in changes {
        let folder = folder();
        copy(&folder, change);
        let done = done(folder.coord(["audit", "verify", "copy"]));
        done.exits(1);
        assert!(done.err.contains("coord::audit::tampered"), "{}", done.err);
        assert!(done.err.contains(expected), "{}", done.err);
        assert_eq!(done.out, "");
        let (code, said) = done_json(&folder, "json", ["audit", "verify", "copy"]);
        assert_eq!((code, &said["whole"]), (1, &false.into()));
        assert_eq!(said["fault"], expected);
    }
}

#[test]
fn a_trail_that_was_cut_off_is_whole_but_for_a_head_that_was_kept() {
    let folder = folder();
    let head = head(&folder);
    copy(&folder, |lines| lines.truncate(2));
    done(folder.coord(["audit", "verify", "copy"])).exits(0);
    let done = done(folder.coord(["audit", "verify", "copy", "--head", &head]));
    done.exits(1);
    assert!(done.err.contains("entry 3 is missing"), "{}", done.err);
}

#[test]
fn a_byte_that_is_changed_below_the_journal_is_damage() {
    let folder = folder();
    let file = folder.path().join("trail/journal.db");
    let mut bytes = fs::read(&file).unwrap();
    let wanted = b"\"after\":5000";
    let mut places = bytes.windows(wanted.len());
    let at = places.position(|there| there == wanted).unwrap() + 8;
    bytes[at] = b'9';
    fs::write(&file, bytes).unwrap();
    let done = done(folder.coord(["audit", "verify", "trail"]));
    done.exits(1);
    assert!(done.err.contains("coord::journal::damaged"), "{}", done.err);
}

#[test]
fn entries_are_shown_up_to_the_first_that_is_none() {
    let folder = folder();
    let shown = done(folder.coord(["audit", "show", "trail", "--from", "2", "--limit", "1"]));
    shown.exits(0);
    assert_eq!(shown.out.lines().count(), 1);
    assert!(
        shown.out.contains("charles  set-limit account/17: 5000"),
        "{}",
        shown.out
    );
    let (code, said) = done_json(&folder, "jsonl", ["audit", "show", "trail", "--limit", "1"]);
    assert_eq!((code, &said["actor"]), (0, &"ada".into()));

    copy(&folder, |lines| lines[1] = lines[1].replace("5000", "500"));
    let shown = done(folder.coord(["audit", "show", "copy"]));
    shown.exits(1);
    assert_eq!(shown.out.lines().count(), 1);
    assert!(shown.err.contains("entry 2 was altered"), "{}", shown.err);
}

#[test]
fn what_is_exported_is_verified_without_the_journal() {
    let folder = folder();
    let exported = done(folder.coord(["audit", "export", "trail"]));
    exported.exits(0);
    let file = folder.path().join("trail.jsonl");
    fs::write(&file, &exported.out).unwrap();
    let head = head(&folder);
    done(folder.coord(["audit", "verify", "trail.jsonl", "--head", &head])).exits(0);
    fs::write(&file, exported.out.replace("5000", "500")).unwrap();
    let done = done(folder.coord(["audit", "verify", "trail.jsonl"]));
    done.exits(1);
    assert!(done.err.contains("entry 2 was altered"), "{}", done.err);
}

#[test]
fn a_trail_that_is_not_there_is_named_with_the_one_that_was_meant() {
    let folder = folder();
    let none = done(folder.coord(["audit", "verify", "trail", "audti"]));
    none.exits(96);
    assert!(none.err.contains("did you mean `audit`?"), "{}", none.err);
    done(folder.coord(["audit", "show", "nowhere"])).exits(96);
    done(folder.coord(["audit", "verify", "trail", "--head", "3:zz"])).exits(2);
}

#[test]
fn what_was_altered_is_said_once() {
    let folder = folder();
    copy(&folder, |lines| lines[1] = lines[1].replace("5000", "1000"));
    let done = done(folder.coord(["audit", "verify", "copy"]));
    done.exits(1);
    assert_eq!(
        done.err.matches("entry 2 was altered").count(),
        1,
        "{}",
        done.err
    );
}

#[test]
fn a_file_is_no_journal_to_show_and_the_answer_says_what_can_be_done_with_it() {
    let folder = folder();
    fs::write(folder.path().join("lines"), "").unwrap();
    for command in ["show", "export"] {
        let done = done(folder.coord(["audit", command, "lines"]));
        done.exits(96);
        let text: Vec<_> = done.err.split_whitespace().collect();
        let text = text.join(" ");
        assert!(text.contains("lines is a file"), "{text}");
        assert!(text.contains("`coord audit verify lines`"), "{text}");
    }
}
