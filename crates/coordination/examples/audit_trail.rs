//! Who may raise a limit should not be able to hide that they did. What is done goes to a trail in which
//! each entry has the hash of the one before it; what is secret is struck out before it is written.
//! Then somebody edits an entry, and it is found out which.
//!
//! Run it with `cargo run -p coordination --example audit_trail --features audit-trail`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::vocabulary::{AUDIT_LOG, AuditEvent};
use coordination::bus::{BusExt, LocalBus, Timestamp};
use coordination::journal::Journal;
use coordination::patterns::audit::{self, AuditConfig};
use coordination::{CoordinationConfig, CoordinationModule};
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let log = Arc::new(Journal::open(directory.path())?);
    let bus = Arc::new(LocalBus::new());
    let module = CoordinationModule::start(bus.clone(), CoordinationConfig::default())?;
    module.create_audit_trail_pattern(log.clone(), AuditConfig::default(), |trail| trail)?;
    module.patterns()?.enable("audit-trail").await?;

    let happened = bus.publisher(&AUDIT_LOG)?;
    let done = Timestamp::from_second(1_800_000_000)?;
    for (actor, limit) in [("ada", 100), ("charles", 5000), ("ada", 200)] {
        let event = AuditEvent {
            at: done,
            actor: actor.to_owned(),
            action: "set-limit".to_owned(),
            subject: "account/17".to_owned(),
            before: None,
            after: Some(json!({ "limit": limit, "token": "not for anybody's eyes" })),
        };
        happened.publish(event).await?;
    }
    let _ = module.shutdown(Duration::from_secs(5)).await;

    for entry in audit::entries(&*log, "audit", 1, 10).await? {
        println!("{entry}");
    }
    let head = audit::verify(&*log, "audit", None).await?;
    println!(
        "whole: {} entries, the last is {}…",
        head.entries,
        &head.head[..12]
    );

    let mut lines = Vec::new();
    audit::export(&*log, "audit", &mut lines).await?;
    let forged = String::from_utf8(lines)?.replace("5000", "500");
    if let Err(error) = audit::verify_lines(forged.as_bytes(), None) {
        println!("forged: {error}");
    }
    Ok(())
}
