//! What coord-flow promises, seen from outside.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod stage;

mod flowing;
mod stages;
mod waiting;
mod ending;
mod graph;
mod failing;
mod trying;
mod ledger;
mod control;
mod retained;
mod threads;
mod pairs;
mod loops;
mod causes;
mod builtin;
