//! The name of the process that undoes a step, and back.

/// What the events call the process that undoes a step.
pub(crate) fn undo_name(step: &str) -> String {
    format!("undo {step}")
}

/// The step that a process undoes, by the process's name.
pub(crate) fn undone(process: &str) -> Option<&str> {
    process.strip_prefix("undo ")
}
