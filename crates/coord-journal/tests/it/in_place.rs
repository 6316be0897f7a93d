//! Appends that are committed where they are asked for: when they are, and when they are not.

use std::fs;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use coord_bus::time::{Clock, SystemClock};
use coord_bus::{AppendTo, Durability, EventLog, ExpectedVersion, Record, Timestamp};
use coord_journal::{Journal, JournalOptions};
use futures_util::poll;

use crate::stage::{Stage, append, contents, numbers};

/// A clock that knows on which thread it was asked last: the journal asks it in each transaction.
#[derive(Debug, Default)]
struct Place(Mutex<Option<ThreadId>>);

impl Clock for Place {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap() = Some(thread::current().id());
        SystemClock.now()
    }
}

impl Place {
    /// Whether the last commit was made on this thread.
    fn is_here(&self) -> bool {
        *self.0.lock().unwrap() == Some(thread::current().id())
    }
}

fn open(stage: &Stage) -> (Journal, Arc<Place>) {
    let place = Arc::new(Place::default());
    let options = JournalOptions::new().commit_in_place();
    (stage.open_with(options.clock(place.clone())), place)
}

fn next(version: u64) -> AppendTo {
    numbers("one", ExpectedVersion::Exactly(version - 1), [version]).alone()
}

/// Appends to `one` until an append was committed in place. The version then. Where the machine is slow for a
/// while, the journal's thread does it.
async fn until_in_place(journal: &Journal, place: &Place, mut version: u64) -> u64 {
    for _ in 0..10_000 {
        version = append(journal, next(version + 1)).await;
        if place.is_here() {
            return version;
        }
    }
    panic!("no append was committed in place");
}

#[tokio::test]
async fn an_append_that_nobody_else_waits_for_is_committed_where_it_is_asked_for() {
    let stage = Stage::in_memory();
    let (journal, place) = open(&stage);
    let version = until_in_place(&journal, &place, 0).await;
    let wanted: Vec<_> = (1..=version).map(|version| version.to_string()).collect();
    assert_eq!(contents(&journal, "one").await, wanted);
}

#[tokio::test]
async fn an_append_beside_which_something_could_be_done_is_left_to_the_journals_thread() {
    let stage = Stage::in_memory();
    let (journal, place) = open(&stage);
    let version = until_in_place(&journal, &place, 0).await;
    let mut beside = next(version + 1);
    beside.alone = false;
    append(&journal, beside).await;
    assert!(!place.is_here());
}

#[tokio::test]
async fn an_append_in_place_does_not_wait_for_another_process() {
    let stage = Stage::in_memory();
    let (journal, place) = open(&stage);
    let version = until_in_place(&journal, &place, 0).await;
    let other = stage.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut appending = pin!(journal.append(next(version + 1)));
    // Had it waited here, it would have failed after five seconds.
    assert!(poll!(&mut appending).is_pending());
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(appending.await.unwrap().version, version + 1);
    until_in_place(&journal, &place, version + 1).await;
}

#[tokio::test]
async fn what_was_asked_for_first_is_appended_first() {
    let stage = Stage::in_memory();
    let (journal, place) = open(&stage);
    let mut version = until_in_place(&journal, &place, 0).await;
    for _ in 0..200 {
        // The first of each three is done in place, or all three are not.
        let three = [1, 2, 3].map(|add| journal.append(next(version + add)));
        let [one, two, three] = three;
        let appended = tokio::join!(one, two, three);
        appended.0.unwrap();
        appended.1.unwrap();
        version = appended.2.unwrap().version;
    }
}

#[tokio::test]
async fn the_log_is_not_copied_into_the_file_in_place_and_does_not_grow_for_that() {
    let stage = Stage::in_memory();
    let (journal, place) = open(&stage);
    let version = until_in_place(&journal, &place, 0).await;
    let log = stage.dir().join("journal.db-wal");
    let copied = || fs::metadata(stage.file()).unwrap().len();
    let before = copied();
    let mut longest = 0;
    for version in version + 1..version + 3_000 {
        let file = copied();
        append(&journal, next(version)).await;
        assert!(
            copied() == file || !place.is_here(),
            "it was copied in place"
        );
        longest = longest.max(fs::metadata(&log).unwrap().len());
    }
    assert!(copied() > before, "nothing was copied");
    // As long as 2,000 pages, and what one append may add; room is made 256 KiB at a time.
    assert!(longest < 9 << 20, "{longest}");
    assert!(journal.check().await.unwrap().is_clean());
}

/// Some go on by themselves, some together, and all that is theirs is there, in their order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_of_many_tasks_are_each_there_once_and_in_order() {
    const WRITERS: u64 = 6;
    const EACH: u64 = 150;
    let stage = Stage::in_memory();
    let journal = Arc::new(open(&stage).0);
    let write = |writer: u64| {
        let journal = Arc::clone(&journal);
        async move {
            for version in 0..EACH {
                // From time to time one of them has the journal for itself.
                if version % 50 == writer * 8 {
                    tokio::task::yield_now().await;
                }
                let durability = match version % 4 {
                    0 => Durability::Process,
                    _ => Durability::Disk,
                };
                let append = AppendTo::stream(format!("writer-{writer}"))
                    .expecting(ExpectedVersion::Exactly(version))
                    .record(Record::new("number", (version + 1).to_string()))
                    .durably(durability)
                    .alone();
                journal.append(append).await.unwrap();
            }
        }
    };
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(writer)))
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    write(WRITERS).await;
    let wanted: Vec<_> = (1..=EACH).map(|version| version.to_string()).collect();
    for writer in 0..=WRITERS {
        assert_eq!(
            contents(&*journal, &format!("writer-{writer}")).await,
            wanted
        );
    }
    assert!(journal.check().await.unwrap().is_clean());
}
