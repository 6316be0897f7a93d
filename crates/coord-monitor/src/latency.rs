//! How long events are under way: from their publication to who handles them, and until they are
//! handled. Only for topics of which somebody asks for it.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use coord_bus::time::{Clock, Instant};
use coord_bus::{Delivery, Envelope, Event, Meta};
use pin_project_lite::pin_project;
use serde::{Deserialize, Serialize};

use crate::recorder::Recorder;
use crate::spans::{self, Span};
use crate::{DurationSummary, OTHER};

/// The most topics of which latency is measured each by itself; those beyond share the row
/// [`OTHER`].
pub const MAX_LATENCY_TOPICS: usize = 100;

/// How long events of a topic are under way. A duration of more than a day counts as a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LatencyMetrics {
    /// The topic's name, or [`OTHER`].
    pub topic: String,
    /// From when they were [stamped](LatencyProbe::stamp) until the handling began that did it.
    pub queued: Option<DurationSummary>,
    /// How long that handling took.
    pub handled: Option<DurationSummary>,
    /// Both together.
    pub total: Option<DurationSummary>,
    /// Events that were handled and had not been stamped: they count as handled only.
    pub unstamped: u64,
}

/// Measures the latency of one topic: see
/// [`PerformanceMonitor::latency`](crate::PerformanceMonitor::latency).
///
/// Whoever publishes stamps its events with the time; whoever handles them says when that begins
/// and is done. An event that is not stamped, and a topic of which nobody asks, cost nothing.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use std::time::Duration;
/// use coord_bus::{BusExt, Delivery, Failure, LocalBus, Topic};
/// use coord_monitor::PerformanceMonitor;
///
/// const ORDERS: Topic<u32> = Topic::new("orders");
///
/// let bus = LocalBus::new();
/// let monitor = PerformanceMonitor::new(Arc::new(bus.clone()))?;
/// let latency = monitor.latency("orders");
///
/// let handler = bus.on(&ORDERS, latency.handler(|order: Delivery<u32>| async move {
///     println!("order {}", *order);
///     Ok::<(), Failure>(())
/// }))?;
/// bus.publisher(&ORDERS)?.publish_with(latency.stamp(17)).await?;
/// handler.drain(Duration::from_secs(1)).await;
///
/// let metrics = monitor.performance_metrics();
/// let orders = metrics.latency("orders").unwrap();
/// assert_eq!(orders.total.as_ref().unwrap().count, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LatencyProbe {
    row: Arc<Row>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Row {
    topic: Box<str>,
    queued: Recorder,
    handled: Recorder,
    total: Recorder,
}

/// An event that is being handled: see [`LatencyProbe::begin`]. Dropped before it is
/// [`done`](Self::done), it does not count.
#[derive(Debug)]
#[must_use = "its handling counts once it is `done`"]
pub struct Handling {
    row: Arc<Row>,
    queued: Option<Duration>,
    began: Instant,
}

impl LatencyProbe {
    /// An event, or one in its envelope, with the time at which it is published. A time that it has
    /// already stays.
    pub fn stamp<E: Event>(&self, event: impl Into<Envelope<E>>) -> Envelope<E> {
        let envelope = event.into();
        match envelope.details().and_then(|details| details.time) {
            Some(_) => envelope,
            None => envelope.time(self.clock.now()),
        }
    }

    /// Somebody begins to handle an event. How long it was queued is a difference of wall clocks,
    /// as who published it may be another process; where they disagree, it is 0 at least.
    pub fn begin(&self, event: Meta<'_>) -> Handling {
        let now = self.clock.now();
        let queued = event.time().map(|published| {
            Duration::try_from(now.duration_since(published)).unwrap_or(Duration::ZERO)
        });
        Handling {
            row: Arc::clone(&self.row),
            queued,
            began: Instant::now(),
        }
    }

    /// A handler for [`BusExt::on`](coord_bus::BusExt::on) that is measured. What counts is the
    /// attempt that succeeds; those that failed before, and the waits between, are time queued.
    ///
    /// With the feature `tracing`, each attempt is in a span `process`, with the topic, the event's id
    /// and its correlation id.
    pub fn handler<E, F, Fut, T, X>(
        &self,
        handle: F,
    ) -> impl Fn(Delivery<E>) -> Handled<Fut> + Send + Sync + use<E, F, Fut, T, X>
    where
        E: Event,
        F: Fn(Delivery<E>) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, X>>,
    {
        let probe = self.clone();
        move |event| {
            let handling = Some(probe.begin(event.meta()));
            let span = spans::of_event(event.meta());
            Handled {
                future: span.in_scope(|| handle(event)),
                handling,
                span,
            }
        }
    }

    /// Records how long an event was handled, which was measured elsewhere: one that was not stamped.
    ///
    /// From any thread, without a lock.
    #[inline]
    pub fn record_handled(&self, handled: Duration) {
        self.row.record(None, handled);
    }

    /// Records one latency that was measured elsewhere, with how much of it the event was queued.
    ///
    /// From any thread, without a lock.
    #[inline]
    pub fn record(&self, queued: Duration, handled: Duration) {
        self.row.record(Some(queued), handled);
    }
}

impl Handling {
    /// The event is handled.
    pub fn done(self) {
        self.row.record(self.queued, self.began.elapsed());
    }
}

pin_project! {
    /// What a measured handler returns: see [`LatencyProbe::handler`].
    #[must_use = "futures do nothing unless they are polled"]
    pub struct Handled<Fut> {
        #[pin]
        future: Fut,
        handling: Option<Handling>,
        span: Span,
    }
}

impl<Fut: Future<Output = Result<T, X>>, T, X> Future for Handled<Fut> {
    type Output = Fut::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let future = this.future;
        let output = ready!(this.span.in_scope(|| future.poll(cx)));
        if let Some(handling) = this.handling.take()
            && output.is_ok()
        {
            handling.done();
        }
        Poll::Ready(output)
    }
}

impl Row {
    fn new(topic: &str) -> Self {
        Self {
            topic: topic.into(),
            queued: Recorder::new(),
            handled: Recorder::new(),
            total: Recorder::new(),
        }
    }

    #[inline]
    fn record(&self, queued: Option<Duration>, handled: Duration) {
        self.handled.record(handled);
        if let Some(queued) = queued {
            self.queued.record(queued);
            self.total.record(queued.saturating_add(handled));
        }
    }

    fn metrics(&self) -> LatencyMetrics {
        // In this order, as a time handled is recorded first.
        let (queued, total) = (self.queued.summary(), self.total.summary());
        let handled = self.handled.summary();
        let count = |summary: &Option<DurationSummary>| summary.as_ref().map_or(0, |it| it.count);
        LatencyMetrics {
            topic: self.topic.to_string(),
            unstamped: count(&handled).saturating_sub(count(&queued)),
            queued,
            handled,
            total,
        }
    }
}

/// The topics of which latency is measured.
#[derive(Debug, Default)]
pub(crate) struct Latencies(RwLock<BTreeMap<Box<str>, Arc<Row>>>);

impl Latencies {
    pub(crate) fn probe(&self, topic: &str, clock: Arc<dyn Clock>) -> LatencyProbe {
        let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_full = rows.len() >= MAX_LATENCY_TOPICS && !rows.contains_key(topic);
        let topic = if is_full { OTHER } else { topic };
        let row = rows
            .entry(topic.into())
            .or_insert_with(|| Arc::new(Row::new(topic)));
        LatencyProbe {
            row: Arc::clone(row),
            clock,
        }
    }

    pub(crate) fn metrics(&self) -> Vec<LatencyMetrics> {
        self.rows().iter().map(|row| row.metrics()).collect()
    }

    pub(crate) fn reset(&self) {
        for row in self.rows() {
            row.queued.reset();
            row.handled.reset();
            row.total.reset();
        }
    }

    fn rows(&self) -> Vec<Arc<Row>> {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        rows.values().cloned().collect()
    }
}

impl fmt::Debug for LatencyProbe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LatencyProbe")
            .field("topic", &self.row.topic)
            .finish_non_exhaustive()
    }
}

impl<Fut> fmt::Debug for Handled<Fut> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Handled").finish_non_exhaustive()
    }
}
