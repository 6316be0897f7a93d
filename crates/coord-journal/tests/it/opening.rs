//! How a journal is opened: its files, its versions, and what it refuses to open.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use coord_bus::{AppendTo, EventLog, ExpectedVersion, Record, StreamQuery, Timestamp};
use coord_journal::{Journal, JournalError, JournalOptions, MAX_RECORD_BYTES};

use rustix::fs::{FlockOperation, flock};

use crate::child::{Role, play};
use crate::stage::{Stage, append, chain, contents, numbers, read};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Of each file in a journal's directory. SQLite's own files are there while it is open.
fn assert_the_owners_alone(stage: &Stage) {
    assert_eq!(mode(&stage.dir()), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(stage.dir()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(
        names,
        [
            "journal.db",
            "journal.db-shm",
            "journal.db-wal",
            "journal.lock",
            "journal.synced",
        ]
    );
}

#[tokio::test]
async fn its_files_are_their_owners_alone() {
    let stage = Stage::new();
    let journal = stage.open();
    append(&journal, numbers("stream", ExpectedVersion::Any, [1])).await;
    assert_the_owners_alone(&stage);
}

#[tokio::test]
async fn its_files_are_their_owners_alone_whatever_the_umask_says() {
    let stage = Stage::new();
    let mut cast = play(Role::OpenWithoutUmask, &stage.dir(), &[]);
    assert_eq!(cast.line().as_deref(), Some("ack stream 1"));
    // Killed, it leaves all of them.
    cast.kill();
    assert_the_owners_alone(&stage);
}

#[tokio::test]
async fn a_directory_that_others_may_read_becomes_its_owners_alone() {
    let stage = Stage::new();
    fs::create_dir(stage.dir()).unwrap();
    fs::set_permissions(stage.dir(), Permissions::from_mode(0o755)).unwrap();
    let journal = stage.open();
    append(&journal, numbers("stream", ExpectedVersion::Any, [1])).await;
    assert_the_owners_alone(&stage);
    drop(journal);
    fs::set_permissions(stage.file(), Permissions::from_mode(0o644)).unwrap();
    let journal = stage.open();
    append(&journal, numbers("stream", ExpectedVersion::Any, [2])).await;
    assert_the_owners_alone(&stage);
}

#[test]
fn parents_that_are_not_there_are_made() {
    let stage = Stage::new();
    let dir = stage.parent().join("a/b/journal");
    drop(Journal::open(&dir).unwrap());
    drop(Journal::open(&dir).unwrap());
    assert_eq!(mode(&dir), 0o700);
}

#[tokio::test]
async fn a_journal_that_has_to_be_there_is_not_made() {
    let stage = Stage::new();
    let open = |dir: &Path| JournalOptions::new().existing().open(dir);
    let empty = stage.parent().join("empty");
    fs::create_dir(&empty).unwrap();
    fs::set_permissions(&empty, Permissions::from_mode(0o755)).unwrap();
    for dir in [&stage.dir(), &empty] {
        let refused = open(dir).unwrap_err();
        assert!(
            matches!(refused, JournalError::NotThere { .. }),
            "{refused:?}"
        );
        assert!(
            refused.to_string().contains(dir.to_str().unwrap()),
            "{refused}"
        );
    }
    assert!(!stage.dir().exists());
    assert_eq!(mode(&empty), 0o755);
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    append(&stage.open(), numbers("stream", ExpectedVersion::Any, [1])).await;
    let journal = open(&stage.dir()).unwrap();
    assert_eq!(contents(&journal, "stream").await, ["1"]);
}

#[test]
fn a_directory_with_other_things_in_it_is_left_as_it_is() {
    let stage = Stage::new();
    fs::create_dir(stage.dir()).unwrap();
    fs::set_permissions(stage.dir(), Permissions::from_mode(0o755)).unwrap();
    fs::write(stage.dir().join("letter.txt"), "dear reader").unwrap();
    let refused = Journal::open(stage.dir()).unwrap_err();
    assert!(
        matches!(refused, JournalError::NotAJournal { .. }),
        "{refused:?}"
    );
    let text = refused.to_string();
    let wanted = "a journal, `letter.txt`: give the journal a directory of its own";
    assert!(text.contains(wanted), "{text}");
    assert_eq!(mode(&stage.dir()), 0o755);
    assert_eq!(fs::read_dir(stage.dir()).unwrap().count(), 1);
}

/// As a process does that is suspended while it opens the journal.
#[test]
fn who_opens_a_journal_does_not_wait_for_ever_for_who_is_opening_it() {
    let stage = Stage::new();
    drop(stage.open());
    let lock = fs::File::open(stage.dir().join("journal.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let patience = Duration::from_millis(50);
    let options = JournalOptions::new().busy_timeout(patience);
    for options in [options.clone(), options.or_read_only()] {
        let refused = options.open(stage.dir()).unwrap_err();
        let text = chain(&refused);
        assert!(
            matches!(refused, JournalError::Busy { waited, .. } if waited == patience),
            "{refused:?}"
        );
        assert!(text.contains("another process is opening it"), "{text}");
    }
    drop(lock);
    stage.open();
}

#[tokio::test]
async fn who_has_a_journal_open_writes_nothing_once_a_later_version_has_brought_it_up_to_its_own() {
    let stage = Stage::new();
    let journal = stage.open();
    append(&journal, numbers("stream", ExpectedVersion::Any, [1])).await;
    stage
        .connect()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    for is_first in [true, false] {
        let next = numbers("stream", ExpectedVersion::Any, [2]);
        let refused = chain(&journal.append(next).await.unwrap_err());
        assert!(
            refused.contains("has schema version 99"),
            "{is_first}: {refused}"
        );
    }
    // What is there can be read still.
    assert_eq!(contents(&journal, "stream").await, ["1"]);
}

/// As the root of each new volume of ext4 is.
#[tokio::test]
async fn an_empty_volume_may_be_the_directory_of_a_journal() {
    let stage = Stage::new();
    fs::create_dir_all(stage.dir().join("lost+found")).unwrap();
    append(&stage.open(), numbers("stream", ExpectedVersion::Any, [1])).await;
    assert_eq!(contents(&stage.open(), "stream").await, ["1"]);
    assert!(stage.dir().join("lost+found").exists());
}

#[test]
fn a_database_of_somebody_else_is_refused() {
    let stage = Stage::new();
    fs::create_dir(stage.dir()).unwrap();
    let sql = "CREATE TABLE streams (name TEXT); INSERT INTO streams VALUES ('brook')";
    stage.connect().execute_batch(sql).unwrap();
    let refused = Journal::open(stage.dir()).unwrap_err();
    assert!(
        matches!(refused, JournalError::NotAJournal { .. }),
        "{refused:?}"
    );
    let count = "SELECT count(*) FROM streams WHERE name = 'brook'";
    let left: i64 = stage
        .connect()
        .query_row(count, (), |row| row.get(0))
        .unwrap();
    assert_eq!(left, 1);
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let stage = Stage::new();
    fs::create_dir(stage.dir()).unwrap();
    fs::write(stage.file(), "dear reader, ".repeat(1_000)).unwrap();
    let refused = Journal::open(stage.dir()).unwrap_err();
    assert!(
        matches!(refused, JournalError::Damaged { .. }),
        "{refused:?}"
    );
}

#[test]
fn a_journal_of_a_later_version_is_refused_by_name() {
    let stage = Stage::new();
    drop(stage.open());
    stage
        .connect()
        .pragma_update(None, "user_version", 7)
        .unwrap();
    let refused = Journal::open(stage.dir()).unwrap_err();
    assert!(
        matches!(
            refused,
            JournalError::Newer {
                version: 7,
                known: 4,
                ..
            }
        ),
        "{refused:?}"
    );
    let text = refused.to_string();
    assert!(
        text.contains("schema version 7") && text.contains("none after 4"),
        "{text}"
    );
}

/// A journal as version 0 made it, with two streams of two records and of one.
const VERSION_0: &str = include_str!("version_0.sql");

#[tokio::test]
async fn a_journal_of_version_0_is_brought_up_to_this_one() {
    let stage = Stage::new();
    fs::create_dir(stage.dir()).unwrap();
    stage.connect().execute_batch(VERSION_0).unwrap();
    let journal = stage.open();
    assert!(journal.check().await.unwrap().is_clean());
    let stored = read(&journal, "run-1").await;
    let kinds: Vec<_> = stored.iter().map(|each| &*each.record.kind).collect();
    assert_eq!(kinds, ["started", "finished"]);
    assert_eq!(stored[1].record.payload, br#"{"ok":true}"#);
    assert_eq!(
        stored[1].at,
        "2024-05-01T12:00:01.5Z".parse::<Timestamp>().unwrap()
    );
    let open = journal
        .streams(&StreamQuery::newest_first().open())
        .await
        .unwrap();
    let names: Vec<_> = open.iter().map(|stream| &*stream.name).collect();
    assert_eq!(names, ["run-2", "run-1"], "none of them could be closed");
    assert_eq!(open[1].at, stored[1].at);

    append(
        &journal,
        numbers("run-1", ExpectedVersion::Exactly(2), [3]).closing(),
    )
    .await;
    assert!(journal.check().await.unwrap().is_clean());
    drop(journal);
    assert_eq!(contents(&stage.open(), "run-1").await.len(), 3);
}

#[tokio::test]
async fn what_is_damaged_in_version_0_is_not_hidden_by_the_way_to_this_one() {
    let stage = Stage::new();
    fs::create_dir(stage.dir()).unwrap();
    let connection = stage.connect();
    connection.execute_batch(VERSION_0).unwrap();
    let change = "UPDATE records SET payload = x'00' WHERE stream = 1 AND version = 1";
    connection.execute_batch(change).unwrap();
    let journal = stage.open();
    assert!(journal.read("run-1", 1, 1).await.is_err());
    assert_eq!(journal.check().await.unwrap().found, 1);
}

/// A journal of version 2, with a closed stream and an open one.
const VERSION_2: &str = include_str!("version_2.sql");

#[tokio::test]
async fn a_journal_of_version_2_is_brought_up_to_this_one() {
    let stage = Stage::new();
    fs::create_dir(stage.dir()).unwrap();
    stage.connect().execute_batch(VERSION_2).unwrap();
    let journal = stage.open();
    let report = journal.check().await.unwrap();
    assert!(report.is_clean() && report.streams == 2, "{report:?}");
    let part = AppendTo::stream("part").record(Record::new("done", ""));
    append(&journal, part.needed_by("run-2").closing()).await;
    let refused = journal.forget("part").await.unwrap_err();
    assert!(refused.to_string().contains("`run-2`"), "{refused}");
    assert!(journal.forget("run-1").await.unwrap());
    drop(journal);
    let journal = stage.open();
    assert!(journal.forget("part").await.is_err());
    assert!(journal.check().await.unwrap().is_clean());
}

/// The same, as version 3 made it.
const VERSION_3: &str = include_str!("version_3.sql");

#[tokio::test]
async fn a_journal_of_version_3_is_brought_up_to_this_one() {
    let stage = Stage::new();
    fs::create_dir(stage.dir()).unwrap();
    stage.connect().execute_batch(VERSION_3).unwrap();
    let journal = stage.open();
    let report = journal.check().await.unwrap();
    assert!(report.is_clean() && report.streams == 2, "{report:?}");
    assert!(journal.forget("run-1").await.unwrap());
    drop(journal);
    let journal = stage.open();
    assert_eq!(read(&journal, "run-2").await.len(), 1);
    assert!(journal.check().await.unwrap().is_clean());
}

#[tokio::test]
async fn what_is_damaged_in_version_2_is_not_hidden_by_the_way_to_this_one() {
    let stage = Stage::new();
    fs::create_dir(stage.dir()).unwrap();
    let connection = stage.connect();
    connection.execute_batch(VERSION_2).unwrap();
    let change = "UPDATE streams SET is_closed = 0 WHERE number = 1";
    connection.execute_batch(change).unwrap();
    assert_eq!(stage.open().check().await.unwrap().found, 1);
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused_and_stops_nothing() {
    let stage = Stage::new();
    let journal = stage.open();
    assert_eq!(journal.max_record_bytes(), Some(MAX_RECORD_BYTES));
    let large = Record::new("large", vec![0; MAX_RECORD_BYTES]);
    let refused = journal.append(AppendTo::stream("one").record(large)).await;
    let refused = chain(&refused.unwrap_err());
    assert!(
        refused.contains("a record of 268435461 bytes is too large"),
        "{refused}"
    );
    append(&journal, numbers("two", ExpectedVersion::Empty, [1])).await;
}

#[test]
fn the_longest_busy_timeout_there_is_may_be_asked_for() {
    let stage = Stage::new();
    stage.open_with(JournalOptions::new().busy_timeout(Duration::MAX));
}
