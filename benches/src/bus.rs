//! The bus, in parts that can be run one by one.

mod event;
mod peers;
mod prototype;
mod traffic;
mod throughput;
mod overhead;
mod latency;
mod scale;
mod request;

use std::process::Command;

use crate::beside;

/// A part, and how to run it. The order is that of `docs/benchmarks.md`.
const PARTS: [(&str, fn()); 6] = [
    ("throughput", throughput::run),
    ("overhead", overhead::run),
    ("latency", latency::run_all),
    ("scale", scale::run),
    ("request", request::run_all),
    ("memory", memory),
];

/// Runs one part, or all of them.
pub(crate) fn run(part: Option<&str>) {
    let mut chosen = PARTS
        .iter()
        .filter(|(name, _)| part.is_none_or(|part| part == *name));
    let Some((_, first)) = chosen.next() else {
        let names = PARTS.map(|(name, _)| name).join(", ");
        println!("usage: cargo xtask bench bus [PART], where PART is one of: {names}");
        return;
    };
    first();
    chosen.for_each(|(_, run)| run());
}

/// A program of its own: its allocator counts, which would slow down the others.
fn memory() {
    let program = beside("bus-memory", "coord-benches");
    let status = Command::new(program).status().expect("it starts");
    assert!(status.success(), "bus-memory: {status}");
}
