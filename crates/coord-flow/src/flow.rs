//! From where to where, and what happens on the way: [`EventFlow`].

mod source;
mod stages;

use std::fmt;

use coord_bus::{Backoff, Event, Topic};

use crate::options::{FlowOptions, OnFailure, RetryOptions};
use crate::run::{Flow, Run};
use crate::sinks::Sinks;
use crate::stage::{Part, Stage};

pub use source::FlowSource;
pub use stages::FlowStages;

/// A flow from one topic or several to others, to be run by an
/// [`EventChoreographer`](crate::EventChoreographer).
///
/// Begins with [`EventFlow::from`], and ends with `to`, `to_many` or `route`, which make it one:
///
/// ```
/// use coord_bus::Topic;
/// use coord_flow::EventFlow;
///
/// const READINGS: Topic<f64> = Topic::new("readings");
/// const ALARMS: Topic<String> = Topic::new("alarms");
///
/// let flow = EventFlow::from(&READINGS)
///     .filter(|degrees| *degrees > 80.0) // lent
///     .map(|degrees| degrees.round())    // lent; from here on owned
///     .map(|degrees| format!("{degrees} °C"))
///     .to(&ALARMS);
/// assert_eq!(flow.name(), "readings → alarms");
/// ```
#[must_use = "a flow does nothing until a choreographer runs it"]
pub struct EventFlow {
    pub(crate) name: String,
    pub(crate) options: FlowOptions,
    pub(crate) run: Box<dyn Run>,
}

impl EventFlow {
    /// Begins a flow that takes every event that is published to this topic once it has been added.
    /// What the topic [retains](Topic::retain) from before is for subscribers, not for flows.
    pub fn from<E: Event>(topic: &Topic<E>) -> FlowSource<E> {
        FlowSource::new(topic.clone())
    }

    /// With another name than `FROM → TO`. A choreographer has at most one flow of a name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What becomes of what fails; [`OnFailure::DeadLetter`] by default.
    pub fn on_failure(mut self, then: OnFailure) -> Self {
        self.options.on_failure = then;
        self
    }

    /// How many attempts a stage that may fail (`try_map`, `enrich`) makes at an item, the first one
    /// included, and how long it waits in between: by default one, and 0 counts as 1. The stages
    /// before it are not run again. A failure that says it is permanent is not tried again; nor is a
    /// panic elsewhere, as what panicked has what it was given.
    ///
    /// RxJS's `retry(n)` does not count the first attempt; this does, as all retries here do.
    pub fn retry(mut self, max_attempts: u32, backoff: Backoff) -> Self {
        self.options.retry = RetryOptions {
            max_attempts: max_attempts.max(1),
            backoff,
        };
        self
    }

    /// Lets the flow feed itself, directly or around a ring of flows: an event goes round at most
    /// `hops` times, by count of the flows with such a bound that it has come through, and then
    /// fails ([`OnFailure`]). By default a flow that closes a loop is refused.
    /// Dead letters and faults carry that count on, as flows do; what a stage or a handler publishes by
    /// itself does not.
    ///
    /// A loop that is full does not stand still: this flow goes on taking events while it waits for
    /// its sink, up to 1024 that it holds meanwhile, and fails what comes beyond that. Its dead
    /// letters wait for nobody either.
    ///
    /// ```
    /// use coord_bus::Topic;
    /// use coord_flow::EventFlow;
    ///
    /// const TICKS: Topic<u64> = Topic::new("ticks");
    ///
    /// let countdown = EventFlow::from(&TICKS)
    ///     .filter(|left| *left > 0)
    ///     .map(|left| left - 1)
    ///     .to(&TICKS)
    ///     .allow_loop(100);
    /// ```
    pub fn allow_loop(mut self, hops: u32) -> Self {
        self.options.hops_max = Some(hops);
        self
    }

    /// Measures how long each event takes from when it is taken until what became of it is
    /// published: [`FlowReport::latency`](crate::FlowReport::latency). By default it does not, as
    /// to ask for the time costs as much as a flow does.
    pub fn timed(mut self) -> Self {
        self.options.timed = true;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn new<S: Stage>(mut stages: S, sinks: Sinks<S::Out>) -> Self
    where
        S::Out: Event,
    {
        let mut from = Vec::new();
        stages.visit(&mut |part| {
            if let Part::Source(source) = part {
                from.push(source.topic().to_owned());
            }
        });
        let to: Vec<_> = sinks.topics.iter().map(Topic::name).collect();
        Self {
            name: format!("{} → {}", from.join(" + "), to.join(" + ")),
            options: FlowOptions::default(),
            run: Box::new(Flow::new(stages, sinks)),
        }
    }
}

impl fmt::Debug for EventFlow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EventFlow")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
