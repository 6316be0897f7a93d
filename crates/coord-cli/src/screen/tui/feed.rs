//! What the screen reads from the bus, and what of it goes where.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
use super::stream::{LineStream, Told};
use crate::board::{Board, Bounds};
use crate::latency::ScreenLatency;
use crate::screen::drain;

/// How many events are kept to be shown.
const EVENTS_MAX: usize = 100;

/// What was printed since the last frame.
#[derive(Default)]
struct Printed {
    by_process: HashMap<String, Lines>,
    /// How many lines came.
    arrived: u64,
}

/// What a process printed since the last frame.
#[derive(Default)]
struct Lines {
    /// No more than is kept, each with which of all it was.
    kept: VecDeque<(u64, Delivery<ProcessOutput>)>,
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
    /// `bounds` are those of what is kept of each process's output, and `streams` says whether every
    /// line is to be shown.
    pub(super) fn new(
        module: &CoordinationModule,
        bounds: Bounds,
        streams: Arc<AtomicBool>,
    ) -> Result<Self, CoordinationError> {
        let bus = module.bus();
        let optimizer = module.optimizer()?;
        optimizer.configure_rate_limit(&PROCESS_OUTPUT, per_second(FRAMES))?;
        let add = move |printed: &mut Printed, line: Delivery<ProcessOutput>| {
            let arrival = printed.arrived;
            printed.arrived += 1;
            let processes = &mut printed.by_process;
            if !processes.contains_key(&line.process) {
                processes.insert(line.process.clone(), Lines::default());
            }
            if let Some(lines) = processes.get_mut(&line.process) {
                // An older one would be gone from what is kept at once; a stream shows it all the
                // same, and takes no more meanwhile.
                if lines.kept.len() >= bounds.lines && !streams.load(Ordering::Relaxed) {
                    lines.kept.pop_front();
                    lines.gone += 1;
                }
                lines.kept.push_back((arrival, line));
            }
        };
        let begin = add.clone();
        let seed = move |line| {
            let mut printed = Printed::default();
            begin(&mut printed, line);
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
    pub(super) async fn next(
        &mut self,
        board: &mut Board,
        stream: &mut LineStream,
        latency: &mut ScreenLatency,
    ) -> bool {
        let mut told = Telling {
            board,
            stream,
            latency,
        };
        tokio::select! {
            Some(printed) = self.printed.next() => told.print(printed),
            Some(event) = self.lifecycle.recv() => told.board.lifecycle(&event),
            Some(event) = self.services.recv() => told.service(&event),
            Some(event) = self.health.recv() => told.health(&event),
            Some(event) = self.recovery.recv() => told.recovery(&event),
            Some(event) = self.logs.recv() => note(&mut self.events, event.event().clone()),
            Some(event) = self.notifications.recv() => note(&mut self.events, notified(&event)),
            event = self.workflow.recv() => {
                let Some(event) = event else {
                    self.drain(&mut told);
                    while let Some(printed) = self.printed.next().await {
                        told.print(printed);
                    }
                    return false;
                };
                told.workflow(&event);
            }
        }
        self.drain(&mut told);
        true
    }

    /// Takes what is there.
    fn drain(&mut self, told: &mut Telling<'_>) {
        drain(&mut self.workflow, |event| told.workflow(event));
        drain(&mut self.lifecycle, |event| told.board.lifecycle(event));
        drain(&mut self.services, |event| told.service(event));
        drain(&mut self.health, |event| told.health(event));
        drain(&mut self.recovery, |event| told.recovery(event));
        let events = &mut self.events;
        drain(&mut self.logs, |event| note(events, event.clone()));
        drain(&mut self.notifications, |event| {
            note(events, notified(event));
        });
    }
}

/// Those that are told what comes.
struct Telling<'t> {
    board: &'t mut Board,
    stream: &'t mut LineStream,
    latency: &'t mut ScreenLatency,
}

impl Telling<'_> {
    fn print(&mut self, printed: Printed) {
        let mut lines = Vec::new();
        for (process, printed) in printed.by_process {
            self.board.skipped(&process, printed.gone);
            lines.extend(printed.kept);
        }
        // Those of each process are in order already, which makes it cheap.
        lines.sort_by_key(|(arrival, _)| *arrival);
        for (_, line) in &lines {
            self.latency.line(line.meta().time());
            self.board.output(line);
            self.stream.line(line, self.board);
        }
    }

    fn workflow(&mut self, event: &WorkflowEvent) {
        self.latency.step(event.at);
        self.board.workflow(event);
        self.stream.tell(|| Told::Workflow(event.clone()));
    }

    fn service(&mut self, event: &ServiceLifecycle) {
        self.board.service(event);
        self.stream.tell(|| Told::Service(event.clone()));
    }

    fn health(&mut self, event: &ProcessHealth) {
        self.board.health(event);
        self.stream.tell(|| Told::Health(event.clone()));
    }

    fn recovery(&mut self, event: &ErrorRecovery) {
        self.board.recovery(event);
        self.stream.tell(|| Told::Recovery(event.clone()));
    }
}

/// Notes an event, in the order of time, as they come from two topics; of two that tell of the same, the more
/// serious one.
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
    let after = events.iter().rposition(|noted| noted.at <= event.at);
    events.insert(after.map_or(0, |place| place + 1), event);
}

/// A notification among what is logged.
fn notified(notification: &Notification) -> LogEvent {
    LogEvent {
        at: notification.at,
        level: LogLevel::Error,
        source: notification.title.clone(),
        message: notification.message.clone(),
    }
}
