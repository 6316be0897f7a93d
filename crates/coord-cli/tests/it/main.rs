//! The program from outside: real files, real processes, real signals.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod above;
mod acting;
mod adopted;
mod attaching;
mod completing;
mod coord;
mod documented;
mod ending;
mod deciding;
mod each;
mod failing;
mod files;
mod limits;
mod hooks;
mod include;
mod interrupts;
mod job_control;
mod journals;
mod audits;
mod kept;
mod json_lines;
mod listing;
mod live;
mod looking;
mod layout;
mod logs;
#[path = "../../../coord-journal/tests/it/mounts.rs"]
mod mounts;
mod output;
mod outputs;
mod params;
mod planned;
mod reference;
mod restart_and_stop;
mod outcomes;
mod secrets;
mod selecting;
mod services;
mod slips;
mod standard_input;
mod soak;
mod streaming;
mod terminal;
