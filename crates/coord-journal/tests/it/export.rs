//! What is exported.

use std::io;

use coord_bus::time::ManualClock;
use coord_bus::{AppendTo, Record, Timestamp};
use coord_journal::{JournalError, JournalOptions};
use std::sync::Arc;

use crate::stage::{Stage, append};

#[tokio::test]
async fn every_record_is_a_line_of_json() {
    let stage = Stage::new();
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let journal = stage.open_with(JournalOptions::new().clock(clock));
    let records = [
        Record::new("said", "größe \"1\"\n"),
        Record::new("raw", vec![0, 255, 16]),
    ];
    append(&journal, AppendTo::stream("b").records(records)).await;
    append(&journal, AppendTo::stream("a").record(Record::new("", ""))).await;
    let mut out = Vec::new();
    assert_eq!(journal.export(&mut out).unwrap(), 3);
    let lines: Vec<serde_json::Value> = serde_json::Deserializer::from_slice(&out)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let hash = |line: &serde_json::Value| line["hash"].as_str().unwrap().len();
    assert!(lines.iter().all(|line| hash(line) == 64));
    let told = |index: usize| {
        let mut line = lines[index].clone();
        line.as_object_mut().unwrap().remove("hash");
        line.to_string()
    };
    let at = "1970-01-01T00:00:00Z";
    for (index, line) in [
        format!(r#"{{"at":"{at}","kind":"","payload":"","stream":"a","version":1}}"#),
        format!(
            r#"{{"at":"{at}","kind":"said","payload":"größe \"1\"\n","stream":"b","version":1}}"#
        ),
        format!(r#"{{"at":"{at}","kind":"raw","payload_hex":"00ff10","stream":"b","version":2}}"#),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(told(index), line);
    }
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 3);
}

#[tokio::test]
async fn more_than_a_page_of_streams_and_records_is_exported_whole() {
    let stage = Stage::new();
    let journal = stage.open();
    let records = |count| (0..count).map(|_| Record::new("kind", "content"));
    append(&journal, AppendTo::stream("long").records(records(2_500))).await;
    let many = (0..600).map(|run| AppendTo::stream(format!("run-{run}")).records(records(1)));
    for run in many {
        append(&journal, run).await;
    }
    let mut out = Vec::new();
    assert_eq!(journal.export(&mut out).unwrap(), 3_100);
    assert_eq!(String::from_utf8(out).unwrap().lines().count(), 3_100);
}

#[tokio::test]
async fn who_cannot_write_is_told_why() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let stage = Stage::new();
    let journal = stage.open();
    append(&journal, AppendTo::stream("a").record(Record::new("", ""))).await;
    let JournalError::Output { source } = journal.export(Full).unwrap_err() else {
        panic!("it was written");
    };
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
}
