//! What coord-patterns promises, seen from outside.

mod stage;

mod starting;
mod output;
mod stopping;
mod ending;
mod volume;
