//! What tells a process from every other one that has had its id, or will.

use std::fs;

use rustix::process::Pid;

/// When a process began, in the words of the system, where it tells: with its id, that is what
/// makes it out, for as long as the system is up.
pub(super) fn begun(process: Pid) -> Option<String> {
    let stat = fs::read(format!("/proc/{}/stat", process.as_raw_pid())).ok()?;
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let after_name = String::from_utf8_lossy(&stat[name_end + 1..]);
    after_name
        .split_ascii_whitespace()
        .nth(19)
        .map(str::to_owned)
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn when_a_process_began_tells_it_from_another_with_its_id() {
        let this = rustix::process::getpid();
        let began = begun(this).unwrap();
        assert!(began.parse::<u64>().unwrap() > 0);
        assert_eq!(begun(this), Some(began));
        assert_eq!(begun(Pid::from_raw(2_000_000_001).unwrap()), None);
    }
}
