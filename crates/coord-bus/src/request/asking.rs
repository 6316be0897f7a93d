//! One request, as who makes it awaits it: asked at the desk or over a link, with a deadline.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::future::BoxFuture;

use super::RequestError;
use crate::desk::{Answer, Ask, Turned};
use crate::time;

/// The future of [`Requester::request`](super::Requester::request).
pub(super) struct Asking<'a, Q, R> {
    way: Way<'a, Q, R>,
    deadline: Duration,
    patience: Patience,
}

enum Way<'a, Q, R> {
    Desk(Ask<'a, Q, R>),
    Link {
        endpoint: &'a Arc<str>,
        asking: BoxFuture<'a, Result<R, RequestError>>,
    },
}

/// A timer costs as much as all the rest of a request, so it is only set once others have had their
/// turn and there is no reply yet.
enum Patience {
    Fresh,
    HadTurn,
    Timed(Pin<Box<time::Sleep>>),
}

impl<'a, Q, R> Asking<'a, Q, R> {
    #[inline]
    pub(super) fn at_desk(ask: Ask<'a, Q, R>, deadline: Duration) -> Self {
        Self {
            way: Way::Desk(ask),
            deadline,
            patience: Patience::Fresh,
        }
    }

    pub(super) fn over_link(
        endpoint: &'a Arc<str>,
        asking: BoxFuture<'a, Result<R, RequestError>>,
        deadline: Duration,
    ) -> Self {
        Self {
            way: Way::Link { endpoint, asking },
            deadline,
            patience: Patience::Fresh,
        }
    }
}

// The question is moved, never pinned.
impl<Q, R> Unpin for Asking<'_, Q, R> {}

impl<Q, R> Future for Asking<'_, Q, R> {
    type Output = Result<R, RequestError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match &mut this.way {
            Way::Desk(ask) => match Pin::new(&mut *ask).poll(cx) {
                Poll::Ready(Ok(Answer::Reply(reply))) => return Poll::Ready(Ok(reply)),
                Poll::Ready(outcome) => return Poll::Ready(Err(unanswered(ask, outcome))),
                Poll::Pending => {}
            },
            Way::Link { asking, .. } => {
                if let Poll::Ready(outcome) = asking.as_mut().poll(cx) {
                    return Poll::Ready(outcome);
                }
            }
        }
        if let Patience::Fresh = this.patience {
            this.patience = Patience::HadTurn;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(this.poll_deadline(cx));
        Poll::Ready(Err(RequestError::DeadlineExceeded {
            endpoint: match &this.way {
                Way::Desk(ask) => ask.desk().topic().to_string(),
                Way::Link { endpoint, .. } => endpoint.to_string(),
            },
            deadline: this.deadline,
        }))
    }
}

impl<Q, R> Asking<'_, Q, R> {
    #[cold]
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.patience {
                Patience::Timed(timer) => return timer.as_mut().poll(cx),
                Patience::Fresh | Patience::HadTurn => {
                    self.patience = Patience::Timed(Box::pin(time::sleep(self.deadline)));
                }
            }
        }
    }
}

#[cold]
fn unanswered<Q, R>(ask: &Ask<'_, Q, R>, outcome: Result<Answer<R>, Turned>) -> RequestError {
    let endpoint = ask.desk().topic().to_string();
    match outcome {
        Ok(Answer::Failed(failure)) => RequestError::Failed { endpoint, failure },
        Ok(Answer::Untaken) | Err(Turned::Unattended) => RequestError::NoResponders { endpoint },
        Ok(Answer::Reply(_) | Answer::Abandoned) => RequestError::Abandoned { endpoint },
        Err(Turned::Full) => RequestError::Full { endpoint },
        Err(Turned::Closed) => RequestError::Closed { endpoint },
    }
}
