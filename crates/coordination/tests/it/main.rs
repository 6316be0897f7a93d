//! What the facade promises, seen from outside.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod stage;

mod parts;
#[cfg(all(
    feature = "process-monitoring",
    feature = "audit-trail",
    feature = "interactive-cli",
    feature = "dynamic-ui"
))]
mod bundles;
#[cfg(feature = "process-monitoring")]
mod scenarios;
#[cfg(all(feature = "process-monitoring", feature = "interactive-cli"))]
mod real_scenarios;
mod patterns;
mod starting;
#[cfg(all(feature = "config-file", feature = "metrics"))]
mod config;
mod errors;
mod examples;
mod monitored;
mod services;
mod health;
mod shutdown;
mod kills;
mod awaited;
mod chaos;
