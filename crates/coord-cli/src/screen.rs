//! What is printed of a run: a subscriber of the bus, and the only part that writes to the terminal.

mod duration;
mod jsonl;
mod order;
mod out;
mod page;
mod summary;
mod text;

use std::future::pending;
use std::time::Duration;

use coordination::bus::time::sleep;
use coordination::bus::vocabulary::{
    PROCESS_LIFECYCLE, PROCESS_OUTPUT, ProcessLifecycle, ProcessOutput, WORKFLOW_EVENTS,
    WorkflowEvent,
};
use coordination::bus::{
    BusError, BusExt, CancellationToken, DEFAULT_CAPACITY, LocalBus, Subscriber,
};
use coordination::workflow::Outcome;

use crate::args::RunArgs;
use crate::file::WorkflowFile;
use crate::signals::Interrupts;
use page::Page;
pub(crate) use page::{nothing_to_do, print_report};

/// How long a frame is shown: short enough to look immediate.
const FRAME: Duration = Duration::from_millis(10);
/// How many lines in a frame are so many that the screen takes no rest: a topic holds four times as
/// many before those who print are held up.
const BUSY: usize = DEFAULT_CAPACITY / 4;

/// Prints a run as it goes.
pub(crate) struct Screen {
    workflow: Subscriber<WorkflowEvent>,
    lifecycle: Subscriber<ProcessLifecycle>,
    output: Subscriber<ProcessOutput>,
    interrupts: Interrupts,
    /// How many interrupts have been noted.
    noted: usize,
    /// Cancelled when there is nothing more to come.
    ended: CancellationToken,
    page: Page,
}

impl Screen {
    pub(crate) fn new(
        bus: &LocalBus,
        args: &RunArgs,
        file: &WorkflowFile,
        interrupts: &Interrupts,
    ) -> Result<Self, BusError> {
        Ok(Self {
            workflow: bus.subscribe(&WORKFLOW_EVENTS)?,
            lifecycle: bus.subscribe(&PROCESS_LIFECYCLE)?,
            output: bus.subscribe(&PROCESS_OUTPUT)?,
            interrupts: interrupts.clone(),
            noted: 0,
            ended: CancellationToken::new(),
            page: Page::new(args, file),
        })
    }

    /// Cancelled when what is printed can no longer be written.
    pub(crate) fn lost(&self) -> CancellationToken {
        self.page.lost()
    }

    /// To be cancelled when there is nothing more to come, so that the last frame comes at once.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Prints until the bus is closed and everything has been printed.
    pub(crate) async fn print(mut self) -> Self {
        loop {
            tokio::select! {
                () = interrupt(&self.interrupts, self.noted) => {
                    self.page.interrupt(self.noted);
                    self.noted += 1;
                }
                Some(line) = self.output.recv() => {
                    drain(&mut self.lifecycle, |event| self.page.lifecycle(event));
                    self.page.output(&line);
                }
                Some(event) = self.lifecycle.recv() => self.page.lifecycle(&event),
                event = self.workflow.recv() => {
                    drain(&mut self.output, |line| self.page.output(line));
                    drain(&mut self.lifecycle, |event| self.page.lifecycle(event));
                    match event {
                        Some(event) => self.page.workflow(&event),
                        None => return self,
                    }
                }
            }
            drain(&mut self.lifecycle, |event| self.page.lifecycle(event));
            drain(&mut self.output, |line| self.page.output(line));
            while self.page.waits()
                && let Ok(event) = self.workflow.try_recv()
            {
                drain(&mut self.output, |line| self.page.output(line));
                drain(&mut self.lifecycle, |event| self.page.lifecycle(event));
                self.page.workflow(&event);
            }
            self.page.show();
            self.rest().await;
        }
    }

    /// Between two frames nobody has to wake the screen, unless so much comes that it should go on
    /// at once.
    async fn rest(&mut self) {
        if self.page.take_printed() > BUSY {
            return;
        }
        tokio::select! {
            () = sleep(FRAME) => {}
            () = interrupt(&self.interrupts, self.noted) => {}
            () = self.ended.cancelled() => {}
        }
    }

    /// Prints how the run ended. Whether everything could be written.
    pub(crate) fn finish(self, outcome: &Outcome, file: &WorkflowFile) -> bool {
        self.page.finish(outcome, file)
    }
}

/// Takes what is there, and no more than was there at the beginning: a topic holds so many.
fn drain<E>(events: &mut Subscriber<E>, mut take: impl FnMut(&E)) {
    for _ in 0..DEFAULT_CAPACITY {
        match events.try_recv() {
            Ok(event) => take(&event),
            Err(_) => return,
        }
    }
}

/// The next interrupt that has not been noted.
async fn interrupt(interrupts: &Interrupts, noted: usize) {
    match noted {
        0 => interrupts.end.cancelled().await,
        1 => interrupts.kill.cancelled().await,
        2 => interrupts.abandon.cancelled().await,
        _ => pending().await,
    }
}
