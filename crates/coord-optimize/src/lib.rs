//! Streams made calmer: batched, throttled, conflated and more, with a ledger of what became of each item.
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
//! assert_eq!(frames.ledger().merged, 3);
//! # }
//! ```
//!
//! # Where to read on
//!
//! | module | what is in it |
//! |---|---|
//! | `operators` | what every stream can do: [`OptimizeExt`] |
//! | `optimized` | a stream under an operator, the one driver of them all: [`Optimized`] |
//! | `ledger` | what became of each item: [`Ledger`], [`LedgerHandle`] |
//! | `batch`, `window`, `coalesce` | several items at once: [`Batch`], [`WindowCount`], [`WindowTime`], [`Coalesce`] |
//! | `throttle`, `debounce`, `audit`, `sample` | fewer items, by time: [`Throttle`], [`Debounce`], [`Audit`], [`Sample`] |
//! | `distinct`, `expire` | fewer items, by what they are: [`DistinctUntilChanged`], [`Distinct`], [`Expire`] |
//! | `conflate` | items merged while nobody takes them: [`Conflate`] |
//! | `priority` | what matters more first: [`Priority`] |
//! | `rate_limit`, `overflow` | for a consumer that is slower: [`RateLimit`], [`OnOverflow`], [`FailOnOverflow`] |
//! | `group` | a stream for each key: [`Groups`], [`Group`] |
//! | `intake`, `timer`, `grid`, `above_zero` | what the operators are made of |
//! | `optimizer`, `settings` | settings for each topic of a bus: [`EventStreamOptimizer`], [`Settings`] |
//! | `rate` | how often something may happen: [`Rate`] |
//! | `pace`, `conflated`, `pump`, `routes` | the streams of a topic: [`Batches`], [`Conflated`]; from one topic into another |
//! | `account` | what the streams of a topic share: [`StreamStats`] |
//! | `telling` | what became of events, and of the items of any [watched](EventStreamOptimizer::watch) stream, as reports on `stream-report` |
//! | `error` | what can go wrong: [`OptimizeError`] |
//!
//! # Promises
//!
//! **Loss.** What an operator drops or merges, that is what it is for, and its [`Ledger`] counts it:
//! `received = given_out + merged + dropped + held`. What is held comes out when the source ends.
//!
//! **Zero.** A size or a time of zero is refused where it is given: on a stream by a panic, which the
//! method's page has, as it is a fault of the program; for a topic by an [`OptimizeError`], as settings
//! may come from a file.
//!
//! **Bounds.** Whatever holds more than one item has a bound, and its page says what happens there;
//! a conflated state is as large as the user's `merge` lets it become.
//!
//! **Cancellation.** What an operator holds, it holds in itself: the future of a `next()` may be
//! dropped at any time, and loses nothing.
//!
//! **Time.** Timers are those of [`coord_bus::time`], so tests pause them. They have a resolution
//! of one millisecond, and fire late rather than early. An operator has one at most, set only when
//! something waits for it.
//!
//! **Neighbours.** One poll takes at most 128 items from its source, and spends one unit of its
//! task's budget: a source that always has more still lets other tasks run.
//!
//! **No task** is started by an operator: items move when somebody polls. The tasks that there are, those
//! of [`optimize_into`](EventStreamOptimizer::optimize_into) and of
//! [`report_every`](EventStreamOptimizer::report_every), belong to the scope that they were given.

mod operators;
mod optimized;
mod ledger;
mod batch;
mod throttle;
mod debounce;
mod audit;
mod sample;
mod distinct;
mod window;
mod conflate;
mod coalesce;
mod priority;
mod expire;
mod rate_limit;
mod overflow;
mod group;
mod intake;
mod above_zero;
mod timer;
mod grid;
mod optimizer;
mod settings;
mod rate;
mod pace;
mod conflated;
mod pump;
mod routes;
mod account;
mod telling;
mod error;

pub use account::StreamStats;
pub use audit::Audit;
pub use batch::Batch;
pub use coalesce::{Coalesce, DEFAULT_KEYS};
pub use conflate::Conflate;
pub use conflated::Conflated;
pub use debounce::Debounce;
pub use distinct::{Distinct, DistinctUntilChanged, Itself};
pub use error::OptimizeError;
pub use expire::Expire;
pub use group::{DEFAULT_GROUP_SIZE, DEFAULT_GROUPS, Group, Groups};
pub use ledger::{Dropped, Ledger, LedgerHandle};
pub use operators::OptimizeExt;
pub use optimized::Optimized;
pub use optimizer::{DEFAULT_BUFFER_SIZE, EventStreamOptimizer, MAX_BUFFER_SIZE, MAX_TOPICS};
pub use overflow::{FailOnOverflow, OnOverflow, OverflowStrategy};
pub use pace::{Batches, Pace};
pub use priority::Priority;
pub use rate::{MAX_PERIOD, Rate, per_second};
pub use rate_limit::RateLimit;
pub use sample::Sample;
pub use settings::Settings;
pub use telling::MAX_REPORTED;
pub use throttle::Throttle;
pub use window::{WindowCount, WindowTime};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
