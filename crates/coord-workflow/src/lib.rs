//! coord-workflow
mod name;
mod retry;
mod spec;
mod validate;

pub use name::{NAME_LENGTH_MAX, Shown, is_name, nearest};
pub use retry::Retry;
pub use spec::{Call, Spec, StepSpec};
pub use validate::{Fault, Faults, ValidSpec, validate};
