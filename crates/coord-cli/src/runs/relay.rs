//! What happens in a run that another process drives, on a bus of this one: steps by the journal, lines, and
//! what becomes of processes and services, by what is kept of them. So the same screens show it.

mod waiting;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::Duration;

use coordination::bus::time::{Clock, Instant, SystemClock, sleep, sleep_until, timeout};
use coordination::bus::vocabulary::{
    ERROR_RECOVERY, ErrorRecovery, NOTIFICATION, Notification, PROCESS_HEALTH, PROCESS_LIFECYCLE,
    PROCESS_OUTPUT, ProcessHealth, ProcessLifecycle, ProcessOutput, ProcessState,
    SERVICE_LIFECYCLE, ServiceLifecycle, ServiceState, Severity, Transition, WORKFLOW_EVENTS,
    WorkflowEvent,
};
use coordination::bus::{BusError, BusExt, LocalBus, Publisher, Timestamp};
use coordination::workflow::{Following, RunView};

use super::RunsFault;
use crate::file::printable;
use crate::kept_output::{EVENTS, Kept, KeptEvent, Merged, Record, TITLE as OUTPUT, is_due};
use crate::signals::Interrupts;
use waiting::Waiting;

/// How often it is looked whether there are more lines.
const LOOK: Duration = Duration::from_millis(50);
/// How long what happened waits for what was printed before it, and the other way round: they come by
/// different ways.
const SETTLED: Duration = Duration::from_millis(150);
/// How long the last lines of a run may take to be written.
const LAST_WITHIN: Duration = Duration::from_secs(2);
/// How many of its last lines there are of each process, of what it printed before.
const EARLIER_MAX: usize = 1_000;

/// Publishes what happens in a run.
pub(super) struct Relay {
    pub(super) following: Following,
    kept: Kept,
    lines: Merged,
    /// What is to be published, in the order of time.
    events: VecDeque<WorkflowEvent>,
    /// What becomes of processes and services, with when that was kept.
    told: VecDeque<(Timestamp, KeptEvent)>,
    waiting: Waiting,
    /// Of each process the id, as far as it is known, and the attempt that it was started for.
    running: HashMap<String, (u32, u32)>,
    steps: Publisher<WorkflowEvent>,
    output: Publisher<ProcessOutput>,
    services: Publisher<ServiceLifecycle>,
    processes: Publisher<ProcessLifecycle>,
    health: Publisher<ProcessHealth>,
    recovery: Publisher<ErrorRecovery>,
    notifications: Publisher<Notification>,
}

impl Relay {
    pub(super) fn new(bus: &LocalBus, following: Following, kept: Kept) -> Result<Self, BusError> {
        Ok(Self {
            following,
            lines: Merged::new(kept.clone(), None),
            events: VecDeque::new(),
            told: VecDeque::new(),
            waiting: Waiting::default(),
            running: HashMap::new(),
            kept,
            steps: bus.publisher(&WORKFLOW_EVENTS)?,
            output: bus.publisher(&PROCESS_OUTPUT)?,
            services: bus.publisher(&SERVICE_LIFECYCLE)?,
            processes: bus.publisher(&PROCESS_LIFECYCLE)?,
            health: bus.publisher(&PROCESS_HEALTH)?,
            recovery: bus.publisher(&ERROR_RECOVERY)?,
            notifications: bus.publisher(&NOTIFICATION)?,
        })
    }

    /// Publishes what there was before. Where that is `shown`: what became of processes and services since
    /// the run is driven by who drives it; otherwise where they are now. And the last lines of each process,
    /// where these are `wanted`.
    pub(super) async fn earlier(
        &mut self,
        before: &RunView,
        interrupts: &Interrupts,
        shown: bool,
        wanted: bool,
    ) -> Result<(), RunsFault> {
        if before.is_up {
            let event = WorkflowEvent {
                workflow: before.workflow.clone(),
                run: before.run.to_string(),
                at: SystemClock.now(),
                transition: Transition::RunUp,
            };
            self.step(event, interrupts).await;
        }
        let mut earlier: HashMap<String, VecDeque<Record>> = HashMap::new();
        let mut told: Vec<(Timestamp, KeptEvent)> = Vec::new();
        self.lines.take(false, Timestamp::MAX, |process, record| {
            if process == EVENTS {
                match KeptEvent::read(&record) {
                    Some(KeptEvent::Driven { .. }) => told.clear(),
                    Some(event) => told.push((record.at, event)),
                    None => {}
                }
            } else if wanted {
                let lines = earlier.entry(process.to_owned()).or_default();
                if lines.len() == EARLIER_MAX {
                    lines.pop_front();
                }
                lines.push_back(record);
            }
            Ok(())
        })?;
        if !shown {
            told = standing(told);
        }
        let lines = earlier.into_iter();
        let mut lines: Vec<_> = lines
            .flat_map(|(process, lines)| lines.into_iter().map(move |line| (process.clone(), line)))
            .collect();
        lines.sort_by_key(|(_, record)| record.at);
        let mut lines = lines.into_iter().peekable();
        for (at, event) in told {
            while let Some((process, record)) = lines.next_if(|(_, record)| record.at < at) {
                self.line(process, record, Timestamp::MAX).await;
            }
            self.happened(event).await;
        }
        for (process, record) in lines {
            self.line(process, record, Timestamp::MAX).await;
        }
        Ok(())
    }

    /// Publishes what happens until the run has finished, or nobody drives it.
    pub(super) async fn run(&mut self, interrupts: &Interrupts) -> Result<(), RunsFault> {
        let mut look = Instant::now();
        loop {
            tokio::select! {
                // To look costs something for each process that has printed: not with each event.
                () = sleep_until(look) => look = Instant::now() + LOOK,
                event = self.following.next() => match event? {
                    Some(event) => {
                        self.events.push_back(event);
                        continue;
                    }
                    None => break,
                },
            }
            self.publish(SystemClock.now() - SETTLED, interrupts)
                .await?;
            let is_paused = self.following.is_paused();
            interrupts.paused.send_if_modified(|was_paused| {
                std::mem::replace(was_paused, is_paused) != is_paused
            });
        }
        // Where it takes longer, what is there is shown.
        let _ = timeout(LAST_WITHIN, async {
            while self.kept.is_written() {
                sleep(LOOK).await;
            }
        })
        .await;
        self.take(true)?;
        self.publish(Timestamp::MAX, interrupts).await
    }

    fn take(&mut self, is_over: bool) -> io::Result<()> {
        let (told, waiting) = (&mut self.told, &mut self.waiting);
        self.lines.take(is_over, Timestamp::MAX, |process, record| {
            match process == EVENTS {
                true => told.extend(KeptEvent::read(&record).map(|event| (record.at, event))),
                false => waiting.push(process, record),
            }
            Ok(())
        })
    }

    /// Publishes what happened until then, and was printed.
    async fn publish(
        &mut self,
        until: Timestamp,
        interrupts: &Interrupts,
    ) -> Result<(), RunsFault> {
        self.take(false)?;
        loop {
            let step = self.events.front().map(|event| event.at);
            let step = step.filter(|at| is_due(*at, until));
            let told = self.told.front().map(|(_, event)| event.at());
            let told = told.filter(|at| is_due(*at, until));
            let is_step = match (step, told) {
                (None, None) => break,
                // What causes something happened before it.
                (Some(step), Some(told)) => step <= told,
                (step, _) => step.is_some(),
            };
            if is_step && let Some(event) = self.events.pop_front() {
                let ended = ended(&event.transition);
                let before = event.at - Duration::from_nanos(1);
                self.lines(|at| at <= event.at, before).await;
                // What an attempt printed was printed before its end, whenever it was taken.
                if let Some((process, attempt)) = ended {
                    self.lines_of(process, |record| record.attempt == attempt, before)
                        .await;
                }
                self.step(event, interrupts).await;
            } else if let Some((kept_at, event)) = self.told.pop_front() {
                // Of what it is about, what was kept before.
                if let Some(process) = event.of_what() {
                    self.lines_of(process, |record| record.at < kept_at, event.at())
                        .await;
                }
                self.happened(event).await;
            }
        }
        self.lines(|at| is_due(at, until), until).await;
        Ok(())
    }

    /// Publishes those of whose times this is true, as printed before a time.
    async fn lines(&mut self, is_due: impl Fn(Timestamp) -> bool, before: Timestamp) {
        while let Some((process, record)) = self.waiting.next(&is_due) {
            self.line(process, record, before).await;
        }
    }

    /// Publishes those of a process, up to the first of which this is not true.
    async fn lines_of(
        &mut self,
        process: &str,
        is_due: impl Fn(&Record) -> bool,
        before: Timestamp,
    ) {
        while let Some(record) = self.waiting.next_of(process, &is_due) {
            self.line(process.to_owned(), record, before).await;
        }
    }

    /// Of a process of which it is not known that it was started, the id is 0, and that it was is told before
    /// its first line.
    async fn line(&mut self, process: String, record: Record, before: Timestamp) {
        // What is published is refused only once the bus is closed, and nobody shows it any more.
        if record.is_after_gap {
            let missing = Notification {
                at: record.at,
                severity: Severity::Warning,
                title: OUTPUT.to_owned(),
                message: format!(
                    "some of what {} printed is missing here: it was not kept until it could be read",
                    printable(&process)
                ),
            };
            let _ = self.notifications.publish(missing).await;
        }
        let attempt = record.attempt;
        let known = self.running.get(&process).copied();
        let pid = match known {
            Some((pid, for_attempt)) if pid > 0 || for_attempt == attempt => pid,
            _ => {
                self.running.insert(process.clone(), (0, attempt));
                let started = ProcessLifecycle {
                    process: process.clone(),
                    at: record.at.min(before),
                    state: ProcessState::Started { pid: 0 },
                };
                let _ = self.processes.publish(started).await;
                0
            }
        };
        let output = ProcessOutput {
            process,
            pid,
            attempt,
            stream: record.stream,
            line: record.line,
            continues: record.continues,
        };
        let _ = self.output.publish(output).await;
    }

    async fn step(&self, event: WorkflowEvent, interrupts: &Interrupts) {
        if matches!(event.transition, Transition::RunUp) {
            interrupts.standing.cancel();
        }
        let _ = self.steps.publish(event).await;
    }

    async fn happened(&mut self, event: KeptEvent) {
        match event {
            KeptEvent::ProcessLifecycle(event) => {
                match event.state {
                    ProcessState::Started { pid } => {
                        self.running.insert(event.process.clone(), (pid, 0));
                    }
                    ProcessState::Exited(_) => {
                        self.running.remove(&event.process);
                    }
                    _ => {}
                }
                let _ = self.processes.publish(event).await;
            }
            KeptEvent::ServiceLifecycle(event) => {
                let _ = self.services.publish(event).await;
            }
            KeptEvent::ProcessHealth(event) => {
                let _ = self.health.publish(event).await;
            }
            KeptEvent::ErrorRecovery(event) => {
                let _ = self.recovery.publish(event).await;
            }
            KeptEvent::Notification(event) => {
                let _ = self.notifications.publish(event).await;
            }
            KeptEvent::Driven { .. } => self.running.clear(),
            // The journal tells.
            KeptEvent::WorkflowEvents(_) => {}
        }
    }
}

/// Of what happened, what processes run, and where services are that are not stopped.
fn standing(told: Vec<(Timestamp, KeptEvent)>) -> Vec<(Timestamp, KeptEvent)> {
    let (mut processes, mut services) = (HashMap::new(), HashMap::new());
    for (at, event) in told {
        match &event {
            KeptEvent::ProcessLifecycle(lifecycle) => {
                let process = lifecycle.process.clone();
                match lifecycle.state {
                    ProcessState::Started { .. } => drop(processes.insert(process, (at, event))),
                    ProcessState::Exited(_) => drop(processes.remove(&process)),
                    _ => {}
                }
            }
            KeptEvent::ServiceLifecycle(lifecycle) => {
                let service = lifecycle.service.clone();
                match lifecycle.state {
                    ServiceState::Ended { asked: true, .. } => drop(services.remove(&service)),
                    _ => drop(services.insert(service, (at, event))),
                }
            }
            KeptEvent::ErrorRecovery(recovery) if services.contains_key(&recovery.source) => {
                services.insert(recovery.source.clone(), (at, event));
            }
            _ => {}
        }
    }
    let standing = processes.into_values().chain(services.into_values());
    let mut standing: Vec<_> = standing.collect();
    standing.sort_by_key(|(at, _)| *at);
    standing
}

/// The attempt at a step that is at its end by this.
fn ended(transition: &Transition) -> Option<(&str, u32)> {
    match transition {
        Transition::StepCompleted { step, attempt, .. }
        | Transition::StepRetrying { step, attempt, .. }
        | Transition::StepFailed { step, attempt, .. }
        | Transition::StepExhausted { step, attempt, .. } => Some((step, *attempt)),
        _ => None,
    }
}
