//! Runs processes, and publishes what they do.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{self, Clock, SystemClock};
use coord_bus::vocabulary::{
    Exit, OutputStream, PROCESS_LIFECYCLE, PROCESS_OUTPUT, ProcessLifecycle, ProcessOutput,
    ProcessState,
};
use coord_bus::{Bus, BusExt, CancellationToken, Publisher};
use rustix::process::Signal;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::yield_now;
use tokio::{join, select, try_join};

use super::group::Group;
use super::lines::{Line, Lines};
use super::pipe::{CHUNK, Pipe};
use super::{ProcessError, ProcessSpec, Stop};

/// Runs processes. Cheap to clone; one serves any number of processes at once.
#[derive(Debug, Clone)]
pub struct ProcessRunner {
    lifecycle: Publisher<ProcessLifecycle>,
    output: Publisher<ProcessOutput>,
    clock: Arc<dyn Clock>,
}

impl ProcessRunner {
    /// A runner that publishes to the topics [`PROCESS_LIFECYCLE`] and [`PROCESS_OUTPUT`] of this
    /// bus.
    ///
    /// # Errors
    ///
    /// When a topic cannot be opened: [`ProcessError::Bus`].
    pub fn new(bus: &(impl Bus + ?Sized)) -> Result<Self, ProcessError> {
        Ok(Self {
            lifecycle: bus.publisher(&PROCESS_LIFECYCLE)?,
            output: bus.publisher(&PROCESS_OUTPUT)?,
            clock: Arc::new(SystemClock),
        })
    }

    /// With this clock for the times in its events, instead of the machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Runs a process to its end, and says how it ended.
    ///
    /// When this returns, all that the process printed has been published, then how it ended, and
    /// nothing of its process group is left: see the [module](super).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the process group is killed with SIGKILL, at once. What it had
    /// printed and not yet been published is lost, and its end is not published.
    ///
    /// # Errors
    ///
    /// See [`ProcessError`]. A process that did not start is published as
    /// [`ProcessState::NotStarted`] as well.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime that has its I/O and its time enabled.
    pub async fn run(&self, spec: &ProcessSpec, stop: &Stop) -> Result<Exit, ProcessError> {
        let (mut group, output) = match start(spec, stop) {
            Ok(started) => started,
            Err(error) => {
                let state = ProcessState::NotStarted {
                    error: error.with_causes(),
                };
                // That it did not start matters more than that nobody could be told.
                let _ = self.tell(spec, state).await;
                return Err(error);
            }
        };
        let exit = self.attend(spec, stop, &mut group, output).await?;
        self.tell(spec, ProcessState::Exited(exit)).await?;
        Ok(exit)
    }

    /// Sees a process to its end, and publishes everything but that.
    ///
    /// The two go on side by side: a bus that is full holds up the telling, and with it the
    /// process, but never a signal.
    async fn attend(
        &self,
        spec: &ProcessSpec,
        stop: &Stop,
        group: &mut Group,
        output: [Pipe; 2],
    ) -> Result<Exit, ProcessError> {
        let pid = group.id();
        let kill = stop.immediate.child_token();
        let closed = CancellationToken::new();
        // A process is sent two at most: one to ask it, one to kill it.
        let (sent, signals) = channel(2);
        let ending = async {
            let exit = end(spec, group, &stop.graceful, &kill, sent).await;
            closed.cancel();
            exit
        };
        let telling = async {
            let told = self.tell_all(spec, pid, output, signals, &closed).await;
            // Nobody would ever learn of what it does from now on.
            if told.is_err() {
                kill.cancel();
            }
            told
        };
        let (exit, told) = join!(ending, telling);
        told.and(exit)
    }

    async fn tell_all(
        &self,
        spec: &ProcessSpec,
        pid: u32,
        [stdout, stderr]: [Pipe; 2],
        mut signals: Receiver<Signal>,
        closed: &CancellationToken,
    ) -> Result<(), ProcessError> {
        self.tell(spec, ProcessState::Started { pid }).await?;
        let stopping = async {
            while let Some(signal) = signals.recv().await {
                let signal = signal.as_raw();
                self.tell(spec, ProcessState::Stopping { signal }).await?;
            }
            Ok(())
        };
        try_join!(
            self.pump(spec, (pid, OutputStream::Stdout), stdout, closed),
            self.pump(spec, (pid, OutputStream::Stderr), stderr, closed),
            stopping,
        )?;
        Ok(())
    }

    async fn tell(&self, spec: &ProcessSpec, state: ProcessState) -> Result<(), ProcessError> {
        let event = ProcessLifecycle {
            process: spec.name.clone(),
            at: self.clock.now(),
            state,
        };
        let told = self.lifecycle.publish(event).await;
        told.map_err(|refused| ProcessError::unpublished(&spec.name, refused))
    }

    /// Publishes what comes through a pipe. It reads no further while the bus is full, so the pipe
    /// fills up and the process waits.
    async fn pump(
        &self,
        spec: &ProcessSpec,
        from: (u32, OutputStream),
        mut pipe: Pipe,
        closed: &CancellationToken,
    ) -> Result<(), ProcessError> {
        let mut lines = Lines::default();
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            let read = pipe.read(&mut chunk, closed).await;
            read.map_err(|error| ProcessError::lost(&spec.name, error))?;
            if chunk.is_empty() {
                break;
            }
            let mut rest = &chunk[..];
            while let Some(line) = lines.next(&mut rest) {
                self.print(spec, from, line).await?;
            }
            // A process that prints without pause leaves room for others, and for its own end,
            // long before tokio would make it do so.
            yield_now().await;
        }
        while let Some(line) = lines.finish() {
            self.print(spec, from, line).await?;
        }
        Ok(())
    }

    async fn print(
        &self,
        spec: &ProcessSpec,
        (pid, stream): (u32, OutputStream),
        line: Line,
    ) -> Result<(), ProcessError> {
        let event = ProcessOutput {
            process: spec.name.clone(),
            pid,
            stream,
            line: line.text,
            continues: line.continues,
        };
        let printed = self.output.publish(event).await;
        printed.map_err(|refused| ProcessError::unpublished(&spec.name, refused))
    }
}

fn start(spec: &ProcessSpec, stop: &Stop) -> Result<(Group, [Pipe; 2]), ProcessError> {
    if stop.is_requested() {
        let process = spec.name.clone();
        return Err(ProcessError::Stopped { process });
    }
    Group::start(spec).map_err(|error| ProcessError::not_started(spec, error))
}

/// Waits for a process to end, or makes it; `sent` gets each signal that asked it to.
async fn end(
    spec: &ProcessSpec,
    group: &mut Group,
    graceful: &CancellationToken,
    kill: &CancellationToken,
    sent: Sender<Signal>,
) -> Result<Exit, ProcessError> {
    let lost = |error| ProcessError::lost(&spec.name, error);
    let is_over = select! {
        biased;
        exited = group.leader_exited() => exited.map(|()| true),
        () = kill.cancelled() => Ok(false),
        () = graceful.cancelled() => ask(group, spec.grace, kill, &sent).await,
    };
    if !is_over.map_err(lost)? {
        if let Err(source) = group.signal(Signal::KILL) {
            return Err(ProcessError::NotKilled {
                process: spec.name.clone(),
                group: group.id(),
                source,
            });
        }
        let _ = sent.try_send(Signal::KILL);
        group.leader_exited().await.map_err(lost)?;
    }
    group.close().await.map_err(lost)
}

/// Asks a process group to stop; whether it did so in time.
async fn ask(
    group: &Group,
    grace: Duration,
    kill: &CancellationToken,
    sent: &Sender<Signal>,
) -> std::io::Result<bool> {
    // Where that is not allowed, killing is not either, and will say so.
    if group.signal(Signal::TERM).is_ok() {
        let _ = sent.try_send(Signal::TERM);
        // One that was suspended would sleep through it.
        let _ = group.signal(Signal::CONT);
    }
    select! {
        biased;
        exited = group.all_exited() => exited.map(|()| true),
        () = kill.cancelled() => Ok(false),
        () = time::sleep(grace) => Ok(false),
    }
}
