//! A journal that is looked at, and not touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use coord_bus::{EventLog, ExpectedVersion, Lease};
use coord_journal::{Journal, JournalError, JournalOptions};

use crate::child::{Role, play};
use crate::stage::{Stage, append, contents, numbers};

const TTL: Duration = Duration::from_secs(24 * 60 * 60);

fn look(dir: &Path) -> Result<Journal, JournalError> {
    JournalOptions::new().only_to_read().open(dir)
}

/// All that lies there, but for the index of the log, which is memory that processes share.
fn files(dir: &Path) -> BTreeMap<String, (SystemTime, Vec<u8>)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        let bytes = fs::read(&path).unwrap_or_default();
        if name != "journal.db-shm" {
            files.insert(name, (changed, bytes));
        }
    }
    files
}

#[tokio::test]
async fn a_journal_that_nobody_has_open_is_read_and_left_as_it_lies() {
    let stage = Stage::new();
    let journal = stage.open();
    append(&journal, numbers("stream", ExpectedVersion::Any, 1..=3)).await;
    drop(journal);
    let before = files(&stage.dir());
    let journal = look(&stage.dir()).unwrap();
    assert_eq!(contents(&journal, "stream").await, ["1", "2", "3"]);
    assert_eq!(fs::read_dir(stage.dir()).unwrap().count(), before.len());
    drop(journal);
    assert!(before == files(&stage.dir()));
}

#[tokio::test]
async fn what_others_append_meanwhile_is_read() {
    let stage = Stage::new();
    let others = stage.open();
    append(&others, numbers("stream", ExpectedVersion::Any, [1])).await;
    let journal = look(&stage.dir()).unwrap();
    assert_eq!(contents(&journal, "stream").await, ["1"]);
    append(&others, numbers("stream", ExpectedVersion::Any, [2])).await;
    assert_eq!(contents(&journal, "stream").await, ["1", "2"]);
}

#[tokio::test]
async fn what_a_killed_process_has_left_is_read_and_left() {
    let stage = Stage::new();
    let mut cast = play(Role::Hold, &stage.dir(), &[]);
    assert!(cast.line().unwrap().starts_with("token "));
    let before = files(&stage.dir());
    let journal = look(&stage.dir()).unwrap();
    assert!(journal.current("lease").await.unwrap().is_some());
    cast.kill();
    assert_eq!(journal.current("lease").await.unwrap(), None);
    drop(journal);
    assert!(before == files(&stage.dir()));
    let holders = fs::read_dir(stage.dir().join("holders")).unwrap();
    assert_eq!(holders.count(), 1);
}

#[tokio::test]
async fn nothing_is_written_to_it() {
    let stage = Stage::new();
    drop(stage.open());
    let journal = look(&stage.dir()).unwrap();
    let refused = journal.append(numbers("stream", ExpectedVersion::Any, [1]));
    let refused = refused.await.unwrap_err();
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(why.contains("cannot be written to"), "{why}");
    assert!(journal.acquire("lease", "holder", TTL).await.is_err());
    assert!(journal.compact().await.is_err());
    assert!(journal.presence().is_err());
    assert!(!stage.dir().join("holders").exists());
}

#[test]
fn where_there_is_none_none_is_made() {
    let stage = Stage::new();
    let none = look(&stage.dir()).unwrap_err();
    assert!(matches!(none, JournalError::NotThere { .. }), "{none:?}");
    assert!(!stage.dir().exists());
    fs::create_dir(stage.dir()).unwrap();
    fs::write(stage.file(), "").unwrap();
    let none = look(&stage.dir()).unwrap_err();
    assert!(matches!(none, JournalError::NotAJournal { .. }), "{none:?}");
    assert_eq!(fs::read_dir(stage.dir()).unwrap().count(), 1);
}

#[test]
fn an_earlier_version_stays_what_it_is() {
    let stage = Stage::new();
    fs::create_dir(stage.dir()).unwrap();
    let old = stage.connect();
    old.execute_batch(include_str!("version_2.sql")).unwrap();
    drop(old);
    let before = files(&stage.dir());
    let refused = look(&stage.dir()).unwrap_err();
    assert!(
        matches!(refused, JournalError::ReadOnly { .. }),
        "{refused:?}"
    );
    assert!(before == files(&stage.dir()));
    drop(stage.open());
    look(&stage.dir()).unwrap();
}

#[tokio::test]
async fn its_directory_may_be_called_anything() {
    let stage = Stage::new();
    for name in ["a?b", "50%41", "#1", "ä ö"] {
        let dir = stage.parent().join(name);
        let journal = Journal::open(&dir).unwrap();
        append(&journal, numbers("stream", ExpectedVersion::Any, [1])).await;
        drop(journal);
        let journal = look(&dir).unwrap();
        assert_eq!(contents(&journal, "stream").await, ["1"], "{name}");
    }
}
