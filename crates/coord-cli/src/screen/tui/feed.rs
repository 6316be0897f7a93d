//! What the screen reads from the bus, and what of it goes where.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;

use coordination::bus::vocabulary::{
    ERROR_RECOVERY, ErrorRecovery, LOG_EVENTS, LogEvent, LogLevel, NOTIFICATION, Notification,
    PROCESS_HEALTH, PROCESS_LIFECYCLE, PROCESS_OUTPUT, ProcessHealth, ProcessLifecycle,
    ProcessOutput, SERVICE_LIFECYCLE, ServiceLifecycle, WORKFLOW_EVENTS, WorkflowEvent,
};
use coordination::bus::{BusExt, Delivery, Overflow, Subscriber};
use coordination::optimize::per_second;
use coordination::{CoordinationError, CoordinationModule};
use tokio_stream::{Stream, StreamExt};

use super::FRAMES;
use crate::board::{Board, Bounds};
use crate::screen::drain;

/// How many events are kept to be shown.
const EVENTS_MAX: usize = 100;

/// What was printed since the last frame, by process.
type Printed = HashMap<String, Lines>;

/// What a process printed since the last frame.
#[derive(Default)]
struct Lines {
    /// No more than is kept.
    kept: VecDeque<Delivery<ProcessOutput>>,
    /// How many are gone already.
    gone: u64,
}

/// What the screen reads.
pub(super) struct Feed {
    /// The newest last.
    pub(super) events: VecDeque<LogEvent>,
    printed: Pin<Box<dyn Stream<Item = Printed> + Send>>,
    workflow: Subscriber<WorkflowEvent>,
    services: Subscriber<ServiceLifecycle>,
    lifecycle: Subscriber<ProcessLifecycle>,
    health: Subscriber<ProcessHealth>,
    recovery: Subscriber<ErrorRecovery>,
    logs: Subscriber<LogEvent>,
    notifications: Subscriber<Notification>,
}

impl Feed {
    /// `bounds` are those of what is kept of each process's output.
    pub(super) fn new(
        module: &CoordinationModule,
        bounds: Bounds,
    ) -> Result<Self, CoordinationError> {
        let bus = module.bus();
        let optimizer = module.optimizer()?;
        optimizer.configure_rate_limit(&PROCESS_OUTPUT, per_second(FRAMES))?;
        let add = move |printed: &mut Printed, line: Delivery<ProcessOutput>| {
            if !printed.contains_key(&line.process) {
                printed.insert(line.process.clone(), Lines::default());
            }
            if let Some(lines) = printed.get_mut(&line.process) {
                // An older one would be gone from what is kept at once.
                if lines.kept.len() == bounds.lines {
                    lines.kept.pop_front();
                    lines.gone += 1;
                }
                lines.kept.push_back(line);
            }
        };
        let seed = move |line| {
            let mut printed = Printed::new();
            add(&mut printed, line);
            printed
        };
        Ok(Self {
            events: VecDeque::new(),
            printed: Box::pin(optimizer.conflate(&PROCESS_OUTPUT, seed, add)?),
            workflow: bus.subscribe(&WORKFLOW_EVENTS)?,
            services: bus.subscribe(&SERVICE_LIFECYCLE)?,
            lifecycle: bus.subscribe(&PROCESS_LIFECYCLE)?,
            health: bus.subscribe(&PROCESS_HEALTH)?,
            recovery: bus.subscribe(&ERROR_RECOVERY)?,
            logs: bus.subscribe_with(&LOG_EVENTS, Overflow::DropOldest)?,
            notifications: bus.subscribe_with(&NOTIFICATION, Overflow::DropOldest)?,
        })
    }

    /// Waits until something has happened, and puts it on the board. Whether more may come.
    ///
    /// # Cancel safety
    ///
    /// What has been taken is on the board.
    pub(super) async fn next(&mut self, board: &mut Board) -> bool {
        tokio::select! {
            Some(printed) = self.printed.next() => print(board, &printed),
            Some(event) = self.lifecycle.recv() => board.lifecycle(&event),
            Some(event) = self.services.recv() => board.service(&event),
            Some(event) = self.health.recv() => board.health(&event),
            Some(event) = self.recovery.recv() => board.recovery(&event),
            Some(event) = self.logs.recv() => note(&mut self.events, event.event().clone()),
            Some(event) = self.notifications.recv() => note(&mut self.events, told(&event)),
            event = self.workflow.recv() => {
                let Some(event) = event else {
                    self.drain(board);
                    while let Some(printed) = self.printed.next().await {
                        print(board, &printed);
                    }
                    return false;
                };
                board.workflow(&event);
            }
        }
        self.drain(board);
        true
    }

    /// Takes what is there.
    fn drain(&mut self, board: &mut Board) {
        drain(&mut self.workflow, |event| board.workflow(event));
        drain(&mut self.lifecycle, |event| board.lifecycle(event));
        drain(&mut self.services, |event| board.service(event));
        drain(&mut self.health, |event| board.health(event));
        drain(&mut self.recovery, |event| board.recovery(event));
        let events = &mut self.events;
        drain(&mut self.logs, |event| note(events, event.clone()));
        drain(&mut self.notifications, |event| note(events, told(event)));
    }
}

fn print(board: &mut Board, printed: &Printed) {
    for (process, lines) in printed {
        board.skipped(process, lines.gone);
        for line in &lines.kept {
            board.output(line);
        }
    }
}

/// Notes an event; of two that tell of the same, the more serious one.
fn note(events: &mut VecDeque<LogEvent>, event: LogEvent) {
    let same = events.iter_mut().rev().find(|noted| noted.at == event.at);
    if let Some(noted) = same {
        if noted.level < event.level {
            *noted = event;
        }
        return;
    }
    if events.len() == EVENTS_MAX {
        events.pop_front();
    }
    events.push_back(event);
}

/// A notification among what is logged.
fn told(notification: &Notification) -> LogEvent {
    LogEvent {
        at: notification.at,
        level: LogLevel::Error,
        source: notification.title.clone(),
        message: notification.message.clone(),
    }
}
