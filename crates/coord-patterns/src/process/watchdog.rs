//! What ends a program's processes when the program itself is killed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, PipeWriter, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

/// A process beside the program, which kills what runs once the program is gone.
///
/// A program that ends by itself ends its processes first. One that is killed with SIGKILL, or that
/// the system kills for want of memory, cannot: its processes would live on, unseen. The watchdog
/// is told of each process group that a [`ProcessRunner`](super::ProcessRunner) starts and of its
/// end, through a pipe; when the pipe breaks, it sends SIGKILL to those that are left, and exits.
///
/// It is a process group of its own and does not heed SIGINT, SIGTERM, SIGHUP and SIGQUIT, so what
/// is meant for the program does not end it. Who kills both with SIGKILL gets what was asked for.
///
/// ```no_run
/// # use coord_patterns::process::{ProcessRunner, Watchdog};
/// # async fn start(runner: &ProcessRunner) -> std::io::Result<()> {
/// // `main` begins with: if the only argument is `watchdog`, return `Watchdog::serve()`.
/// let mut command = std::process::Command::new(std::env::current_exe()?);
/// command.arg("watchdog");
/// runner.guard(Watchdog::start(command)?);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Watchdog {
    /// Told of groups as lines: `+` or `-` and the id. Before the child: dropped, it ends that.
    pipe: PipeWriter,
    /// Reaped by tokio.
    _child: Child,
}

impl Watchdog {
    /// Starts one: `command` is to call [`serve`](Self::serve), and nothing else.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime that has its I/O enabled.
    pub fn start(command: Command) -> io::Result<Self> {
        Self::start_with(command, Stdio::null())
    }

    /// Starts one that keeps this file open until it has killed what was left: a lock, say, for which
    /// others wait before they do the same again.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_holding(command: Command, held: File) -> io::Result<Self> {
        Self::start_with(command, held.into())
    }

    fn start_with(mut command: Command, held: Stdio) -> io::Result<Self> {
        let (orders, pipe) = io::pipe()?;
        // A watchdog that does not read must not hold up who starts processes.
        ioctl_fionbio(&pipe, true)?;
        // Nothing is printed there: it is one of the three that a process is given.
        command.stdin(orders).stdout(held);
        command.stderr(Stdio::null()).process_group(0);
        let _child = tokio::process::Command::from(command).spawn()?;
        Ok(Self { pipe, _child })
    }

    /// What a watchdog does: reads standard input until the program is gone, and then kills what it
    /// has left. Blocks its thread.
    ///
    /// # Errors
    ///
    /// When it cannot keep itself from heeding signals.
    pub fn serve() -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let _entered = runtime.enter();
        // Whoever listens for a signal is not ended by it.
        let _deaf = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::quit())?,
        ];
        for group in left(io::stdin()) {
            // One that has gone meanwhile needs nothing more.
            let _ = kill_process_group(group, Signal::KILL);
        }
        Ok(())
    }

    /// A group begins to live.
    pub(super) fn enter(&self, group: Pid) {
        self.tell('+', group);
    }

    /// A group has nothing left that lives, and its leader is about to be reaped.
    pub(super) fn leave(&self, group: Pid) {
        self.tell('-', group);
    }

    /// Without a watchdog that listens, processes run all the same.
    fn tell(&self, sign: char, group: Pid) {
        // In one piece, as a pipe takes it that is written in no other way.
        let line = format!("{sign}{}\n", group.as_raw_pid());
        let _ = (&self.pipe).write(line.as_bytes());
    }
}

/// The groups that live when the orders end.
fn left(orders: impl Read) -> Vec<Pid> {
    let mut living = HashMap::new();
    for order in BufReader::new(orders).lines().map_while(Result::ok) {
        let Some(group) = order
            .get(1..)
            .and_then(|id| Pid::from_raw(id.parse().ok()?))
        else {
            continue;
        };
        match order.starts_with('+') {
            true => living.insert(group, begun(group)),
            false => living.remove(&group),
        };
    }
    // A leader that is gone was reaped by others than its program, and its id may be another's by
    // now. As long as the group has a member, its id is nobody else's.
    let is_same = |(group, then): &(Pid, Option<String>)| {
        let now = begun(*group);
        now.is_none() || now == *then
    };
    let same = living.into_iter().filter(is_same);
    same.map(|(group, _)| group).collect()
}

/// When a process began, in the words of the system, where it tells: with its id, that is what
/// makes it out.
fn begun(process: Pid) -> Option<String> {
    let stat = std::fs::read(format!("/proc/{}/stat", process.as_raw_pid())).ok()?;
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let after_name = String::from_utf8_lossy(&stat[name_end + 1..]);
    after_name
        .split_ascii_whitespace()
        .nth(19)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_entered_and_did_not_leave_is_left() {
        // No process has such an id.
        let [a, b] = [2_000_000_001, 2_000_000_002].map(|id| Pid::from_raw(id).unwrap());
        let orders = "+2000000001\n+2000000002\n-2000000001\n?\n+x\n";
        assert_eq!(left(orders.as_bytes()), [b]);
        let orders = "+2000000001\n+2000000002\n-2000000002\n+20000";
        assert!(left(orders.as_bytes()).contains(&a));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn when_a_process_began_tells_it_from_another_with_its_id() {
        let this = rustix::process::getpid();
        let began = begun(this).unwrap();
        assert!(began.parse::<u64>().unwrap() > 0);
        assert_eq!(begun(this), Some(began));
        assert_eq!(begun(Pid::from_raw(2_000_000_001).unwrap()), None);
    }
}
