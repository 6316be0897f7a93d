//! The behaviour of coord-workflow, from outside.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod typed;
mod course;
mod durable;
mod crashes;
mod events;
mod model;
mod retrying;
mod sequence;
mod telling;
mod threads;
mod validate;
