//! `coord` as a job of a shell: in front of its terminal or behind, stopped, and continued.

use std::fs::File;
use std::io::{self, stdout};
use std::os::unix::process::parent_id;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, kill_current_process_group};
use rustix::termios::{tcdrain, tcgetpgrp};
use signal_hook::consts::{SIGHUP, SIGSTOP};
use signal_hook::low_level::raise;

/// What is said instead of being stopped.
pub(crate) const NO_JOB: &str = "not suspended: there is no shell here that could continue it";

/// Whether the next SIGTSTP is one that this program has sent itself with its job.
static IS_OWN: AtomicBool = AtomicBool::new(false);

/// Whether it was.
pub(crate) fn take_own() -> bool {
    IS_OWN.swap(false, Ordering::AcqRel)
}

/// Who sees that this program was stopped, and may continue it.
pub(crate) struct Job {
    /// What runs it in a terminal.
    parent: Option<u32>,
}

impl Job {
    /// Where there is somebody. The system stops no other by a key either. Where there is no terminal, whoever sends
    /// the signal is that.
    pub(crate) fn of_this() -> Option<Self> {
        let parent = parent_id();
        if File::open("/dev/tty").is_err() {
            return Some(Self { parent: None });
        }
        let parent = Some(parent);
        has_shell().then_some(Self { parent })
    }

    /// Stops this program, and the others of its job, such as the script that it is run by: in raw mode a terminal does
    /// not do so, and its shell waits for all of them.
    pub(crate) fn stop(&self) {
        self.until_parent_ends(|| {
            if is_run_by_its_job() && is_stopped_before_the_others() {
                return;
            }
            IS_OWN.store(true, Ordering::Release);
            // As a terminal would.
            let _ = kill_current_process_group(Signal::TSTP);
            stop_this();
        });
    }

    /// Stops this program. Others have been told whatever this was.
    pub(crate) fn stop_this(&self) {
        self.until_parent_ends(stop_this);
    }

    /// When a terminal is closed, the system continues what is stopped there, and tells it so. But a program is that
    /// only once all its threads are: one that is being stopped meanwhile would stay so.
    fn until_parent_ends(&self, stop: impl FnOnce()) {
        let Some(parent) = self.parent else {
            return stop();
        };
        continue_with_end_of_parent(true);
        // Otherwise it has ended before that could be heard of.
        if parent_id() == parent {
            stop();
        }
        continue_with_end_of_parent(false);
        if parent_id() != parent {
            // What went on already has not been told.
            let _ = raise(SIGHUP);
        }
    }
}

/// Whether this program is continued when what runs it ends, if this thread has stopped it. Only Linux does so, and
/// not where whoever started this has said what is to happen then.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables))]
fn continue_with_end_of_parent(is_continued: bool) {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{parent_process_death_signal, set_parent_process_death_signal};

        let (was, is) = match is_continued {
            true => (None, Some(Signal::CONT)),
            false => (Some(Signal::CONT), None),
        };
        if parent_process_death_signal() == Ok(was) {
            let _ = set_parent_process_death_signal(is);
        }
    }
}

/// Whether another process has stopped this one, and the others of its job after it. Returns once it is continued.
///
/// A shell waits for a script and not for what that runs: what it continued before this had stopped itself would stop
/// behind its back, and stay so.
fn is_stopped_before_the_others() -> bool {
    let mut stops = Command::new("sh");
    stops.args(["-c", "kill -s STOP $PPID && kill -s TSTP 0"]);
    stops
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // It is of this job, too, so it has not ended before that goes on; and where it is ended by a signal then, as the
    // terminal was closed, this is to end as well, and not to be stopped once more, which nobody would continue.
    let has_ended = |status: ExitStatus| status.code().is_none_or(|code| code == 0);
    stops.status().is_ok_and(has_ended)
}

/// Stops this program.
fn stop_this() {
    // To this thread and not only to the program, for then it would go on for a moment and wake
    // what was just suspended. Whoever may not stop itself goes on.
    let _ = raise(SIGSTOP);
}

/// Whether who started this, or what it is run by, is of another job of this session.
fn has_shell() -> bool {
    let Some(this) = Place::of(std::process::id()) else {
        return false;
    };
    let mut ancestor = this.parent;
    loop {
        // Where the system does not tell.
        let Some(parent) = ancestor else { return true };
        match Place::of(parent) {
            Some(place) if place.group == this.group => ancestor = place.parent,
            Some(place) => return place.session == this.session,
            // It is of another namespace, as what runs a container is.
            None => return false,
        }
    }
}

/// Whether what this is run by is of the same job, as a script is.
fn is_run_by_its_job() -> bool {
    let this = Place::of(std::process::id());
    this.is_some_and(|this| {
        let parent = this.parent.and_then(Place::of);
        parent.is_some_and(|parent| parent.group == this.group)
    })
}

/// Where a process stands among the others. On Linux an id is 0 of what is of another namespace.
struct Place {
    parent: Option<u32>,
    group: u32,
    session: u32,
}

#[cfg(target_os = "linux")]
impl Place {
    /// As the system calls would tell it, if rustix expected the 0 of theirs.
    fn of(process: u32) -> Option<Self> {
        let stat = coordination::patterns::ProcStat::of(process)?;
        Some(Self {
            parent: Some(stat.parent),
            group: stat.group,
            session: stat.session,
        })
    }
}

#[cfg(not(target_os = "linux"))]
impl Place {
    /// Of whom a process is a child only this one is told.
    fn of(process: u32) -> Option<Self> {
        let id = |of: Pid| of.as_raw_pid().cast_unsigned();
        let pid = Pid::from_raw(process.cast_signed());
        Some(Self {
            parent: (process == std::process::id()).then(parent_id),
            group: rustix::process::getpgid(pid).ok().map(id)?,
            session: rustix::process::getsid(pid).ok().map(id)?,
        })
    }
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
    let is_behind = |front: Pid| {
        let this = Place::of(std::process::id());
        this.is_some_and(|this| this.group != front.as_raw_pid().cast_unsigned())
    };
    tcgetpgrp(stdout()).is_ok_and(is_behind) && Job::of_this().is_none()
}
