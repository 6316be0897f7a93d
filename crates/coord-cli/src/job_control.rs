//! `coord` as a job of a shell: in front of its terminal or behind, stopped, and continued.

use std::fs::File;
use std::io::{self, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, getpgid, getpgrp, getppid, getsid, kill_current_process_group};
use rustix::termios::{tcdrain, tcgetpgrp};
use signal_hook::consts::SIGSTOP;
use signal_hook::low_level::raise;

/// What is said instead of being stopped.
pub(crate) const NO_JOB: &str = "not suspended: there is no shell here that could continue it";

/// Whether the next SIGTSTP is one that this program has sent itself with its job.
static IS_OWN: AtomicBool = AtomicBool::new(false);

/// Whether it was.
pub(crate) fn take_own() -> bool {
    IS_OWN.swap(false, Ordering::AcqRel)
}

/// Stops this program, and the others of its job, such as the script that it is run by: in raw mode a terminal does not do
/// so, and its shell waits for all of them.
pub(crate) fn stop_job() {
    IS_OWN.store(true, Ordering::Release);
    // As a terminal would.
    let _ = kill_current_process_group(Signal::TSTP);
    stop_this();
}

/// Stops this program. Others have been told whatever this was.
pub(crate) fn stop_this() {
    // To this thread and not only to the program, for then it would go on for a moment and wake
    // what was just suspended. Whoever may not stop itself goes on.
    let _ = raise(SIGSTOP);
}

/// Whether there is somebody who sees that the job was stopped, and may continue it. The system stops no other by a
/// key either. Where there is no terminal, whoever sends the signal is that.
pub(crate) fn is_job() -> bool {
    File::open("/dev/tty").is_err() || has_shell()
}

/// Whether who started this, or what it is run by, is of another job of this session.
fn has_shell() -> bool {
    let mut ancestor = getppid();
    while let Some(process) = ancestor {
        match getpgid(Some(process)) {
            Ok(group) if group == getpgrp() => match parent_of(process) {
                Some(parent) => ancestor = Pid::from_raw(parent),
                // Where the system does not tell.
                None => return true,
            },
            Ok(_) => return getsid(Some(process)).ok() == getsid(None).ok(),
            Err(_) => return false,
        }
    }
    false
}

/// 0, where it is of another namespace. Only Linux tells.
fn parent_of(process: Pid) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.as_raw_pid())).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    parent.trim().parse().ok()
}

/// Waits until this may use the terminal of standard output: in the background the system stops its job here, until
/// that is brought to the front.
///
/// # Errors
///
/// When nobody ever could.
pub(crate) fn wait_until_in_front() -> io::Result<()> {
    // Of what only those in front may do, this changes nothing.
    Ok(retry_on_intr(|| tcdrain(stdout()))?)
}

/// Whether this is in the background of its terminal, and nobody could bring it to the front.
pub(crate) fn is_left_behind() -> bool {
    tcgetpgrp(stdout()).is_ok_and(|front| front != getpgrp()) && !is_job()
}
