//! From where to where, and what happens on the way: [`EventFlow`].

use std::fmt;

use coord_bus::{Bus, BusError, BusExt, Event, Topic};

use crate::run::{Run, Stages};

/// Opens the topics of a flow.
type Open = Box<dyn FnOnce(&dyn Bus) -> Result<Box<dyn Run>, BusError> + Send>;

/// Whether a flow goes on with an event.
type Keeps<E> = Box<dyn FnMut(&E) -> bool + Send>;

/// A flow from one topic to another, to be run by an
/// [`EventChoreographer`](crate::EventChoreographer).
///
/// Begins with [`EventFlow::from`], and ends with `to`, which makes it one:
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
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) open: Open,
}

impl EventFlow {
    /// Begins a flow that takes every event of this topic.
    pub fn from<E: Event>(topic: &Topic<E>) -> FlowSource<E> {
        FlowSource {
            topic: topic.clone(),
            keeps: None,
        }
    }

    /// With another name than `FROM → TO`. A choreographer has at most one flow of a name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn new<E: Event, U: Event>(from: Topic<E>, stages: Stages<E, U>, to: &Topic<U>) -> Self {
        let to = to.clone();
        Self {
            name: format!("{} → {}", from.name(), to.name()),
            from: from.name().to_owned(),
            to: to.name().to_owned(),
            open: Box::new(move |bus| {
                let sink = bus.publisher(&to)?;
                let source = bus.subscribe(&from)?;
                Ok(Box::new((source, stages, sink)))
            }),
        }
    }
}

impl fmt::Debug for EventFlow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EventFlow")
            .field("name", &self.name)
            .field("from", &self.from)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

/// The beginning of a flow: its events are lent to its stages, not cloned.
#[must_use = "a flow is made by `to`"]
pub struct FlowSource<E> {
    topic: Topic<E>,
    keeps: Option<Keeps<E>>,
}

impl<E: Event> FlowSource<E> {
    /// Goes on with the events for which this is true.
    pub fn filter(self, mut keeps: impl FnMut(&E) -> bool + Send + 'static) -> Self {
        let keeps: Keeps<E> = match self.keeps {
            None => Box::new(keeps),
            Some(mut before) => Box::new(move |event| before(event) && keeps(event)),
        };
        Self {
            topic: self.topic,
            keeps: Some(keeps),
        }
    }

    /// Goes on with what this makes of each event.
    pub fn map<U: 'static>(
        self,
        mut change: impl FnMut(&E) -> U + Send + 'static,
    ) -> FlowStages<E, U> {
        self.filter_map(move |event| Some(change(event)))
    }

    /// Goes on with what this makes of some of the events.
    pub fn filter_map<U: 'static>(
        self,
        mut change: impl FnMut(&E) -> Option<U> + Send + 'static,
    ) -> FlowStages<E, U> {
        let stages: Stages<E, U> = match self.keeps {
            None => Box::new(change),
            Some(mut keeps) => Box::new(move |event| {
                if keeps(event) {
                    return change(event);
                }
                None
            }),
        };
        FlowStages {
            topic: self.topic,
            stages,
        }
    }

    /// The flow that publishes clones of its events to this topic.
    pub fn to(self, topic: &Topic<E>) -> EventFlow
    where
        E: Clone,
    {
        self.map(E::clone).to(topic)
    }
}

impl<E> fmt::Debug for FlowSource<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FlowSource")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// The later part of a flow, whose stages own what they are given: what an event of `E` has become
/// so far, a `U`.
#[must_use = "a flow is made by `to`"]
pub struct FlowStages<E, U> {
    topic: Topic<E>,
    stages: Stages<E, U>,
}

impl<E: Event, U: 'static> FlowStages<E, U> {
    /// Goes on with those for which this is true.
    pub fn filter(self, mut keeps: impl FnMut(&U) -> bool + Send + 'static) -> Self {
        self.filter_map(move |item| keeps(&item).then_some(item))
    }

    /// Goes on with what this makes of each.
    pub fn map<V: 'static>(
        self,
        mut change: impl FnMut(U) -> V + Send + 'static,
    ) -> FlowStages<E, V> {
        self.filter_map(move |item| Some(change(item)))
    }

    /// Goes on with what this makes of some of them.
    pub fn filter_map<V: 'static>(
        self,
        mut change: impl FnMut(U) -> Option<V> + Send + 'static,
    ) -> FlowStages<E, V> {
        let mut stages = self.stages;
        FlowStages {
            topic: self.topic,
            stages: Box::new(move |event| stages(event).and_then(&mut change)),
        }
    }

    /// The flow that publishes them to this topic.
    pub fn to(self, topic: &Topic<U>) -> EventFlow
    where
        U: Event,
    {
        EventFlow::new(self.topic, self.stages, topic)
    }
}

impl<E, U> fmt::Debug for FlowStages<E, U> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FlowStages")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}
