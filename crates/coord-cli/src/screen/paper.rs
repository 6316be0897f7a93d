//! A run as it goes by, line by line: reads the bus, and puts on the page what comes, in order.

use std::future::ready;
use std::time::Duration;

use coordination::CoordinationModule;
use coordination::bus::time::sleep;
use coordination::bus::vocabulary::{PROCESS_OUTPUT, ProcessOutput};
use coordination::bus::{BusError, BusExt, CancellationToken, DEFAULT_CAPACITY, Subscriber};
use tokio::sync::watch;

use super::page::Page;
use super::{Start, interrupt};
use crate::happenings::Happenings;
use crate::job_control::{Job, NO_JOB};
use crate::signals::{Interrupts, suspend};

/// How long a frame is shown: short enough to look immediate.
const FRAME: Duration = Duration::from_millis(10);
/// How many lines in a frame are so many that the screen takes no rest: a topic holds four times as
/// many before those who print are held up.
const BUSY: usize = DEFAULT_CAPACITY / 4;

/// What is said when a run is paused, perhaps by another process, and when it is continued.
const PAUSED: &str = "the run is paused: no step begins until it is continued";
const GOES_ON: &str = "the run goes on";

/// Prints a run as it goes.
pub(super) struct Paper {
    output: Subscriber<ProcessOutput>,
    happenings: Happenings,
    interrupts: Interrupts,
    /// How many interrupts have been noted.
    noted: usize,
    paused: watch::Receiver<bool>,
    /// What was said of that last.
    is_paused: bool,
    /// Whether it was said that only services are left.
    stands: bool,
    pub(super) page: Page,
}

impl Paper {
    pub(super) fn new(start: &Start<'_>) -> Result<Self, BusError> {
        let bus = start.module.bus();
        Ok(Self {
            output: bus.subscribe(&PROCESS_OUTPUT)?,
            happenings: Happenings::new(&**bus)?,
            interrupts: start.interrupts.clone(),
            paused: start.interrupts.paused.subscribe(),
            is_paused: false,
            noted: 0,
            stands: false,
            page: Page::new(start),
        })
    }

    /// Prints until the bus is closed and everything has been printed; `ended` says that nothing
    /// more comes, so that the last frame comes at once.
    pub(super) async fn print(&mut self, module: &CoordinationModule, ended: &CancellationToken) {
        self.page.begin();
        loop {
            let mut says = false;
            let mut asked = false;
            tokio::select! {
                // What an interrupt does is said before what it has done; and whichever topic wakes
                // this, all are read.
                biased;
                () = interrupt(&self.interrupts, self.noted) => {
                    self.noted += 1;
                    says = true;
                }
                () = self.interrupts.standing.cancelled(), if !self.stands => {
                    self.stands = true;
                    says = true;
                }
                Ok(()) = self.paused.changed() => {
                    let is_paused = *self.paused.borrow_and_update();
                    // Where it is as it was, it has been otherwise meanwhile.
                    if is_paused == self.is_paused {
                        self.page.say(if is_paused { GOES_ON } else { PAUSED });
                    }
                    self.is_paused = is_paused;
                    self.page.say(if is_paused { PAUSED } else { GOES_ON });
                }
                () = self.interrupts.why.notified() => {
                    asked = true;
                }
                () = self.interrupts.suspend.notified() => {
                    self.page.show();
                    match Job::of_this() {
                        Some(job) => suspend(module, || job.stop_this()),
                        None => self.page.say(NO_JOB),
                    }
                }
                // Some of what was read waits for what was not.
                () = ready(()), if !self.happenings.is_empty() => {}
                Some(line) = self.output.recv() => {
                    self.page.output(&line, line.meta().time());
                }
                is_open = self.happenings.arrive() => if !is_open {
                    return self.take_rest();
                }
            }
            self.take();
            if says {
                self.page.say(self.interrupts.said().unwrap_or_default());
            }
            self.page.show();
            if asked {
                self.page.tell_why();
            }
            self.rest(ended).await;
        }
    }

    /// Prints what has come, as far as it is known what came before it.
    fn take(&mut self) {
        self.happenings.read();
        for _ in 0..DEFAULT_CAPACITY {
            let Ok(line) = self.output.try_recv() else {
                break;
            };
            self.page.output(&line, line.meta().time());
        }
        while let Some(happening) = self.happenings.next() {
            self.page.happening(&happening);
        }
    }

    /// Prints what is left of a bus that is closed: as much as its topics hold.
    fn take_rest(&mut self) {
        self.take();
        while !self.happenings.is_empty() {
            self.take();
        }
        self.page.rest();
        // Before anybody else prints.
        self.page.show();
    }

    /// Between two frames nobody has to wake the screen, unless so much comes that it should go on
    /// at once.
    async fn rest(&mut self, ended: &CancellationToken) {
        if self.page.take_printed() > BUSY {
            return;
        }
        tokio::select! {
            () = sleep(FRAME) => {}
            () = interrupt(&self.interrupts, self.noted) => {}
            () = ended.cancelled() => {}
        }
    }
}
