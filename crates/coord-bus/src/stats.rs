//! What a topic has counted: read by monitors, which never tap the stream itself.

use std::iter::Sum;
use std::ops::AddAssign;
use std::panic::Location;

use serde::{Serialize, Serializer};

use crate::Overflow;
use crate::describe::place;

/// A topic's counts at one moment, taken under one lock and so consistent with each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TopicStats {
    /// The topic's name.
    pub topic: String,
    /// The type of its events, as the compiler names it.
    pub event: &'static str,
    /// How many events it may hold for its slowest lossless subscriber.
    pub capacity: usize,
    /// How many of the last events it keeps for those who subscribe late.
    pub retain: usize,
    /// Events accepted since it was opened, heard or not.
    pub published: u64,
    /// What became of them at all subscribers that there are and have been, summed: an event that
    /// three subscribers were to get counts three times.
    pub ledger: Ledger,
    /// Events held now.
    pub depth: u64,
    /// Publishers that wait for room now.
    pub waiting_publishers: usize,
    /// Whether it is closed to new events.
    pub closed: bool,
    /// Who publishes to it, by where its publishers were opened.
    pub publishers: Vec<PublisherStats>,
    /// The subscribers that there are now.
    pub subscribers: Vec<SubscriberStats>,
}

/// The publishers that were opened at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PublisherStats {
    /// Where.
    #[serde(serialize_with = "as_text")]
    pub place: &'static Location<'static>,
    /// How many there are now. Clones of a publisher count as one.
    pub open: usize,
}

/// A subscriber's counts at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SubscriberStats {
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// The group for which it reads, if it does.
    pub group: Option<String>,
    /// Where it subscribed.
    #[serde(serialize_with = "as_text")]
    pub place: &'static Location<'static>,
    /// What happens when it falls behind.
    pub overflow: Overflow,
    /// Whether it has a filter.
    pub filtered: bool,
    /// Whether it takes no more, and only receives what it was to get before.
    pub closed: bool,
    /// What became of the events published to it.
    pub ledger: Ledger,
}

/// What became of the events that a subscriber was to get:
/// `published = delivered + conflated + dropped + filtered + in_flight`.
///
/// That always holds. The parts are exact once nobody publishes or receives at the same moment;
/// until then, an event may still count as in flight that has just been received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Ledger {
    /// Events published since it subscribed, and those that were retained for it.
    pub published: u64,
    /// Events handed to it.
    pub delivered: u64,
    /// Events that a newer one has replaced before they were received: [`Overflow::Latest`].
    pub conflated: u64,
    /// Events that it lost, by reason.
    pub dropped: Dropped,
    /// Events that its filter did not let through.
    pub filtered: u64,
    /// Events that are neither received nor lost yet: its lag.
    pub in_flight: u64,
}

/// Events that a subscriber lost, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Dropped {
    /// The oldest had to go: [`Overflow::DropOldest`], or more keys than there was room for.
    pub oldest: u64,
    /// The newest was not taken: [`Overflow::DropNewest`].
    pub newest: u64,
    /// The subscriber went without having received them.
    pub unreceived: u64,
}

impl TopicStats {
    /// To be filled in.
    pub(crate) fn empty() -> Self {
        Self {
            topic: String::new(),
            event: "",
            capacity: 0,
            retain: 0,
            published: 0,
            ledger: Ledger::default(),
            depth: 0,
            waiting_publishers: 0,
            closed: false,
            publishers: Vec::new(),
            subscribers: Vec::new(),
        }
    }
}

impl SubscriberStats {
    /// What it goes by: its name, `group` and the name of its group, or the place at which it
    /// subscribed, as the file in its folder and the line.
    pub fn label(&self) -> String {
        match (&self.group, &self.name) {
            (Some(group), _) => format!("group {group}"),
            (None, Some(name)) => name.clone(),
            (None, None) => place(self.place),
        }
    }
}

impl Ledger {
    /// Whether each event is accounted for.
    pub fn is_balanced(&self) -> bool {
        let parts = [
            self.delivered,
            self.conflated,
            self.filtered,
            self.in_flight,
        ];
        self.published == parts.iter().sum::<u64>() + self.dropped.total()
    }

    /// What is left when the subscriber is gone.
    pub(crate) fn settled(mut self) -> Self {
        self.dropped.unreceived += std::mem::take(&mut self.in_flight);
        self
    }
}

impl Dropped {
    /// Those that overflow took, while the subscriber was there.
    pub fn by_overflow(&self) -> u64 {
        self.oldest + self.newest
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.by_overflow() + self.unreceived
    }
}

impl AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.published += other.published;
        self.delivered += other.delivered;
        self.conflated += other.conflated;
        self.dropped.oldest += other.dropped.oldest;
        self.dropped.newest += other.dropped.newest;
        self.dropped.unreceived += other.dropped.unreceived;
        self.filtered += other.filtered;
        self.in_flight += other.in_flight;
    }
}

impl Sum for Ledger {
    fn sum<I: Iterator<Item = Self>>(ledgers: I) -> Self {
        ledgers.fold(Self::default(), |mut sum, ledger| {
            sum += ledger;
            sum
        })
    }
}

fn as_text<S: Serializer>(
    place: &&'static Location<'static>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(place)
}
