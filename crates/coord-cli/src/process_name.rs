//! What the events call the processes of a step, and back: an id has no spaces.

/// What undoes a step.
pub(crate) fn undo_name(step: &str) -> String {
    format!("undo {step}")
}

/// The hooks of a step, or of the run.
pub(crate) fn hook_name(step: Option<&str>) -> String {
    match step {
        Some(step) => format!("hook {step}"),
        None => "run hook".to_owned(),
    }
}

/// The step or service that a process is of, by the process's name.
pub(crate) fn step_of(process: &str) -> &str {
    let of = ["undo ", "hook "].into_iter();
    let step = of.filter_map(|kind| process.strip_prefix(kind)).next();
    step.unwrap_or(process)
}
