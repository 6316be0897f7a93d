//! This project beside its peers, in one run: `cargo xtask bench NAME`.
//!
//! Machines are noisy and differ, so what counts is the ratio to a peer in the same run, round by
//! round; the absolute figures are there to be recognised, not to be quoted.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program whose output is its point, and which may stop at the first fault"
)]

mod bus;
mod flow;
mod workflow;
mod journal;
mod durable;
mod monitor;
mod optimize;
mod patterns;
mod coord;
mod screen;
mod recovery;
mod report;

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("bus") => bus::run(arguments.next().as_deref()),
        Some("flow") => flow::run(),
        Some("workflow") => workflow::run(),
        Some("journal") => journal::run(arguments.next().as_deref()),
        Some("durable") => durable::run(),
        // A process that `durable` starts.
        Some("durable-role") => durable::play(&arguments.collect::<Vec<_>>()),
        Some("optimize") => optimize::run(arguments.next().as_deref()),
        Some("monitor") => monitor::run(arguments.next().as_deref()),
        Some("patterns") => patterns::run(arguments.next().as_deref()),
        Some("coord") => coord::run(arguments.next().as_deref()),
        Some("screen") => screen::run(),
        Some("recovery") => recovery::run(),
        _ => println!(
            "usage: cargo xtask bench NAME, where NAME is one of: bus, flow, workflow, journal, durable, optimize, monitor, patterns, coord, screen, recovery"
        ),
    }
}

/// A program that `cargo xtask bench` has built beside this one.
fn beside(name: &str, package: &str) -> std::path::PathBuf {
    let this = std::env::current_exe().expect("this program has a path");
    let program = this.with_file_name(name);
    assert!(
        program.exists(),
        "build it first: cargo build --release -p {package}"
    );
    program
}

fn runtime(workers: usize) -> tokio::runtime::Runtime {
    let mut builder = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build().expect("a runtime starts")
}
