//! Stream operators beside the same ones of others, and what a screen's preset costs under a flood
//! of process output.

mod operators;
mod flood;

pub(crate) fn run(part: Option<&str>) {
    match part {
        Some("operators") => operators::run(),
        Some("flood") => flood::run(),
        _ => {
            operators::run();
            flood::run();
        }
    }
}
