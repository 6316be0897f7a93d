//! `coord journal` on real journals: whole, damaged, of a later version, and not there.

use std::fs;
use std::path::PathBuf;

use coordination::bus::{AppendTo, EventLog, Record};
use coordination::journal::Journal;

use crate::coord::{Folder, done};
use crate::mounts::{Mount, skipped};

/// A journal `runs` with three records in `run-1` and two in `run-2`, closed.
fn folder() -> Folder {
    let folder = Folder::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let journal = Journal::open(folder.path().join("runs")).unwrap();
        for (stream, count) in [("run-2", 2), ("run-1", 3)] {
            let payload = |number| format!("content {number} of {stream} \u{1b}[2J");
            let records = (1..=count).map(|number| Record::new("said", payload(number)));
            journal
                .append(AppendTo::stream(stream).records(records))
                .await
                .unwrap();
        }
    });
    folder
}

fn file(folder: &Folder) -> PathBuf {
    folder.path().join("runs/journal.db")
}

/// Changes one byte of the second record of `run-1`.
fn damage(folder: &Folder) {
    let mut bytes = fs::read(file(folder)).unwrap();
    let wanted = b"content 2 of run-1";
    let at = bytes
        .windows(wanted.len())
        .position(|there| there == wanted);
    bytes[at.unwrap()] ^= 1;
    fs::write(file(folder), bytes).unwrap();
}

fn lines_of(out: &str) -> Vec<(String, u64, String)> {
    let lines = out.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        (
            text("stream"),
            line["version"].as_u64().unwrap(),
            text("payload"),
        )
    });
    lines.collect()
}

#[test]
fn a_whole_journal_is_said_to_be_whole() {
    let folder = folder();
    let done = done(folder.coord(["journal", "check", "runs"]));
    done.exits(0)
        .says("runs: no damage; streams: 2, records: 5\n");
    assert_eq!(done.err, "");
}

#[test]
fn every_damage_is_named_and_the_exit_code_says_so() {
    let folder = folder();
    damage(&folder);
    let done = done(folder.coord(["journal", "check", "runs", "--color", "never"]));
    done.exits(1);
    assert_eq!(
        done.out,
        "record 2 of stream `run-1` is not the one that was appended\n"
    );
    for part in [
        "the journal runs is damaged",
        "faults: 1",
        "coord journal export DIR",
    ] {
        let said = done.err.replace("\n", " ");
        assert!(said.contains(part), "no {part:?} in {}", done.err);
    }
}

#[test]
fn records_are_exported_as_lines_of_json_in_the_order_of_their_streams() {
    let folder = folder();
    let all = done(folder.coord(["journal", "export", "runs"]));
    all.exits(0);
    let content = |stream: &str, number: u64| {
        let payload = format!("content {number} of {stream} \u{1b}[2J");
        (stream.to_owned(), number, payload)
    };
    let one = [1, 2, 3].map(|number| content("run-1", number));
    let two = [1, 2].map(|number| content("run-2", number));
    assert_eq!(lines_of(&all.out), [&one[..], &two[..]].concat());
    assert!(!all.out.contains('\u{1b}'), "JSON escapes it");
    let second = done(folder.coord(["journal", "export", "runs", "run-2"]));
    second.exits(0);
    assert_eq!(lines_of(&second.out), two);
}

#[test]
fn all_but_what_is_damaged_is_exported_and_the_damage_is_told() {
    let folder = folder();
    damage(&folder);
    let done = done(folder.coord(["journal", "export", "runs"]));
    done.exits(1);
    let exported = lines_of(&done.out);
    let names: Vec<_> = exported
        .iter()
        .map(|(stream, version, _)| (&**stream, *version))
        .collect();
    assert_eq!(names, [("run-1", 1), ("run-2", 1), ("run-2", 2)]);
    assert!(done.err.contains("record 2 of stream"), "{}", done.err);
}

#[test]
fn a_stream_that_is_not_there_is_answered_with_the_nearest() {
    let folder = folder();
    let done = done(folder.coord(["journal", "export", "runs", "rnu-2"]));
    done.exits(96);
    assert_eq!(done.out, "");
    assert!(done.err.contains("no stream `rnu-2`"), "{}", done.err);
    assert!(done.err.contains("did you mean `run-2`?"), "{}", done.err);
}

#[test]
fn a_journal_that_is_not_there_is_told_of_and_not_made() {
    let folder = folder();
    for command in ["check", "export"] {
        let done = done(folder.coord(["journal", command, "rnus"]));
        done.exits(96);
        assert!(
            done.err.contains("there is no journal in rnus"),
            "{}",
            done.err
        );
    }
    assert!(!folder.path().join("rnus").exists());
}

#[test]
fn a_journal_of_a_later_version_is_told_with_what_to_do() {
    /// Where SQLite keeps the number that a program gives to its tables.
    const USER_VERSION: usize = 60;
    let folder = folder();
    let mut bytes = fs::read(file(&folder)).unwrap();
    bytes[USER_VERSION..USER_VERSION + 4].copy_from_slice(&77_u32.to_be_bytes());
    fs::write(file(&folder), bytes).unwrap();
    let done = done(folder.coord(["journal", "check", "runs"]));
    done.exits(96);
    let said: Vec<_> = done
        .err
        .split_whitespace()
        .filter(|word| *word != "│")
        .collect();
    let said = said.join(" ");
    assert!(said.contains("schema version 77"), "{said}");
    assert!(said.contains("open it with the newer program"), "{said}");
}

#[test]
fn a_file_that_is_no_journal_at_all_is_damaged() {
    let folder = folder();
    fs::write(file(&folder), "dear reader, ".repeat(1_000)).unwrap();
    let done = done(folder.coord(["journal", "check", "runs"]));
    done.exits(1);
    assert!(done.err.contains("damaged"), "{}", done.err);
}

#[test]
fn a_reader_that_is_gone_is_output_that_is_lost() {
    let folder = folder();
    let mut command = folder.coord(["journal", "export", "runs"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer);
    assert_eq!(command.output().unwrap().status.code(), Some(110));
}

/// Appends streams of those names, closed, with a text of 100 kB in each.
fn close(folder: &Folder, streams: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let journal = Journal::open(folder.path().join("runs")).unwrap();
        for stream in streams {
            let record = Record::new("said", vec![b'x'; 100_000]);
            let append = AppendTo::stream(*stream).record(record).closing();
            journal.append(append).await.unwrap();
        }
    });
}

fn streams(folder: &Folder) -> Vec<String> {
    let exported = done(folder.coord(["journal", "export", "runs"]));
    let mut streams: Vec<_> = lines_of(&exported.out)
        .into_iter()
        .map(|line| line.0)
        .collect();
    streams.dedup();
    streams
}

#[test]
fn what_is_forgotten_first_gives_its_space_back_and_what_is_no_run_is_kept() {
    let folder = folder();
    close(
        &folder,
        &["order-1", "bell.a", "run.a", "run.b", "bell.b", "run.c"],
    );
    let kept = folder.path().join("runs/output/a");
    fs::create_dir_all(&kept).unwrap();
    let compact = |args: &[&str]| {
        let mut compact = folder.coord(["journal", "compact", "runs"]);
        compact.args(args);
        let done = done(compact);
        done.exits(0);
        assert_eq!(done.err, "");
        done.out
    };
    let whole = compact(&[]);
    assert!(whole.starts_with("runs: "), "{whole}");
    assert!(whole.ends_with(" before; runs forgotten: 0\n"), "{whole}");
    assert_eq!(streams(&folder).len(), 8);
    let size = fs::metadata(file(&folder)).unwrap().len();
    let out = compact(&["--keep-runs", "1", "--output", "json"]);
    let said: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&said["runs_forgotten"], &said["whole"]),
        (&2.into(), &true.into())
    );
    let bytes = |key: &str| said[key].as_u64().unwrap();
    assert!(size > 600_000, "{size}");
    assert_eq!(bytes("bytes_before"), size, "{out}");
    assert!(
        bytes("bytes_after") < bytes("bytes_before") - 290_000,
        "{out}"
    );
    let left = fs::metadata(file(&folder)).unwrap().len();
    assert_eq!(bytes("bytes_after"), left, "and no write-ahead log");
    assert_eq!(
        streams(&folder),
        ["bell.b", "order-1", "run-1", "run-2", "run.c"]
    );
    assert!(!kept.exists());
    done(folder.coord(["journal", "check", "runs"])).exits(0);
}

#[test]
fn a_journal_that_is_damaged_is_not_made_smaller_by_what_is_damaged() {
    let folder = folder();
    close(&folder, &["run.a", "run.b"]);
    let mut bytes = fs::read(file(&folder)).unwrap();
    for at in 0..bytes.len() - 5 {
        if &bytes[at..at + 5] == b"run.a" {
            bytes[at + 4] = b'c';
        }
    }
    fs::write(file(&folder), bytes).unwrap();
    let compact = ["journal", "compact", "runs", "--keep-runs", "0"];
    let done = done(folder.coord(compact));
    done.exits(1);
    assert!(done.err.contains("coord::journal::damaged"), "{}", done.err);
    assert_eq!(done.out, "");
}

#[test]
fn an_export_for_which_there_is_no_room_says_so() {
    let folder = folder();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = folder.coord(["journal", "export", "runs"]);
    command.stdout(full).stderr(std::process::Stdio::piped());
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(110), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
}

#[test]
fn what_is_in_a_journal_that_may_only_be_read_is_seen_and_nothing_is_told_to_it() {
    const TEST: &str =
        "what_is_in_a_journal_that_may_only_be_read_is_seen_and_nothing_is_told_to_it";
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'echo said'\n[[step]]\nid = 'b'\nneeds = ['a']\nrun = 'false'\n",
    );
    done(folder.coord(["run", "--id", "r"])).exits(100);
    let journal = folder.path().join("state/coord");
    let _mount = match Mount::read_only(folder.path().join("ro"), &journal) {
        Ok(mount) => mount,
        Err(why) => return skipped(TEST, &why),
    };
    let of = |arguments: &[&str]| {
        let mut command = folder.coord([]);
        command.args(arguments).args(["--journal", "ro"]);
        done(command)
    };
    of(&["list"]).exits(0).says("failed");
    of(&["show", "r"]).exits(0).says("a  ");
    of(&["logs", "r"]).exits(0).says("said");
    of(&["why", "r", "b"]).exits(0).says("exit code 1");
    of(&["report", "r", "--output", "text"]).exits(0).says("b");
    of(&["graph", "r"]).exits(0).says("a");
    done(folder.coord(["journal", "check", "ro"]))
        .exits(0)
        .says("no damage");
    done(folder.coord(["journal", "export", "ro"]))
        .exits(0)
        .says("run.r");
    for arguments in [&["retry", "r"][..], &["resume", "r"]] {
        let refused = of(arguments);
        refused.exits(96);
        assert!(refused.err.contains("Read-only"), "{}", refused.err);
    }
    let compacted = done(folder.coord(["journal", "compact", "ro"]));
    compacted.exits(96);
    assert!(compacted.err.contains("Read-only"), "{}", compacted.err);
}
