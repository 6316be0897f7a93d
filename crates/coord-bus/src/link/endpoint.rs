//! What a bus that carries bytes gives for an endpoint: questions to one of many responders, and
//! their replies.

use std::fmt;
use std::task::{Context, Poll};

use futures_core::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{Frame, LinkError};
use crate::{Failure, TopicStats};

/// An endpoint of a bus that carries bytes. Who implements it only moves frames; types, encoding
/// and decoding, deadlines and causes are the business of the handles.
pub trait EndpointLink: Send + Sync {
    /// Sends a question to one of the responders, waits while there is no room for it, and gives
    /// the reply. Dropped before it is done, whoever has the question learns of it, as far as the
    /// link can tell them.
    fn request(&self, question: Frame) -> BoxFuture<'_, Result<Frame, Unanswered>>;

    /// The same, but where there is no room for the question now it is [`Unanswered::Full`].
    fn try_request(&self, question: Frame) -> BoxFuture<'_, Result<Frame, Unanswered>>;

    /// One more responder: each question goes to one.
    ///
    /// # Errors
    ///
    /// When the link is down.
    fn respond(&self) -> Result<Box<dyn FrameResponder>, LinkError>;

    /// Shuts the endpoint's entrance, for everybody. What was accepted is still answered.
    fn close(&self);

    /// Resolves once everything that was accepted has been taken by a responder, as far as this
    /// side knows; it may not have been answered.
    fn drained(&self) -> BoxFuture<'_, ()>;

    /// What the endpoint has counted, as far as this side knows. All its responders are one
    /// subscriber, as a group is.
    fn stats(&self) -> TopicStats;
}

/// A responder's side of an [`EndpointLink`]. Dropped, or stopped, it takes no more: what nobody has
/// taken goes to the other responders, or, where there are none, whoever asked is told.
pub trait FrameResponder: Send + Sync {
    /// The next question that is for this responder; `None` once the endpoint is closed and every
    /// question has been taken, or the responder has been stopped. May be dropped at any time: then
    /// nothing has been taken.
    fn next(&self) -> BoxFuture<'_, Option<FrameRequest>>;

    /// Takes no more questions. Those that it has taken can still be answered.
    fn stop(&self);
}

/// A question that a responder has taken.
pub struct FrameRequest {
    /// The question.
    pub question: Frame,
    /// What names this request and no other of its bus, as what it causes will say.
    pub id: String,
    /// Where its reply goes.
    pub reply_to: Box<dyn ReplyTo>,
}

impl fmt::Debug for FrameRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FrameRequest")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Where one reply goes. Dropped without one, whoever asked is told at once that the question was
/// abandoned.
pub trait ReplyTo: Send + Sync {
    /// Replies. Resolves once the link has taken the reply over; dropped before that, the reply
    /// arrives, or the question was abandoned.
    fn reply(self: Box<Self>, reply: Result<Frame, FrameFailure>) -> BoxFuture<'static, ()>;

    /// Ready when whoever asked has gone, as far as the link can tell.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Why a responder failed, in a form that travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameFailure {
    /// The error, and after colons what caused it.
    pub message: String,
    /// Whether another attempt is not worth it.
    #[serde(default)]
    pub permanent: bool,
}

impl From<&Failure> for FrameFailure {
    fn from(failure: &Failure) -> Self {
        Self {
            message: failure.to_string(),
            permanent: failure.is_permanent(),
        }
    }
}

impl From<FrameFailure> for Failure {
    fn from(failure: FrameFailure) -> Self {
        let FrameFailure { message, permanent } = failure;
        match permanent {
            true => Self::message(message).permanent(),
            false => Self::message(message),
        }
    }
}

/// A question over a link got no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unanswered {
    /// Nobody responds, or everybody who did went before it was taken.
    #[error("nobody responds")]
    NoResponders,
    /// The responder failed.
    #[error("the responder failed: {}", .0.message)]
    Failed(FrameFailure),
    /// The responder went before it had replied.
    #[error("the responder went before it replied")]
    Abandoned,
    /// There is no room now.
    #[error("the link is full")]
    Full,
    /// The endpoint is closed.
    #[error("the link is closed")]
    Closed,
    /// The link itself failed.
    #[error("the link failed")]
    Link(#[source] Box<dyn std::error::Error + Send + Sync>),
}
