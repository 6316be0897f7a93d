//! Process monitoring: what real processes do and take, as a dashboard that a screen draws as it
//! is, and alerts.
//!
//! [`ProcessMonitoring`] is a [`Pattern`](crate::pattern::Pattern). It watches every process that a
//! [`ProcessRunner`](crate::process::ProcessRunner) or a
//! [`ServiceRunner`](crate::service::ServiceRunner) runs on its bus, in whatever part of the
//! program, and those that are [attached](ProcessMonitoring::attach) by their ids.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use coord_bus::{BusExt, LocalBus, vocabulary::DASHBOARD_UPDATE};
//! use coord_patterns::monitoring::{ProcessMonitoringConfig, Threshold};
//! use coord_patterns::pattern::IntegrationPatterns;
//!
//! let bus = Arc::new(LocalBus::new());
//! let patterns = IntegrationPatterns::new(bus.clone());
//! let mut config = ProcessMonitoringConfig::default();
//! config.memory_bytes = Some(Threshold::above(500e6));
//! let monitoring = patterns.create_process_monitoring_pattern(config)?;
//!
//! let mut dashboards = bus.subscribe(&DASHBOARD_UPDATE)?;
//! patterns.enable("process-monitoring").await?;
//! monitoring.attach("this program", std::process::id())?;
//! let dashboard = dashboards.recv().await.unwrap();
//! assert_eq!(dashboard.summary, "1 running");
//! assert!(dashboard.rows[0].memory_bytes > 0);
//! # Ok(())
//! # }
//! ```
//!
//! # What is counted as a process
//!
//! With a process go its descendants; what is in its process group, also when whoever began it has
//! ended; and whatever was seen as one of these once, for as long as it lives. So a daemon that has
//! moved to a session of its own is still counted, if it was there at one reading before.
//!
//! A process is told from a later one of the same id by when it began: on Linux to the hundredth of a
//! second, and whatever the clock is set to, elsewhere to the second.
//!
//! What a runner had started before the pattern was enabled is not watched, unless it is attached. Of what
//! has ended while the pattern was disabled it is found out when it is enabled again, not how.
//!
//! Of several that run under one name at once, the one that started last is shown; when that has ended,
//! one of the others.
//!
//! # Restarts
//!
//! A process that starts under a name that was there before is that one, started again. The reason
//! is what its service was answered last, if that was while it ran, or else how it ended. One that starts
//! while another of its name runs is no restart.
//!
//! # Alerts
//!
//! A [`Threshold`] opens an alert when a value was above it at every reading for as long as it
//! says, and closes it when the value falls to its lower bound, or the process ends. Each opening
//! and each closing is one [`notification`](coord_bus::vocabulary::NOTIFICATION).
//!
//! # Bounds
//!
//! [`MAX_WATCHED`] processes are watched at once. Beyond that those that ended first are forgotten,
//! and if none has ended, what starts is counted as `unwatched` and not shown. Output that comes
//! faster than it can be counted is counted as `unseen_lines`; it never slows a process down. A
//! dashboard for which there is no room is left out: the next one says all that it said. How processes that
//! were attached begin and end is told when there is room, the last 512 states of them; those before are
//! counted as `untold`.
//!
//! A reading is made beside the threads of the runtime, as it takes milliseconds where there are many
//! processes, and one at a time: where the system is slow to answer, the next one is later.
//!
//! # Systems
//!
//! What is read comes from `sysinfo`; groups, which it does not know, are looked up on Linux alone.
//! `coord-monitor` reads from it too, and not through a common
//! crate: what it sums for a report is another thing than states, beginnings and groups, and
//! `coord-bus`, which both depend on, is not to bring `sysinfo` to every user.

mod config;
mod census;
mod watched;
mod alerts;
mod board;
mod pattern;
mod error;

pub use board::MAX_WATCHED;
pub use config::{ProcessMonitoringConfig, Threshold};
pub use error::MonitoringError;
pub use pattern::ProcessMonitoring;
