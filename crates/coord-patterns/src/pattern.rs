//! One trait for what can be switched on and off: a [`Pattern`]; and the registry of those that a
//! program has, [`IntegrationPatterns`].
//!
//! A pattern is whatever does its work on a bus until it is stopped. It is started with a
//! [`PatternContext`] (a bus, a clock, an owner of tasks), and is seen and stopped through a
//! [`PatternHandle`]. What a program asks of it besides, it asks of the pattern itself: patterns
//! are cheap to clone, and a clone that is kept is the same pattern.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use coord_bus::vocabulary::NOTIFICATION;
//! use coord_bus::{BoxFuture, BusExt, Failure, LocalBus};
//! use coord_patterns::pattern::{Claim, IntegrationPatterns, Pattern, PatternContext};
//!
//! /// Counts notifications.
//! struct Bell;
//!
//! impl Pattern for Bell {
//!     fn name(&self) -> &str {
//!         "bell"
//!     }
//!
//!     fn claims(&self) -> Vec<Claim> {
//!         vec![Claim::new("speaker", "main")] // of two that ring it, one is refused
//!     }
//!
//!     fn start(&self, context: PatternContext) -> BoxFuture<'_, Result<(), Failure>> {
//!         Box::pin(async move {
//!             let mut notifications = context.bus().subscribe(&NOTIFICATION)?;
//!             let (rung, stop) = (context.counter("rung"), context.token());
//!             context.spawn("ring", async move {
//!                 // Until it is to stop, or the topic is closed.
//!                 while let Some(Some(_)) = stop.run_until_cancelled(notifications.recv()).await {
//!                     rung.add(1);
//!                 }
//!             });
//!             Ok(())
//!         })
//!     }
//! }
//!
//! let bus = Arc::new(LocalBus::new());
//! let patterns = IntegrationPatterns::new(bus);
//! patterns.register(Bell)?;
//! let bell = patterns.enable("bell").await?;
//! assert_eq!(bell.statistics()["rung"], 0);
//! let report = patterns.disable("bell", Duration::from_secs(5)).await?;
//! assert!(report.is_complete()); // its task has ended by itself
//! # Ok(())
//! # }
//! ```
//!
//! # Conflicts
//!
//! A name is one pattern's: registering another of that name is refused, with the places of both.
//! A [`Claim`] is one *enabled* pattern's: enabling a second that claims the same is refused, with
//! both names and what they claim. Two that are never enabled together may claim the same.
//!
//! # Bundles
//!
//! [`IntegrationPatterns::compose`] makes one pattern of several: enabling it enables its members
//! in their order, or none; disabling it disables in reverse those that nobody else wants enabled.
//!
//! # Ending
//!
//! [`IntegrationPatterns::disable`] asks a pattern to stop, waits for its tasks, and aborts those
//! that take longer than the deadline, by name: so a task that does not look at the
//! [token](PatternContext::token) takes all of it. One that is being started is aborted at once.
//! [`IntegrationPatterns::shutdown`] does so with all, and enables none afterwards. A registry that is
//! dropped aborts all.

mod status;
mod context;
mod handle;
mod registry;
mod table;
mod create;
mod error;

use coord_bus::{BoxFuture, Failure};

pub use context::{Counter, MAX_COUNTERS, PatternContext};
pub use error::PatternError;
pub use handle::PatternHandle;
pub use registry::{IntegrationPatterns, PatternsReport};
pub use status::PatternState;
pub use table::{MAX_PATTERNS, PatternInfo};

/// Something that does its work on a bus from when it is started until it is stopped.
pub trait Pattern: Send + Sync {
    /// What it is called; in a registry, the only one of that name.
    fn name(&self) -> &str;

    /// What it must have to itself while it is enabled; nothing by default.
    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    /// Starts its work, on tasks of the context. It is called anew each time that the pattern is
    /// enabled, after all tasks of the last time have ended.
    ///
    /// When the [token](PatternContext::token) of the context is cancelled, the tasks finish what
    /// they have and end.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the tasks that it has begun are aborted.
    ///
    /// # Errors
    ///
    /// Why it cannot do its work. What it has begun by then is aborted.
    fn start(&self, context: PatternContext) -> BoxFuture<'_, Result<(), Failure>>;
}

/// What a pattern must have to itself: a stream that it writes, a file, a signal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    kind: String,
    name: String,
}

impl Claim {
    /// A claim to the one of this kind that has this name.
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            name: name.into(),
        }
    }
}

impl std::fmt::Display for Claim {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} `{}`", self.kind, self.name)
    }
}
