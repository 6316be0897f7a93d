//! Runs processes, and publishes what they do.

use std::sync::Arc;

use coord_bus::time::{self, Clock, SystemClock};
use coord_bus::vocabulary::{
    Exit, OutputStream, PROCESS_LIFECYCLE, PROCESS_OUTPUT, ProcessLifecycle, ProcessOutput,
    ProcessState,
};
use coord_bus::{Bus, BusExt, CancellationToken, Causes, Envelope, Publisher, Timestamp};
use rustix::process::Signal;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::{join, select, try_join};

use super::group::{Group, Started};
use super::groups::Groups;
use super::line_reader::LineReader;
use super::lines::Line;
use super::pipe::Pipe;
use super::secrets::Masking;
use super::stamps::Stamps;
use super::watch::{Printed, Watch};
use super::{GroupLedger, ProcessError, ProcessSpec, Stop, Watchdog, quiet};

/// Runs processes. Cheap to clone; one serves any number of processes at once.
#[derive(Debug, Clone)]
pub struct ProcessRunner {
    lifecycle: Publisher<ProcessLifecycle>,
    output: Publisher<ProcessOutput>,
    clock: Arc<dyn Clock>,
    groups: Arc<Groups>,
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
            groups: Arc::new(Groups::new()),
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
    /// printed and not yet been published is lost, and its end is not published. Where the process is
    /// just being started on another thread, that is waited for, as it would have been on this one.
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
        self.run_watched(spec, stop, &()).await
    }

    /// [`run`](Self::run), and calls this with each line that the process prints, before that is
    /// published: to see that it lives, say. A line of more than 64 KiB comes in parts.
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    pub async fn run_with_output(
        &self,
        spec: &ProcessSpec,
        stop: &Stop,
        printed: impl Fn(&str),
    ) -> Result<Exit, ProcessError> {
        self.run_watched(spec, stop, &Printed(printed)).await
    }

    /// Suspends, with SIGSTOP, every process that now runs through this runner or a clone of it,
    /// with its group: what a program does for its processes when it is itself suspended.
    ///
    /// A process that starts later does run. One that is asked to stop is woken for it; suspended
    /// after that, it does not hear the request before it is resumed, and its grace goes on. A
    /// process that may not be signalled is left as it is.
    pub fn suspend(&self) {
        self.groups.suspend();
    }

    /// Has a watchdog kill what runs through this runner or a clone of it, should the program be
    /// killed. The first watchdog stays until [`unguarded`](Self::unguarded) has said that it has ended.
    pub fn guard(&self, watchdog: Watchdog) {
        self.groups.guard(watchdog);
    }

    /// Resolves when no watchdog [guards](Self::guard) what runs: it was killed, say. At once, if there was
    /// none. What runs goes on; another watchdog is told of all that lives.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has done nothing.
    pub async fn unguarded(&self) {
        self.groups.unguarded().await;
    }

    /// Marks the watchdog, or takes its mark away: [`Watchdog::serve_marked`] says whether it has one when the
    /// program is gone. So it can clean up what the program did, and could not undo when it was killed.
    pub fn mark(&self, marked: bool) {
        self.groups.mark(marked);
    }

    /// Has it noted in a ledger which process groups live, of what starts from now on through this runner
    /// or a clone of it: for who comes after the program, should that be killed with its watchdog. The
    /// first ledger stays.
    pub fn note_in(&self, ledger: Arc<GroupLedger>) {
        self.groups.note_in(ledger);
    }

    /// Lets what is suspended go on, with SIGCONT.
    pub fn resume(&self) {
        self.groups.resume();
    }

    /// [`run`](Self::run), watched.
    pub(crate) async fn run_watched(
        &self,
        spec: &ProcessSpec,
        stop: &Stop,
        watch: &impl Watch,
    ) -> Result<Exit, ProcessError> {
        let (mut group, output) = match start(spec, stop, &self.groups).await {
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
        let pid = group.id();
        watch.started(pid);
        let running = Running { spec, pid, watch };
        let exit = self.attend(&running, stop, &mut group, output).await?;
        self.tell(spec, ProcessState::Exited(exit)).await?;
        Ok(exit)
    }

    /// Sees a process to its end, and publishes everything but that.
    ///
    /// The two go on side by side: a bus that is full holds up the telling, and with it the
    /// process, but never a signal.
    async fn attend(
        &self,
        running: &Running<'_, impl Watch>,
        stop: &Stop,
        group: &mut Group,
        output: [Pipe; 2],
    ) -> Result<Exit, ProcessError> {
        let kill = stop.immediate.child_token();
        let closed = CancellationToken::new();
        // A process is sent two at most: one to ask it, one to kill it.
        let (sent, signals) = channel(2);
        let ending = async {
            let exit = end(running.spec, group, &stop.graceful, &kill, sent).await;
            closed.cancel();
            running.watch.ended();
            exit
        };
        let telling = async {
            let told = self.tell_all(running, output, signals, &closed).await;
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
        running: &Running<'_, impl Watch>,
        [stdout, stderr]: [Pipe; 2],
        mut signals: Receiver<Signal>,
        closed: &CancellationToken,
    ) -> Result<(), ProcessError> {
        let Running { spec, pid, .. } = *running;
        self.tell(spec, ProcessState::Started { pid }).await?;
        let stopping = async {
            while let Some(signal) = signals.recv().await {
                let signal = signal.as_raw();
                self.tell(spec, ProcessState::Stopping { signal }).await?;
            }
            Ok(())
        };
        try_join!(
            self.pump(running, OutputStream::Stdout, stdout, closed),
            self.pump(running, OutputStream::Stderr, stderr, closed),
            stopping,
        )?;
        Ok(())
    }

    /// Runs a process for its exit code alone; how it ended, and the last line that it printed.
    ///
    /// It is suspended with the others, and killed when this is dropped. Nothing is published.
    pub(crate) async fn run_quietly(
        &self,
        spec: &ProcessSpec,
    ) -> Result<(Exit, Option<String>), ProcessError> {
        quiet::run(spec, &self.groups).await
    }

    /// The groups of what runs through it, and their clock.
    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
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
        running: &Running<'_, impl Watch>,
        stream: OutputStream,
        pipe: Pipe,
        closed: &CancellationToken,
    ) -> Result<(), ProcessError> {
        let mut lines = LineReader::new(pipe);
        let mut masking = Masking::new(&running.spec.secrets);
        let lost = |error| ProcessError::lost(&running.spec.name, error);
        let mut stamps = Stamps::default();
        while let Some(line) = lines.next(closed).await.map_err(lost)? {
            let time = stamps.next(lines.reads(), &*self.clock);
            self.print(running, stream, masking.mask(line), time)
                .await?;
        }
        Ok(())
    }

    async fn print(
        &self,
        running: &Running<'_, impl Watch>,
        stream: OutputStream,
        line: Line,
        time: Option<Timestamp>,
    ) -> Result<(), ProcessError> {
        let name = &running.spec.name;
        let is_looked_for = running.watch.line(&line.text);
        let event = ProcessOutput {
            process: name.clone(),
            pid: running.pid,
            attempt: running.spec.attempt,
            stream,
            line: line.text,
            continues: line.continues,
        };
        let event = match time {
            Some(time) => Envelope::new(event).time(time),
            None => Envelope::new(event),
        };
        let printed = self.output.publish_with(event).await;
        printed.map_err(|refused| ProcessError::unpublished(name, refused))?;
        if is_looked_for {
            running.watch.published();
        }
        Ok(())
    }
}

/// A process that runs, and who looks at it.
struct Running<'a, W> {
    spec: &'a ProcessSpec,
    pid: u32,
    watch: &'a W,
}

async fn start(
    spec: &ProcessSpec,
    stop: &Stop,
    groups: &Arc<Groups>,
) -> Result<Started, ProcessError> {
    if stop.is_requested() {
        let process = spec.name.clone();
        return Err(ProcessError::Stopped { process });
    }
    let started = Group::start(spec, groups).await;
    started.map_err(|error| ProcessError::not_started(spec, error))
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
        () = graceful.cancelled() => ask(group, spec, kill, &sent).await,
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
    spec: &ProcessSpec,
    kill: &CancellationToken,
    sent: &Sender<Signal>,
) -> std::io::Result<bool> {
    // Where that is not allowed, killing is not either, and will say so.
    let signal = spec.stop_signal.signal();
    if group.signal(signal).is_ok() {
        let _ = sent.try_send(signal);
        // One that was suspended would sleep through it.
        let _ = group.signal(Signal::CONT);
    }
    select! {
        biased;
        exited = group.all_exited() => exited.map(|()| true),
        () = kill.cancelled() => Ok(false),
        () = time::sleep(spec.grace) => Ok(false),
    }
}
