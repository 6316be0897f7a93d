//! What a bus that carries bytes gives for a topic, where a bus in this process gives its log.

mod endpoint;

use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::{Details, Ledger, SubscribeOptions, TopicStats};
pub use endpoint::{EndpointLink, FrameFailure, FrameRequest, FrameResponder, ReplyTo, Unanswered};

/// An event as bytes, with its details; or a question, or a reply.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// The event, the question or the reply, as JSON.
    pub payload: Vec<u8>,
    /// Its details, where it has any; a reply has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Details>>,
}

/// A frame as it arrives at a subscriber.
#[derive(Debug, Clone)]
pub struct LinkFrame {
    /// The frame.
    pub frame: Frame,
    /// Its place in the topic's order, the same for every subscriber; the first is 1.
    pub sequence: u64,
    /// How many frames just before this one overflow took from the subscriber.
    pub lag: u64,
}

/// A topic of a bus that carries bytes. Who implements it only moves frames; types, encoding and
/// decoding are the business of the handles.
pub trait Link: Send + Sync {
    /// Sends a frame. Resolves once the other side has it for sure.
    fn send(&self, frame: Frame) -> BoxFuture<'_, Result<(), LinkError>>;

    /// Sends a frame if it can be taken over now. What is taken over is not refused later, unless
    /// the link itself fails.
    ///
    /// # Errors
    ///
    /// See [`LinkError`].
    fn try_send(&self, frame: Frame) -> Result<(), LinkError>;

    /// The frames sent from now on.
    ///
    /// # Errors
    ///
    /// When the link is down.
    fn subscribe(
        &self,
        options: SubscribeOptions<Frame>,
    ) -> Result<Box<dyn FrameSource>, LinkError>;

    /// A member of the group of this name: of each frame, one member of the group gets a claim.
    ///
    /// # Errors
    ///
    /// When the link is down.
    fn join(&self, group: &str) -> Result<Box<dyn FrameGroup>, LinkError>;

    /// Shuts the topic's entrance, for everybody. What was sent is still delivered.
    fn close(&self);

    /// Resolves once every subscriber has got everything, as far as this side knows.
    fn drained(&self) -> BoxFuture<'_, ()>;

    /// What the topic has counted, as far as this side knows.
    fn stats(&self) -> TopicStats;
}

/// A subscriber's side of a [`Link`]. `Sync`, so that a task may `await` while it holds an event
/// that its subscriber lent it.
pub trait FrameSource: Send + Sync {
    /// The next frame; `None` once the topic is closed and all frames have been handed out.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<LinkFrame>>;

    /// Takes nothing that is sent from now on. What was sent before still comes, and then `None`.
    fn close(&mut self);

    /// What became of the frames that were to be delivered here.
    fn ledger(&self) -> Ledger;
}

/// A member of a group of consumers, of which each frame goes to one.
pub trait FrameGroup: Send + Sync {
    /// The next frame that is for this member; `None` once the topic is closed and every frame has
    /// been acknowledged. May be dropped at any time: then nothing has been claimed.
    fn claim(&self) -> BoxFuture<'_, Option<FrameClaim>>;

    /// Another member of the group.
    fn another(&self) -> Box<dyn FrameGroup>;
}

/// A frame that was handed to one member of a group.
pub struct FrameClaim {
    /// The frame.
    pub frame: Frame,
    /// Its place in the topic's order.
    pub sequence: u64,
    /// How often it has been handed out: 1 for the first time.
    pub attempt: u32,
    /// What to acknowledge it with. Dropped instead, the frame is handed out again.
    pub receipt: Box<dyn Receipt>,
}

impl fmt::Debug for FrameClaim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FrameClaim")
            .field("sequence", &self.sequence)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// Acknowledges a frame, or does not.
pub trait Receipt: Send + Sync {
    /// The frame has been dealt with: nobody else gets it.
    fn acknowledge(self: Box<Self>);

    /// The frame is handed out again, after this time.
    fn give_back(self: Box<Self>, after: Duration);
}

/// A link did not take a frame or a subscriber.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// There is no room now.
    #[error("the link is full")]
    Full,
    /// The topic is closed.
    #[error("the link is closed")]
    Closed,
    /// The link itself failed.
    #[error("the link failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}
