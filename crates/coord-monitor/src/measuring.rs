//! What the tasks of a monitor share, and what they do: one samples, one reads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coord_bus::time::{self, Clock, Instant};
use coord_bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, ErrorRecovery, PROCESS_LIFECYCLE,
    ProcessLifecycle, WORKFLOW_EVENTS, WorkflowEvent,
};
use coord_bus::{
    Bus, BusError, BusExt, CancellationToken, DEFAULT_CAPACITY, Overflow, Received, Subscriber,
    Timestamp, run_blocking,
};
use tokio::select;

use crate::alerts::Alerts;
use crate::errors::Errors;
use crate::history::Ring;
use crate::latency::Latencies;
use crate::panics::Panics;
use crate::processes::Processes;
use crate::readings::Sources;
use crate::spans::Spans;
use crate::sums::{Known, Sums};
use crate::telling::Log;
use crate::topics::Topics;
use crate::usage::Usage;
use crate::windows::Windows;
use crate::workflows::Workflows;
use crate::{History, LatencyMetrics, PerformanceMetrics, ProcessUsage};

/// How many events of a topic are still read after a stop: as many as one of those that it reads
/// holds, so that whoever goes on publishing does not put off the end.
const LAST_MAX: usize = DEFAULT_CAPACITY;

pub(crate) struct Measuring {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) latencies: Latencies,
    pub(crate) sources: Sources,
    pub(crate) log: Log,
    pub(crate) panics: Panics,
    alerts: Alerts,
    began: Instant,
    state: Mutex<State>,
}

struct State {
    /// When counting began.
    since: Instant,
    /// How often it began anew.
    resets: u64,
    topics: Topics,
    own: ProcessUsage,
    processes: Processes,
    workflows: Workflows,
    spans: Spans,
    errors: Errors,
    ring: Ring,
    missed: u64,
}

/// What is measured at one moment, with the state locked in which it is to be put.
struct Look<'m> {
    latencies: Vec<LatencyMetrics>,
    at: Timestamp,
    state: MutexGuard<'m, State>,
    sums: Sums,
    now: Instant,
}

/// What a monitor reads of the bus.
pub(crate) struct Heard {
    workflows: Subscriber<WorkflowEvent>,
    processes: Subscriber<ProcessLifecycle>,
    errors: Subscriber<ErrorDetected>,
    recoveries: Subscriber<ErrorRecovery>,
}

/// How long the monitor had run when counting began, in seconds.
pub(crate) fn counting_began(metrics: &PerformanceMetrics) -> f64 {
    metrics.uptime - metrics.measured
}

/// Whether counting, which had begun then, began anew meanwhile.
pub(crate) fn is_reset(began: f64, now: &PerformanceMetrics) -> bool {
    counting_began(now) - began > 1e-6
}

impl Heard {
    pub(crate) fn of(bus: &dyn Bus) -> Result<Self, BusError> {
        // None of them ever makes a publisher wait.
        let overflow = Overflow::DropOldest;
        Ok(Self {
            workflows: bus.subscribe_with(&WORKFLOW_EVENTS, overflow)?,
            processes: bus.subscribe_with(&PROCESS_LIFECYCLE, overflow)?,
            errors: bus.subscribe_with(&ERROR_DETECTED, overflow)?,
            recoveries: bus.subscribe_with(&ERROR_RECOVERY, overflow)?,
        })
    }
}

impl Measuring {
    pub(crate) fn new(
        bus: Arc<dyn Bus>,
        clock: Arc<dyn Clock>,
        usage: &mut Usage,
        history: usize,
        (alerts, log, panics): (Alerts, Log, Panics),
    ) -> Self {
        let now = Instant::now();
        let state = State {
            since: now,
            resets: 0,
            topics: Topics::new(&*bus, history, now),
            own: usage.own(),
            processes: Processes::default(),
            workflows: Workflows::new(),
            spans: Spans::default(),
            errors: Errors::default(),
            ring: Ring::new(history),
            missed: 0,
        };
        Self {
            bus,
            clock,
            latencies: Latencies::default(),
            sources: Sources::default(),
            log,
            panics,
            alerts,
            began: now,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What topics have counted now, in the rows that they have.
    fn sum(&self, sum: fn(&dyn Bus, &Known) -> Sums) -> (MutexGuard<'_, State>, Sums, Instant) {
        loop {
            let known = self.state().topics.known();
            // It is another's, so not while others wait for the state.
            let (sums, now) = (sum(&*self.bus, &known), Instant::now());
            let state = self.state();
            // Otherwise somebody else has given out rows meanwhile, of which there is an end.
            if state.topics.known().is(&known) {
                return (state, sums, now);
            }
        }
    }

    /// The same, and how long events took, and the time: all that is another's, before the state is locked.
    fn look(&self, sum: fn(&dyn Bus, &Known) -> Sums) -> Look<'_> {
        loop {
            let resets = self.state().resets;
            let latencies = self.latencies.metrics();
            let at = self.clock.now();
            let (state, sums, now) = self.sum(sum);
            // Otherwise what was before a reset would count as after it.
            if state.resets == resets {
                return Look {
                    latencies,
                    at,
                    state,
                    sums,
                    now,
                };
            }
        }
    }

    pub(crate) fn metrics(&self) -> PerformanceMetrics {
        let (readings, unread) = self.sources.read(&self.panics);
        let alerts = self.alerts.open();
        let Look {
            latencies,
            at,
            mut state,
            sums,
            now,
        } = self.look(Sums::of_topics_and_subscribers);
        PerformanceMetrics {
            at,
            uptime: now.duration_since(self.began).as_secs_f64(),
            measured: now.duration_since(state.since).as_secs_f64(),
            topics: state.topics.metrics(sums, now),
            latencies,
            process: state.own,
            processes: state.processes.metrics(),
            workflows: state.workflows.metrics(),
            steps: state.workflows.steps(),
            errors: state.errors.metrics(),
            alerts,
            readings,
            unread,
            missed: state.missed,
            unlogged: self.log.lost(),
            panicked: self.panics.count(),
            unwatched: state.processes.unwatched(),
        }
    }

    pub(crate) fn history(&self) -> History {
        let state = self.state();
        let topics = state.topics.history(state.ring.len());
        state.ring.history(topics)
    }

    pub(crate) fn reset(&self) {
        // Rows are given out anew, too.
        let sums = Sums::of_topics_and_subscribers(&*self.bus, &Known::default());
        let now = Instant::now();
        self.latencies.reset();
        self.log.reset();
        self.panics.reset();
        let mut state = self.state();
        state.since = now;
        state.resets += 1;
        state.topics.reset(sums, now);
        state.processes.reset();
        state.workflows.reset();
        state.errors = Errors::default();
        state.ring.reset();
        state.missed = 0;
    }

    /// Samples in each interval, for ever.
    pub(crate) async fn sample(&self, mut usage: Usage, interval: Duration) {
        loop {
            time::sleep(interval).await;
            let roots = self.state().processes.roots();
            // Reads files, and not while others wait for the state; where there are trees, those of all
            // processes of the system, and then not on a thread on which others are to run.
            let has_trees = !roots.is_empty();
            let reading = move || {
                let (own, trees) = (usage.own(), usage.trees(&roots));
                (usage, roots, own, trees)
            };
            let read = match has_trees {
                true => run_blocking(reading).await,
                false => reading(),
            };
            let (roots, own, trees);
            (usage, roots, own, trees) = read;
            let Look {
                latencies,
                at,
                mut state,
                sums,
                now,
            } = self.look(Sums::of_topics);
            state.topics.sample(sums, now);
            state.own = own;
            state.processes.measured(&roots, trees);
            let processes = state.processes.together();
            state.ring.push(at, own, processes, &latencies);
        }
    }

    /// Holds what is measured against its limits in each interval, for ever.
    pub(crate) async fn watch(&self, interval: Duration, before: PerformanceMetrics) {
        let mut windows = Windows::new(self.alerts.windows(), before, Instant::now());
        loop {
            time::sleep(interval).await;
            let (metrics, now) = (self.metrics(), Instant::now());
            let seen = windows.see(&metrics, now);
            for told in self.alerts.see(&seen, now, &*self.clock, &self.panics) {
                self.log.alert(&told);
            }
        }
    }

    /// Reads until the bus is closed, or until it is to stop, and then what is left.
    pub(crate) async fn read(&self, mut heard: Heard, stop: CancellationToken) {
        let Heard {
            workflows,
            processes,
            errors,
            recoveries,
        } = &mut heard;
        let reading = async {
            loop {
                select! {
                    Some(event) = workflows.recv() => self.workflow(&event),
                    Some(event) = processes.recv() => self.process(&event),
                    Some(event) = errors.recv() => self.error(&event),
                    Some(event) = recoveries.recv() => self.recovery(&event),
                    else => return,
                }
            }
        };
        if stop.run_until_cancelled(reading).await.is_some() {
            return;
        }
        self.rest(&mut heard.workflows, Self::workflow);
        self.rest(&mut heard.processes, Self::process);
        self.rest(&mut heard.errors, Self::error);
        self.rest(&mut heard.recoveries, Self::recovery);
    }

    fn rest<E: coord_bus::Event>(
        &self,
        events: &mut Subscriber<E>,
        take: fn(&Self, &Received<'_, E>),
    ) {
        for _ in 0..LAST_MAX {
            let Ok(event) = events.try_recv() else {
                break;
            };
            take(self, &event);
        }
    }

    fn workflow(&self, event: &Received<'_, WorkflowEvent>) {
        let mut state = self.state();
        state.missed += event.lag();
        state.workflows.observe(event);
        state.spans.observe(event);
    }

    fn process(&self, event: &Received<'_, ProcessLifecycle>) {
        let mut state = self.state();
        state.missed += event.lag();
        state.processes.observe(event);
    }

    fn error(&self, event: &Received<'_, ErrorDetected>) {
        let mut state = self.state();
        state.missed += event.lag();
        state.errors.detected(event);
        drop(state);
        self.log.error(event);
    }

    fn recovery(&self, event: &Received<'_, ErrorRecovery>) {
        let mut state = self.state();
        state.missed += event.lag();
        state.errors.recovery(event);
        drop(state);
        self.log.recovery(event);
    }
}
