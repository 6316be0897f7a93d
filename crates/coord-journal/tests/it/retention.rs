//! What is forgotten, what is kept, and where the space goes.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::ManualClock;
use coord_bus::{AppendTo, Durability, EventLog, ExpectedVersion, Record, StreamQuery, Timestamp};
use coord_journal::{Journal, JournalOptions, Retention};

use crate::stage::{Stage, append, contents, numbers};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// One stream an hour: `run-0` is closed first, and every third one stays open.
async fn ten_runs(journal: &Journal, clock: &ManualClock) {
    for run in 0..10 {
        clock.advance(HOUR);
        let run_stream = numbers(&format!("run-{run}"), ExpectedVersion::Empty, 1..=5);
        match run % 3 {
            2 => append(journal, run_stream).await,
            _ => append(journal, run_stream.closing()).await,
        };
    }
}

async fn left(journal: &Journal) -> Vec<String> {
    let streams = journal.streams(&StreamQuery::by_name()).await.unwrap();
    streams.into_iter().map(|stream| stream.name).collect()
}

async fn staged(stage: &Stage) -> (Journal, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let journal = stage.open_with(JournalOptions::new().clock(clock.clone()));
    ten_runs(&journal, &clock).await;
    (journal, clock)
}

#[tokio::test]
async fn what_was_closed_too_long_ago_goes_and_open_streams_stay() {
    let stage = Stage::new();
    let (journal, _) = staged(&stage).await;
    // The last one was closed just now.
    let gone = journal.retain(Retention::all().keep_for(6 * HOUR)).await;
    assert_eq!(gone.unwrap(), 2);
    let kept = [
        "run-2", "run-3", "run-4", "run-5", "run-6", "run-7", "run-8", "run-9",
    ];
    assert_eq!(left(&journal).await, kept);
    assert_eq!(contents(&journal, "run-3").await, ["1", "2", "3", "4", "5"]);
    assert!(journal.check().await.unwrap().is_clean());
}

#[tokio::test]
async fn the_newest_closed_streams_are_kept_and_open_ones_do_not_count() {
    let stage = Stage::new();
    let (journal, _) = staged(&stage).await;
    let gone = journal.retain(Retention::all().keep_newest(2)).await;
    assert_eq!(gone.unwrap(), 5);
    let kept = ["run-2", "run-5", "run-7", "run-8", "run-9"];
    assert_eq!(left(&journal).await, kept);
    assert_eq!(
        journal
            .retain(Retention::all().keep_newest(2))
            .await
            .unwrap(),
        0
    );
    assert!(journal.check().await.unwrap().is_clean());
}

#[tokio::test]
async fn streams_of_other_names_are_neither_forgotten_nor_counted() {
    let stage = Stage::new();
    let (journal, clock) = staged(&stage).await;
    for name in ["bell-1", "run", "run-", "run.", "run-zz"] {
        append(
            &journal,
            numbers(name, ExpectedVersion::Empty, [1]).closing(),
        )
        .await;
    }
    clock.advance(HOUR);
    // Seven of the ten are closed, and two of the five begin so.
    let runs = || Retention::of("run-");
    assert_eq!(journal.retain(runs().keep_newest(9)).await.unwrap(), 0);
    assert_eq!(journal.retain(runs().keep_newest(6)).await.unwrap(), 3);
    // The last three were closed just so long ago.
    assert_eq!(journal.retain(runs().keep_for(HOUR)).await.unwrap(), 3);
    let bells = Retention::of("bell-").keep_newest(0);
    assert_eq!(journal.retain(bells).await.unwrap(), 1);
    let kept = [
        "run", "run-", "run-2", "run-5", "run-8", "run-9", "run-zz", "run.",
    ];
    assert_eq!(left(&journal).await, kept);
}

#[tokio::test]
async fn every_condition_has_to_hold_and_none_keeps_all() {
    let stage = Stage::new();
    let (journal, _) = staged(&stage).await;
    assert_eq!(journal.retain(Retention::all()).await.unwrap(), 0);
    assert_eq!(left(&journal).await.len(), 10);
    let both = Retention::all().keep_for(3 * HOUR).keep_newest(5);
    assert_eq!(journal.retain(both).await.unwrap(), 4);
    let longer = Retention::all()
        .keep_for(Duration::MAX)
        .keep_newest(u64::MAX);
    assert_eq!(journal.retain(longer).await.unwrap(), 0);
    let nothing = Retention::all().keep_newest(0);
    assert_eq!(journal.retain(nothing).await.unwrap(), 3);
    assert_eq!(left(&journal).await, ["run-2", "run-5", "run-8"]);
}

#[tokio::test]
async fn a_closed_stream_that_another_needs_does_not_count_and_goes_with_that_one() {
    let stage = Stage::new();
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let journal = stage.open_with(JournalOptions::new().clock(clock.clone()));
    let whole = || numbers("whole", ExpectedVersion::Any, [1]);
    append(&journal, whole()).await;
    for run in 0..6 {
        clock.advance(HOUR);
        let part = numbers(&format!("run-{run}"), ExpectedVersion::Empty, [1]).closing();
        match run {
            0 | 2 => append(&journal, part.needed_by("whole")).await,
            _ => append(&journal, part).await,
        };
    }
    let retain = async |retention| journal.retain(retention).await.unwrap();
    assert_eq!(retain(Retention::of("run-").keep_newest(2)).await, 2);
    assert_eq!(retain(Retention::of("run-").keep_newest(2)).await, 0);
    assert_eq!(
        left(&journal).await,
        ["run-0", "run-2", "run-4", "run-5", "whole"]
    );
    assert_eq!(retain(Retention::all().keep_for(Duration::ZERO)).await, 1);
    assert_eq!(left(&journal).await, ["run-0", "run-2", "run-5", "whole"]);
    append(&journal, whole().closing()).await;
    assert_eq!(retain(Retention::of("run-").keep_newest(0)).await, 1);
    assert_eq!(left(&journal).await, ["run-0", "run-2", "whole"]);
    assert_eq!(retain(Retention::all().keep_newest(1)).await, 0);
    assert_eq!(retain(Retention::all().keep_newest(0)).await, 3);
    assert!(left(&journal).await.is_empty());
    assert!(journal.check().await.unwrap().is_clean());
}

#[tokio::test]
async fn what_a_stream_needed_that_was_replaced_goes_by_itself() {
    let stage = Stage::new();
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let journal = stage.open_with(JournalOptions::new().clock(clock.clone()));
    for day in 0..3 {
        let whole = numbers("nightly", ExpectedVersion::Empty, [1]).replacing();
        append(&journal, whole).await;
        let part = numbers(&format!("part-{day}"), ExpectedVersion::Empty, [1]);
        append(&journal, part.needed_by("nightly").closing()).await;
        let ended = numbers("nightly", ExpectedVersion::Exactly(1), [2]);
        append(&journal, ended.closing()).await;
        clock.advance(HOUR);
    }
    let newest = Retention::all().keep_for(2 * HOUR).keep_newest(1);
    assert_eq!(journal.retain(newest).await.unwrap(), 1);
    assert_eq!(left(&journal).await, ["nightly", "part-1", "part-2"]);
    assert!(journal.forget("part-1").await.unwrap());
    assert_eq!(left(&journal).await, ["nightly", "part-2"]);
}

/// Runs of three items each, of which one has a part of its own: what is closed first is the innermost.
#[tokio::test]
async fn the_newest_are_kept_with_all_that_they_need_however_many_there_are() {
    let stage = Stage::new();
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let journal = stage.open_with(JournalOptions::new().clock(clock.clone()));
    for run in 0..4 {
        let name = format!("run-{run}");
        append(&journal, numbers(&name, ExpectedVersion::Empty, [1])).await;
        for item in 0..3 {
            let item = format!("{name}.{item}");
            let begun = numbers(&item, ExpectedVersion::Empty, [1]);
            append(&journal, begun.needed_by(&name)).await;
            let part = numbers(&format!("{item}.part"), ExpectedVersion::Empty, [1]);
            append(&journal, part.closing().needed_by(&item)).await;
            clock.advance(HOUR);
            let ended = numbers(&item, ExpectedVersion::Exactly(1), [2]);
            append(&journal, ended.closing()).await;
        }
        clock.advance(HOUR);
        let ended = numbers(&name, ExpectedVersion::Exactly(1), [2]);
        append(&journal, ended.closing()).await;
    }
    let all = left(&journal).await;
    assert_eq!(all.len(), 4 * 7);
    let retain = async |retention| journal.retain(retention).await.unwrap();
    assert_eq!(retain(Retention::of("run-").keep_newest(4)).await, 0);
    assert_eq!(retain(Retention::of("run-").keep_newest(3)).await, 7);
    assert_eq!(left(&journal).await, all[7..]);
    // The second is older, and half of what the third needs.
    assert_eq!(retain(Retention::all().keep_for(6 * HOUR)).await, 7);
    assert_eq!(left(&journal).await, all[14..]);
    // What nothing needs any more, as that was forgotten by its name.
    assert!(journal.forget("run-2").await.unwrap());
    assert_eq!(retain(Retention::all().keep_for(4 * HOUR)).await, 6);
    assert_eq!(left(&journal).await, all[21..]);
    assert!(journal.check().await.unwrap().is_clean());
}

/// More than one search goes along, and than one transaction forgets.
#[tokio::test]
async fn what_is_not_needed_goes_from_among_many_that_are() {
    const PARTS: usize = 4_500;
    let stage = Stage::new();
    let journal = stage.open();
    append(&journal, numbers("whole", ExpectedVersion::Any, [1])).await;
    for part in 0..PARTS {
        let records = numbers(&format!("run-{part}"), ExpectedVersion::Empty, 1..=2);
        let records = records.durably(Durability::Process).closing();
        match part % 3 {
            0 => append(&journal, records).await,
            _ => append(&journal, records.needed_by("whole")).await,
        };
    }
    let retain = async |newest| {
        let retention = Retention::of("run-").keep_newest(newest);
        journal.retain(retention).await.unwrap() as usize
    };
    assert_eq!(retain(900).await, PARTS / 3 - 900);
    assert_eq!(retain(900).await, 0);
    assert_eq!(retain(0).await, 900);
    append(
        &journal,
        numbers("whole", ExpectedVersion::Any, [2]).closing(),
    )
    .await;
    assert_eq!(retain(0).await, 0);
    let everything = Retention::all().keep_newest(0);
    let gone = journal.retain(everything).await.unwrap() as usize;
    assert_eq!(gone, PARTS / 3 * 2 + 1);
    assert!(left(&journal).await.is_empty());
    assert!(journal.check().await.unwrap().is_clean());
}

#[tokio::test]
async fn a_stream_that_is_forgotten_and_begins_anew_is_another_one() {
    let stage = Stage::new();
    let (journal, _) = staged(&stage).await;
    assert!(journal.forget("run-0").await.unwrap());
    // In the same process, which remembers where streams end.
    append(&journal, numbers("run-0", ExpectedVersion::Empty, [1])).await;
    let other = stage.open();
    append(
        &other,
        numbers("run-0", ExpectedVersion::Exactly(1), [2]).closing(),
    )
    .await;
    assert!(other.forget("run-0").await.unwrap());
    append(&journal, numbers("run-0", ExpectedVersion::Empty, [1])).await;
    assert_eq!(contents(&other, "run-0").await, ["1"]);
    assert!(journal.check().await.unwrap().is_clean());
}

#[tokio::test]
async fn forgotten_space_is_used_again_and_given_back() {
    let stage = Stage::new();
    let journal = stage.open();
    let fill = async || {
        for run in 0..50 {
            let record = Record::new("filling", vec![7; 100_000]);
            append(
                &journal,
                AppendTo::stream(format!("run-{run}"))
                    .record(record)
                    .closing(),
            )
            .await;
        }
    };
    let size = || std::fs::metadata(stage.file()).unwrap().len();
    fill().await;
    let compaction = journal.compact().await.unwrap();
    let full = size();
    // The log is empty.
    assert_eq!(compaction.bytes_after, full);
    assert!(compaction.is_whole && compaction.bytes_before > full);
    assert!(full > 5_000_000, "{full}");
    journal
        .retain(Retention::all().keep_newest(0))
        .await
        .unwrap();
    fill().await;
    journal.compact().await.unwrap();
    assert!(size() < full + full / 10, "{} after {full}", size());

    journal
        .retain(Retention::all().keep_newest(1))
        .await
        .unwrap();
    let before = journal.bytes().unwrap();
    assert!(before > size(), "with its log");
    let compaction = journal.compact().await.unwrap();
    assert_eq!(compaction.bytes_before, before);
    assert_eq!(compaction.bytes_after, size());
    assert!(compaction.bytes_before >= full, "{compaction:?}");
    assert!(size() < full / 10, "{} after {full}", size());
    let report = journal.check().await.unwrap();
    assert!(report.is_clean() && report.streams == 1, "{report:?}");
}

#[tokio::test]
async fn a_log_that_somebody_reads_stays_and_that_is_said() {
    let stage = Stage::new();
    let journal = stage.open_with(JournalOptions::new().busy_timeout(Duration::from_millis(20)));
    append(&journal, numbers("one", ExpectedVersion::Empty, 1..=50)).await;
    let reader = stage.connect();
    reader.execute_batch("BEGIN").unwrap();
    let count = "SELECT count(*) FROM records";
    let count = || -> i64 { reader.query_row(count, (), |row| row.get(0)).unwrap() };
    assert_eq!(count(), 50);
    append(&journal, numbers("one", ExpectedVersion::Exactly(50), [51])).await;
    assert!(!journal.compact().await.unwrap().is_whole);
    assert_eq!(count(), 50, "it reads what was there when it began");
    reader.execute_batch("COMMIT").unwrap();
    assert!(journal.compact().await.unwrap().is_whole);
    assert_eq!(contents(&journal, "one").await.len(), 51);
}
