//! Who answers requests: tasks that take one after another, from a desk or a link.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use super::{Remote, remote};
use crate::desk::{Answer, Desk, Seat};
use crate::link::FrameResponder;
use crate::task_scope::catch;
use crate::{Cause, Failure, ShutdownReport, TaskScope, handling};

/// How many requests a responder answers at once at most: each is a task from the beginning.
const MAX_CONCURRENCY: usize = 10_000;

/// Answers requests: see [`BusExt::respond`](crate::BusExt::respond). Dropped, it is stopped where
/// it awaits; those who asked are told
/// ([`RequestError::Abandoned`](crate::RequestError::Abandoned)), and what nobody has taken goes to the
/// other responders, if there are any.
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

    /// Answers what is asked at a desk.
    pub(crate) fn at_desk<Q, R, F, Fut, X>(
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
        let answer = Arc::new(answer);
        let seat = Seat::take(desk, place);
        Self::start(desk.topic(), concurrency, seat, |seat| {
            respond(seat, Arc::clone(&answer))
        })
    }

    /// Answers what comes over a link.
    pub(crate) fn over_link<Q, R, F, Fut, X>(
        remote: Remote<Q, R>,
        frames: Box<dyn FrameResponder>,
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
        let endpoint = Arc::clone(&remote.endpoint);
        let (remote, answer) = (Arc::new(remote), Arc::new(answer));
        Self::start(&endpoint, concurrency, frames, |frames| {
            remote::respond(Arc::clone(&remote), frames, Arc::clone(&answer))
        })
    }

    /// Runs this many tasks, which share a seat: when they are gone, so is it.
    fn start<S: Rise + 'static, T: Future<Output = ()> + Send + 'static>(
        endpoint: &Arc<str>,
        concurrency: usize,
        seat: S,
        task: impl Fn(Arc<S>) -> T,
    ) -> Self {
        let scope = TaskScope::new(&**endpoint);
        let seat = Arc::new(seat);
        for _ in 0..concurrency.clamp(1, MAX_CONCURRENCY) {
            scope.spawn(&**endpoint, task(Arc::clone(&seat)));
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

/// Where a responder takes its requests.
trait Rise: Send + Sync {
    /// Takes no more.
    fn rise(&self);
}

impl<Q: Send, R: Send> Rise for Seat<Q, R> {
    fn rise(&self) {
        Self::rise(self);
    }
}

impl Rise for Box<dyn FrameResponder> {
    fn rise(&self) {
        self.stop();
    }
}

/// Answers one request after another, unless whoever asked goes first.
async fn respond<Q, R, F, Fut, X>(seat: Arc<Seat<Q, R>>, answer: Arc<F>)
where
    F: Fn(Q) -> Fut,
    Fut: Future<Output = Result<R, X>>,
    X: Into<Failure>,
{
    let mut cause = Some(Cause::at(seat.desk().topic()));
    while let Some(request) = seat.request().await {
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
