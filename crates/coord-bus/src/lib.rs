//! coord-bus
mod event;
mod topic;
mod bus;
mod publish;
mod subscribe;
mod log;
mod link;
mod stats;
#[cfg(feature = "local")]
mod local_bus;
mod error;
mod backoff;
mod task_scope;
pub mod vocabulary;
pub mod time;
pub use backoff::{Backoff, Growth, Jitter};
pub use bus::{AnyLog, Bus, BusExt, Drained, Opening, Port};
pub use error::{BusError, Refusal, Refused, TryReceiveError};
pub use event::{Details, Envelope, Event, Meta};
pub use futures_core::future::BoxFuture;
pub use jiff::Timestamp;
pub use link::{Frame, FrameSource, Link, LinkError, LinkFrame};
#[cfg(feature = "local")]
pub use local_bus::{LocalBus, MAX_TOPICS};
pub use log::Log;
pub use publish::Publisher;
pub use stats::{SubscriberStats, TopicStats};
pub use subscribe::{Delivery, Overflow, Received, SubscribeOptions, Subscriber};
pub use task_scope::{ShutdownReport, TaskScope, catch, panic_message};
pub use tokio_util::sync::CancellationToken;
pub use topic::{DEFAULT_CAPACITY, MAX_NAME_LENGTH, Topic};
