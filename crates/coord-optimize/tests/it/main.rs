//! What coord-optimize promises, seen from outside.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod stage;
mod marble;
mod flat;

mod timing;
mod refusing;
mod models;
mod choosing;
mod grouping;
mod ledgers;
mod panicking;
mod batching;
mod throttling;
mod rate_limiting;
mod conflating;
mod neighbours;
mod topics;
mod presets;
mod accounts;
mod telling;
