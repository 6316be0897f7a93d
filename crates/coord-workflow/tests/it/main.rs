//! The behaviour of coord-workflow, from outside.

mod typed;
mod course;
mod events;
mod validate;
