//! An entry of an audit trail beside a plain record of the same facts in the same log.

use std::sync::Arc;
use std::time::Instant;

use coord_bus::time::SystemClock;
use coord_bus::{AppendTo, EventLog, ExpectedVersion, MemoryEventLog, Record};
use coord_journal::Journal;
use coord_patterns::audit::{AuditConfig, AuditFacts, AuditWriter, verify};
use serde_json::{Value, json};

use crate::journal::directory;
use crate::report::{Report, Row};
use crate::runtime;

const ROUNDS: usize = 15;
const CONTENDERS: [&str; 2] = ["coord-patterns, an entry", "a record of the same facts"];

pub(crate) fn run() {
    let report = Report::new(
        "patterns",
        "µs for each of what is done and audited",
        CONTENDERS,
    );
    let in_memory = |contender, count, at_once| {
        let log: Arc<dyn EventLog> = Arc::new(MemoryEventLog::new());
        append(contender, log, count, at_once)
    };
    let on_disk = |contender, count, at_once| {
        let dir = directory();
        let log: Arc<dyn EventLog> = Arc::new(Journal::open(dir.path()).unwrap());
        append(contender, log, count, at_once)
    };
    for (at_once, count) in [(1, 5_000), (64, 12_800)] {
        let row = Row::rounds(
            format!("in memory, {at_once} at once"),
            2,
            ROUNDS,
            |contender| in_memory(contender, count, at_once),
        );
        report.row(&row);
    }
    for (at_once, count) in [(1, 500), (64, 6_400)] {
        let row = Row::rounds(
            format!("on the disk, {at_once} at once"),
            2,
            ROUNDS,
            |contender| on_disk(contender, count, at_once),
        );
        report.row(&row);
    }
}

fn facts(number: usize) -> AuditFacts {
    AuditFacts {
        topic: "audit-log".to_owned(),
        actor: "ada".to_owned(),
        action: "set-limit".to_owned(),
        subject: format!("account/{number}"),
        before: Some(json!({ "limit": 100, "currency": "EUR" })),
        after: Some(json!({ "limit": number, "currency": "EUR" })),
        ..AuditFacts::default()
    }
}

/// Microseconds each.
fn append(contender: usize, log: Arc<dyn EventLog>, count: usize, at_once: usize) -> f64 {
    runtime(1).block_on(async {
        let config = AuditConfig::default();
        let mut trail = AuditWriter::open(Arc::clone(&log), &config, Arc::new(SystemClock))
            .await
            .unwrap();
        let mut version = 0;
        let begun = Instant::now();
        for from in (0..count).step_by(at_once) {
            let all = (from..from + at_once).map(facts);
            if contender == 0 {
                trail.append(all).await.unwrap();
            } else {
                let records = all.map(|facts| Record::new("audit", plain(&facts)));
                let append = AppendTo::stream("plain")
                    .expecting(ExpectedVersion::Exactly(version))
                    .records(records);
                log.append(append).await.unwrap();
                version += at_once as u64;
            }
        }
        let elapsed = begun.elapsed();
        if contender == 0 {
            let head = verify(&*log, &config.stream, None).await.unwrap();
            assert_eq!(head.entries, count as u64);
        }
        elapsed.as_secs_f64() * 1e6 / count as f64
    })
}

/// The facts as somebody writes them who needs no chain.
fn plain(facts: &AuditFacts) -> Vec<u8> {
    let value: Value = json!({
        "at": coord_bus::Timestamp::now().to_string(),
        "topic": facts.topic,
        "actor": facts.actor,
        "action": facts.action,
        "subject": facts.subject,
        "before": facts.before,
        "after": facts.after,
    });
    serde_json::to_vec(&value).unwrap()
}
