//! What the events call the processes of a step, and back: an id has neither spaces nor colons.

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

/// What a step does for an item of its list, by its place from 0.
pub(crate) fn item_name(step: &str, item: usize) -> String {
    format!("{step}:{item}")
}

/// Whether a process does something for an item of a list.
pub(crate) fn is_item(process: &str) -> bool {
    process.contains(':')
}

/// Whether a process is a hook, of a step or of the run.
pub(crate) fn is_hook(process: &str) -> bool {
    process.starts_with("hook ") || process == hook_name(None)
}

/// The place of an item in the list of its step, from 0.
pub(crate) fn item_place(process: &str) -> Option<usize> {
    process.split_once(':')?.1.parse().ok()
}

/// The step or service that a process is of, by the process's name.
pub(crate) fn step_of(process: &str) -> &str {
    let of = ["undo ", "hook "].into_iter();
    let step = of.filter_map(|kind| process.strip_prefix(kind)).next();
    let step = step.unwrap_or(process);
    step.split_once(':').map_or(step, |(step, _)| step)
}
