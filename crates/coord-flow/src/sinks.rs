//! Where a flow's items go: to one topic, to several, or to one of several.

use std::collections::HashMap;
use std::hash::Hash;

use coord_bus::{Bus, BusError, BusExt, Event, Publisher, Topic};

/// Which of a flow's topics an item goes to.
pub(crate) enum Pick<U> {
    /// The only one.
    Only,
    /// Each, by clones.
    Each(fn(&U) -> U),
    /// The one that a function says, if any.
    One(Choose<U>),
}

type Choose<U> = Box<dyn FnMut(&U) -> Option<usize> + Send>;

/// Topics, and which of them an item goes to.
pub(crate) struct Sinks<U> {
    pub(crate) topics: Vec<Topic<U>>,
    pub(crate) pick: Pick<U>,
    pub(crate) publishers: Vec<Publisher<U>>,
}

impl<U: Event> Sinks<U> {
    pub(crate) fn new(topics: Vec<Topic<U>>, pick: Pick<U>) -> Self {
        Self {
            topics,
            pick,
            publishers: Vec::new(),
        }
    }

    pub(crate) fn open(&mut self, bus: &dyn Bus) -> Result<(), BusError> {
        let publishers = self.topics.iter().map(|topic| bus.publisher(topic));
        self.publishers = publishers.collect::<Result<_, _>>()?;
        Ok(())
    }
}

/// One of several topics for each item: the first whose condition is true, or the one for its key.
///
/// ```
/// use coord_bus::Topic;
/// use coord_flow::{EventFlow, Route};
///
/// const READINGS: Topic<f64> = Topic::new("readings");
/// const ALARMS: Topic<f64> = Topic::new("alarms");
/// const WARNINGS: Topic<f64> = Topic::new("warnings");
/// const LOG: Topic<f64> = Topic::new("readings.log");
///
/// let flow = EventFlow::from(&READINGS).cloned().route(
///     Route::when(|degrees| *degrees > 80.0, &ALARMS)
///         .or_when(|degrees| *degrees > 60.0, &WARNINGS)
///         .otherwise(&LOG),
/// );
/// ```
#[must_use = "says where a flow's items go"]
pub struct Route<U> {
    topics: Vec<Topic<U>>,
    choose: Choose<U>,
}

impl<U: Event> Route<U> {
    /// To this topic, if this is true.
    pub fn when(mut is: impl FnMut(&U) -> bool + Send + 'static, topic: &Topic<U>) -> Self {
        Self {
            topics: vec![topic.clone()],
            choose: Box::new(move |item| is(item).then_some(0)),
        }
    }

    /// To the topic that stands beside its key.
    ///
    /// ```
    /// # use coord_bus::Topic;
    /// # use coord_flow::{EventFlow, Route};
    /// # const LINES: Topic<String> = Topic::new("lines");
    /// # const LONG: Topic<String> = Topic::new("long");
    /// # const EMPTY: Topic<String> = Topic::new("empty");
    /// let route = Route::by(String::len, [(0, &EMPTY)]).otherwise(&LONG);
    /// let flow = EventFlow::from(&LINES).cloned().route(route);
    /// ```
    pub fn by<'a, K: Hash + Eq + Send + 'static>(
        mut key: impl FnMut(&U) -> K + Send + 'static,
        topics: impl IntoIterator<Item = (K, &'a Topic<U>)>,
    ) -> Self {
        let mut places = HashMap::new();
        let mut all = Vec::new();
        for (key, topic) in topics {
            places.insert(key, all.len());
            all.push(topic.clone());
        }
        Self {
            topics: all,
            choose: Box::new(move |item| places.get(&key(item)).copied()),
        }
    }

    /// Else to this topic, if this is true.
    pub fn or_when(
        mut self,
        mut is: impl FnMut(&U) -> bool + Send + 'static,
        topic: &Topic<U>,
    ) -> Self {
        let place = self.topics.len();
        self.topics.push(topic.clone());
        let mut before = self.choose;
        self.choose = Box::new(move |item| before(item).or_else(|| is(item).then_some(place)));
        self
    }

    /// Else to this topic; without, what fits nowhere is filtered out.
    pub fn otherwise(self, topic: &Topic<U>) -> Self {
        self.or_when(|_| true, topic)
    }

    pub(crate) fn into_sinks(self) -> Sinks<U> {
        Sinks::new(self.topics, Pick::One(self.choose))
    }
}

impl<U> std::fmt::Debug for Route<U> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Route")
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}
