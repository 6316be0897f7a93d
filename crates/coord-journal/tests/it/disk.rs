//! What happens when the disk is full, cannot be written to, or fails.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use coord_bus::{AppendTo, EventLog, EventLogError, Record};
use coord_journal::{Journal, JournalError, JournalOptions};

use crate::child::{Role, play};
use crate::mounts::{Mount, skipped};
use crate::stage::{Stage, chain, contents};

fn some(bytes: usize) -> AppendTo {
    AppendTo::stream("stream").record(Record::new("filling", "x".repeat(bytes)))
}

/// The journal's reason for a refusal.
fn reason(refused: EventLogError) -> JournalError {
    let EventLogError::Failed { source } = refused else {
        panic!("{refused:?}");
    };
    *source.downcast().expect("the journal's own error")
}

/// Appends until it is refused. How many were acknowledged, and why it ended.
async fn fill(journal: &Journal, bytes: usize) -> (usize, JournalError) {
    let mut acknowledged = contents(journal, "stream").await.len();
    loop {
        match journal.append(some(bytes)).await {
            Ok(_) => acknowledged += 1,
            Err(refused) => return (acknowledged, reason(refused)),
        }
    }
}

#[tokio::test]
async fn a_journal_that_is_removed_while_it_is_open_acknowledges_nothing_more() {
    let stage = Stage::new();
    let journal = stage.open();
    journal.append(some(1)).await.unwrap();
    std::fs::remove_dir_all(stage.dir()).unwrap();
    let refused = reason(journal.append(some(1)).await.unwrap_err());
    assert!(
        matches!(refused, JournalError::Removed { .. }),
        "{refused:?}"
    );
    // Whoever makes a new one there has another.
    let other = stage.open();
    other.append(some(1)).await.unwrap();
    let refused = reason(journal.append(some(1)).await.unwrap_err());
    assert!(chain(&refused).contains("was removed"), "{refused:?}");
    assert_eq!(contents(&other, "stream").await.len(), 1);
}

/// As who tidies up old files does: the file is written only when its log is copied into it, and the index of the log
/// hardly ever.
#[tokio::test]
async fn a_journal_of_which_a_file_is_removed_or_replaced_acknowledges_nothing_more() {
    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        for replaces in [false, true] {
            let stage = Stage::new();
            let (journal, other) = (stage.open(), stage.open());
            journal.append(some(1)).await.unwrap();
            other.append(some(1)).await.unwrap();
            let path = stage.dir().join(file);
            let aside = stage.parent().join("aside");
            std::fs::rename(&path, &aside).unwrap();
            if replaces {
                std::fs::copy(&aside, &path).unwrap();
            }
            for journal in [&journal, &other] {
                let refused = reason(journal.append(some(1)).await.unwrap_err());
                assert!(
                    matches!(refused, JournalError::Removed { .. }),
                    "{file}, {replaces}: {refused:?}"
                );
            }
            // What it says is to be put back.
            std::fs::rename(&aside, &path).unwrap();
            drop((journal, other));
            let journal = stage.open();
            assert_eq!(contents(&journal, "stream").await.len(), 2, "{file}");
            assert!(journal.check().await.unwrap().is_clean());
        }
    }
}

/// Another process that opens the journal then has another index of the same log, and so another view of it.
#[tokio::test]
async fn what_others_append_after_the_index_of_the_log_was_removed_is_not_written_over() {
    for appends in [false, true] {
        let stage = Stage::new();
        let journal = stage.open();
        journal.append(some(1)).await.unwrap();
        std::fs::remove_file(stage.dir().join("journal.db-shm")).unwrap();
        assert_eq!(
            play(Role::AppendTwenty, &stage.dir(), &[]).lines().len(),
            20
        );
        if appends {
            reason(journal.append(some(1)).await.unwrap_err());
        }
        drop(journal);
        let journal = stage.open();
        assert_eq!(contents(&journal, "stream").await.len(), 21, "{appends}");
        assert!(journal.check().await.unwrap().is_clean());
    }
}

#[tokio::test]
async fn a_journal_on_a_full_disk_can_be_looked_at_and_says_that_the_disk_is_full() {
    const TEST: &str = "a_journal_on_a_full_disk_can_be_looked_at_and_says_that_the_disk_is_full";
    let stage = Stage::new();
    let disk = match Mount::memory(stage.parent().join("disk"), 1 << 20) {
        Ok(disk) => disk,
        Err(why) => return skipped(TEST, &why),
    };
    let dir = disk.path().join("journal");
    let journal = Journal::open(&dir).unwrap();
    journal.append(some(3_000)).await.unwrap();
    drop(journal);
    let full = std::fs::write(disk.path().join("other"), vec![0; 2 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let refused = Journal::open(&dir).unwrap_err();
    assert!(
        matches!(refused, JournalError::DiskFull { .. }),
        "{refused:?}"
    );
    let journal = JournalOptions::new().or_read_only().open(&dir).unwrap();
    assert!(journal.is_read_only());
    assert_eq!(contents(&journal, "stream").await.len(), 1);
    assert!(journal.check().await.unwrap().is_clean());
    let refused = reason(journal.append(some(1)).await.unwrap_err());
    assert!(
        matches!(refused, JournalError::DiskFull { .. }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_full_disk_refuses_by_name_and_keeps_what_it_acknowledged() {
    const TEST: &str = "a_full_disk_refuses_by_name_and_keeps_what_it_acknowledged";
    let stage = Stage::new();
    let disk = match Mount::memory(stage.parent().join("disk"), 1 << 20) {
        Ok(disk) => disk,
        Err(why) => return skipped(TEST, &why),
    };
    let dir = disk.path().join("journal");
    let journal = Journal::open(&dir).unwrap();
    let (acknowledged, full) = fill(&journal, 3_000).await;
    assert!(matches!(full, JournalError::DiskFull { .. }), "{full:?}");
    assert!(full.to_string().contains("free some space"), "{full}");
    assert!(acknowledged > 10, "{acknowledged}");
    // Everything is still there to be read, and nothing more is promised.
    assert_eq!(contents(&journal, "stream").await.len(), acknowledged);
    let again = reason(journal.append(some(1)).await.unwrap_err());
    assert!(matches!(again, JournalError::Stopped { .. }), "{again:?}");
    assert!(chain(&again).contains("is full"), "{}", chain(&again));
    drop(journal);

    disk.change("size=16m");
    let journal = Journal::open(&dir).unwrap();
    assert_eq!(contents(&journal, "stream").await.len(), acknowledged);
    journal.append(some(3_000)).await.unwrap();
    assert!(journal.check().await.unwrap().is_clean());
}

#[tokio::test]
async fn a_file_system_that_becomes_read_only_refuses_by_name() {
    const TEST: &str = "a_file_system_that_becomes_read_only_refuses_by_name";
    let stage = Stage::new();
    let disk = match Mount::memory(stage.parent().join("disk"), 16 << 20) {
        Ok(disk) => disk,
        Err(why) => return skipped(TEST, &why),
    };
    let dir = disk.path().join("journal");
    let journal = Journal::open(&dir).unwrap();
    journal.append(some(10)).await.unwrap();
    drop(journal);
    disk.change("ro");
    let refused = Journal::open(&dir).unwrap_err();
    assert!(
        matches!(refused, JournalError::Directory { .. }),
        "{refused:?}"
    );
    let text = chain(&refused);
    assert!(
        text.contains("may write to") && text.contains("Read-only"),
        "{text}"
    );
    disk.change("rw");
    let journal = Journal::open(&dir).unwrap();
    assert_eq!(contents(&journal, "stream").await.len(), 1);
}

#[tokio::test]
async fn a_directory_that_may_not_be_written_to_is_refused_by_name() {
    const TEST: &str = "a_directory_that_may_not_be_written_to_is_refused_by_name";
    let stage = Stage::new();
    let closed = stage.parent().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, Permissions::from_mode(0o500)).unwrap();
    if std::fs::create_dir(closed.join("probe")).is_ok() {
        return skipped(TEST, "this user may write everywhere");
    }
    let refused = Journal::open(closed.join("journal")).unwrap_err();
    assert!(
        matches!(refused, JournalError::Directory { .. }),
        "{refused:?}"
    );
    assert!(chain(&refused).contains("Permission denied"), "{refused}");
}

/// What a process says that goes on until it is refused, where some of its syncs fail; `None` where they cannot be made
/// to. The first ones make the journal, and then each append has one.
fn where_syncs_fail(role: Role, stage: &Stage, which: &str) -> Option<Vec<String>> {
    let strace = |arguments: &[&str]| {
        let mut strace = std::process::Command::new("strace");
        let status = strace.args(arguments).status();
        status.is_ok_and(|status| status.success())
    };
    let quiet = ["-qq", "-o", "/dev/null"];
    if !strace(&[&quiet[..], &["true"]].concat()) {
        return None;
    }
    let inject = format!("inject=fsync,fdatasync:error=EIO:when={which}");
    let failing = ["-f", "-e", "trace=fsync,fdatasync", "-e", &inject];
    let behind = [&["strace"], &quiet[..], &failing].concat();
    Some(play(role, &stage.dir(), &behind).lines())
}

/// How many appends were acknowledged, where the last was refused for the disk and another one because of that; and
/// what was said after it.
fn acknowledged(said: &[String]) -> (usize, &[String]) {
    let count = said.iter().take_while(|line| line.starts_with("ack "));
    let (acknowledged, rest) = said.split_at(count.count());
    assert!(acknowledged.len() > 5, "{said:?}");
    let [refused, again, rest @ ..] = rest else {
        panic!("{rest:?}");
    };
    assert!(
        refused.starts_with("refused ") && refused.contains("disk I/O error"),
        "{refused}"
    );
    assert!(
        again.starts_with("again ") && again.contains("takes nothing more"),
        "{again}"
    );
    (acknowledged.len(), rest)
}

const NO_STRACE: &str = "strace is not there, or may not trace";

#[tokio::test]
async fn after_a_failed_sync_nothing_is_acknowledged_and_what_was_is_there() {
    const TEST: &str = "after_a_failed_sync_nothing_is_acknowledged_and_what_was_is_there";
    let stage = Stage::new();
    let Some(said) = where_syncs_fail(Role::AppendUntilRefused, &stage, "40+") else {
        return skipped(TEST, NO_STRACE);
    };
    let (acknowledged, rest) = acknowledged(&said);
    assert!(rest.is_empty(), "{rest:?}");
    let journal = stage.open();
    let there = contents(&journal, "stream").await.len();
    assert!(there >= acknowledged, "{there}");
    assert!(journal.check().await.unwrap().is_clean());
    journal.append(some(1)).await.unwrap();
}

/// The next sync would say that all is well, without what the system has given up.
#[tokio::test]
async fn after_a_single_failed_sync_nothing_is_acknowledged_until_the_journal_is_opened_again() {
    const TEST: &str =
        "after_a_single_failed_sync_nothing_is_acknowledged_until_the_journal_is_opened_again";
    let stage = Stage::new();
    let role = Role::AppendUntilRefusedAndReopen;
    let Some(said) = where_syncs_fail(role, &stage, "40") else {
        return skipped(TEST, NO_STRACE);
    };
    let (acknowledged, rest) = acknowledged(&said);
    let journal = stage.open();
    let there = contents(&journal, "stream").await.len();
    assert!(there > acknowledged, "{there}");
    // Of the same process, with whose syncs nothing is wrong any more.
    assert_eq!(rest, [format!("reopened {there}")]);
    assert!(journal.check().await.unwrap().is_clean());
}
