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
    let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
    let of_process = variable_of(process.as_raw_pid().cast_unsigned(), name);
    of_process.is_some_and(|of_process| of_process == value.as_bytes())
}

/// What this variable was when a process was started.
pub(super) fn variable_of(process: u32, name: &str) -> Option<Vec<u8>> {
    let environment = fs::read(format!("/proc/{process}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|one| one.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    value.map(<[u8]>::to_vec)
}

/// The program that a process runs, and its arguments; that of who starts it, before it has begun its own.
pub(super) fn command_line_of(process: u32) -> Option<Vec<u8>> {
    let line = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    // What has ended has none.
    (!line.is_empty()).then_some(line)
}
