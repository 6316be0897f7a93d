//! What coord-journal promises, seen from outside.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod stage;
mod off_runtime;
mod child;
mod mounts;

mod log;
mod in_place;
mod lease;
mod paused;
mod presence;
mod fence;
mod retention;
mod sharing;
mod opening;
mod only_to_read;
mod damage;
mod missing_log;
mod bits;
mod export;
mod disk;
mod read_only;
mod room;
mod crash;
mod model;
