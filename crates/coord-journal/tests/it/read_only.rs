//! A journal that may only be read is looked at: closed, left behind by a crash, of an earlier version, and while
//! another writes to it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use coord_bus::{AppendTo, EventLog, EventLogError, ExpectedVersion, Lease};
use coord_journal::{Journal, JournalError, JournalOptions};
use futures_util::StreamExt;

use crate::mounts::{Mount, run, skipped};
use crate::stage::{Stage, append, chain, contents, numbers};

/// A read-only file system that has a journal; why not, where that is not possible.
fn read_only(stage: &Stage, fill: impl FnOnce(&Path)) -> Result<Mount, String> {
    let disk = Mount::memory(stage.parent().join("disk"), 64 << 20)?;
    fill(&disk.path().join("journal"));
    disk.change("ro");
    Ok(disk)
}

fn looked_at(disk: &Mount) -> Journal {
    let options = JournalOptions::new().or_read_only();
    options.open(disk.path().join("journal")).unwrap()
}

/// As a backup has it, that was made while the journal was in use: with its log, and the index of that or not.
fn copied(from: &Path, to: &Path, with_index: bool) {
    run(Command::new("cp").arg("-r").args([from, to])).unwrap();
    assert!(fs::metadata(to.join("journal.db-wal")).unwrap().len() > 0);
    if !with_index {
        fs::remove_file(to.join("journal.db-shm")).unwrap();
    }
}

fn is_refused(refused: EventLogError) {
    let EventLogError::Failed { source } = refused else {
        panic!("{refused:?}");
    };
    let error: JournalError = *source.downcast().unwrap();
    assert!(matches!(error, JournalError::ReadOnly { .. }), "{error:?}");
    assert!(chain(&error).contains("Read-only"), "{}", chain(&error));
}

#[tokio::test]
async fn a_closed_journal_that_may_only_be_read_is_looked_at_and_takes_nothing() {
    const TEST: &str = "a_closed_journal_that_may_only_be_read_is_looked_at_and_takes_nothing";
    let stage = Stage::new();
    let journal = stage.open();
    append(&journal, numbers("run", ExpectedVersion::Empty, 1..=3)).await;
    drop(journal);
    let filled = |dir: &Path| run(Command::new("cp").arg("-r").args([&stage.dir(), dir])).unwrap();
    let disk = match read_only(&stage, filled) {
        Ok(disk) => disk,
        Err(why) => return skipped(TEST, &why),
    };
    let journal = looked_at(&disk);
    assert!(journal.is_read_only());
    assert_eq!(journal.dir(), disk.path().join("journal"));
    assert_eq!(contents(&journal, "run").await, ["1", "2", "3"]);
    assert!(journal.check().await.unwrap().is_clean());
    assert_eq!(journal.export(&mut Vec::new()).unwrap(), 3);
    assert!(journal.current("lease").await.unwrap().is_none());
    is_refused(journal.append(AppendTo::stream("run")).await.unwrap_err());
    is_refused(journal.forget("run").await.unwrap_err());
    let lease = journal
        .acquire("lease", "who", Duration::from_secs(1))
        .await;
    assert!(chain(&lease.unwrap_err()).contains("Read-only"));
    let compacted = journal.compact().await.unwrap_err();
    assert!(matches!(compacted, JournalError::ReadOnly { .. }));
}

#[tokio::test]
async fn what_was_in_the_log_of_a_journal_that_may_only_be_read_is_there() {
    const TEST: &str = "what_was_in_the_log_of_a_journal_that_may_only_be_read_is_there";
    for with_index in [true, false] {
        let stage = Stage::new();
        let journal = stage.open();
        append(&journal, numbers("run", ExpectedVersion::Empty, 1..=3)).await;
        let disk = match read_only(&stage, |dir| copied(&stage.dir(), dir, with_index)) {
            Ok(disk) => disk,
            Err(why) => return skipped(TEST, &why),
        };
        let looked_at = looked_at(&disk);
        assert_eq!(contents(&looked_at, "run").await, ["1", "2", "3"]);
        assert!(looked_at.check().await.unwrap().is_clean());
        is_refused(looked_at.append(AppendTo::stream("run")).await.unwrap_err());
    }
}

#[tokio::test]
async fn a_journal_that_another_writes_to_is_followed_by_who_may_only_read_it() {
    const TEST: &str = "a_journal_that_another_writes_to_is_followed_by_who_may_only_read_it";
    let stage = Stage::new();
    let journal = stage.open();
    append(&journal, numbers("run", ExpectedVersion::Empty, [1])).await;
    let disk = match Mount::read_only(stage.parent().join("disk"), stage.parent()) {
        Ok(disk) => disk,
        Err(why) => return skipped(TEST, &why),
    };
    let looked_at = looked_at(&disk);
    assert!(looked_at.is_read_only());
    let mut tail = looked_at.tail("run", 1).unwrap();
    for version in 1..=200 {
        if version > 1 {
            append(&journal, numbers("run", ExpectedVersion::Any, [version])).await;
        }
        let told = tail.next().await.unwrap().unwrap();
        assert_eq!(told.record.payload, version.to_string().into_bytes());
    }
    // Who has a lease is known here, too.
    let holder = journal
        .acquire("lease", "who", Duration::from_secs(60))
        .await;
    holder.unwrap();
    let held = looked_at.current("lease").await.unwrap();
    assert_eq!(held.unwrap().by, "who");
    drop(journal);
    assert!(looked_at.current("lease").await.unwrap().is_none());
    assert_eq!(contents(&looked_at, "run").await.len(), 200);
}

#[tokio::test]
async fn a_journal_of_an_earlier_version_that_may_only_be_read_is_looked_at() {
    const TEST: &str = "a_journal_of_an_earlier_version_that_may_only_be_read_is_looked_at";
    let stage = Stage::new();
    let filled = |dir: &Path| {
        fs::create_dir(dir).unwrap();
        let connection = rusqlite::Connection::open(dir.join("journal.db")).unwrap();
        let version_2 = include_str!("version_2.sql");
        connection.execute_batch(version_2).unwrap();
    };
    let disk = match read_only(&stage, filled) {
        Ok(disk) => disk,
        Err(why) => return skipped(TEST, &why),
    };
    let report = looked_at(&disk).check().await.unwrap();
    assert!(report.is_clean() && report.streams == 2, "{report:?}");
}

#[test]
fn to_look_at_a_journal_makes_none() {
    let stage = Stage::new();
    let options = JournalOptions::new().or_read_only();
    let refused = options.open(stage.dir()).unwrap_err();
    assert!(
        matches!(refused, JournalError::NotThere { .. }),
        "{refused:?}"
    );
    assert!(!stage.dir().exists());
}
