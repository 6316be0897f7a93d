//! What coord-journal promises, seen from outside.

mod stage;
mod off_runtime;

mod log;
mod lease;
