//! Several journals in the same directory: in one process, and in several.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::{AppendTo, EventLog, EventLogError, ExpectedVersion, Record, time};
use coord_journal::{Journal, JournalError, JournalOptions};
use tokio_stream::StreamExt;

use crate::child::{Role, play};
use crate::stage::{Stage, append, contents, numbers};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_tail_sees_what_another_process_appends() {
    let stage = Stage::new();
    let journal = stage.open();
    let mut tail = journal.tail("stream", 1).unwrap();
    let mut other = journal.tail("another", 1).unwrap();
    let cast = play(Role::AppendTwenty, &stage.dir(), &[]);
    for version in 1..=20 {
        let stored = time::timeout(PATIENCE, tail.next()).await.unwrap();
        let stored = stored.unwrap().unwrap();
        assert_eq!(stored.version, version);
        assert_eq!(stored.record.kind, "from another process");
    }
    assert_eq!(cast.lines().len(), 20);
    // It still follows what its own process appends, and so does one that had waited in vain.
    append(
        &journal,
        numbers("stream", ExpectedVersion::Exactly(20), [21]),
    )
    .await;
    append(&journal, numbers("another", ExpectedVersion::Empty, [1])).await;
    assert_eq!(tail.next().await.unwrap().unwrap().version, 21);
    assert_eq!(other.next().await.unwrap().unwrap().version, 1);
}

/// Two tails begin one after the other: the thread that watches rests in between.
#[tokio::test]
async fn a_tail_that_begins_when_there_was_none_is_watched_too() {
    let stage = Stage::new();
    let (journal, other) = (stage.open(), stage.open());
    for round in 1..=3 {
        let mut tail = journal.tail("stream", round).unwrap();
        let next = time::timeout(PATIENCE, async {
            tokio::join!(tail.next(), async {
                // So that the tail waits by then.
                tokio::task::yield_now().await;
                append(
                    &other,
                    numbers("stream", ExpectedVersion::Exactly(round - 1), [round]),
                )
                .await
            })
        });
        let (stored, _) = next.await.unwrap();
        assert_eq!(stored.unwrap().unwrap().version, round);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_processes_that_expect_one_version_one_succeeds() {
    let stage = Stage::new();
    let journals: Vec<_> = (0..4).map(|_| Arc::new(stage.open())).collect();
    for version in 0..25 {
        let appends: Vec<_> = journals
            .iter()
            .map(|journal| {
                let journal = Arc::clone(journal);
                tokio::spawn(async move {
                    let next = ExpectedVersion::Exactly(version);
                    journal.append(numbers("stream", next, [version + 1])).await
                })
            })
            .collect();
        let mut won = 0;
        for appended in appends {
            match appended.await.unwrap() {
                Ok(appended) => {
                    assert_eq!(appended.version, version + 1);
                    won += 1;
                }
                Err(EventLogError::WrongVersion { actual, .. }) => assert_eq!(actual, version + 1),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(won, 1);
    }
    let there = contents(&*journals[0], "stream").await;
    assert!(
        there
            .into_iter()
            .eq((1..=25).map(|version| version.to_string()))
    );
    assert!(journals[1].check().await.unwrap().is_clean());
}

/// Each of them begins with nothing, and all but one find that somebody else makes the tables.
#[test]
fn many_may_open_a_journal_that_is_not_there_yet() {
    for _ in 0..10 {
        let stage = Stage::new();
        std::thread::scope(|scope| {
            let opened: Vec<_> = (0..6)
                .map(|_| scope.spawn(|| Journal::open(stage.dir()).map(drop)))
                .collect();
            for opened in opened {
                opened.join().unwrap().unwrap();
            }
        });
    }
}

#[tokio::test]
async fn who_waits_too_long_for_another_process_is_told_so_and_may_try_again() {
    let stage = Stage::new();
    let options = JournalOptions::new().busy_timeout(Duration::from_millis(20));
    let journal = stage.open_with(options);
    let stranger = stage.connect();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let add = || AppendTo::stream("stream").record(Record::new("kind", "content"));
    let refused = journal.append(add()).await.unwrap_err();
    let EventLogError::Busy { source } = refused else {
        panic!("{refused:?}");
    };
    let busy = source.downcast::<JournalError>().unwrap();
    assert!(matches!(*busy, JournalError::Busy { .. }), "{busy:?}");
    assert!(busy.to_string().contains("for 20ms: try again"), "{busy}");
    stranger.execute_batch("ROLLBACK").unwrap();
    assert_eq!(append(&journal, add()).await, 1);
}

/// Each copies the log into the file now and then, and comes upon another that does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journals_that_copy_the_log_at_the_same_time_go_on() {
    const EACH: u64 = 300;
    let stage = Stage::in_memory();
    let mut writers = Vec::new();
    for journal in ["one", "two"] {
        let opened = Arc::new(stage.open());
        for writer in 0..8 {
            let opened = Arc::clone(&opened);
            let stream = format!("{journal}-{writer}");
            writers.push(tokio::spawn(async move {
                for version in 0..EACH {
                    // A page each, and more: so that the log has been full some times by the end.
                    let append = AppendTo::stream(&*stream)
                        .expecting(ExpectedVersion::Exactly(version))
                        .record(Record::new("page", vec![7; 5_000]));
                    opened.append(append).await.unwrap();
                }
            }));
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let journal = stage.open();
    for stream in ["one", "two"]
        .iter()
        .flat_map(|name| (0..8).map(move |writer| format!("{name}-{writer}")))
    {
        assert_eq!(
            journal.read(&stream, 1, usize::MAX).await.unwrap().len() as u64,
            EACH
        );
    }
}
