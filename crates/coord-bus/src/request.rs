//! Requests and replies: a question to whoever answers at an [`Endpoint`], with a deadline.

mod asking;

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use crate::desk::{Answer, Desk, Door};
use crate::task_scope::catch;
use crate::{Cause, Failure, ShutdownReport, TaskScope, Topic, handling};
use asking::Asking;

/// How long a request waits for its reply where nothing else is said.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// The typed name under which requests are made and answered, usually a constant. Names are those
/// of topics, and an endpoint is one: a topic of requests, in this process.
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
}

impl<Q: Send + 'static, R: Send + 'static> Endpoint<Q, R> {
    /// An endpoint of this name.
    pub const fn new(name: &'static str) -> Self {
        Self {
            topic: Topic::in_process(name),
        }
    }

    /// The same endpoint under another name, for names that are known only at run time.
    #[must_use]
    pub fn with_name(self, name: impl Into<String>) -> Self {
        Self {
            topic: self.topic.with_name(name),
        }
    }

    /// With room for this many requests that nobody has taken, instead of
    /// [`DEFAULT_CAPACITY`](crate::DEFAULT_CAPACITY): who requests more waits, within its deadline.
    #[must_use]
    pub fn capacity(self, requests: usize) -> Self {
        Self {
            topic: self.topic.capacity(requests),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.topic.name()
    }

    pub(crate) fn topic(&self) -> &Topic<fn(Q) -> R> {
        &self.topic
    }
}

impl<Q, R> fmt::Debug for Endpoint<Q, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Endpoint")
            .field("topic", &self.topic)
            .finish()
    }
}

/// Makes requests at one endpoint. Cheap to clone.
pub struct Requester<Q, R> {
    door: Arc<Door<Q, R>>,
    deadline: Duration,
}

impl<Q: Send + 'static, R: Send + 'static> Requester<Q, R> {
    pub(crate) fn new(door: Arc<Door<Q, R>>) -> Self {
        Self {
            door,
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
    /// does not begin.
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
        Asking::new(self.door.desk().ask(question), self.deadline)
    }
}

impl<Q, R> Clone for Requester<Q, R> {
    fn clone(&self) -> Self {
        Self {
            door: Arc::clone(&self.door),
            deadline: self.deadline,
        }
    }
}

impl<Q, R> fmt::Debug for Requester<Q, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Requester")
            .field("endpoint", &self.door.desk().topic())
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
    /// The responder failed, or panicked ([`Panicked`](crate::Panicked)).
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
}

/// Answers requests: see [`BusExt::respond`](crate::BusExt::respond). Dropped, it is stopped where
/// it awaits; those who asked are told ([`RequestError::Abandoned`]), and what nobody has taken goes
/// to the other responders, if there are any.
pub struct Responder {
    seat: Weak<dyn Rise>,
    scope: TaskScope,
}

impl Responder {
    /// The group that all responders of an endpoint are in.
    pub(crate) const GROUP: &'static str = "responders";

    /// Takes no more requests, and waits until those that it has taken are answered, at most for
    /// `deadline`; then it is stopped where it awaits.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the responder takes no more and goes on with what it has.
    pub async fn drain(&self, deadline: Duration) -> ShutdownReport {
        self.rise();
        self.scope.shutdown(deadline).await
    }

    fn rise(&self) {
        if let Some(seat) = self.seat.upgrade() {
            seat.rise();
        }
    }

    pub(crate) fn start<Q, R, F, Fut, X>(
        desk: &Arc<Desk<Q, R>>,
        place: &'static Location<'static>,
        concurrency: usize,
        answer: F,
    ) -> Self
    where
        Q: Send + 'static,
        R: Send + 'static,
        F: Fn(Q) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, X>> + Send + 'static,
        X: Into<Failure> + Send + 'static,
    {
        let scope = TaskScope::new(&**desk.topic());
        let seat = Arc::new(Seat {
            desk: Arc::clone(desk),
            id: desk.sit(place),
        });
        let answer = Arc::new(answer);
        for _ in 0..concurrency.max(1) {
            let (seat, answer) = (Arc::clone(&seat), Arc::clone(&answer));
            scope.spawn(&**desk.topic(), respond(seat, answer));
        }
        let seat: Arc<dyn Rise> = seat;
        Self {
            seat: Arc::downgrade(&seat),
            scope,
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // Before its tasks are stopped, so that none of them takes one request more.
        self.rise();
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Responder")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// A responder's seat at a desk, which its tasks share: when they are gone, so is it.
struct Seat<Q, R> {
    desk: Arc<Desk<Q, R>>,
    id: u64,
}

/// A [`Seat`] of whatever types.
trait Rise: Send + Sync {
    /// Gives it up.
    fn rise(&self);
}

impl<Q: Send, R: Send> Rise for Seat<Q, R> {
    fn rise(&self) {
        self.desk.rise(self.id);
    }
}

impl<Q, R> Drop for Seat<Q, R> {
    fn drop(&mut self) {
        self.desk.rise(self.id);
    }
}

/// Answers one request after another, unless whoever asked goes first.
async fn respond<Q, R, F, Fut, X>(seat: Arc<Seat<Q, R>>, answer: Arc<F>)
where
    F: Fn(Q) -> Fut,
    Fut: Future<Output = Result<R, X>>,
    X: Into<Failure>,
{
    let mut cause = Some(Cause::at(seat.desk.topic()));
    while let Some(request) = seat.desk.take(seat.id).await {
        let (question, taken) = (request.envelope.event, request.taken);
        if let Some(cause) = &mut cause {
            cause.is_request(request.sequence, request.envelope.details.as_deref());
        }
        // All of it within, so that a panic of the call itself is one of this request too. What is
        // large stays where it is made: the function's future, and the reply until it has its place.
        let answering = pin!(async {
            let answered = answer(question).await;
            taken.answer(match answered {
                Ok(reply) => Answer::Reply(reply),
                Err(failure) => Answer::Failed(failure.into()),
            });
        });
        let mut answering = catch(handling::run(&mut cause, answering));
        let panicked = poll_fn(|cx| match Pin::new(&mut answering).poll(cx) {
            Poll::Ready(answered) => Poll::Ready(answered.err()),
            Poll::Pending => taken.poll_gone(cx).map(|()| None),
        });
        if let Some(panic) = panicked.await {
            taken.answer(Answer::Failed(Failure::panicked(&*panic)));
        }
    }
}
