//! How to subscribe, where the defaults are not what is wanted: [`Overflow`] and
//! [`SubscribeOptions`].

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Event;
use crate::link::Frame;
use crate::log::{ByKey, Keys, Newest};
use crate::topic::Codec;

/// What happens to a subscriber that falls a topic's capacity behind. On one topic, each subscriber
/// has its own.
///
/// None but `Block` ever makes a publisher wait, holds up another subscriber, or keeps more events
/// alive than is said here. Whatever is lost or replaced is counted ([`Ledger`](crate::Ledger)),
/// and told where it is missing ([`Received::lag`](crate::Received::lag)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Overflow {
    /// Publishers wait for it: it loses nothing.
    #[default]
    Block,
    /// It loses the oldest events that it has not received: the topic's capacity is kept for it,
    /// and the chunk of at most 128 in its hands.
    DropOldest,
    /// It keeps what it has, the topic's capacity, and does not get what is published meanwhile.
    /// It takes events again once a quarter of that is free.
    DropNewest,
    /// It gets the newest event whenever it asks; what was published before, and since it last
    /// asked, is passed over. For the newest of each key: [`SubscribeOptions::latest_by`].
    Latest,
}

/// How to subscribe. The default loses nothing and has no filter.
///
/// ```
/// use coord_bus::{BusExt, LocalBus, Overflow, SubscribeOptions, Topic};
///
/// # #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// # struct Status { component: String, text: String }
/// const STATUS: Topic<Status> = Topic::new("status");
///
/// let bus = LocalBus::new();
/// let everything = bus.subscribe(&STATUS)?;
/// let some = bus.subscribe_with(&STATUS, Overflow::DropOldest)?;
/// let status = SubscribeOptions::new().filter(|update: &Status| update.component == "status");
/// let status = bus.subscribe_with(&STATUS, status.named("status-line"))?;
/// let states = SubscribeOptions::new().latest_by(64, |update: &Status| update.component.clone());
/// let states = bus.subscribe_with(&STATUS, states)?;
/// # Ok::<(), coord_bus::BusError>(())
/// ```
pub struct SubscribeOptions<E> {
    pub(crate) overflow: Overflow,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) group: Option<Arc<str>>,
    pub(crate) filter: Option<Filter<E>>,
    pub(crate) latest_by: Option<LatestBy<E>>,
}

pub(crate) type Filter<E> = Arc<dyn Fn(&E) -> bool + Send + Sync>;

impl<E: Event> SubscribeOptions<E> {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What happens when it falls behind; [`Overflow::Block`] by default.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self.latest_by = None;
        self
    }

    /// The name that [`stats`](crate::Bus::stats) and [`describe`](crate::BusExt::describe) show;
    /// by default only the place where it subscribes.
    #[must_use]
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Only events for which this is true. An event that is not does not wake the subscriber:
    /// while it sleeps, whoever publishes asks. Room is still counted in events of the topic, and
    /// with [`Overflow::Latest`] the newest is the newest of those that pass.
    ///
    /// An event at which the filter panics does not pass; the panic goes on in who receives. Over
    /// a bus that carries bytes, the filter is asked at the subscriber's end.
    #[must_use]
    pub fn filter(mut self, filter: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Arc::new(filter));
        self
    }

    /// The newest event for each key ([`Overflow::Latest`]), for at most this many keys; zero
    /// counts as one. What was published and not received for a key is replaced by what comes for
    /// it, and keeps its turn: keys are received in the order in which something was first there
    /// for them. Beyond `keys` keys, the one whose turn is next loses its event: counted, and told
    /// by the next event's lag.
    ///
    /// Each event that waits is a clone, so that none keeps others alive. A subscriber that does
    /// not ask for a while leaves at most the topic's capacity and a quarter to be looked through,
    /// which whoever publishes then does.
    #[must_use]
    pub fn latest_by<K>(
        mut self,
        keys: usize,
        key: impl Fn(&E) -> K + Send + Sync + 'static,
    ) -> Self
    where
        E: Clone,
        K: Hash + Eq + Clone + Send + 'static,
    {
        self.overflow = Overflow::Latest;
        self.latest_by = Some(LatestBy::new(keys, Arc::new(key)));
        self
    }

    /// The table of what is kept for the subscriber, if it wants that.
    pub(crate) fn make_keys(&self) -> Option<Box<dyn Keys<E>>> {
        match &self.latest_by {
            Some(latest_by) => Some((latest_by.make)()),
            // Without a filter, the log finds the newest by itself.
            None if self.overflow == Overflow::Latest && self.filter.is_some() => {
                Some(Box::new(Newest::new()))
            }
            None => None,
        }
    }

    pub(crate) fn has_keys(&self) -> bool {
        self.latest_by.is_some()
    }

    /// The same, for who gets events as bytes. A frame that is no such event passes, to be
    /// counted.
    pub(crate) fn on_frames(self, codec: Codec<E>) -> SubscribeOptions<Frame> {
        SubscribeOptions {
            overflow: self.overflow,
            name: self.name,
            group: self.group,
            filter: self.filter.map(|filter| -> Filter<Frame> {
                Arc::new(move |frame| {
                    (codec.decode)(&frame.payload).map_or(true, |event| filter(&event))
                })
            }),
            latest_by: self.latest_by.and_then(|latest_by| {
                let make = latest_by.on_frames?(codec);
                let on_frames = None;
                Some(LatestBy { make, on_frames })
            }),
        }
    }
}

impl<E> Default for SubscribeOptions<E> {
    fn default() -> Self {
        Overflow::default().into()
    }
}

impl<E> From<Overflow> for SubscribeOptions<E> {
    fn from(overflow: Overflow) -> Self {
        Self {
            overflow,
            name: None,
            group: None,
            filter: None,
            latest_by: None,
        }
    }
}

impl<E> Clone for SubscribeOptions<E> {
    fn clone(&self) -> Self {
        Self {
            overflow: self.overflow,
            name: self.name.clone(),
            group: self.group.clone(),
            filter: self.filter.clone(),
            latest_by: self.latest_by.clone(),
        }
    }
}

impl<E> fmt::Debug for SubscribeOptions<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SubscribeOptions")
            .field("overflow", &self.overflow)
            .field("name", &self.name)
            .field("filtered", &self.filter.is_some())
            .field("by_key", &self.latest_by.is_some())
            .finish_non_exhaustive()
    }
}

/// Makes tables of the newest event for each key, of a type of key that only this knows.
type MakeKeys<E> = Arc<dyn Fn() -> Box<dyn Keys<E>> + Send + Sync>;

/// The same for events as bytes.
type MakeKeysOfFrames<E> = Arc<dyn Fn(Codec<E>) -> MakeKeys<Frame> + Send + Sync>;

pub(crate) struct LatestBy<E> {
    make: MakeKeys<E>,
    on_frames: Option<MakeKeysOfFrames<E>>,
}

impl<E: Event + Clone> LatestBy<E> {
    fn new<K>(max: usize, key: Arc<dyn Fn(&E) -> K + Send + Sync>) -> Self
    where
        K: Hash + Eq + Clone + Send + 'static,
    {
        let key_of_frames = Arc::clone(&key);
        Self {
            make: make_keys(max, key),
            on_frames: Some(Arc::new(move |codec| {
                let key = Arc::clone(&key_of_frames);
                make_keys(
                    max,
                    Arc::new(move |frame: &Frame| {
                        let event = (codec.decode)(&frame.payload).ok()?;
                        Some(key(&event))
                    }),
                )
            })),
        }
    }
}

fn make_keys<E, K>(max: usize, key: Arc<dyn Fn(&E) -> K + Send + Sync>) -> MakeKeys<E>
where
    E: Event + Clone,
    K: Hash + Eq + Clone + Send + 'static,
{
    Arc::new(move || Box::new(ByKey::new(Arc::clone(&key), max)))
}

impl<E> Clone for LatestBy<E> {
    fn clone(&self) -> Self {
        Self {
            make: Arc::clone(&self.make),
            on_frames: self.on_frames.clone(),
        }
    }
}
