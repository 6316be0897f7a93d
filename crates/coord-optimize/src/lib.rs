//! Streams made calmer: batched, throttled and conflated, with a count of what became of each item.
//!
//! [`OptimizeExt`] gives every [`Stream`](futures_core::Stream) operators. [`EventStreamOptimizer`]
//! keeps settings for the topics of a bus, which may change while subscribers run.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! use std::time::Duration;
//! use coord_optimize::OptimizeExt;
//! use tokio_stream::{StreamExt, iter};
//!
//! // A screen that draws at most every 16 ms: what comes in between is merged, and the last
//! // state always comes.
//! let progress = iter([10, 25, 60, 100]);
//! let mut frames = progress.conflate(|percent| percent, |shown, percent| *shown = percent)
//!     .every(Duration::from_millis(16));
//! assert_eq!(frames.next().await, Some(100));
//! assert_eq!(frames.merged(), 3);
//! # }
//! ```
//!
//! # Where to read on
//!
//! | module | what is in it |
//! |---|---|
//! | `operators` | what every stream can do: [`OptimizeExt`] |
//! | `batch` | several items at once: [`Batch`] |
//! | `throttle` | one item a period, the others dropped: [`Throttle`] |
//! | `conflate` | items merged while nobody takes them: [`Conflate`] |
//! | `intake`, `timer` | what the operators are made of |
//! | `optimizer` | settings for each topic of a bus: [`EventStreamOptimizer`] |
//! | `rate` | how often something may happen: [`Rate`] |
//! | `batches`, `conflated` | the streams of a topic: [`Batches`], [`Conflated`] |
//! | `account` | what became of a topic's events: [`StreamStats`] |
//! | `error` | what can go wrong: [`OptimizeError`] |
//!
//! # Promises
//!
//! **Loss.** [`Batch`] and [`Conflate`] lose nothing, also when their source ends. [`Throttle`]
//! drops items, that is what it is for, and counts them; with
//! [`trailing`](Throttle::trailing), the last one always comes.
//!
//! **Bounds.** A batch holds at most its size, a throttle one item, and a conflated stream one
//! state, as large as the user's `merge` lets it become.
//!
//! **Cancellation.** What an operator holds, it holds in itself: the future of a `next()` may be
//! dropped at any time, and loses nothing.
//!
//! **Time.** Timers are those of [`coord_bus::time`], so tests pause them. They have a resolution
//! of one millisecond, and fire late rather than early.
//!
//! **Neighbours.** One poll takes at most 128 items from its source, and spends one unit of its
//! task's budget: a source that always has more still lets other tasks run.
//!
//! **No task** is started by anything in this crate: items move when somebody polls.

mod operators;
mod batch;
mod throttle;
mod conflate;
mod intake;
mod timer;
mod optimizer;
mod rate;
mod batches;
mod conflated;
mod account;
mod error;

pub use account::StreamStats;
pub use batch::Batch;
pub use batches::Batches;
pub use conflate::Conflate;
pub use conflated::Conflated;
pub use error::OptimizeError;
pub use operators::OptimizeExt;
pub use optimizer::{DEFAULT_BUFFER_SIZE, EventStreamOptimizer, MAX_BUFFER_SIZE, MAX_TOPICS};
pub use rate::{MAX_PERIOD, Rate, per_second};
pub use throttle::Throttle;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
