//! What coord-patterns promises, seen from outside.

mod stage;
mod house;
mod server;

mod patterns;
mod starting;
mod output;
mod stopping;
mod ending;
mod volume;
mod suspending;
mod readiness;
mod liveness;
mod checks;
