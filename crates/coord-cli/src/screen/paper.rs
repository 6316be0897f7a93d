//! A run as it goes by, line by line: reads the bus, and puts on the page what comes, in order.

use std::future::ready;
use std::time::Duration;

use coordination::CoordinationModule;
use coordination::bus::time::sleep;
use coordination::bus::vocabulary::{
    self, ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, ErrorRecovery, NOTIFICATION,
    PROCESS_HEALTH, PROCESS_LIFECYCLE, PROCESS_OUTPUT, ProcessHealth, ProcessLifecycle,
    ProcessOutput, SERVICE_LIFECYCLE, ServiceLifecycle, WORKFLOW_EVENTS, WorkflowEvent,
};
use coordination::bus::{BusError, BusExt, CancellationToken, DEFAULT_CAPACITY, Subscriber};

use super::order::Happening::{Error, Health, Notification, Process, Recovery, Service, Workflow};
use super::order::Order;
use super::page::Page;
use super::{Start, interrupt};
use tokio::sync::watch;

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
    workflow: Subscriber<WorkflowEvent>,
    services: Subscriber<ServiceLifecycle>,
    lifecycle: Subscriber<ProcessLifecycle>,
    output: Subscriber<ProcessOutput>,
    health: Subscriber<ProcessHealth>,
    recovery: Subscriber<ErrorRecovery>,
    errors: Subscriber<ErrorDetected>,
    notifications: Subscriber<vocabulary::Notification>,
    order: Order,
    interrupts: Interrupts,
    /// How many interrupts have been noted.
    noted: usize,
    paused: watch::Receiver<bool>,
    /// Whether it was said that only services are left.
    stands: bool,
    pub(super) page: Page,
}

impl Paper {
    pub(super) fn new(start: &Start<'_>) -> Result<Self, BusError> {
        let bus = start.module.bus();
        Ok(Self {
            workflow: bus.subscribe(&WORKFLOW_EVENTS)?,
            services: bus.subscribe(&SERVICE_LIFECYCLE)?,
            lifecycle: bus.subscribe(&PROCESS_LIFECYCLE)?,
            output: bus.subscribe(&PROCESS_OUTPUT)?,
            health: bus.subscribe(&PROCESS_HEALTH)?,
            recovery: bus.subscribe(&ERROR_RECOVERY)?,
            errors: bus.subscribe(&ERROR_DETECTED)?,
            notifications: bus.subscribe(&NOTIFICATION)?,
            order: Order::default(),
            interrupts: start.interrupts.clone(),
            paused: start.interrupts.paused.subscribe(),
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
            let happening = tokio::select! {
                // What an interrupt does is said before what it has done; and whichever topic wakes
                // this, all are read.
                biased;
                () = interrupt(&self.interrupts, self.noted) => {
                    self.noted += 1;
                    says = true;
                    None
                }
                () = self.interrupts.standing.cancelled(), if !self.stands => {
                    self.stands = true;
                    says = true;
                    None
                }
                Ok(()) = self.paused.changed() => {
                    let is_paused = *self.paused.borrow_and_update();
                    self.page.say(if is_paused { PAUSED } else { GOES_ON });
                    None
                }
                () = self.interrupts.why.notified() => {
                    asked = true;
                    None
                }
                () = self.interrupts.suspend.notified() => {
                    self.page.show();
                    suspend(module);
                    None
                }
                // Some of what was read waits for what was not.
                () = ready(()), if !self.order.is_empty() => None,
                Some(line) = self.output.recv() => {
                    self.page.output(&line, line.meta().time());
                    None
                }
                Some(event) = self.services.recv() => Some(Service(event.into_delivery())),
                Some(event) = self.lifecycle.recv() => Some(Process(event.into_delivery())),
                Some(event) = self.health.recv() => Some(Health(event.into_delivery())),
                Some(event) = self.recovery.recv() => Some(Recovery(event.into_delivery())),
                Some(event) = self.errors.recv() => Some(Error(event.into_delivery())),
                Some(event) = self.notifications.recv() => {
                    Some(Notification(event.into_delivery()))
                }
                event = self.workflow.recv() => match event {
                    Some(event) => Some(Workflow(event.into_delivery())),
                    None => return self.take_rest(),
                }
            };
            if let Some(happening) = happening {
                self.order.push(happening);
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
        self.read();
        self.order.ripen();
        self.read();
        for _ in 0..DEFAULT_CAPACITY {
            let Ok(line) = self.output.try_recv() else {
                break;
            };
            self.page.output(&line, line.meta().time());
        }
        while let Some(happening) = self.order.next() {
            self.page.happening(&happening);
        }
    }

    /// Prints what is left of a bus that is closed: as much as its topics hold.
    fn take_rest(&mut self) {
        self.take();
        while !self.order.is_empty() {
            self.take();
        }
        self.page.rest();
    }

    fn read(&mut self) {
        self.order.read(&mut self.workflow, Workflow);
        self.order.read(&mut self.services, Service);
        self.order.read(&mut self.lifecycle, Process);
        self.order.read(&mut self.health, Health);
        self.order.read(&mut self.recovery, Recovery);
        self.order.read(&mut self.errors, Error);
        self.order.read(&mut self.notifications, Notification);
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
