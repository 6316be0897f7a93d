//! The behaviour of coord-workflow, from outside.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod typed;
mod course;
mod any;
mod compensation;
mod events;
mod limits;
mod model;
mod sequence;
mod threads;
mod told;
mod validate;
