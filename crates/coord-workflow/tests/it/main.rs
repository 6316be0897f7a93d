//! The behaviour of coord-workflow, from outside.

mod validate;
