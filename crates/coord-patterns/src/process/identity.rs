//! What tells a process from every other one that has had its id, or will.

use std::fs;

use rustix::process::Pid;

use crate::proc_stat::ProcStat;

/// When a process began, where the system tells: with its id, that is what makes it out, for as long as
/// the system is up.
pub(super) fn begun(process: Pid) -> Option<u64> {
    ProcStat::of(process.as_raw_pid().cast_unsigned()).map(|stat| stat.began)
}

/// Since the system was started, and among which processes: those that see each other's ids.
pub(super) fn world() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// Whether a process was started with this among its variables, as `NAME=value`.
pub(super) fn has_variable(process: Pid, variable: &str) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", process.as_raw_pid()));
    let environment = environment.unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|one| one == variable.as_bytes())
}
