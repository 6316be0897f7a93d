//! What happens in a run that another process drives, on a bus of this one: steps by the journal, lines
//! by what is kept of them. So the same screens show it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::Duration;

use coordination::bus::time::{Clock, SystemClock, sleep, timeout};
use coordination::bus::vocabulary::{
    LOG_EVENTS, LogEvent, LogLevel, PROCESS_LIFECYCLE, PROCESS_OUTPUT, ProcessLifecycle,
    ProcessOutput, ProcessState, SERVICE_LIFECYCLE, ServiceLifecycle, ServiceState, Transition,
    WORKFLOW_EVENTS, WorkflowEvent,
};
use coordination::bus::{BusError, BusExt, LocalBus, Publisher, Timestamp};
use coordination::workflow::{Following, RunView, StepPhase};

use super::RunsFault;
use crate::file::WorkflowFile;
use crate::kept_output::{Kept, Merged, Record};
use crate::signals::Interrupts;
use crate::spoken::Spoken;

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
    waiting: VecDeque<(String, Record)>,
    /// Of each process, for which attempt it was started last.
    started: HashMap<String, u32>,
    services: Vec<String>,
    steps: Publisher<WorkflowEvent>,
    output: Publisher<ProcessOutput>,
    states: Publisher<ServiceLifecycle>,
    processes: Publisher<ProcessLifecycle>,
    logs: Publisher<LogEvent>,
}

impl Relay {
    pub(super) fn new(
        bus: &LocalBus,
        following: Following,
        kept: Kept,
        file: &WorkflowFile,
    ) -> Result<Self, BusError> {
        let services = file.units.iter().filter(|unit| unit.service().is_some());
        Ok(Self {
            following,
            lines: Merged::new(kept.clone(), None),
            events: VecDeque::new(),
            waiting: VecDeque::new(),
            started: HashMap::new(),
            kept,
            services: services.map(|unit| unit.id.clone()).collect(),
            steps: bus.publisher(&WORKFLOW_EVENTS)?,
            output: bus.publisher(&PROCESS_OUTPUT)?,
            states: bus.publisher(&SERVICE_LIFECYCLE)?,
            processes: bus.publisher(&PROCESS_LIFECYCLE)?,
            logs: bus.publisher(&LOG_EVENTS)?,
        })
    }

    /// Publishes what there was before: which services are ready, and, where that is `shown`, the
    /// last lines of each process.
    pub(super) async fn earlier(
        &mut self,
        before: &RunView,
        interrupts: &Interrupts,
        shown: bool,
    ) -> Result<(), RunsFault> {
        for step in &before.steps {
            let state = match step.phase {
                StepPhase::Running => ServiceState::Starting,
                StepPhase::Completed => ServiceState::Ready {
                    duration: step.ended.zip(step.started).map_or(Duration::ZERO, took),
                },
                _ => continue,
            };
            self.state(&step.id, state).await;
        }
        if before.is_up {
            let event = WorkflowEvent {
                workflow: before.workflow.clone(),
                run: before.run.to_string(),
                at: SystemClock.now(),
                transition: Transition::RunUp,
            };
            self.event(event, interrupts).await;
        }
        let mut earlier: HashMap<String, VecDeque<Record>> = HashMap::new();
        self.lines.take(false, |process, record| {
            if shown {
                let lines = earlier.entry(process.to_owned()).or_default();
                if lines.len() == EARLIER_MAX {
                    lines.pop_front();
                }
                lines.push_back(record);
            }
            Ok(())
        })?;
        for (process, lines) in earlier {
            for record in lines {
                self.line(process.clone(), record, Timestamp::MAX).await;
            }
        }
        Ok(())
    }

    /// Publishes what happens until the run has finished, or nobody drives it.
    pub(super) async fn run(&mut self, interrupts: &Interrupts) -> Result<(), RunsFault> {
        loop {
            tokio::select! {
                event = self.following.next() => match event? {
                    Some(event) => self.events.push_back(event),
                    None => break,
                },
                () = sleep(LOOK) => {}
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
        let waiting = &mut self.waiting;
        self.lines.take(is_over, |process, record| {
            waiting.push_back((process.to_owned(), record));
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
        while self.events.front().is_some_and(|event| event.at <= until)
            && let Some(event) = self.events.pop_front()
        {
            let ended = ended(&event.transition);
            // What an attempt printed was printed before its end, whenever it was taken.
            let is_before = |process: &str, record: &Record| {
                record.at <= event.at || ended == Some((process, record.attempt))
            };
            let before = event.at - Duration::from_nanos(1);
            self.lines_where(is_before, before).await;
            self.event(event, interrupts).await;
        }
        self.lines_where(|_, record| record.at <= until, until)
            .await;
        Ok(())
    }

    /// Publishes those of which this is true, as printed before a time.
    async fn lines_where(&mut self, is_due: impl Fn(&str, &Record) -> bool, before: Timestamp) {
        for (process, record) in std::mem::take(&mut self.waiting) {
            match is_due(&process, &record) {
                true => self.line(process, record, before).await,
                false => self.waiting.push_back((process, record)),
            }
        }
    }

    /// Which process it was is not kept: its id is 0, and that it began is told before its first line.
    async fn line(&mut self, process: String, record: Record, before: Timestamp) {
        // What is published is refused only once the bus is closed, and nobody shows it any more.
        let attempt = record.attempt;
        if self.started.insert(process.clone(), attempt) != Some(attempt) {
            let started = ProcessLifecycle {
                process: process.clone(),
                at: record.at.min(before),
                state: ProcessState::Started { pid: 0 },
            };
            let _ = self.processes.publish(started).await;
        }
        let output = ProcessOutput {
            process,
            pid: 0,
            attempt,
            stream: record.stream,
            line: record.line,
            continues: record.continues,
        };
        let _ = self.output.publish(output).await;
    }

    /// A step of a service is done when that is ready; and it ends with the run.
    async fn event(&self, event: WorkflowEvent, interrupts: &Interrupts) {
        match &event.transition {
            Transition::StepStarted { step, .. } => {
                self.state(step, ServiceState::Starting).await;
            }
            Transition::StepCompleted { step, duration, .. } => {
                let duration = *duration;
                self.state(step, ServiceState::Ready { duration }).await;
            }
            Transition::RunUp => interrupts.standing.cancel(),
            Transition::RunFinished { .. } => {
                for service in &self.services {
                    let (exit, asked) = (None, true);
                    self.state(service, ServiceState::Ended { exit, asked })
                        .await;
                }
            }
            _ => {}
        }
        if let Some(told) = told(&event) {
            let _ = self.logs.publish(told).await;
        }
        let _ = self.steps.publish(event).await;
    }

    async fn state(&self, service: &str, state: ServiceState) {
        if !self.services.iter().any(|known| known == service) {
            return;
        }
        let lifecycle = ServiceLifecycle {
            service: service.to_owned(),
            at: SystemClock.now(),
            state,
        };
        let _ = self.states.publish(lifecycle).await;
    }
}

/// What the screen lists among what happened: where the run is driven, that is what processes do.
fn told(event: &WorkflowEvent) -> Option<LogEvent> {
    let (level, message) = match &event.transition {
        Transition::StepStarted { attempt: 1, .. } => (LogLevel::Info, "started".to_owned()),
        Transition::StepStarted { attempt, .. } => (LogLevel::Info, format!("attempt {attempt}")),
        Transition::StepRetrying { error, wait, .. } => {
            let again = Spoken(*wait);
            (LogLevel::Warn, format!("{error}; again in {again}"))
        }
        Transition::StepCompleted { duration, .. } => {
            (LogLevel::Info, format!("done in {}", Spoken(*duration)))
        }
        Transition::StepFailed { error, .. } | Transition::StepExhausted { error, .. } => {
            (LogLevel::Error, format!("failed: {error}"))
        }
        Transition::StepSkipped { reason, .. } => (LogLevel::Info, format!("skipped: {reason}")),
        Transition::StepCancelled { .. } => (LogLevel::Warn, "cancelled".to_owned()),
        Transition::CompensationStarted { .. } => (LogLevel::Info, "is being undone".to_owned()),
        Transition::CompensationCompleted { .. } => (LogLevel::Info, "undone".to_owned()),
        Transition::CompensationFailed { error, .. } => {
            (LogLevel::Error, format!("not undone: {error}"))
        }
        _ => return None,
    };
    Some(LogEvent {
        at: event.at,
        level,
        source: event.transition.step()?.to_owned(),
        message,
    })
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

/// How long something took that ended, and began.
fn took((ended, began): (Duration, Duration)) -> Duration {
    ended.saturating_sub(began)
}
