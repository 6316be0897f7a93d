//! What coord-monitor promises, seen from outside.

mod stage;

mod topics;
mod crowded;
mod subscribers;
mod rates;
mod latency;
mod workflows;
mod durations;
mod errors;
mod readings;
mod between;
mod alerts;
mod windows;
mod reports;
mod telling;
#[cfg(feature = "metrics")]
mod exporting;
#[cfg(feature = "tracing")]
mod spans;
mod history;
mod resetting;
mod living;
#[cfg(target_os = "linux")]
mod processes;
