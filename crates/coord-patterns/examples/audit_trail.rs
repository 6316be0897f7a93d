//! Keeps an audit trail, changes one entry of it as a forger would, and finds that out.
//!
//! ```console
//! $ cargo run --example audit_trail --features audit-trail
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::vocabulary::{AUDIT_LOG, AuditEvent};
use coord_bus::{BusExt, LocalBus, MemoryEventLog, Timestamp};
use coord_patterns::audit::{self, AuditConfig};
use coord_patterns::pattern::IntegrationPatterns;
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Arc::new(LocalBus::new());
    // In a program that is to remember: a journal of `coord-journal`.
    let log = Arc::new(MemoryEventLog::new());
    let patterns = IntegrationPatterns::new(bus.clone());
    patterns.create_audit_trail_pattern(log.clone(), AuditConfig::default(), |trail| trail)?;
    patterns.enable("audit-trail").await?;

    let happened = bus.publisher(&AUDIT_LOG)?;
    for (actor, limit) in [("ada", 100), ("charles", 5000), ("ada", 200)] {
        let event = AuditEvent {
            at: Timestamp::now(),
            actor: actor.to_owned(),
            action: "set-limit".to_owned(),
            subject: "account/17".to_owned(),
            before: None,
            after: Some(json!({ "limit": limit, "token": "not for anybody's eyes" })),
        };
        happened.publish(event).await?;
    }
    let _ = patterns.shutdown(Duration::from_secs(5)).await;

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
