//! Learning that processes have exited, without reaping them.
//!
//! A process that is not reaped keeps its id, and with it the id of its group. As long as that is
//! so, a signal to the group cannot hit another one.

use std::io;
use std::time::Duration;

use coord_bus::time;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::signal::unix::{SignalKind, signal};

use crate::proc_stat::ProcStat;

/// Between two looks where the system cannot say when it is time for one.
const PAUSE: Duration = Duration::from_millis(10);

/// Resolves when a child has exited, and leaves it to be reaped.
pub(super) async fn exited(child: Pid) -> io::Result<()> {
    match gone(child).await {
        Ok(()) => Ok(()),
        Err(_) => signalled(child).await,
    }
}

/// The way of systems without process descriptors: at each SIGCHLD, look.
async fn signalled(child: Pid) -> io::Result<()> {
    let mut children = signal(SignalKind::child())?;
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(child), look)?.is_none() {
        children.recv().await;
    }
    Ok(())
}

/// Resolves when no process of the group lives. One that only waits to be reaped does not.
///
/// Only Linux can say. Elsewhere it resolves at once.
pub(super) async fn all_gone(group: Pid) {
    loop {
        let members = living(group);
        if members.is_empty() {
            return;
        }
        for member in members {
            if gone(member).await.is_err() {
                time::sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(target_os = "linux")]
async fn gone(process: Pid) -> io::Result<()> {
    use rustix::process::{PidfdFlags, pidfd_open};
    use tokio::io::{Interest, unix::AsyncFd};

    let descriptor = pidfd_open(process, PidfdFlags::empty())?;
    #[expect(deprecated, reason = "its heir is unsafe, for what is no `OwnedFd`")]
    let descriptor = AsyncFd::with_interest(descriptor, Interest::READABLE)?;
    descriptor.readable().await.map(drop)
}

#[cfg(not(target_os = "linux"))]
async fn gone(_: Pid) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The processes of a group that live; none where the system does not tell.
pub(super) fn living(group: Pid) -> Vec<Pid> {
    let group = group.as_raw_pid().cast_unsigned();
    let members = ProcStat::all().filter(|(_, stat)| !stat.is_over && stat.group == group);
    members
        .filter_map(|(process, _)| Pid::from_raw(process.cast_signed()))
        .collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    // Here, because with process descriptors nobody comes this way.
    #[tokio::test]
    async fn without_process_descriptors_an_exit_is_seen_and_not_reaped() {
        let mut children = ["exit 3", "sleep 0.1; exit 4"].map(|script| {
            let mut command = std::process::Command::new("sh");
            command.args(["-c", script]).spawn().unwrap()
        });
        for (child, code) in children.iter_mut().zip([3, 4]) {
            signalled(Pid::from_child(child)).await.unwrap();
            let status = child.try_wait().unwrap().expect("it has exited");
            assert_eq!(status.code(), Some(code));
        }
    }
}
