//! The later part of a flow.

use std::fmt;

use coord_bus::{Event, Failure, Topic};

use super::EventFlow;
use crate::Window;
use crate::sinks::{Pick, Route, Sinks};
use crate::stage::{Aggregate, Change, Enrich, FlatMap, Label, Merge, Stage, TryMap, Zip};

/// The later part of a flow, whose stages own what they are given: what came out of the stage
/// before, an `S::Out`.
#[must_use = "a flow is made by `to`"]
pub struct FlowStages<S> {
    stage: S,
    stages: usize,
}

impl<S: Stage> FlowStages<S> {
    pub(super) fn new(stage: S, stages: usize) -> Self {
        Self { stage, stages }
    }

    /// Goes on with those for which this is true.
    pub fn filter(
        self,
        mut keeps: impl FnMut(&S::Out) -> bool + Send + 'static,
    ) -> FlowStages<impl Stage<Out = S::Out>> {
        self.change("filter", move |item| keeps(&item).then_some(item))
    }

    /// Goes on with what this makes of each.
    pub fn map<U: Send + 'static>(
        self,
        mut change: impl FnMut(S::Out) -> U + Send + 'static,
    ) -> FlowStages<impl Stage<Out = U>> {
        self.change("map", move |item| Some(change(item)))
    }

    /// Goes on with what this makes of some of them.
    pub fn filter_map<U: Send + 'static>(
        self,
        change: impl FnMut(S::Out) -> Option<U> + Send + 'static,
    ) -> FlowStages<impl Stage<Out = U>> {
        self.change("filter_map", change)
    }

    /// Shows each to this, and goes on with it.
    pub fn tap(
        self,
        mut see: impl FnMut(&S::Out) + Send + 'static,
    ) -> FlowStages<impl Stage<Out = S::Out>> {
        self.change("tap", move |item| {
            see(&item);
            Some(item)
        })
    }

    /// Goes on with what this makes of each and of what it remembers, which begins as `memory`.
    ///
    /// ```
    /// # use coord_bus::Topic;
    /// # use coord_flow::EventFlow;
    /// const AMOUNTS: Topic<i64> = Topic::new("amounts");
    /// const BALANCES: Topic<i64> = Topic::new("balances");
    ///
    /// let flow = EventFlow::from(&AMOUNTS)
    ///     .scan(0, |balance, amount| {
    ///         *balance += amount;
    ///         *balance
    ///     })
    ///     .to(&BALANCES);
    /// ```
    pub fn scan<A: Send + 'static, U: Send + 'static>(
        self,
        mut memory: A,
        mut change: impl FnMut(&mut A, S::Out) -> U + Send + 'static,
    ) -> FlowStages<impl Stage<Out = U>> {
        self.change("scan", move |item| Some(change(&mut memory, item)))
    }

    fn change<U, F>(self, kind: &'static str, change: F) -> FlowStages<Change<S, F>>
    where
        F: FnMut(S::Out) -> Option<U>,
    {
        self.then(kind, |stage, label| Change::new(stage, label, change))
    }

    /// Goes on with what this makes of each, unless that fails. Then the item is tried again, as
    /// often as [`EventFlow::retry`] says, and those after it wait; and then it has failed
    /// ([`OnFailure`](crate::OnFailure)). A panic is a failure like any other.
    ///
    /// ```
    /// # use coord_bus::{Backoff, Topic};
    /// # use coord_flow::{EventFlow, OnFailure};
    /// const LINES: Topic<String> = Topic::new("lines");
    /// const NUMBERS: Topic<u64> = Topic::new("numbers");
    ///
    /// let flow = EventFlow::from(&LINES)
    ///     .try_map(|line| line.parse())
    ///     .to(&NUMBERS)
    ///     .on_failure(OnFailure::Stop);
    /// ```
    pub fn try_map<U: Send + 'static, X: Into<Failure> + 'static>(
        self,
        change: impl FnMut(&S::Out) -> Result<U, X> + Send + 'static,
    ) -> FlowStages<impl Stage<Out = U>> {
        self.then("try_map", |stage, label| TryMap::new(stage, label, change))
    }

    /// Goes on with each of what this makes of an item, in order. They are made one by one, when
    /// there is room for the next, so there may be any number of them.
    pub fn flat_map<T>(
        self,
        change: impl FnMut(S::Out) -> T + Send + 'static,
    ) -> FlowStages<impl Stage<Out = T::Item>>
    where
        T: IntoIterator + 'static,
        T::Item: Send + 'static,
        T::IntoIter: Send + 'static,
    {
        self.then("flat_map", |stage, label| {
            FlatMap::<_, _, T::IntoIter>::new(stage, label, change)
        })
    }

    /// Waits for what this makes of each, for at most `concurrency` at once, and goes on with it
    /// in the order of the items;
    /// [`unordered`](FlowStages::unordered) in that in which it comes.
    ///
    /// What fails, or panics, is tried again as [`try_map`](Self::try_map) does. While a future
    /// runs, the event is being handled ([`Cause`](coord_bus::Cause)): what it publishes says what
    /// caused it, and is refused by a topic that is full.
    ///
    /// ```
    /// # use coord_bus::Topic;
    /// # use coord_flow::EventFlow;
    /// # async fn look_up(id: u64) -> Result<String, std::io::Error> { Ok(id.to_string()) }
    /// const IDS: Topic<u64> = Topic::new("ids");
    /// const NAMES: Topic<String> = Topic::new("names");
    ///
    /// let flow = EventFlow::from(&IDS)
    ///     .enrich(8, |id| async move { look_up(*id).await })
    ///     .to(&NAMES);
    /// ```
    ///
    /// # Panics
    ///
    /// If `concurrency` is zero.
    #[track_caller]
    pub fn enrich<U, X, F, Fut>(self, concurrency: usize, enrich: F) -> FlowStages<Enrich<S, F, U>>
    where
        S::Out: Clone,
        U: Send + 'static,
        X: Into<Failure> + Send + 'static,
        F: Fn(S::Out) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<U, X>> + Send + 'static,
    {
        assert!(
            concurrency > 0,
            "`enrich` cannot wait for zero at once: give it at least one"
        );
        self.then("enrich", |stage, label| {
            Enrich::new(stage, label, concurrency, enrich)
        })
    }

    /// Goes on with one item for each window, when it is over: what `new` makes, with the window's
    /// items folded in. Only that is kept of them. What there is when the flow ends comes out then.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use coord_bus::Topic;
    /// # use coord_flow::{EventFlow, Window};
    /// const REQUESTS: Topic<String> = Topic::new("requests");
    /// const RATES: Topic<u64> = Topic::new("rates");
    ///
    /// let each_second = Window::tumbling_time(Duration::from_secs(1));
    /// let flow = EventFlow::from(&REQUESTS)
    ///     .aggregate(each_second, || 0, |count, _| *count += 1)
    ///     .to(&RATES);
    /// ```
    pub fn aggregate<A: Send + 'static>(
        self,
        window: Window,
        new: impl FnMut() -> A + Send + 'static,
        fold: impl FnMut(&mut A, &S::Out) + Send + 'static,
    ) -> FlowStages<impl Stage<Out = A>> {
        self.then("aggregate", |stage, label| {
            Aggregate::new(stage, label, window, new, fold)
        })
    }

    /// Goes on with what comes from either, by turns where both have something.
    pub fn merge<T: Stage<Out = S::Out>>(
        self,
        other: FlowStages<T>,
    ) -> FlowStages<impl Stage<Out = S::Out>> {
        let stages = self.stages.max(other.stages) + 1;
        FlowStages::new(Merge::new(self.stage, other.stage), stages)
    }

    /// Goes on with pairs: the first of this with the first of the other, and so on. The faster one
    /// waits for the slower. It ends with the one that ends first; what has no partner then is
    /// filtered out. Where the flow is replaced by one that zips the same types of the same topics,
    /// what waits for its partner finds it there.
    pub fn zip<T: Stage>(
        self,
        other: FlowStages<T>,
    ) -> FlowStages<impl Stage<Out = (S::Out, T::Out)>> {
        let stages = self.stages.max(other.stages) + 1;
        FlowStages::new(Zip::new(self.stage, other.stage), stages)
    }

    /// The flow that publishes them to this topic.
    pub fn to(self, topic: &Topic<S::Out>) -> EventFlow
    where
        S::Out: Event,
    {
        EventFlow::new(self.stage, Sinks::new(vec![topic.clone()], Pick::Only))
    }

    /// The flow that publishes clones of them to each of these topics, one after another.
    pub fn to_many<'a>(self, topics: impl IntoIterator<Item = &'a Topic<S::Out>>) -> EventFlow
    where
        S::Out: Event + Clone,
    {
        let topics = topics.into_iter().cloned().collect();
        EventFlow::new(self.stage, Sinks::new(topics, Pick::Each(S::Out::clone)))
    }

    /// The flow that publishes each to one topic.
    pub fn route(self, route: Route<S::Out>) -> EventFlow
    where
        S::Out: Event,
    {
        EventFlow::new(self.stage, route.into_sinks())
    }

    fn then<T>(self, kind: &'static str, stage: impl FnOnce(S, Label) -> T) -> FlowStages<T> {
        let place = self.stages + 1;
        FlowStages {
            stage: stage(self.stage, Label { kind, place }),
            stages: place,
        }
    }
}

impl<S, F, U> FlowStages<Enrich<S, F, U>> {
    /// Goes on with each as soon as it is there, whatever came before it.
    ///
    /// ```
    /// # use coord_bus::Topic;
    /// # use coord_flow::EventFlow;
    /// # async fn look_up(id: u64) -> Result<String, std::io::Error> { Ok(id.to_string()) }
    /// # const IDS: Topic<u64> = Topic::new("ids");
    /// # const NAMES: Topic<String> = Topic::new("names");
    /// let flow = EventFlow::from(&IDS)
    ///     .enrich(8, |id| async move { look_up(*id).await })
    ///     .unordered()
    ///     .to(&NAMES);
    /// ```
    pub fn unordered(self) -> Self {
        Self {
            stage: self.stage.unordered(),
            ..self
        }
    }
}

impl<S> fmt::Debug for FlowStages<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FlowStages")
            .field("stages", &self.stages)
            .finish_non_exhaustive()
    }
}
