//! A write-ahead log that is missing, or cut short, with what it had: told from one that was copied into the file.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use coord_bus::{AppendTo, Durability, EventLog, ExpectedVersion, Lease};
use coord_journal::{Damage, Journal, JournalError, JournalOptions, Retention};

use crate::child::{Role, WRITERS, play};
use crate::stage::{Stage, append, chain, contents, numbers, read};

const TTL: Duration = Duration::from_secs(3_600);

fn log_of(stage: &Stage) -> PathBuf {
    stage.dir().join("journal.db-wal")
}

/// What is wrong, for which the journal is not opened.
fn refused(stage: &Stage, options: JournalOptions) -> Damage {
    match options.open(stage.dir()) {
        Err(JournalError::Damaged { source, .. }) => source,
        Err(other) => panic!("{}", chain(&other)),
        Ok(_) => panic!("it was opened"),
    }
}

fn assert_behind(stage: &Stage) {
    // Twice: that somebody tries it changes nothing.
    for _ in 0..2 {
        let damage = refused(stage, JournalOptions::new());
        assert!(matches!(damage, Damage::Behind { .. }), "{damage}");
        let told = damage.to_string();
        assert!(
            told.contains("`journal.db-wal`, back") && told.contains("remove `journal.synced`"),
            "{told}"
        );
    }
}

async fn next(journal: &Journal, stream: &str, version: u64) {
    let before = ExpectedVersion::Exactly(version - 1);
    append(journal, numbers(stream, before, [version])).await;
}

/// A journal as a process leaves it that is killed while it has this one open.
fn killed(stage: &Stage) -> Stage {
    let left = Stage::new();
    fs::create_dir(left.dir()).unwrap();
    for entry in fs::read_dir(stage.dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, left.dir().join(path.file_name().unwrap())).unwrap();
        }
    }
    left
}

/// Of an earlier session there are three records in the file, and of one that was killed two in the log.
async fn of_two_sessions() -> Stage {
    let stage = Stage::new();
    append(&stage.open(), numbers("one", ExpectedVersion::Empty, 1..=3)).await;
    let journal = stage.open();
    next(&journal, "one", 4).await;
    next(&journal, "two", 1).await;
    killed(&stage)
}

#[tokio::test]
async fn after_a_kill_a_log_that_is_missing_or_cut_short_is_named_and_can_be_put_back() {
    let stage = Stage::new();
    let mut cast = play(Role::Append(Durability::Disk), &stage.dir(), &[]);
    for _ in 0..100 {
        cast.line().expect("it goes on for ever");
    }
    cast.kill();
    let log = fs::read(log_of(&stage)).unwrap();
    let end = log.iter().rposition(|byte| *byte != 0).unwrap();
    for left in [None, Some(0), Some(32), Some(end / 2)] {
        match left {
            None => fs::remove_file(log_of(&stage)).unwrap(),
            Some(bytes) => fs::write(log_of(&stage), &log[..bytes]).unwrap(),
        }
        for options in [
            JournalOptions::new(),
            JournalOptions::new().or_read_only(),
            JournalOptions::new().existing(),
        ] {
            let damage = refused(&stage, options);
            let is_named = matches!(damage, Damage::Behind { .. } | Damage::Log { .. });
            assert!(is_named, "{left:?}: {damage}");
        }
        fs::write(log_of(&stage), &log).unwrap();
        let journal = JournalOptions::new().only_to_read().open(stage.dir());
        for writer in 0..WRITERS {
            let stream = format!("writer-{writer}");
            let there = contents(journal.as_ref().unwrap(), &stream).await;
            assert!(!there.is_empty(), "{left:?}");
        }
    }
    let journal = stage.open();
    assert!(journal.check().await.unwrap().is_clean());
}

/// Also where it was the first append of a session, which does not know yet how long the log is.
#[tokio::test]
async fn a_log_that_is_missing_is_named_by_who_opens_and_by_who_checks_and_the_rest_is_saved() {
    let stage = of_two_sessions().await;
    let log = fs::read(log_of(&stage)).unwrap();
    fs::remove_file(log_of(&stage)).unwrap();
    assert_behind(&stage);
    let journal = JournalOptions::new().salvaging().open(stage.dir()).unwrap();
    let report = journal.check().await.unwrap();
    assert!(
        matches!(report.faults[..], [Damage::Behind { .. }]),
        "{report:?}"
    );
    assert_eq!(contents(&journal, "one").await, ["1", "2", "3"]);
    let exported = journal.export(std::io::sink());
    assert!(matches!(exported, Err(JournalError::Damaged { .. })));
    let more = numbers("three", ExpectedVersion::Empty, [1]);
    journal.append(more).await.unwrap_err();
    drop(journal);
    assert_behind(&stage);
    fs::write(log_of(&stage), log).unwrap();
    let journal = stage.open();
    assert_eq!(contents(&journal, "one").await.len(), 4);
    assert_eq!(contents(&journal, "two").await.len(), 1);
}

#[tokio::test]
async fn a_journal_of_which_all_was_in_the_log_is_not_begun_anew() {
    let stage = Stage::new();
    let journal = stage.open();
    next(&journal, "one", 1).await;
    let left = killed(&stage);
    let log = fs::read(log_of(&left)).unwrap();
    fs::remove_file(log_of(&left)).unwrap();
    assert_behind(&left);
    let damage = refused(&left, JournalOptions::new().salvaging());
    assert!(matches!(damage, Damage::Behind { .. }), "{damage}");
    fs::write(log_of(&left), log).unwrap();
    assert_eq!(contents(&left.open(), "one").await, ["1"]);
}

#[tokio::test]
async fn a_token_that_was_given_is_missing_with_the_log() {
    let stage = Stage::new();
    next(&stage.open(), "one", 1).await;
    let journal = stage.open();
    journal.acquire("lease", "holder", TTL).await.unwrap();
    let left = killed(&stage);
    fs::remove_file(log_of(&left)).unwrap();
    assert_behind(&left);
}

#[tokio::test]
async fn a_log_that_was_copied_into_the_file_is_missing_to_nobody() {
    let stage = of_two_sessions().await;
    // By another program, which knows nothing of the note.
    let other = stage.connect();
    let all: i64 = other
        .query_row("SELECT count(*) FROM records", (), |row| row.get(0))
        .unwrap();
    assert_eq!(all, 5);
    drop(other);
    assert!(!log_of(&stage).exists());
    let journal = stage.open();
    assert_eq!(contents(&journal, "one").await.len(), 4);
    assert!(journal.check().await.unwrap().is_clean());
    // Emptied, and begun anew without a sync.
    journal.compact().await.unwrap();
    let more = numbers("one", ExpectedVersion::Exactly(4), [5]);
    append(&journal, more.durably(Durability::Process)).await;
    assert!(journal.check().await.unwrap().is_clean());
    let left = killed(&stage);
    drop(journal);
    assert_eq!(contents(&stage.open(), "one").await.len(), 5);
    // What was not synced may be missing.
    fs::remove_file(log_of(&left)).unwrap();
    assert_eq!(contents(&left.open(), "one").await.len(), 4);
}

/// What was appended last is what is forgotten, and a stream is shorter than the one that it replaces.
#[tokio::test]
async fn what_was_forgotten_since_is_not_missing() {
    let stage = Stage::new();
    let journal = stage.open();
    let ids = |stage: &Stage| -> Option<i64> {
        let sql = "SELECT max(id) FROM records";
        stage
            .connect()
            .query_row(sql, (), |row| row.get(0))
            .unwrap()
    };
    for round in 0..3 {
        append(
            &journal,
            numbers("one", ExpectedVersion::Any, 1..=20).closing(),
        )
        .await;
        let anew = numbers("one", ExpectedVersion::Empty, [1]);
        append(&journal, anew.replacing().closing()).await;
        append(
            &journal,
            numbers("two", ExpectedVersion::Empty, 1..=9).closing(),
        )
        .await;
        assert_eq!(ids(&stage), Some(10));
        match round {
            0 => assert!(journal.forget("two").await.unwrap()),
            // Without a sync, and so without a note.
            _ => assert_eq!(
                journal
                    .retain(Retention::all().keep_newest(0))
                    .await
                    .unwrap(),
                2
            ),
        }
        assert!(journal.check().await.unwrap().is_clean());
        let left = killed(&stage);
        drop(left.connect());
        assert!(left.open().check().await.unwrap().is_clean());
    }
    assert_eq!(ids(&stage), None);
    // Nor do records go unnoticed that have ids which there were before.
    journal.compact().await.unwrap();
    next(&journal, "one", 1).await;
    let left = killed(&stage);
    fs::remove_file(log_of(&left)).unwrap();
    assert_behind(&left);
}

#[tokio::test]
async fn a_stream_that_was_forgotten_comes_back_with_a_word() {
    let stage = Stage::new();
    let one = numbers("one", ExpectedVersion::Empty, [1]).closing();
    append(&stage.open(), one).await;
    let journal = stage.open();
    journal.forget("one").await.unwrap();
    let left = killed(&stage);
    fs::remove_file(log_of(&left)).unwrap();
    assert_behind(&left);
}

#[tokio::test]
async fn a_journal_that_is_made_anew_is_not_measured_by_the_one_before() {
    let stage = of_two_sessions().await;
    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        let _ = fs::remove_file(stage.dir().join(file));
    }
    let journal = stage.open();
    assert!(read(&journal, "one").await.is_empty());
    next(&journal, "one", 1).await;
    drop(journal);
    assert!(stage.open().check().await.unwrap().is_clean());
}

#[tokio::test]
async fn an_earlier_copy_that_is_put_back_is_named_until_that_is_said_to_be_on_purpose() {
    let stage = Stage::new();
    next(&stage.open(), "one", 1).await;
    let copy = stage.parent().join("copy.db");
    stage
        .connect()
        .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    next(&stage.open(), "one", 2).await;
    fs::copy(&copy, stage.file()).unwrap();
    assert_behind(&stage);
    fs::remove_file(stage.dir().join("journal.synced")).unwrap();
    assert_eq!(contents(&stage.open(), "one").await, ["1"]);
    // Elsewhere there is nothing to measure it by.
    let elsewhere = Stage::new();
    fs::create_dir(elsewhere.dir()).unwrap();
    fs::copy(&copy, elsewhere.file()).unwrap();
    assert_eq!(contents(&elsewhere.open(), "one").await, ["1"]);
}

/// As versions of this crate made it that did not know it: it says how far the log is, and nothing else.
#[tokio::test]
async fn an_earlier_note_accuses_nobody() {
    let stage = of_two_sessions().await;
    let note = fs::OpenOptions::new()
        .write(true)
        .open(stage.dir().join("journal.synced"));
    note.unwrap().set_len(16).unwrap();
    fs::remove_file(log_of(&stage)).unwrap();
    assert_eq!(contents(&stage.open(), "one").await.len(), 3);
}

/// While one has a journal open, others write and check.
#[tokio::test]
async fn several_who_write_by_turns_are_behind_at_no_time() {
    let stage = Stage::new();
    let (one, other) = (stage.open(), stage.open());
    for version in 1..=40 {
        let durability = match version % 3 {
            0 => Durability::Process,
            _ => Durability::Disk,
        };
        for (journal, stream) in [(&one, "one"), (&other, "other")] {
            let before = ExpectedVersion::Exactly(version - 1);
            let more: AppendTo = numbers(stream, before, [version]).durably(durability);
            append(journal, more).await;
        }
        if version % 10 == 0 {
            one.compact().await.unwrap();
        }
        assert!(other.check().await.unwrap().is_clean());
        let left = killed(&stage);
        assert!(left.open().check().await.unwrap().is_clean());
    }
}
