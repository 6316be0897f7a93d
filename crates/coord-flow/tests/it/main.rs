//! What coord-flow promises, seen from outside.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod stage;

mod flowing;
mod waiting;
mod ending;
mod graph;
mod failing;
mod causes;
mod builtin;
