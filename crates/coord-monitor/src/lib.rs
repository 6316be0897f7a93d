//! Measurements of a program on the bus of [`coord_bus`]: a [`PerformanceMonitor`] says how much
//! goes through each topic and who falls behind, how long workflows and their steps take, and what
//! memory and processor time the program and its child processes use.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use coord_bus::{BusExt, LocalBus, Topic};
//! use coord_monitor::PerformanceMonitor;
//!
//! const TICKS: Topic<u32> = Topic::new("ticks");
//!
//! let bus = LocalBus::new();
//! let monitor = PerformanceMonitor::new(Arc::new(bus.clone()))?;
//! let slow = bus.subscribe(&TICKS)?;
//! let ticks = bus.publisher(&TICKS)?;
//! for tick in 0..30 {
//!     ticks.publish(tick).await?;
//!     coord_bus::time::sleep(Duration::from_millis(100)).await;
//! }
//!
//! let metrics = monitor.performance_metrics();
//! let topic = metrics.topic("ticks").unwrap();
//! assert_eq!((topic.published, topic.lag), (30, 30));
//! assert_eq!(topic.per_second.round(), 10.0);
//! assert!(metrics.process.memory_bytes > 0);
//! # drop(slow);
//! # Ok(())
//! # }
//! ```
//!
//! # What it costs
//!
//! Nothing on the way of an event: topics count by themselves, and the monitor reads their counts
//! once in each [interval](MonitorBuilder::interval). Of the events themselves it reads only
//! `workflow-events`, `process-lifecycle`, `error-detected` and `error-recovery`, and never makes their publishers wait: what it could
//! not keep up with is counted as [`missed`](PerformanceMetrics::missed).
//!
//! The program's own memory and processor time are a few small files to read for each sample. While
//! processes are watched, a list of all processes of the machine is read as well, to know which
//! belong to them; the reading takes some microseconds for each, on the thread that runs the
//! monitor's task.
//!
//! # Bounds
//!
//! What there may be many of has a limit: [`MAX_TOPICS`], [`MAX_SUBSCRIBERS`],
//! [`MAX_LATENCY_TOPICS`], [`MAX_STEPS`], [`MAX_PROCESSES`], [`MAX_ACTIVE_RUNS`],
//! [`MAX_ERROR_KINDS`], [`MAX_THRESHOLDS`], [`MAX_SOURCES`], [`MAX_READINGS`], [`MAX_HISTORY`]. Topics, subscribers,
//! steps and kinds of errors beyond theirs are summed up in one row called [`OTHER`].

//!
//! # Through `metrics`
//!
//! With the feature `metrics` and `MonitorBuilder::export`, what is measured goes to the recorder that
//! the program has installed, once in each interval. Counters never go back, also after a reset.
//! Histograms get the durations of an interval at once: give the exporter of Prometheus buckets
//! (`set_buckets`), as its summaries keep only the last 64 of what comes at once. Rates and peaks are
//! left to who stores the counters.
//!
//! Where OpenTelemetry has a name for something, that is its name. What it calls a topic is the label
//! `messaging.destination.name`; all `messaging.*` have `messaging.system`, which is `coord`, and
//! `messaging.operation.name` too.
//!
//! | name | what | labels |
//! |---|---|---|
//! | `messaging.client.sent.messages` | events accepted, a counter | the topic; the operation is `publish` |
//! | `messaging.client.consumed.messages` | deliveries, a counter | the topic; `receive` |
//! | `messaging.process.duration` | seconds that events were handled, a histogram | the topic; `process` |
//! | `coord.topic.queued` | seconds until the handling began, a histogram | the topic |
//! | `coord.topic.dropped`, `coord.topic.conflated` | deliveries that were not made, counters | the topic |
//! | `coord.topic.depth`, `coord.topic.lag`, `coord.topic.waiting_publishers` | gauges | the topic |
//! | `coord.subscriber.delivered`, `coord.subscriber.dropped`, `coord.subscriber.conflated` | counters | the topic, `subscriber` |
//! | `coord.subscriber.lag` | a gauge | the topic, `subscriber` |
//! | `process.memory.usage` | bytes of this program, a gauge | |
//! | `process.cpu.utilization` | of all processors that it may use, from 0 to 1, a gauge | |
//! | `coord.process.memory.usage`, `coord.process.cpu.utilization` | the same of a process that it runs, with all that this has started | `process` |
//! | `coord.process.count` | how many processes that is, a gauge | `process` |
//! | `coord.workflow.active` | a gauge | |
//! | `coord.workflow.runs` | runs that ended, a counter | `outcome` |
//! | `coord.workflow.duration` | seconds, a histogram | |
//! | `coord.workflow.steps` | steps that ended, a counter | `outcome` |
//! | `coord.workflow.retries` | attempts that another one followed, a counter | |
//! | `coord.step.attempts`, `coord.step.failures` | counters | `step`: `WORKFLOW/STEP` |
//! | `coord.step.duration` | seconds, a histogram | `step` |
//! | `coord.errors` | errors detected, a counter | `severity` |
//! | `coord.error.types` | the same | `error.type` |
//! | `coord.recovery.attempts` | attempts to recover, a counter | |
//! | `coord.recoveries` | recoveries that ended, a counter | `outcome` |
//! | `coord.recovery.duration` | seconds until all was well, a histogram | |
//! | `coord.alerts` | alerts that are open, a gauge | |
//! | `coord.reading` | [readings](Reading), a gauge | `subject`, `figure` |
//! | `coord.monitor.missed`, `coord.monitor.unlogged`, `coord.monitor.panicked`, `coord.monitor.unwatched` | what the monitor [did not see or tell](PerformanceMetrics), counters | |
//! | `coord.monitor.unread` | readings beyond [`MAX_READINGS`], a gauge | |
//!
//! An exporter never forgets a label, so it gets no more of a kind than the limits above, however long
//! the program runs, and 1,000 subscribers over all topics: what comes beyond is summed up under
//! [`OTHER`], readings are left out. A gauge of what is gone is 0.
//!
//! # Spans
//!
//! With the feature `tracing`, each run of a workflow that the monitor reads of is a span `run` of the
//! target `coord::workflow`, each attempt at a step a span `step` within it, and each event in a
//! [measured handler](LatencyProbe::handler) a span `process` of the target `coord::process`. All have
//! a field `correlation_id`: that of the event, and for runs and steps that have none, the run's id.
//! Spans of runs and steps begin and end when the monitor reads of it, which is shortly after.

mod monitor;
mod measuring;
mod metrics;
mod since;
mod history;
mod topics;
mod sums;
mod rates;
mod latency;
mod recorder;
mod workflows;
mod errors;
mod durations;
mod buckets;
mod processes;
mod usage;
mod readings;
mod panics;
mod threshold;
mod windows;
mod alerts;
mod telling;
mod repeats;
mod spans;
#[cfg(feature = "metrics")]
mod export;
mod report;
mod page;
mod figures;
mod error;

pub use alerts::Alert;
pub use buckets::MAX_DURATION;
pub use durations::DurationSummary;
pub use error::MonitorError;
pub use errors::MAX_ERROR_KINDS;
pub use figures::Unit;
pub use history::{DEFAULT_HISTORY, History, LatencyHistory, MAX_HISTORY, TopicHistory};
pub use latency::{Handled, Handling, LatencyMetrics, LatencyProbe, MAX_LATENCY_TOPICS};
pub use metrics::{
    ErrorKind, ErrorMetrics, PerformanceMetrics, ProcessMetrics, ProcessUsage, StepCounts,
    StepMetrics, SubscriberMetrics, TopicMetrics, WorkflowMetrics,
};
pub use monitor::{DEFAULT_INTERVAL, MIN_INTERVAL, MonitorBuilder, PerformanceMonitor};
pub use page::{Page, Series, Span, SpanKind};
pub use processes::MAX_PROCESSES;
pub use rates::Rates;
pub use readings::{MAX_READINGS, MAX_SOURCES, Reading};
pub use report::Report;
pub use threshold::{DEFAULT_WINDOW, MAX_THRESHOLDS, Threshold};
pub use topics::{MAX_SUBSCRIBERS, MAX_TOPICS};
pub use workflows::{MAX_ACTIVE_RUNS, MAX_STEPS};

/// The name of the row that sums up what is beyond a limit.
pub const OTHER: &str = "other";

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
