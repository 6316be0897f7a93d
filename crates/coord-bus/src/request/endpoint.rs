//! An endpoint: the typed name under which requests are made and answered.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Topic;
use crate::topic::Codec;

/// The typed name under which requests are made and answered, usually a constant. Names are those
/// of topics, and an endpoint is one: a topic of requests.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use coord_bus::{BusExt, Endpoint, Failure, LocalBus, RequestError};
///
/// const SQUARE_ROOT: Endpoint<f64, f64> = Endpoint::new("square-root");
///
/// let bus = LocalBus::new();
/// let requester = bus.requester(&SQUARE_ROOT)?;
/// let refused = requester.request(2.0).await;
/// assert!(matches!(refused, Err(RequestError::NoResponders { .. }))); // at once
///
/// let responder = bus.respond(&SQUARE_ROOT, |number: f64| async move {
///     if number < 0.0 {
///         return Err(Failure::message("it is negative"));
///     }
///     Ok(number.sqrt())
/// })?;
/// assert_eq!(requester.request(9.0).await?, 3.0);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct Endpoint<Q, R> {
    topic: Topic<fn(Q) -> R>,
    codecs: Option<Codecs<Q, R>>,
}

/// How the questions and replies of an endpoint become bytes and come back.
pub(crate) struct Codecs<Q, R> {
    pub(crate) question: Codec<Q>,
    pub(crate) reply: Codec<R>,
}

impl<Q, R> Clone for Codecs<Q, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Q, R> Copy for Codecs<Q, R> {}

impl<Q, R> Endpoint<Q, R>
where
    Q: Serialize + DeserializeOwned + Send + 'static,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    /// An endpoint whose questions and replies may cross a process: any bus can carry them.
    pub const fn new(name: &'static str) -> Self {
        Self {
            topic: Topic::in_process(name),
            codecs: Some(Codecs {
                question: Codec::JSON,
                reply: Codec::JSON,
            }),
        }
    }
}

impl<Q: Send + 'static, R: Send + 'static> Endpoint<Q, R> {
    /// An endpoint whose questions and replies stay in this process, and need no serde: handles,
    /// closures, images. A bus that carries bytes refuses it by name.
    pub const fn in_process(name: &'static str) -> Self {
        Self {
            topic: Topic::in_process(name),
            codecs: None,
        }
    }

    /// The same endpoint under another name, for names that are known only at run time.
    #[must_use]
    pub fn with_name(self, name: impl Into<String>) -> Self {
        Self {
            topic: self.topic.with_name(name),
            codecs: self.codecs,
        }
    }

    /// With room for this many requests that nobody has taken, instead of
    /// [`DEFAULT_CAPACITY`](crate::DEFAULT_CAPACITY): who requests more waits, within its deadline.
    #[must_use]
    pub fn capacity(self, requests: usize) -> Self {
        Self {
            topic: self.topic.capacity(requests),
            codecs: self.codecs,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.topic.name()
    }

    pub(crate) fn topic(&self) -> &Topic<fn(Q) -> R> {
        &self.topic
    }

    pub(crate) fn codecs(&self) -> Option<Codecs<Q, R>> {
        self.codecs
    }
}

impl<Q: Send + 'static, R: Send + 'static> fmt::Debug for Endpoint<Q, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Endpoint")
            .field("name", &self.topic.name())
            .field("request", &std::any::type_name::<fn(Q) -> R>())
            .field("capacity", &self.topic.stated_capacity())
            .field("in_process", &self.codecs.is_none())
            .finish()
    }
}
