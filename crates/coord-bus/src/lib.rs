//! One typed event bus, for the parts of a program that must react to each other without knowing
//! each other; and the traits and types that whatever is built on it shares.
//!
//! ```
//! use std::time::Duration;
//!
//! use coord_bus::{Bus, BusExt, LocalBus, Topic};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Status {
//!     component: String,
//!     text: String,
//! }
//!
//! const STATUS: Topic<Status> = Topic::new("status");
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let bus = LocalBus::new();
//!     let mut updates = bus.subscribe(&STATUS)?; // loses nothing
//!     let screen = tokio::spawn(async move {
//!         let mut lines = Vec::new();
//!         while let Some(update) = updates.recv().await { // lent, not cloned
//!             lines.push(format!("{}: {}", update.component, update.text));
//!         }
//!         lines
//!     });
//!
//!     let publisher = bus.publisher(&STATUS)?; // resolve once, publish many times
//!     for text in ["building", "done"] {
//!         let component = "status".to_owned();
//!         publisher.publish(Status { component, text: text.to_owned() }).await?;
//!     }
//!
//!     let drained = bus.drain(Duration::from_secs(5)).await;
//!     assert!(drained.is_complete());
//!     assert_eq!(screen.await?, ["status: building", "status: done"]);
//!     Ok(())
//! }
//! ```
//!
//! # Where to read on
//!
//! In the order in which a newcomer should, which is that of the source too:
//!
//! | module | what is in it |
//! |---|---|
//! | `event` | what can be published, and what goes with it: [`Event`], [`Envelope`], [`Meta`] |
//! | `topic` | the typed name of a stream of events: [`Topic`] |
//! | `bus` | topics by name, behind an object-safe trait: [`Bus`], [`BusExt`] |
//! | `publish` | the entrance of a topic: [`Publisher`] |
//! | `options` | what a subscriber wants, and what happens when it falls behind: [`SubscribeOptions`], [`Overflow`] |
//! | `subscribe` `received` | the exit of a topic: [`Subscriber`], [`Received`], [`Delivery`], [`Batch`] |
//! | `pattern` | many topics at once: [`Pattern`], [`PatternSubscriber`], [`AnyDelivery`] |
//! | `log` | what is between them, the one hot path: [`Log`] |
//! | `group` | consumers that compete: [`GroupMember`], [`Claim`] |
//! | `handling` | what is published while an event is handled: [`Cause`] |
//! | `handler` `dead_letter` | functions that are called with each event: [`Handler`], [`DeadLetter`] |
//! | `fault` | that a flow made nothing of an event: [`Fault`] |
//! | `request` | questions and answers: [`Endpoint`], [`Requester`], [`Responder`] |
//! | `desk` | what is between them: a queue |
//! | `local_bus` | the bus of one process: [`LocalBus`] |
//! | `link` | what a bus between processes implements instead of a log and a desk: [`Link`], [`EndpointLink`] |
//! | `error` | what can go wrong: [`BusError`], [`Refused`] |
//! | `stats` | what topics count by themselves: [`TopicStats`], [`Ledger`] |
//! | `describe` | who publishes what to whom, as a table or a picture: [`Description`] |
//! | `event_log` | streams of records that last: [`EventLog`], [`AppendTo`], [`StreamQuery`] |
//! | `memory_event_log` | such streams in memory: [`MemoryEventLog`] |
//! | `work_queue` | items for one of many workers, at least once: [`WorkQueue`] |
//! | `memory_work_queue` | such queues in memory: [`MemoryWorkQueue`] |
//! | `lease` | who may do something alone: [`Lease`], [`LeaseExt`] |
//! | `memory_leases` | such leases in memory: [`MemoryLeases`] |
//! | `fence` | what refuses who has lost a lease, or an item: [`Fence`] |
//! | [`time`] | timers that tests pause, and a clock that they set |
//! | [`duration`] | times as people write them: `500ms`, `1h30m` |
//! | `task_scope` | the owner of background tasks: [`TaskScope`]; and what blocks, off their threads: [`run_blocking`] |
//! | `backoff` | how long to wait before trying again: [`Backoff`] |
//! | `failure` | why something failed that may be tried again: [`Failure`]; what is told of with its causes: [`Causes`] |
//! | `text` | texts from outside: as they may be [shown](text::Printable), as long as they may be ([`text::shortened`]), and the name that was [meant](text::nearest) |
//! | [`vocabulary`] | the events that all crates know |
//! | `log_forwarder` | log events as events of `tracing`: [`LogForwarder`] |
//! | `byte_bus` | a bus for tests, on which every event and request becomes bytes, and faults happen: [`ByteBus`] |
//! | `recording_bus` | a bus for tests, which remembers what was published: [`RecordingBus`] |
//! | [`conformance`] | what every bus, event log, work queue and lease must do, as tests |
//!
//! # Promises
//!
//! **Order.** All subscribers of a topic receive its events in one order, in which those of each
//! publisher stand as it published them, each awaited before the next. (The newest of each key come in
//! the order of their keys' turns.)
//!
//! **Loss.** A subscriber receives every event that is accepted after it has subscribed, and before
//! those the ones that its topic retains, unless it asked for another [`Overflow`] than `Block`: then
//! it learns how many it did not get and where, and never makes a publisher or another subscriber
//! wait. An event that is not accepted comes back with the reason.
//!
//! **Account.** For each subscriber, and summed for each topic,
//! `published = delivered + conflated + dropped + filtered + in flight` ([`Ledger`]), at any time,
//! and each part exact when nothing moves.
//!
//! **Bounds.** A topic holds at most its capacity of events ahead of its slowest lossless
//! subscriber, [`DEFAULT_CAPACITY`] where it states none; publishers wait, or are refused, until
//! there is room, and are served in the order in which they came. A subscriber that may lose
//! events keeps no more than that alive, but for a chunk of at most 128. A topic whose subscribers
//! have received everything, and wait for more, holds no event but those that it retains.
//!
//! **No deadlock of handlers.** Who publishes while it handles an event ([`BusExt::on`],
//! [`BusExt::respond`], [`Cause::run`]) waits for room like others, but not for itself: where the handlers
//! of a ring of topics would wait for each other, a full topic refuses, and where a ring goes through
//! other tasks it refuses after 30 s in which the slowest subscriber stands still. So no ring that has a handler's own
//! publish in it stands still or grows. One without can: a task that gives dead letters back to the topic whose
//! handler waits for room among them, or what a handler spawns and waits for. There `try_publish` is the way.
//!
//! **Patterns.** A subscriber of a pattern is a subscriber of each topic that matches, from its
//! first event on if it is opened later. Publishing asks no pattern; opening a topic asks each.
//!
//! **Cancellation.** Any future of this crate may be dropped at any time. A `publish` that is
//! dropped has not published, except over a [`Link`], where it may have; a `recv` that is dropped
//! has received nothing; a `request` that is dropped stops its responder where it awaits.
//!
//! **The end.** A closed topic takes no more events; its subscribers receive what it has accepted,
//! and then `None`. [`Subscriber::close`], [`Publisher::close`] and [`Bus::close`] end one
//! subscriber, one topic and all; `drain` waits for that, and says what was delivered and what was
//! left at its deadline.
//!
//! # Features
//!
//! | feature | brings |
//! |---|---|
//! | `local` (default) | [`LocalBus`], [`MemoryEventLog`], [`MemoryWorkQueue`] and [`MemoryLeases`], for applications |
//! | `test-util` | [`RecordingBus`], [`ByteBus`] with its [`Faults`], [`EventLogProxy`], [`conformance`], [`time::ManualClock`], for tests |
//! | `tracing` | [`LogForwarder`], for programs that log through [`tracing`](https://docs.rs/tracing) |
//!
//! Without features there are the traits, [`Log`], and the types that crates share: what a library
//! needs that is given its bus.
//!
//! # What is not here, on purpose
//!
//! - No history by default: a topic forgets what all have received. What must be read again later
//!   belongs in an [`EventLog`].
//! - No time, id or source on an event unless its publisher gives it: an event without details
//!   costs nothing but itself.
//! - No task or thread of the bus's own: events move when somebody publishes or receives.
//! - No global bus: who needs one is given one.

mod event;
mod topic;
mod bus;
mod publish;
mod options;
mod subscribe;
mod received;
mod pattern;
mod handling;
mod group;
mod handler;
mod dead_letter;
mod fault;
mod request;
mod desk;
mod entrances;
mod log;
#[cfg(feature = "local")]
mod local_bus;
mod link;
mod error;
mod stats;
mod describe;
mod event_log;
#[cfg(feature = "local")]
mod memory_event_log;
mod work_queue;
#[cfg(feature = "local")]
mod memory_work_queue;
mod lease;
#[cfg(feature = "local")]
mod memory_leases;
mod fence;
pub mod time;
pub mod duration;
mod task_scope;
mod backoff;
mod failure;
pub mod text;
pub mod vocabulary;
#[cfg(feature = "tracing")]
mod log_forwarder;
#[cfg(feature = "test-util")]
mod byte_bus;
#[cfg(feature = "test-util")]
mod recording_bus;
#[cfg(feature = "test-util")]
pub mod conformance;

pub use backoff::{Backoff, Growth, Jitter};
pub use bus::{AnyLog, Bus, BusExt, Drained, Opening, Port};
#[cfg(feature = "test-util")]
pub use byte_bus::{ByteBus, FaultCounts, Faults};
pub use dead_letter::DeadLetter;
pub use describe::{Description, mermaid_label};
pub use error::{AnyDeliveryError, BusError, Refusal, Refused, TryReceiveError};
pub use event::{Details, Envelope, Event, Meta};
#[cfg(feature = "test-util")]
pub use event_log::EventLogProxy;
pub use event_log::{
    AppendTo, Appended, Durability, EventLog, EventLogError, ExpectedVersion,
    MAX_STREAM_NAME_LENGTH, Record, StoredRecord, StreamInfo, StreamOrder, StreamQuery, Tail,
    check_stream_name,
};
pub use failure::{Causes, Failure, Panicked, WithCauses};
pub use fault::Fault;
pub use fence::{Fence, Fenced};
pub use futures_core::future::BoxFuture;
pub use group::{Claim, GroupMember};
pub use handler::{Handler, HandlerOptions, HandlerReport};
pub use handling::Cause;
pub use jiff::Timestamp;
pub use lease::{Grant, Held, Lease, LeaseError, LeaseExt, check_lease_name};
pub use link::{
    EndpointLink, Frame, FrameClaim, FrameFailure, FrameGroup, FrameRequest, FrameResponder,
    FrameSource, Link, LinkError, LinkFrame, Receipt, ReplyTo, Unanswered,
};
#[cfg(feature = "local")]
pub use local_bus::{LocalBus, MAX_TOPICS};
pub use log::{Append, Log};
#[cfg(feature = "tracing")]
pub use log_forwarder::LogForwarder;
#[cfg(feature = "local")]
pub use memory_event_log::MemoryEventLog;
#[cfg(feature = "local")]
pub use memory_leases::MemoryLeases;
#[cfg(feature = "local")]
pub use memory_work_queue::MemoryWorkQueue;
pub use options::{Overflow, SubscribeOptions};
pub use pattern::{
    AnyDelivery, Attached, Pattern, PatternOptions, PatternSubscriber, Watch, Watchers, Watching,
};
pub use publish::{Publish, Publisher};
pub use received::{Batch, Delivery, Received};
#[cfg(feature = "test-util")]
pub use recording_bus::{MAX_RECORDED, RecordingBus};
pub use request::{DEFAULT_DEADLINE, Endpoint, RequestError, Requester, Responder};
pub use stats::{Dropped, Ledger, PublisherStats, SubscriberStats, TopicStats};
pub use subscribe::{Recv, Subscriber};
pub use task_scope::{
    ABORT_GRACE, HeldTime, ShutdownReport, TaskScope, catch, hold_time, panic_message, run_blocking,
};
pub use tokio_util::sync::CancellationToken;
pub use topic::{DEFAULT_CAPACITY, MAX_NAME_LENGTH, Topic};
pub use work_queue::{
    ClaimedItem, DEFAULT_HOLD, DeadItem, QueueCounts, QueueLimits, WorkQueue, WorkQueueError,
    check_queue_name,
};
