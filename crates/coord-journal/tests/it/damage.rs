//! What somebody does to the file who does not go through the journal: found, and named.

use coord_bus::{EventLog, EventLogError, ExpectedVersion, Lease, StreamQuery};
use coord_journal::{Damage, Journal, JournalError, MAX_FAULTS};
use std::time::Duration;
use tokio_stream::StreamExt;

use crate::stage::{Stage, append, contents, numbers};

const TTL: Duration = Duration::from_secs(3_600);

/// Two streams of five records, and a lease. Closed.
async fn staged() -> Stage {
    let stage = Stage::new();
    let journal = stage.open();
    for stream in ["one", "two"] {
        append(&journal, numbers(stream, ExpectedVersion::Empty, 1..=5)).await;
    }
    journal.acquire("lease", "holder", TTL).await.unwrap();
    assert!(journal.check().await.unwrap().is_clean());
    stage
}

fn damage(error: EventLogError) -> Damage {
    let EventLogError::Failed { source } = error else {
        panic!("{error:?}");
    };
    match *source.downcast::<JournalError>().unwrap() {
        JournalError::Damaged { source, .. } => source,
        other => panic!("{other:?}"),
    }
}

async fn read_damage(journal: &Journal, stream: &str) -> Damage {
    damage(journal.read(stream, 1, 100).await.unwrap_err())
}

fn changed(version: u64) -> Damage {
    Damage::Changed {
        stream: "one".to_owned(),
        version,
    }
}

fn missing(version: u64) -> Damage {
    Damage::Missing {
        stream: "one".to_owned(),
        version,
    }
}

fn added(version: u64) -> Damage {
    Damage::Added {
        stream: "one".to_owned(),
        version,
    }
}

fn entry() -> Damage {
    Damage::Entry {
        stream: "one".to_owned(),
    }
}

#[tokio::test]
async fn each_change_of_a_stream_is_found_by_who_reads_and_by_who_checks() {
    for (sql, found) in [
        ("UPDATE records SET payload = x'39' WHERE stream = 1 AND version = 3", changed(3)),
        ("UPDATE records SET kind = 'letter' WHERE stream = 1 AND version = 1", changed(1)),
        ("UPDATE records SET at = at + 1 WHERE stream = 1 AND version = 5", changed(5)),
        ("UPDATE records SET hash = zeroblob(32) WHERE stream = 1 AND version = 2", changed(2)),
        ("UPDATE records SET hash = x'00' WHERE stream = 1 AND version = 2", changed(2)),
        ("DELETE FROM records WHERE stream = 1 AND version = 1", missing(1)),
        ("DELETE FROM records WHERE stream = 1 AND version = 3", missing(3)),
        ("DELETE FROM records WHERE stream = 1 AND version = 5", missing(5)),
        ("DELETE FROM records WHERE stream = 1", missing(1)),
        // Two that change places.
        ("UPDATE records SET version = 9 - version + 1000 WHERE stream = 1 AND version IN (4, 5);
          UPDATE records SET version = version - 1000 WHERE version > 1000", changed(4)),
        // One that changes its stream.
        ("UPDATE records SET stream = 3 WHERE stream = 1 AND version = 5;
          UPDATE records SET stream = 1 WHERE stream = 2 AND version = 5", changed(5)),
        ("INSERT INTO records SELECT NULL, stream, 6, at, kind, payload, hash FROM records
          WHERE stream = 1 AND version = 5", added(6)),
        // Cut off, and the entry with it.
        ("DELETE FROM records WHERE stream = 1 AND version = 5;
          UPDATE streams SET version = 4 WHERE number = 1", entry()),
        ("UPDATE streams SET is_closed = 1 WHERE number = 1", entry()),
        ("UPDATE streams SET needed_by = 'two' WHERE number = 1", entry()),
        ("UPDATE streams SET at = at + 1 WHERE number = 1", entry()),
        ("UPDATE streams SET head = (SELECT hash FROM records WHERE stream = 1 AND version = 4)
          WHERE number = 1", entry()),
        ("UPDATE streams SET seal = (SELECT seal FROM streams WHERE number = 2)
          WHERE number = 1", entry()),
    ] {
        let stage = staged().await;
        stage.connect().execute_batch(sql).unwrap();
        let journal = stage.open();
        assert_eq!(read_damage(&journal, "one").await, found, "{sql}");
        let mut tail = journal.tail("one", 1).unwrap();
        let told = loop {
            if let Err(error) = tail.next().await.unwrap() {
                break damage(error);
            }
        };
        assert_eq!(told, found, "{sql}");
        assert!(tail.next().await.is_none(), "a tail ends with an error");
        let report = journal.check().await.unwrap();
        assert!(report.faults.contains(&found), "{sql}: {report:?}");
        assert!(!report.is_clean());
    }
}

#[tokio::test]
async fn what_is_whole_is_read_beside_what_is_damaged() {
    let stage = staged().await;
    let sql = "UPDATE records SET payload = x'39' WHERE stream = 1 AND version = 3";
    stage.connect().execute_batch(sql).unwrap();
    let journal = stage.open();
    assert_eq!(contents(&journal, "two").await.len(), 5);
    let before = journal.read("one", 1, 2).await.unwrap();
    assert_eq!(before.len(), 2);
    // A page that begins behind it stands on the checksum of the one before, which is as it was.
    assert_eq!(journal.read("one", 4, 2).await.unwrap().len(), 2);
    append(&journal, numbers("two", ExpectedVersion::Exactly(5), [6])).await;
    assert_eq!(journal.check().await.unwrap().faults, [changed(3)]);
}

#[tokio::test]
async fn a_stream_that_is_missing_as_a_whole_leaves_its_records_behind() {
    let stage = staged().await;
    stage
        .connect()
        .execute_batch("DELETE FROM streams WHERE number = 1")
        .unwrap();
    let report = stage.open().check().await.unwrap();
    assert_eq!(
        report.faults,
        [Damage::Orphaned {
            number: 1,
            records: 5
        }]
    );
}

#[tokio::test]
async fn a_renamed_stream_is_damaged_under_either_name() {
    let stage = staged().await;
    stage
        .connect()
        .execute_batch("UPDATE streams SET name = 'won' WHERE number = 1")
        .unwrap();
    let journal = stage.open();
    let renamed = Damage::Entry {
        stream: "won".to_owned(),
    };
    assert_eq!(read_damage(&journal, "won").await, renamed);
    assert_eq!(
        damage(journal.streams(&StreamQuery::by_name()).await.unwrap_err()),
        renamed
    );
    assert_eq!(journal.check().await.unwrap().faults, [renamed]);
}

#[tokio::test]
async fn an_append_to_a_damaged_stream_is_refused() {
    let stage = staged().await;
    stage
        .connect()
        .execute_batch("UPDATE streams SET version = 9 WHERE number = 1")
        .unwrap();
    let journal = stage.open();
    let refused = journal
        .append(numbers("one", ExpectedVersion::Any, [10]))
        .await;
    assert_eq!(damage(refused.unwrap_err()), entry());
}

#[tokio::test]
async fn a_changed_lease_is_found() {
    for sql in [
        "UPDATE leases SET token = token - 1",
        "UPDATE leases SET holder = 'somebody'",
        "UPDATE leases SET until = until + 1000000",
        "UPDATE leases SET name = 'release'",
        "UPDATE leases SET handle = NULL",
        "UPDATE leases SET handle = randomblob(16)",
        "UPDATE leases SET handle = randomblob(15)",
    ] {
        let stage = staged().await;
        stage.connect().execute_batch(sql).unwrap();
        let report = stage.open().check().await.unwrap();
        assert!(
            matches!(report.faults[..], [Damage::Lease { .. }]),
            "{report:?}"
        );
    }
    for sql in [
        "UPDATE counters SET newest_token = 0",
        "DELETE FROM counters",
    ] {
        let stage = staged().await;
        stage.connect().execute_batch(sql).unwrap();
        let journal = stage.open();
        assert_eq!(journal.check().await.unwrap().faults, [Damage::Counters]);
        assert!(journal.acquire("another", "holder", TTL).await.is_err());
    }
}

#[tokio::test]
async fn other_tables_than_its_own_are_found() {
    for sql in [
        "DROP INDEX open_streams",
        "CREATE TABLE letters (text TEXT)",
        "CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM records; END",
        "ALTER TABLE leases ADD COLUMN note TEXT",
    ] {
        let stage = staged().await;
        let journal = stage.open();
        stage.connect().execute_batch(sql).unwrap();
        let report = journal.check().await.unwrap();
        assert!(
            report.faults.contains(&Damage::Schema { version: 4 }),
            "{report:?}"
        );
        drop(journal);
        let refused = Journal::open(stage.dir()).unwrap_err();
        let JournalError::Damaged { source, .. } = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(source, Damage::Schema { version: 4 });
    }
}

#[tokio::test]
async fn a_report_names_so_many_faults_and_counts_the_rest() {
    let stage = Stage::new();
    let journal = stage.open();
    let streams = MAX_FAULTS as u64 + 20;
    let all = (0..streams).map(|run| numbers(&format!("run-{run}"), ExpectedVersion::Any, [1]));
    for each in all {
        append(&journal, each.durably(coord_bus::Durability::Process)).await;
    }
    stage
        .connect()
        .execute_batch("UPDATE records SET payload = x'00'")
        .unwrap();
    let report = journal.check().await.unwrap();
    assert_eq!(report.faults.len(), MAX_FAULTS);
    assert_eq!(report.found, streams);
    assert_eq!(report.streams, streams);
    assert_eq!(report.records, 0);
}

#[tokio::test]
async fn all_but_what_is_damaged_is_exported() {
    let stage = staged().await;
    let sql = "UPDATE records SET payload = x'39' WHERE stream = 1 AND version = 3";
    stage.connect().execute_batch(sql).unwrap();
    let journal = stage.open();
    let exported = |stream: Option<&str>| {
        let mut out = Vec::new();
        let done = match stream {
            None => journal.export(&mut out),
            Some(stream) => journal.export_stream(stream, &mut out),
        };
        let lines = serde_json::Deserializer::from_slice(&out).into_iter();
        let said = lines.map(|line: Result<serde_json::Value, _>| {
            let line = line.unwrap();
            format!("{} {}", line["stream"].as_str().unwrap(), line["version"])
        });
        (done, said.collect::<Vec<_>>())
    };
    let (refused, said) = exported(None);
    let JournalError::Damaged { source, .. } = refused.unwrap_err() else {
        panic!("it was refused for another reason");
    };
    assert!(
        matches!(source, Damage::Changed { version: 3, .. }),
        "{source:?}"
    );
    let two = ["two 1", "two 2", "two 3", "two 4", "two 5"];
    assert_eq!(said, [&["one 1", "one 2"], &two[..]].concat());
    let (refused, said) = exported(Some("one"));
    assert!(refused.is_err());
    assert_eq!(said, ["one 1", "one 2"]);
    let (done, said) = exported(Some("two"));
    assert_eq!(done.unwrap(), 5);
    assert_eq!(said, two);
    assert_eq!(exported(Some("three")).0.unwrap(), 0);
}
