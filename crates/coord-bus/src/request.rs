//! Requests and replies: a question to whoever answers at an [`Endpoint`], with a deadline.

mod endpoint;
mod asking;
mod responder;
mod remote;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::Failure;
use crate::desk::Door;
use asking::Asking;
pub(crate) use endpoint::Codecs;
pub use endpoint::Endpoint;
pub(crate) use remote::Remote;
pub use responder::Responder;

/// How long a request waits for its reply where nothing else is said.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// Makes requests at one endpoint. Cheap to clone.
pub struct Requester<Q, R> {
    entrance: Entrance<Q, R>,
    deadline: Duration,
}

/// Where requests go in.
pub(crate) enum Entrance<Q, R> {
    Desk(Arc<Door<Q, R>>),
    Link(Arc<Remote<Q, R>>),
}

impl<Q: Send + 'static, R: Send + 'static> Requester<Q, R> {
    pub(crate) fn new(entrance: Entrance<Q, R>) -> Self {
        Self {
            entrance,
            deadline: DEFAULT_DEADLINE,
        }
    }

    /// With another deadline than [`DEFAULT_DEADLINE`] for each request.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Asks, and waits for the reply of the one responder that takes it, at most until the
    /// deadline.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, or at its deadline, the responder is stopped where it awaits, or
    /// does not begin; over a link, as far as that can tell it.
    ///
    /// # Errors
    ///
    /// See [`RequestError`]. Where nobody responds, at once.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time enabled, where the reply does not come at once.
    #[inline]
    pub fn request(&self, question: Q) -> impl Future<Output = Result<R, RequestError>> + Send {
        match &self.entrance {
            Entrance::Desk(door) => Asking::at_desk(door.desk().ask(question), self.deadline),
            Entrance::Link(remote) => {
                let asking = remote.request(question);
                Asking::over_link(&remote.endpoint, asking, self.deadline)
            }
        }
    }
}

impl<Q, R> Clone for Requester<Q, R> {
    fn clone(&self) -> Self {
        let entrance = match &self.entrance {
            Entrance::Desk(door) => Entrance::Desk(Arc::clone(door)),
            Entrance::Link(remote) => Entrance::Link(Arc::clone(remote)),
        };
        Self {
            entrance,
            deadline: self.deadline,
        }
    }
}

impl<Q, R> fmt::Debug for Requester<Q, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = match &self.entrance {
            Entrance::Desk(door) => door.desk().topic(),
            Entrance::Link(remote) => &remote.endpoint,
        };
        formatter
            .debug_struct("Requester")
            .field("endpoint", endpoint)
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// A request got no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Nobody responds there, or everybody who did went before it was taken.
    #[error("nobody responds at `{endpoint}`: start a responder with `bus.respond`")]
    NoResponders {
        /// The endpoint.
        endpoint: String,
    },
    /// No reply came in time.
    #[error("`{endpoint}` did not reply within {deadline:?}: its responder has been told to stop")]
    DeadlineExceeded {
        /// The endpoint.
        endpoint: String,
        /// How long was waited.
        deadline: Duration,
    },
    /// The responder failed, or panicked ([`Panicked`](crate::Panicked)). Over a link its failure
    /// comes as text, and could be that the question could not be decoded, or the reply not encoded.
    #[error("the responder of `{endpoint}` failed: {failure}")]
    Failed {
        /// The endpoint.
        endpoint: String,
        /// Why; its cause can be had from it.
        failure: Failure,
    },
    /// The responder was stopped before it had replied.
    #[error("the responder of `{endpoint}` was stopped before it replied")]
    Abandoned {
        /// The endpoint.
        endpoint: String,
    },
    /// There is no room for more requests, and who asks handles an event, so must not wait.
    #[error("the endpoint `{endpoint}` is full: try again, or give it more responders")]
    Full {
        /// The endpoint.
        endpoint: String,
    },
    /// The endpoint is closed.
    #[error("the endpoint `{endpoint}` is closed")]
    Closed {
        /// The endpoint.
        endpoint: String,
    },
    /// The question could not be turned into bytes, so nobody was asked.
    #[error("the question to `{endpoint}`, {question}, could not be encoded")]
    Encode {
        /// The endpoint.
        endpoint: String,
        /// The type of the question.
        question: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// A reply came, and is none of the type that was asked for.
    #[error(
        "the reply of `{endpoint}` could not be decoded as {reply}: give both sides the same type"
    )]
    Decode {
        /// The endpoint.
        endpoint: String,
        /// The type of the reply.
        reply: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The link beneath the endpoint failed; the question may or may not have arrived.
    #[error("the link to `{endpoint}` failed")]
    Link {
        /// The endpoint.
        endpoint: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
