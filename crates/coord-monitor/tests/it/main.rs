//! What coord-monitor promises, seen from outside.

mod stage;

mod topics;
mod workflows;
mod durations;
mod history;
mod resetting;
mod living;
#[cfg(target_os = "linux")]
mod processes;
