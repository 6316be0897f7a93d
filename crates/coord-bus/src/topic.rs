//! A topic: the typed name under which events are published and subscribed to.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{DeadLetter, Event, Fault};

/// The typed name of a stream of events.
///
/// Topics are cheap values, usually constants: a name, the type of the events and, if it matters,
/// how many of them may wait for the slowest lossless subscriber. Names follow NATS's rules for
/// subjects: tokens parted by dots, none of them empty, without white space, `*` and `>`.
///
/// ```
/// use coord_bus::Topic;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Status { component: String, text: String }
///
/// const STATUS: Topic<Status> = Topic::new("status").capacity(256);
/// ```
pub struct Topic<E> {
    name: Cow<'static, str>,
    capacity: Option<NonZeroUsize>,
    retain: Option<usize>,
    codec: Option<Codec<E>>,
    /// How its dead letters become bytes.
    dead_codec: Option<Codec<DeadLetter<E>>>,
    /// How what is told of its faults does.
    fault_codec: Option<Codec<Fault<E>>>,
    events: PhantomData<fn() -> E>,
}

/// How events of one type, or questions or replies, become bytes and come back.
pub(crate) struct Codec<E> {
    pub(crate) encode: fn(&E) -> Result<Vec<u8>, serde_json::Error>,
    pub(crate) decode: fn(&[u8]) -> Result<E, serde_json::Error>,
}

impl<E: Serialize + DeserializeOwned> Codec<E> {
    pub(crate) const JSON: Self = Self {
        encode: |event| serde_json::to_vec(event),
        decode: |bytes| serde_json::from_slice(bytes),
    };
}

impl<E> Clone for Codec<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Codec<E> {}

/// How many events a topic holds for its slowest lossless subscriber where nothing else is said.
pub const DEFAULT_CAPACITY: usize = 1024;

/// What the name of a topic of dead letters begins with.
const DEAD_LETTERS: &str = "dead-letter.";

/// How many dead letters of a topic are there for who looks late.
const RETAINED_DEAD_LETTERS: usize = 100;

/// The longest name of a topic, in bytes: as long as a file name may be.
pub const MAX_NAME_LENGTH: usize = 255;

impl<E: Event + Serialize + DeserializeOwned> Topic<E> {
    /// A topic whose events may cross a process: any bus can carry it.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            capacity: None,
            retain: None,
            codec: Some(Codec::JSON),
            dead_codec: Some(Codec::JSON),
            fault_codec: Some(Codec::JSON),
            events: PhantomData,
        }
    }
}

impl<E: Event> Topic<E> {
    /// A topic whose events stay in this process, and need no serde: handles, closures, images.
    /// A bus that carries bytes refuses it by name.
    pub const fn in_process(name: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            capacity: None,
            retain: None,
            codec: None,
            dead_codec: None,
            fault_codec: None,
            events: PhantomData,
        }
    }

    /// The same topic under another name, for names that are known only at run time.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Cow::Owned(name.into());
        self
    }

    /// With room for this many events ahead of the slowest lossless subscriber, instead of
    /// [`DEFAULT_CAPACITY`]. Zero counts as one. Who [waits](crate::Publisher::publish) for room is woken once a quarter
    /// to a half of it is free.
    #[must_use]
    pub const fn capacity(mut self, events: usize) -> Self {
        self.capacity = match NonZeroUsize::new(events) {
            Some(events) => Some(events),
            None => Some(NonZeroUsize::MIN),
        };
        self
    }

    /// With its last events kept, this many and at most two chunks of 128 besides, for
    /// those who subscribe late: they receive them first, and then what follows, without a gap or
    /// a double. By default nothing is kept.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use coord_bus::{BusExt, LocalBus, Topic};
    ///
    /// const THEME: Topic<String> = Topic::new("theme").retain(1);
    ///
    /// let bus = LocalBus::new();
    /// bus.publisher(&THEME)?.publish("dark".to_owned()).await?;
    /// let mut late = bus.subscribe(&THEME)?;
    /// assert_eq!(*late.recv().await.unwrap(), "dark");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    #[must_use]
    pub const fn retain(mut self, events: usize) -> Self {
        self.retain = Some(events);
        self
    }

    /// The topic of those of its events that a handler could not handle, or no member of a group:
    /// `dead-letter.` and its name. It retains the last 100.
    pub fn dead_letters(&self) -> Topic<DeadLetter<E>> {
        Topic {
            name: Cow::Owned(format!("{DEAD_LETTERS}{}", self.name)),
            capacity: None,
            retain: Some(RETAINED_DEAD_LETTERS),
            codec: self.dead_codec,
            dead_codec: None,
            fault_codec: None,
            events: PhantomData,
        }
    }

    pub(crate) fn is_of_dead_letters(&self) -> bool {
        self.name.starts_with(DEAD_LETTERS)
    }

    /// The topic on which flows tell of those of its events that they could make nothing of:
    /// `fault.` and its name.
    pub fn faults(&self) -> Topic<Fault<E>> {
        Topic {
            name: Cow::Owned(format!("fault.{}", self.name)),
            capacity: None,
            retain: None,
            codec: self.fault_codec,
            dead_codec: None,
            fault_codec: None,
            events: PhantomData,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn stated_capacity(&self) -> Option<NonZeroUsize> {
        self.capacity
    }

    pub(crate) fn stated_retain(&self) -> Option<usize> {
        self.retain
    }

    pub(crate) fn codec(&self) -> Option<Codec<E>> {
        self.codec
    }
}

impl<E> Clone for Topic<E> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            capacity: self.capacity,
            retain: self.retain,
            codec: self.codec,
            dead_codec: self.dead_codec,
            fault_codec: self.fault_codec,
            events: PhantomData,
        }
    }
}

impl<E> fmt::Debug for Topic<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Topic")
            .field("name", &self.name)
            .field("event", &std::any::type_name::<E>())
            .field("capacity", &self.capacity)
            .field("retain", &self.retain)
            .field("in_process", &self.codec.is_none())
            .finish()
    }
}

/// What is wrong with tokens parted by dots, wildcards or not. Tokens are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokensFault {
    Empty,
    TooLong,
    EmptyToken(usize),
    Blank(usize),
}

/// What is wrong with a name or a pattern, if anything is, whatever wildcards are in it.
pub(crate) fn tokens_fault(tokens: &str) -> Option<TokensFault> {
    if tokens.is_empty() {
        return Some(TokensFault::Empty);
    }
    if tokens.len() > MAX_NAME_LENGTH {
        return Some(TokensFault::TooLong);
    }
    let is_blank = |c: char| c.is_whitespace() || c.is_control();
    (1..)
        .zip(tokens.split('.'))
        .find_map(|(count, token)| match token {
            "" => Some(TokensFault::EmptyToken(count)),
            token if token.contains(is_blank) => Some(TokensFault::Blank(count)),
            _ => None,
        })
}

/// What is wrong with a name, if anything is.
pub(crate) fn name_fault(name: &str) -> Option<&'static str> {
    match tokens_fault(name) {
        Some(TokensFault::Empty) => Some("it is empty"),
        Some(TokensFault::TooLong) => Some("it is longer than 255 bytes"),
        Some(TokensFault::EmptyToken(_)) => Some("a part between dots is empty"),
        Some(TokensFault::Blank(_)) => Some("it has white space or a control character in it"),
        None if name.contains(['*', '>']) => Some("`*` and `>` are for patterns"),
        None => None,
    }
}
