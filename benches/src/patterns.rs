//! What the patterns add to what one would write by hand: to a line that a process prints, to its start and
//! end, to an entry of an audit trail, and to a completion.

mod processes;
mod audit;
mod completion;

pub(crate) fn run(part: Option<&str>) {
    match part {
        Some("processes") => processes::run(),
        Some("audit") => audit::run(),
        Some("completion") => completion::run(),
        _ => {
            processes::run();
            audit::run();
            completion::run();
        }
    }
}
