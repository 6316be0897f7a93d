//! The monitor: samples counts and usage, reads what workflows and processes tell.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coord_bus::time::{self, Clock, Instant, SystemClock};
use coord_bus::vocabulary::{PROCESS_LIFECYCLE, ProcessLifecycle, WORKFLOW_EVENTS, WorkflowEvent};
use coord_bus::{
    Bus, BusExt, CancellationToken, DEFAULT_CAPACITY, Overflow, Received, ShutdownReport,
    Subscriber, TaskScope,
};
use tokio::select;

use crate::history::Ring;
use crate::processes::Processes;
use crate::topics::Topics;
use crate::usage::Usage;
use crate::workflows::Workflows;
use crate::{
    DEFAULT_HISTORY, History, MAX_HISTORY, MonitorError, PerformanceMetrics, ProcessUsage,
};

/// How often a monitor samples where nothing else is said.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest interval: systems count processor time too coarsely for a shorter one.
pub const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// How many events of a topic are still read after a stop: as many as one of those that it reads
/// holds, so that whoever goes on publishing does not put off the end.
const LAST_MAX: usize = DEFAULT_CAPACITY;

/// Measures what goes on on a bus and what that costs.
///
/// It has two tasks: one samples the counts of topics and the usage of processes, once in each
/// interval; one reads `workflow-events` and `process-lifecycle`. Dropping the monitor ends them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use std::time::Duration;
/// use coord_bus::LocalBus;
/// use coord_monitor::PerformanceMonitor;
///
/// let monitor = PerformanceMonitor::builder(Arc::new(LocalBus::new()))
///     .interval(Duration::from_millis(500))
///     .history(600)
///     .build()?;
/// let metrics = monitor.performance_metrics();
/// println!("{} KiB", metrics.process.memory_bytes / 1024);
/// # Ok(())
/// # }
/// ```
pub struct PerformanceMonitor {
    bus: Arc<dyn Bus>,
    measuring: Arc<Measuring>,
    scope: TaskScope,
}

/// How a monitor is to be: see [`PerformanceMonitor::builder`].
#[must_use = "a monitor is started by `build`"]
pub struct MonitorBuilder {
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    interval: Duration,
    history: usize,
}

/// What the tasks of a monitor share.
struct Measuring {
    clock: Arc<dyn Clock>,
    began: Instant,
    state: Mutex<State>,
}

struct State {
    /// When counting began.
    since: Instant,
    topics: Topics,
    own: ProcessUsage,
    processes: Processes,
    workflows: Workflows,
    ring: Ring,
    missed: u64,
}

impl PerformanceMonitor {
    /// A monitor of this bus, with the defaults.
    ///
    /// # Errors
    ///
    /// [`MonitorError::Bus`] when a topic that it reads cannot be opened.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(bus: Arc<dyn Bus>) -> Result<Self, MonitorError> {
        Self::builder(bus).build()
    }

    /// A monitor of this bus, where the defaults are not what is wanted.
    pub fn builder(bus: Arc<dyn Bus>) -> MonitorBuilder {
        MonitorBuilder {
            bus,
            clock: Arc::new(SystemClock),
            interval: DEFAULT_INTERVAL,
            history: DEFAULT_HISTORY,
        }
    }

    /// What was measured so far. Counts of topics are of this moment.
    pub fn performance_metrics(&self) -> PerformanceMetrics {
        let Measuring { clock, began, .. } = &*self.measuring;
        let stats = self.bus.stats();
        let now = Instant::now();
        let state = self.measuring.state();
        PerformanceMetrics {
            at: clock.now(),
            uptime: now.duration_since(*began).as_secs_f64(),
            measured: now.duration_since(state.since).as_secs_f64(),
            topics: state.topics.metrics(&stats, now),
            process: state.own,
            processes: state.processes.metrics(),
            workflows: state.workflows.metrics(),
            steps: state.workflows.steps(),
            missed: state.missed,
            unwatched: state.processes.unwatched(),
        }
    }

    /// The last samples, for sparklines.
    pub fn history(&self) -> History {
        let state = self.measuring.state();
        let topics = state.topics.history(state.ring.len());
        state.ring.history(topics)
    }

    /// Begins to count anew, after a warm-up for one: counts, durations, peaks and the history are
    /// empty again. Runs that are active stay so, and processes that run are watched on.
    pub fn reset(&self) {
        let stats = self.bus.stats();
        let now = Instant::now();
        let mut state = self.measuring.state();
        state.since = now;
        state.topics.reset(&stats, now);
        state.processes.reset();
        state.workflows.reset();
        state.ring.reset();
        state.missed = 0;
    }

    /// Reads what has been published by now, of each topic at most [`DEFAULT_CAPACITY`] events, and
    /// stops measuring; what has not stopped within `deadline` is aborted. What was measured can
    /// still be asked for.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the tasks have been asked to stop, and do so.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        self.scope.shutdown(deadline).await
    }
}

impl MonitorBuilder {
    /// With this clock for the times in what it says, instead of the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// With another interval between samples; [`DEFAULT_INTERVAL`] by default, and
    /// [`MIN_INTERVAL`] at least.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// With as many samples in its [history](PerformanceMonitor::history);
    /// [`DEFAULT_HISTORY`] by default, and [`MAX_HISTORY`] at most.
    pub fn history(mut self, samples: usize) -> Self {
        self.history = samples;
        self
    }

    /// Starts the monitor.
    ///
    /// # Errors
    ///
    /// See [`MonitorError`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn build(self) -> Result<PerformanceMonitor, MonitorError> {
        let Self {
            bus,
            clock,
            interval,
            history,
        } = self;
        if interval < MIN_INTERVAL {
            return Err(MonitorError::IntervalTooShort { interval });
        }
        if history > MAX_HISTORY {
            return Err(MonitorError::HistoryTooLong { samples: history });
        }
        let scope = TaskScope::reporting("performance-monitor", &*bus, Arc::clone(&clock))?;
        let workflows = bus.subscribe_with(&WORKFLOW_EVENTS, Overflow::DropOldest)?;
        let processes = bus.subscribe_with(&PROCESS_LIFECYCLE, Overflow::DropOldest)?;
        let now = Instant::now();
        let mut usage = Usage::new();
        let measuring = Arc::new(Measuring {
            clock,
            began: now,
            state: Mutex::new(State {
                since: now,
                topics: Topics::new(&bus.stats(), history, now),
                own: usage.own(),
                processes: Processes::default(),
                workflows: Workflows::new(),
                ring: Ring::new(history),
                missed: 0,
            }),
        });

        let (stop, shared) = (scope.token(), Arc::clone(&measuring));
        let sampled = Arc::clone(&bus);
        scope.spawn("sample", async move {
            select! {
                () = stop.cancelled() => {}
                () = shared.sample(&*sampled, usage, interval) => {}
            }
        });
        let (stop, shared) = (scope.token(), Arc::clone(&measuring));
        scope.spawn("read", async move {
            shared.read(workflows, processes, stop).await;
        });
        Ok(PerformanceMonitor {
            bus,
            measuring,
            scope,
        })
    }
}

impl Measuring {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sample(&self, bus: &dyn Bus, mut usage: Usage, interval: Duration) {
        loop {
            time::sleep(interval).await;
            let roots = self.state().processes.roots();
            // Reads files: not while others wait for the state.
            let own = usage.own();
            let trees = usage.trees(&roots);
            let (stats, now) = (bus.stats(), Instant::now());
            let at = self.clock.now();
            let mut state = self.state();
            state.topics.sample(&stats, now);
            state.own = own;
            state.processes.measured(&roots, trees);
            state.ring.push(at, own);
        }
    }

    /// Reads until the bus is closed, or until it is to stop, and then what is left.
    async fn read(
        &self,
        mut workflows: Subscriber<WorkflowEvent>,
        mut processes: Subscriber<ProcessLifecycle>,
        stop: CancellationToken,
    ) {
        let reading = async {
            loop {
                select! {
                    Some(event) = workflows.recv() => self.state().workflow(&event),
                    Some(event) = processes.recv() => self.state().process(&event),
                    else => return,
                }
            }
        };
        if stop.run_until_cancelled(reading).await.is_some() {
            return;
        }
        for _ in 0..LAST_MAX {
            let Ok(event) = workflows.try_recv() else {
                break;
            };
            self.state().workflow(&event);
        }
        for _ in 0..LAST_MAX {
            let Ok(event) = processes.try_recv() else {
                break;
            };
            self.state().process(&event);
        }
    }
}

impl State {
    fn workflow(&mut self, event: &Received<'_, WorkflowEvent>) {
        self.missed += event.lag();
        self.workflows.observe(event);
    }

    fn process(&mut self, event: &Received<'_, ProcessLifecycle>) {
        self.missed += event.lag();
        self.processes.observe(event);
    }
}

impl fmt::Debug for PerformanceMonitor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PerformanceMonitor")
            .field("tasks", &self.scope.running())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MonitorBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MonitorBuilder")
            .field("interval", &self.interval)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}
