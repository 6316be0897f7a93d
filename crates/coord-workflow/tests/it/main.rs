//! The behaviour of coord-workflow, from outside.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod typed;
mod course;
mod any;
mod branches;
mod bus_events;
mod compensation;
mod crash_loops;
mod crashes;
mod durable;
mod child;
mod each;
mod ended_before;
mod events;
mod exhausting;
mod following;
mod heartbeats;
mod holding;
mod hooks;
mod journalling;
mod left_alone;
mod limits;
mod model;
mod panicking;
mod repeat;
mod retrying;
mod sequence;
mod signalling;
mod skipping;
mod staying;
mod suspending;
mod telling;
mod threads;
mod told;
mod validate;
mod worth_retrying;
