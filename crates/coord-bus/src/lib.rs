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
mod event_log;
#[cfg(feature = "local")]
mod memory_event_log;
mod backoff;
mod task_scope;
pub mod vocabulary;
pub mod time;
#[cfg(feature = "test-util")]
mod byte_bus;
#[cfg(feature = "test-util")]
pub mod conformance;
pub use backoff::{Backoff, Growth, Jitter};
pub use bus::{AnyLog, Bus, BusExt, Drained, Opening, Port};
#[cfg(feature = "test-util")]
pub use byte_bus::ByteBus;
pub use error::{BusError, Refusal, Refused, TryReceiveError};
pub use event::{Details, Envelope, Event, Meta};
pub use event_log::{
    Appended, Durability, EventLog, EventLogError, ExpectedVersion, MAX_STREAM_NAME_LENGTH, Record,
    StoredRecord, Tail, check_stream_name,
};
pub use futures_core::future::BoxFuture;
pub use jiff::Timestamp;
pub use link::{Frame, FrameSource, Link, LinkError, LinkFrame};
#[cfg(feature = "local")]
pub use local_bus::{LocalBus, MAX_TOPICS};
pub use log::Log;
#[cfg(feature = "local")]
pub use memory_event_log::MemoryEventLog;
pub use publish::Publisher;
pub use stats::{SubscriberStats, TopicStats};
pub use subscribe::{Delivery, Overflow, Received, SubscribeOptions, Subscriber};
pub use task_scope::{ShutdownReport, TaskScope, catch, panic_message};
pub use tokio_util::sync::CancellationToken;
pub use topic::{DEFAULT_CAPACITY, MAX_NAME_LENGTH, Topic};
