//! A journal in a directory that goes with it, and what most tests say of it.

use std::path::{Path, PathBuf};

use coord_bus::{AppendTo, EventLog, ExpectedVersion, Record, StoredRecord};
use coord_journal::{Journal, JournalOptions};
use tempfile::TempDir;

/// A directory for a journal.
pub(crate) struct Stage {
    parent: TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let parent = tempfile::tempdir().expect("there is room for a directory");
        Self { parent }
    }

    /// In memory where there is such a place: for what is opened some thousand times.
    pub(crate) fn in_memory() -> Self {
        match tempfile::tempdir_in("/dev/shm") {
            Ok(parent) => Self { parent },
            Err(_) => Self::new(),
        }
    }

    pub(crate) fn parent(&self) -> &Path {
        self.parent.path()
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.parent.path().join("journal")
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir().join("journal.db")
    }

    pub(crate) fn open(&self) -> Journal {
        Journal::open(self.dir()).expect("it opens")
    }

    pub(crate) fn open_with(&self, options: JournalOptions) -> Journal {
        options.open(self.dir()).expect("it opens")
    }

    /// A connection of a stranger, who does not know the rules.
    pub(crate) fn connect(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.file()).expect("it opens")
    }
}

/// Records that each contain their own version.
pub(crate) fn numbers(
    stream: &str,
    expected: ExpectedVersion,
    versions: impl IntoIterator<Item = u64>,
) -> AppendTo {
    let append = AppendTo::stream(stream).expecting(expected);
    append.records(
        versions
            .into_iter()
            .map(|version| Record::new("number", version.to_string())),
    )
}

pub(crate) async fn append(log: &dyn EventLog, append: AppendTo) -> u64 {
    log.append(append).await.expect("it is appended").version
}

pub(crate) async fn read(log: &dyn EventLog, stream: &str) -> Vec<StoredRecord> {
    log.read(stream, 1, usize::MAX).await.expect("it is read")
}

/// The content of each record of a stream.
pub(crate) async fn contents(log: &dyn EventLog, stream: &str) -> Vec<String> {
    let content = |stored: StoredRecord| String::from_utf8(stored.record.payload);
    let stored = read(log, stream).await.into_iter();
    stored
        .map(|stored| content(stored).expect("text"))
        .collect()
}

/// An error and all that lies below it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}
