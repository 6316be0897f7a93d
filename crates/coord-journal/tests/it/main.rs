//! What coord-journal promises, seen from outside.

mod stage;
mod off_runtime;
mod child;
mod mounts;

mod log;
mod lease;
mod fence;
mod retention;
mod sharing;
mod opening;
mod damage;
mod bits;
mod export;
mod disk;
mod crash;
mod model;
