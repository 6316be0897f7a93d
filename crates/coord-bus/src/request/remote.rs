//! Requests over a link: the handles turn questions and replies into bytes, and the link moves them.

use std::any::type_name;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use futures_core::future::BoxFuture;

use super::{Codecs, RequestError};
use crate::link::{EndpointLink, Frame, FrameFailure, FrameRequest, FrameResponder, Unanswered};
use crate::task_scope::catch;
use crate::{Cause, Envelope, Failure, handling};

/// An endpoint at the other side of a link.
pub(crate) struct Remote<Q, R> {
    pub(crate) endpoint: Arc<str>,
    pub(crate) link: Arc<dyn EndpointLink>,
    pub(crate) codecs: Codecs<Q, R>,
}

impl<Q: Send + 'static, R: Send + 'static> Remote<Q, R> {
    /// Asks, and waits for the reply for as long as it takes. Who handles something does not wait
    /// for room.
    pub(crate) fn request(&self, question: Q) -> BoxFuture<'_, Result<R, RequestError>> {
        Box::pin(async move {
            let is_handling = handling::is_active();
            let frame = self.frame(question, is_handling)?;
            let asked = match is_handling {
                true => self.link.try_request(frame),
                false => self.link.request(frame),
            };
            let reply = asked.await.map_err(|reason| self.unanswered(reason))?;
            (self.codecs.reply.decode)(&reply.payload).map_err(|source| RequestError::Decode {
                endpoint: self.endpoint.to_string(),
                reply: type_name::<R>(),
                source,
            })
        })
    }

    fn frame(&self, question: Q, is_handling: bool) -> Result<Frame, RequestError> {
        let mut envelope = Envelope::new(question);
        if is_handling {
            handling::mark(&mut envelope);
        }
        match (self.codecs.question.encode)(&envelope.event) {
            Ok(payload) => Ok(Frame {
                payload,
                details: envelope.details,
            }),
            Err(source) => Err(RequestError::Encode {
                endpoint: self.endpoint.to_string(),
                question: type_name::<Q>(),
                source,
            }),
        }
    }

    fn unanswered(&self, reason: Unanswered) -> RequestError {
        let endpoint = self.endpoint.to_string();
        match reason {
            Unanswered::NoResponders => RequestError::NoResponders { endpoint },
            Unanswered::Failed(failure) => RequestError::Failed {
                endpoint,
                failure: failure.into(),
            },
            Unanswered::Abandoned => RequestError::Abandoned { endpoint },
            Unanswered::Full => RequestError::Full { endpoint },
            Unanswered::Closed => RequestError::Closed { endpoint },
            Unanswered::Link(source) => RequestError::Link { endpoint, source },
        }
    }

    /// What a function answers to a question in bytes, in bytes.
    async fn answer<F, Fut, X>(&self, question: Frame, answer: &F) -> Result<Frame, Failure>
    where
        F: Fn(Q) -> Fut,
        Fut: Future<Output = Result<R, X>>,
        X: Into<Failure>,
    {
        let question = (self.codecs.question.decode)(&question.payload);
        let question = question.map_err(|source| CodingError::Question {
            question: type_name::<Q>(),
            source,
        });
        let question = question.map_err(|error| Failure::from(error).permanent())?;
        let reply = answer(question).await.map_err(Into::into)?;
        let payload = (self.codecs.reply.encode)(&reply);
        let payload = payload.map_err(|source| CodingError::Reply {
            reply: type_name::<R>(),
            source,
        });
        Ok(Frame {
            payload: payload.map_err(|error| Failure::from(error).permanent())?,
            details: None,
        })
    }
}

/// Why a responder could not answer though its function could, or might have.
#[derive(Debug, thiserror::Error)]
enum CodingError {
    #[error("its question could not be decoded as {question}")]
    Question {
        question: &'static str,
        source: serde_json::Error,
    },
    #[error("its reply, {reply}, could not be encoded")]
    Reply {
        reply: &'static str,
        source: serde_json::Error,
    },
}

/// Answers one request after another, unless whoever asked goes first.
pub(super) async fn respond<Q, R, F, Fut, X>(
    remote: Arc<Remote<Q, R>>,
    frames: Arc<Box<dyn FrameResponder>>,
    answer: Arc<F>,
) where
    Q: Send + 'static,
    R: Send + 'static,
    F: Fn(Q) -> Fut,
    Fut: Future<Output = Result<R, X>>,
    X: Into<Failure>,
{
    let mut cause = Some(Cause::at(&remote.endpoint));
    while let Some(request) = frames.next().await {
        let FrameRequest {
            question,
            id,
            reply_to,
        } = request;
        if let Some(cause) = &mut cause {
            cause.is_remote_request(id, question.details.as_deref());
        }
        let answering = pin!(remote.answer(question, &*answer));
        let mut answering = catch(handling::run(&mut cause, answering));
        let answered = poll_fn(|cx| match Pin::new(&mut answering).poll(cx) {
            Poll::Ready(answered) => Poll::Ready(Some(answered)),
            Poll::Pending => reply_to.poll_gone(cx).map(|()| None),
        });
        let reply = match answered.await {
            Some(Ok(Ok(reply))) => Ok(reply),
            Some(Ok(Err(failure))) => Err(FrameFailure::from(&failure)),
            Some(Err(panic)) => Err(FrameFailure::from(&Failure::panicked(&*panic))),
            None => continue,
        };
        reply_to.reply(reply).await;
    }
}
