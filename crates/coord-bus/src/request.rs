//! Requests and replies: a question to whoever answers at an [`Endpoint`], with a deadline.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::select;
use tokio::sync::oneshot;

use crate::task_scope::catch;
use crate::{
    Claim, Failure, GroupMember, Publisher, Refusal, ShutdownReport, TaskScope, Topic, time,
};

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
    topic: Topic<Exchange<Q, R>>,
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

    pub(crate) fn topic(&self) -> &Topic<Exchange<Q, R>> {
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

/// A request on its way, and where its reply is waited for.
pub(crate) struct Exchange<Q, R>(Mutex<Option<(Q, oneshot::Sender<Answer<R>>)>>);

enum Answer<R> {
    Reply(R),
    Failed(Failure),
    /// Nobody has taken it.
    Untaken,
}

impl<Q, R> Exchange<Q, R> {
    fn take(&self) -> Option<(Q, oneshot::Sender<Answer<R>>)> {
        let mut exchange = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        exchange.take()
    }
}

impl<Q, R> Drop for Exchange<Q, R> {
    fn drop(&mut self) {
        if let Some((_, reply)) = self.take() {
            // Whoever asked may be gone.
            let _ = reply.send(Answer::Untaken);
        }
    }
}

/// Makes requests at one endpoint. Cheap to clone.
pub struct Requester<Q, R> {
    publisher: Publisher<Exchange<Q, R>>,
    deadline: Duration,
}

impl<Q: Send + 'static, R: Send + 'static> Requester<Q, R> {
    pub(crate) fn new(publisher: Publisher<Exchange<Q, R>>) -> Self {
        Self {
            publisher,
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
    pub async fn request(&self, question: Q) -> Result<R, RequestError> {
        let (reply, replied) = oneshot::channel();
        let exchange = Exchange(Mutex::new(Some((question, reply))));
        let answer = async {
            match self.publisher.publish(exchange).await {
                Ok(()) => Ok(replied.await),
                Err(refused) => Err(refused.reason),
            }
        };
        let answer = within(self.deadline, answer).await;
        let endpoint = || self.publisher.topic().to_owned();
        match answer {
            Ok(Ok(Ok(Answer::Reply(reply)))) => Ok(reply),
            Ok(Ok(Ok(Answer::Failed(failure)))) => Err(RequestError::Failed {
                endpoint: endpoint(),
                failure,
            }),
            Ok(Ok(Ok(Answer::Untaken))) => Err(RequestError::NoResponders {
                endpoint: endpoint(),
            }),
            Ok(Ok(Err(_))) => Err(RequestError::Abandoned {
                endpoint: endpoint(),
            }),
            Ok(Err(Refusal::Full)) => Err(RequestError::Full {
                endpoint: endpoint(),
            }),
            Ok(Err(_)) => Err(RequestError::Closed {
                endpoint: endpoint(),
            }),
            Err(_) => Err(RequestError::DeadlineExceeded {
                endpoint: endpoint(),
                deadline: self.deadline,
            }),
        }
    }
}

/// What a future gives within a deadline. A timer costs more than all the rest of a request, so it
/// is only set once others have had their turn and there is no reply yet.
async fn within<F: Future>(deadline: Duration, future: F) -> Result<F::Output, time::Elapsed> {
    let mut future = pin!(future);
    let mut had_turn = false;
    let at_once = poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if had_turn => Poll::Ready(None),
        Poll::Pending => {
            had_turn = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    });
    match at_once.await {
        Some(output) => Ok(output),
        None => time::timeout(deadline, future).await,
    }
}

impl<Q: Send + 'static, R: Send + 'static> Clone for Requester<Q, R> {
    fn clone(&self) -> Self {
        Self {
            publisher: self.publisher.clone(),
            deadline: self.deadline,
        }
    }
}

impl<Q, R> fmt::Debug for Requester<Q, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Requester")
            .field("publisher", &self.publisher)
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
#[derive(Debug)]
pub struct Responder {
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
        self.scope.shutdown(deadline).await
    }

    pub(crate) fn start<Q, R, F, Fut, X>(
        name: &str,
        members: Vec<GroupMember<Exchange<Q, R>>>,
        answer: F,
    ) -> Self
    where
        Q: Send + 'static,
        R: Send + 'static,
        F: Fn(Q) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, X>> + Send + 'static,
        X: Into<Failure> + Send + 'static,
    {
        let scope = TaskScope::new(name);
        let answer = Arc::new(answer);
        for member in members {
            let (answer, stop) = (Arc::clone(&answer), scope.token());
            scope.spawn(name, async move {
                let mut stop = pin!(stop.cancelled());
                loop {
                    select! {
                        biased;
                        () = &mut stop => return,
                        claim = member.recv() => match claim {
                            Some(claim) => see_through(claim, &*answer).await,
                            None => return,
                        },
                    }
                }
            });
        }
        Self { scope }
    }
}

/// Answers a request, unless whoever asked goes first.
async fn see_through<Q, R, F, Fut, X>(claim: Claim<Exchange<Q, R>>, answer: &F)
where
    F: Fn(Q) -> Fut,
    Fut: Future<Output = Result<R, X>>,
    X: Into<Failure>,
{
    let (taken, cause) = (claim.take(), claim.meta().cause());
    // Taken, it is nobody else's.
    claim.acknowledge();
    let Some((question, mut reply)) = taken else {
        return;
    };
    if reply.is_closed() {
        return;
    }
    let answered = async { answer(question).await.map_err(X::into) };
    let answered = select! {
        biased;
        answered = catch(cause.run(answered)) => answered,
        () = reply.closed() => return,
    };
    let answer = match answered {
        Ok(Ok(reply)) => Answer::Reply(reply),
        Ok(Err(failure)) => Answer::Failed(failure),
        Err(panic) => Answer::Failed(Failure::panicked(&*panic)),
    };
    // Whoever asked may be gone by now.
    let _ = reply.send(answer);
}
