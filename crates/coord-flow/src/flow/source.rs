//! The beginning of a flow.

use std::fmt;

use coord_bus::{Delivery, Event, Failure, Overflow, Topic};

use super::{EventFlow, FlowStages};
use crate::Window;
use crate::sinks::Route;
use crate::stage::{All, And, ByRef, Enrich, Keeps, Label, Shared, Source, Stage};

/// The beginning of a flow: its events are lent to its first stages, not cloned. `K` is what the
/// filters among these are.
///
/// What waits, or looks at several events, is given shares in them ([`Delivery`]).
#[must_use = "a flow is made by `to`"]
pub struct FlowSource<E, K = All> {
    topic: Topic<E>,
    overflow: Overflow,
    keeps: K,
    stages: usize,
}

impl<E: Event> FlowSource<E> {
    pub(super) fn new(topic: Topic<E>) -> Self {
        Self {
            topic,
            overflow: Overflow::Block,
            keeps: All,
            stages: 0,
        }
    }

    /// What happens when the flow falls the topic's capacity behind; [`Overflow::Block`] by default:
    /// publishers wait. With any other it does not get some events, which are counted as `lost`.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }
}

impl<E: Event, K: Keeps<E>> FlowSource<E, K> {
    /// Goes on with the events for which this is true.
    pub fn filter(
        self,
        keeps: impl FnMut(&E) -> bool + Send + 'static,
    ) -> FlowSource<E, impl Keeps<E>> {
        self.and("filter", keeps)
    }

    /// Shows each event to this, and goes on with it.
    pub fn tap(self, mut see: impl FnMut(&E) + Send + 'static) -> FlowSource<E, impl Keeps<E>> {
        self.and("tap", move |event: &E| {
            see(event);
            true
        })
    }

    fn and<F: FnMut(&E) -> bool + Send + 'static>(
        self,
        kind: &'static str,
        keeps: F,
    ) -> FlowSource<E, And<K, F>> {
        let label = self.label(kind);
        FlowSource {
            topic: self.topic,
            overflow: self.overflow,
            keeps: And {
                before: self.keeps,
                label,
                keeps,
            },
            stages: label.place,
        }
    }

    /// Goes on with what this makes of each event.
    pub fn map<U: Send + 'static>(
        self,
        mut change: impl FnMut(&E) -> U + Send + 'static,
    ) -> FlowStages<impl Stage<Out = U>> {
        self.make("map", move |event: &E| Some(change(event)))
    }

    /// Goes on with what this makes of some of the events.
    pub fn filter_map<U: Send + 'static>(
        self,
        change: impl FnMut(&E) -> Option<U> + Send + 'static,
    ) -> FlowStages<impl Stage<Out = U>> {
        self.make("filter_map", change)
    }

    /// Goes on with clones of the events.
    pub fn cloned(self) -> FlowStages<impl Stage<Out = E>>
    where
        E: Clone,
    {
        self.make("cloned", |event: &E| Some(event.clone()))
    }

    fn make<U, F>(self, kind: &'static str, make: F) -> FlowStages<Source<E, K, ByRef<F, U>>>
    where
        U: Send + 'static,
        F: FnMut(&E) -> Option<U> + Send + 'static,
    {
        let label = self.label(kind);
        let make = ByRef::new(label, make);
        let source = Source::new(self.topic, self.overflow, self.keeps, make);
        FlowStages::new(source, label.place)
    }

    /// Goes on with the events themselves, which are shared with the topic's other subscribers.
    pub fn shared(self) -> FlowStages<impl Stage<Out = Delivery<E>>> {
        self.share()
    }

    fn share(self) -> FlowStages<Source<E, K, Shared>> {
        let source = Source::new(self.topic, self.overflow, self.keeps, Shared);
        FlowStages::new(source, self.stages)
    }

    /// Goes on with what this makes of each event, unless that fails: see
    /// [`FlowStages::try_map`].
    pub fn try_map<U: Send + 'static, X: Into<Failure> + 'static>(
        self,
        mut change: impl FnMut(&E) -> Result<U, X> + Send + 'static,
    ) -> FlowStages<impl Stage<Out = U>> {
        self.share().try_map(move |event| change(event))
    }

    /// Goes on with each of what this makes of an event: see [`FlowStages::flat_map`].
    pub fn flat_map<T>(
        self,
        mut change: impl FnMut(&E) -> T + Send + 'static,
    ) -> FlowStages<impl Stage<Out = T::Item>>
    where
        T: IntoIterator + 'static,
        T::Item: Send + 'static,
        T::IntoIter: Send + 'static,
    {
        self.share().flat_map(move |event| change(&event))
    }

    /// Waits for what this makes of each event: see [`FlowStages::enrich`].
    ///
    /// # Panics
    ///
    /// If `concurrency` is zero.
    #[track_caller]
    pub fn enrich<U, X, F, Fut>(
        self,
        concurrency: usize,
        enrich: F,
    ) -> FlowStages<Enrich<impl Stage<Out = Delivery<E>>, F, U>>
    where
        U: Send + 'static,
        X: Into<Failure> + Send + 'static,
        F: Fn(Delivery<E>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<U, X>> + Send + 'static,
    {
        self.share().enrich(concurrency, enrich)
    }

    /// Goes on with what this makes of each event and of what it remembers: see
    /// [`FlowStages::scan`].
    pub fn scan<A: Send + 'static, U: Send + 'static>(
        self,
        mut memory: A,
        mut change: impl FnMut(&mut A, &E) -> U + Send + 'static,
    ) -> FlowStages<impl Stage<Out = U>> {
        self.make("scan", move |event: &E| Some(change(&mut memory, event)))
    }

    /// Goes on with one item for each window of events: see [`FlowStages::aggregate`].
    pub fn aggregate<A: Send + 'static>(
        self,
        window: Window,
        new: impl FnMut() -> A + Send + 'static,
        mut fold: impl FnMut(&mut A, &E) + Send + 'static,
    ) -> FlowStages<impl Stage<Out = A>> {
        let fold = move |result: &mut A, event: &Delivery<E>| fold(result, event);
        self.share().aggregate(window, new, fold)
    }

    /// The flow that publishes clones of its events to this topic.
    pub fn to(self, topic: &Topic<E>) -> EventFlow
    where
        E: Clone,
    {
        self.cloned().to(topic)
    }

    /// The flow that publishes clones of its events to each of these topics.
    pub fn to_many<'a>(self, topics: impl IntoIterator<Item = &'a Topic<E>>) -> EventFlow
    where
        E: Clone,
    {
        self.cloned().to_many(topics)
    }

    /// The flow that publishes clones of its events, each to one topic.
    pub fn route(self, route: Route<E>) -> EventFlow
    where
        E: Clone,
    {
        self.cloned().route(route)
    }

    fn label(&self, kind: &'static str) -> Label {
        Label {
            kind,
            place: self.stages + 1,
        }
    }
}

impl<E, K> fmt::Debug for FlowSource<E, K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FlowSource")
            .field("topic", &self.topic)
            .field("overflow", &self.overflow)
            .field("stages", &self.stages)
            .finish_non_exhaustive()
    }
}
