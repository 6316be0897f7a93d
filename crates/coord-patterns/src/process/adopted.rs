//! Children that the system has given to this program, as their parents have gone: those of whoever is the
//! first of a container, or of a system.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use coord_bus::time;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::signal::unix::{SignalKind, signal};

use crate::proc_stat::ProcStat;

/// How long after a look nothing is looked for: so many that end one after the other cost little.
const PAUSE: Duration = Duration::from_secs(1);

/// Reaps the children that the system gives to this program as their parents have gone, each at most about a
/// second after its end: what a program has to do that is process 1 of a container, as nobody else does. Only on
/// Linux is there anything to reap.
///
/// Children that lead a process group in the session of this program are not touched, which those are that a
/// [`ProcessRunner`](super::ProcessRunner) starts. Whoever starts children in other ways must not call it meanwhile:
/// it would reap those.
///
/// # Errors
///
/// When the system does not say that children end.
///
/// # Panics
///
/// Outside a tokio runtime that has its I/O and its time enabled.
///
/// # Cancel safety
///
/// Dropped, it reaps no more.
pub async fn reap_adopted() -> io::Result<Infallible> {
    let mut ends = signal(SignalKind::child())?;
    let this = std::process::id();
    loop {
        if let Some(own) = ProcStat::of(this) {
            adopted(this, own).for_each(reap);
        }
        ends.recv().await;
        time::sleep(PAUSE).await;
    }
}

/// The children of this program that have ended, and were not started by it.
fn adopted(this: u32, own: ProcStat) -> impl Iterator<Item = Pid> {
    ProcStat::all().filter_map(move |(process, stat)| {
        let is_started = stat.group == process && stat.session == own.session;
        let is_adopted = stat.is_over && stat.parent == this && !is_started;
        is_adopted.then(|| Pid::from_raw(process.cast_signed()))?
    })
}

fn reap(child: Pid) {
    // It has ended, so this does not wait; and it is of no interest how.
    let _ = waitid(
        WaitId::Pid(child),
        WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
    );
}
