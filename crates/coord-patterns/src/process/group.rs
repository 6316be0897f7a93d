//! A process that runs, with all that it has begun: its process group.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time;
use coord_bus::vocabulary::Exit;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, Command};

use super::ProcessSpec;
use super::another_thread::on_another_thread;
use super::birth::VARIABLE;
use super::exit::{all_gone, exited};
use super::groups::{Groups, Membership};
use super::pipe::Pipe;
use super::simple_line;
use super::starts;

/// How long a process may take to be gone once it was killed. Most take less than a millisecond;
/// one that the kernel cannot interrupt, such as one that waits for a dead disk, may take for ever.
pub(super) const DEATH: Duration = Duration::from_secs(1);

/// A process that was started, its standard output and its standard error.
pub(super) type Started = (Group, [Pipe; 2]);

/// A process group, led by the process that was started. Dropped, it is killed.
///
/// Architecture invariant: the leader is reaped by `close` and nowhere else, and the group is
/// signalled only before, also by [`Groups`]. So the group's id is still its own whenever a signal
/// is sent.
#[derive(Debug)]
pub(super) struct Group {
    // Before `leader`, which tokio reaps once it is dropped.
    membership: Option<Membership>,
    leader: Child,
    id: Pid,
}

impl Group {
    /// Starts a process, and gives its standard output and its standard error.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing has been started, or what has been is killed.
    pub(super) async fn start(spec: &ProcessSpec, groups: &Arc<Groups>) -> io::Result<Started> {
        // Where a program cannot be started without a shell, that says what it thinks of it.
        if let Some(words) = simple_line::of(spec) {
            let mut command = command(spec, &words[0], &words[1..]);
            if let Some(dir) = simple_line::working_directory(spec) {
                command.env("PWD", dir);
            }
            if let Ok(started) = start(command, spec, groups).await {
                return Ok(started);
            }
        }
        let command = command(spec, &spec.program, &spec.arguments);
        start(command, spec, groups).await
    }

    /// Its id, which is its leader's.
    pub(super) fn id(&self) -> u32 {
        self.id.as_raw_pid().cast_unsigned()
    }

    /// Sends a signal to each process of it.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        if self.leader.id().is_none() {
            return Ok(());
        }
        Ok(kill_process_group(self.id, signal)?)
    }

    /// Resolves when the leader has exited.
    pub(super) async fn leader_exited(&self) -> io::Result<()> {
        exited(self.id).await
    }

    /// Resolves when nothing of it lives, as far as the system can say: see [`all_gone`].
    pub(super) async fn all_exited(&self) -> io::Result<()> {
        self.leader_exited().await?;
        all_gone(self.id).await;
        Ok(())
    }

    /// Kills what is left, once the leader has exited, and says how that did.
    pub(super) async fn close(&mut self) -> io::Result<Exit> {
        // Where nothing is left that could be killed, all is well.
        let _ = self.signal(Signal::KILL);
        self.membership = None;
        let status = match self.leader.try_wait()? {
            Some(status) => status,
            None => self.leader.wait().await?,
        };
        // The dead may be about to die still, with a port or a lock in their hands.
        if test_kill_process_group(self.id) != Err(Errno::SRCH) {
            let _ = time::timeout(DEATH, all_gone(self.id)).await;
        }
        Ok(exit_of(status))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Nobody is left to tell. Tokio reaps the leader.
        let _ = self.signal(Signal::KILL);
    }
}

fn command<S: AsRef<OsStr>>(spec: &ProcessSpec, program: &S, arguments: &[S]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    for name in &spec.not_inherited {
        command.env_remove(name);
    }
    command.envs(spec.variables());
    if let Some(dir) = &spec.dir {
        command.current_dir(dir);
    }
    command
}

/// Starts a process: here where no other one runs, and so nothing is held up that the way to a thread and
/// back would be worth; otherwise on another thread, as it takes until the program is loaded.
async fn start(command: Command, spec: &ProcessSpec, groups: &Arc<Groups>) -> io::Result<Started> {
    if groups.is_empty() {
        return spawn(command, &spec.name, groups);
    }
    let _turn = groups.turn().await;
    let (name, groups) = (spec.name.clone(), Arc::clone(groups));
    on_another_thread(move || spawn(command, &name, &groups)).await
}

fn spawn(mut command: Command, name: &str, groups: &Arc<Groups>) -> io::Result<Started> {
    // Until it can be suspended with its group.
    let _under_way = starts::begin();
    let (stdout, stdout_writer) = Pipe::new()?;
    let (stderr, stderr_writer) = Pipe::new()?;
    command
        .stdin(Stdio::null())
        .stdout(stdout_writer)
        .stderr(stderr_writer)
        .process_group(0);
    let birth = groups.begin(name);
    if let Some(mark) = birth.mark() {
        command.env(VARIABLE, mark.to_string());
    }
    let leader = command.spawn()?;
    let id = leader.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let id = id.ok_or_else(|| io::Error::other("the process has no id"))?;
    let group = Group {
        membership: Some(birth.enter(id, name)),
        leader,
        id,
    };
    Ok((group, [stdout, stderr]))
}

fn exit_of(status: ExitStatus) -> Exit {
    match status.code() {
        Some(code) => Exit::code(code),
        // What has ended, and with no code, a signal has killed.
        None => Exit::signal(status.signal().unwrap_or_default()),
    }
}
