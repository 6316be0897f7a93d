//! What coord-patterns promises, seen from outside.

mod stage;
mod house;
mod server;

mod patterns;
#[cfg(feature = "interactive-cli")]
mod cli;
#[cfg(feature = "dynamic-ui")]
mod ui;
#[cfg(feature = "dynamic-ui")]
mod live_settings;
mod services;
#[cfg(feature = "process-monitoring")]
mod monitoring;
#[cfg(feature = "audit-trail")]
mod audit;
mod starting;
mod output;
mod stopping;
mod ending;
mod volume;
mod suspending;
mod readiness;
mod liveness;
mod checks;
