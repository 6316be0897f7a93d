//! An audit trail: who did what, as a chain of entries in which no change goes unnoticed.
//!
//! An [`AuditTrail`] is a [`Pattern`](crate::pattern::Pattern) that writes the events of chosen
//! topics to a stream of any [`EventLog`](coord_bus::EventLog), each as an [`AuditEntry`] that
//! carries the hash of the one before it. [`verify`] walks a trail and names the first entry that
//! is altered, missing or out of place; [`export`] writes it as lines, which [`verify_lines`]
//! checks without the log.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use coord_bus::time::SystemClock;
//! use coord_bus::vocabulary::{AUDIT_LOG, AuditEvent};
//! use coord_bus::{BusExt, LocalBus, MemoryEventLog, Timestamp};
//! use coord_patterns::audit::{self, AuditConfig, AuditTrail};
//! use coord_patterns::pattern::PatternHandle;
//!
//! let (bus, log) = (Arc::new(LocalBus::new()), Arc::new(MemoryEventLog::new()));
//! let trail = AuditTrail::new(log.clone(), AuditConfig::default());
//! let handle = PatternHandle::start(&trail, bus.clone(), Arc::new(SystemClock)).await?;
//!
//! let event = AuditEvent {
//!     at: Timestamp::now(),
//!     actor: "ada".to_owned(),
//!     action: "change-limit".to_owned(),
//!     subject: "account/17".to_owned(),
//!     before: Some(100.into()),
//!     after: Some(500.into()),
//! };
//! bus.publisher(&AUDIT_LOG)?.publish(event).await?;
//! handle.stop(Duration::from_secs(5)).await;
//!
//! let head = audit::verify(&*log, "audit", None).await?;
//! assert_eq!(head.entries, 1);
//!
//! let mut lines = Vec::new();
//! audit::export(&*log, "audit", &mut lines).await?;
//! let forged = String::from_utf8(lines)?.replace("500", "50");
//! let error = audit::verify_lines(forged.as_bytes(), None).unwrap_err();
//! assert_eq!(error.to_string(), "the audit trail was tampered with: entry 1 was altered");
//! # Ok(())
//! # }
//! ```
//!
//! # The form of an entry
//!
//! One line of JSON, which is hashed and compared by its bytes:
//!
//! ```json
//! {"hash":"…","trail":"audit","number":1,"at":"2024-02-29T12:34:56Z","topic":"audit-log",
//!  "actor":"ada","action":"change-limit","subject":"account/17","before":100,"after":500,
//!  "previous":"0000…"}
//! ```
//!
//! without white space, the members in the order in which [`AuditEntry`] has them, those of objects
//! within sorted by the bytes of their names, what is not there left out. `hash` is the BLAKE3, in
//! hexadecimal, of the line without that member: of `{` and everything after the first 75 bytes.
//! `previous` is the hash of the entry before, or 64 zeros. So `b3sum` and a text editor are enough
//! to check an entry, and no two programs can read one line differently and both find it whole.
//!
//! A value that would make the line longer than [`MAX_ENTRY`], or is nested deeper than [`MAX_DEPTH`],
//! is left out: in its place are its size and its hash, `{"blake3":"…","omitted_bytes":…}`.
//!
//! A chain shows that something was changed by whoever cannot rewrite all that follows. Who can do
//! that, can make a new chain: keep the [`AuditHead`] of a trail elsewhere from time to time, and
//! give it to `verify`.
//!
//! # Redaction
//!
//! Members of the names in [`AuditConfig::redact`], at any depth and in any case, become
//! `"[redacted]"` before anything is hashed: what must not be kept is not in the trail at all.
//!
//! # When the log is slow, refuses, or is somebody else's
//!
//! While it is enabled a trail loses nothing: while the log is slow, publishers wait once a topic's capacity is full
//! ([`AuditConfig::overflow`] says otherwise; what is lost then is itself an entry, with its
//! number). A log that fails, or is full, is tried again after 0.5 s, 1 s, and so on up to a
//! minute, while the pattern is `degraded` and publishers wait in the end. A trail that cannot be
//! written any more, because the log is closed or somebody else has appended to the stream, is
//! `failed`: that is told once in `error-detected`, as critical, and publishers go on.
//!
//! What is published while the pattern is not enabled is in no trail. When it is disabled it writes what it
//! has; what a log that fails has not taken by the deadline is lost, and the report of who disables it names
//! the task `write`. Until it is written an event is in memory alone: if the program is killed, it is lost too.
//!
//! A trail that is started again goes on where the stream ends, if the last entry is whole. One
//! stream has one writer: each append expects the version that its own last one left.

mod entry;
mod redact;
mod source;
mod writer;
mod trail;
mod chain;
mod export;
mod error;

pub use chain::{verify, verify_lines};
pub use entry::{AuditEntry, AuditFacts, AuditHead, MAX_DEPTH, MAX_ENTRY};
pub use error::{AuditError, AuditFault};
pub use export::{entries, export};
pub use redact::REDACTED;
pub use trail::{AuditConfig, AuditTrail};
pub use writer::AuditWriter;
