//! A run as it goes by, line by line: reads the bus, and puts on the page what comes, in order.

use std::time::Duration;

use coordination::CoordinationModule;
use coordination::bus::time::sleep;
use coordination::bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, ErrorRecovery, NOTIFICATION, Notification,
    PROCESS_HEALTH, PROCESS_LIFECYCLE, PROCESS_OUTPUT, ProcessHealth, ProcessLifecycle,
    ProcessOutput, SERVICE_LIFECYCLE, ServiceLifecycle, WORKFLOW_EVENTS, WorkflowEvent,
};
use coordination::bus::{
    BusError, BusExt, CancellationToken, DEFAULT_CAPACITY, Received, Subscriber,
};

use super::page::Page;
use super::{Start, drain, interrupt};
use crate::signals::{Interrupts, suspend};

/// How long a frame is shown: short enough to look immediate.
const FRAME: Duration = Duration::from_millis(10);
/// How many lines in a frame are so many that the screen takes no rest: a topic holds four times as
/// many before those who print are held up.
const BUSY: usize = DEFAULT_CAPACITY / 4;

/// Prints a run as it goes.
pub(super) struct Paper {
    workflow: Subscriber<WorkflowEvent>,
    services: Subscriber<ServiceLifecycle>,
    lifecycle: Subscriber<ProcessLifecycle>,
    output: Subscriber<ProcessOutput>,
    health: Subscriber<ProcessHealth>,
    recovery: Subscriber<ErrorRecovery>,
    errors: Subscriber<ErrorDetected>,
    notifications: Subscriber<Notification>,
    interrupts: Interrupts,
    /// How many interrupts have been noted.
    noted: usize,
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
            interrupts: start.interrupts.clone(),
            noted: 0,
            stands: false,
            page: Page::new(start.args, start.file),
        })
    }

    /// Prints until the bus is closed and everything has been printed; `ended` says that nothing
    /// more comes, so that the last frame comes at once.
    pub(super) async fn print(&mut self, module: &CoordinationModule, ended: &CancellationToken) {
        loop {
            tokio::select! {
                () = interrupt(&self.interrupts, self.noted) => {
                    self.noted += 1;
                    self.page.say(self.interrupts.said().unwrap_or_default());
                }
                () = self.interrupts.standing.cancelled(), if !self.stands => {
                    self.stands = true;
                    self.page.say(self.interrupts.said().unwrap_or_default());
                }
                () = self.interrupts.suspend.notified() => {
                    self.page.show();
                    suspend(module);
                }
                Some(line) = self.output.recv() => {
                    drain(&mut self.lifecycle, |event| self.page.lifecycle(event));
                    self.page.output(&line);
                }
                Some(event) = self.lifecycle.recv() => self.page.lifecycle(&event),
                Some(event) = self.services.recv() => {
                    let event = event.into_delivery();
                    self.service(&event);
                }
                Some(event) = self.recovery.recv() => {
                    let event = event.into_delivery();
                    self.recovery(&event);
                }
                Some(event) = self.health.recv() => self.page.health(&event),
                Some(event) = self.errors.recv() => self.page.error(&event),
                Some(event) = self.notifications.recv() => self.page.notification(&event),
                event = self.workflow.recv() => match event.map(Received::into_delivery) {
                    Some(event) => self.workflow(&event),
                    None => {
                        self.take_services();
                        self.take_others();
                        return;
                    }
                }
            }
            self.take_others();
            while self.page.waits() && self.take_turn() {}
            self.page.show();
            self.rest(ended).await;
        }
    }

    /// A workflow got on: after what was done for it.
    fn workflow(&mut self, event: &WorkflowEvent) {
        self.take_services();
        self.take_processes();
        self.page.workflow(event);
    }

    /// A service got on: after what its process did.
    fn service(&mut self, event: &ServiceLifecycle) {
        self.take_processes();
        self.page.service(event);
    }

    /// Something is done about an error: after what a service did.
    fn recovery(&mut self, event: &ErrorRecovery) {
        self.take_services();
        self.page.recovery(event);
    }

    fn take_processes(&mut self) {
        drain(&mut self.output, |line| self.page.output(line));
        drain(&mut self.lifecycle, |event| self.page.lifecycle(event));
    }

    fn take_services(&mut self) {
        for _ in 0..DEFAULT_CAPACITY {
            let Ok(event) = self.services.try_recv().map(Received::into_delivery) else {
                return;
            };
            self.service(&event);
        }
    }

    /// One event that begins or ends something, if there is one.
    fn take_turn(&mut self) -> bool {
        if let Ok(event) = self.services.try_recv().map(Received::into_delivery) {
            self.service(&event);
        } else if let Ok(event) = self.workflow.try_recv().map(Received::into_delivery) {
            self.workflow(&event);
        } else {
            return false;
        }
        true
    }

    /// What begins and ends nothing.
    fn take_others(&mut self) {
        drain(&mut self.lifecycle, |event| self.page.lifecycle(event));
        drain(&mut self.output, |line| self.page.output(line));
        drain(&mut self.health, |event| self.page.health(event));
        drain(&mut self.errors, |event| self.page.error(event));
        drain(&mut self.notifications, |event| {
            self.page.notification(event)
        });
        for _ in 0..DEFAULT_CAPACITY {
            let Ok(event) = self.recovery.try_recv().map(Received::into_delivery) else {
                return;
            };
            self.recovery(&event);
        }
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
