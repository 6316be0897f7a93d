//! What a pattern is started with.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coord_bus::time::Clock;
use coord_bus::{Bus, CancellationToken, TaskScope, Timestamp};

use super::PatternState;
use super::status::Status;

/// How many counters a pattern has at most; what is counted beyond is in no statistics.
pub const MAX_COUNTERS: usize = 64;

/// What a pattern is started with: a bus, a clock, an owner of its tasks, and where it says how it
/// does. Cheap to clone, for its tasks.
#[derive(Clone)]
pub struct PatternContext {
    pub(super) bus: Arc<dyn Bus>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) scope: std::sync::Weak<TaskScope>,
    pub(super) token: CancellationToken,
    pub(super) status: Arc<Status>,
}

impl PatternContext {
    /// The bus.
    pub fn bus(&self) -> &dyn Bus {
        &*self.bus
    }

    /// The bus, to be kept.
    pub fn shared_bus(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.bus)
    }

    /// The clock for what is recorded.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// What that clock shows.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Cancelled when the pattern is to stop.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Runs a task of the pattern, until it ends or the pattern is stopped: see
    /// [`TaskScope::spawn`]. After the pattern was stopped, nothing is run.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn spawn(
        &self,
        name: impl Into<Box<str>>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        if let Some(scope) = self.scope.upgrade() {
            scope.spawn(name, task);
        }
    }

    /// The pattern goes on, and something is not as it should be.
    pub fn degraded(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.status.say(PatternState::Degraded { reason });
    }

    /// The pattern cannot do its work any more.
    pub fn failed(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.status.say(PatternState::Failed { reason });
    }

    /// All is well again.
    pub fn recovered(&self) {
        self.status.say(PatternState::Running);
    }

    /// A counter that the pattern's statistics show; the same one each time for a name. It goes on
    /// where it was when the pattern is enabled again.
    pub fn counter(&self, name: &'static str) -> Counter {
        Counter(self.status.counter(name))
    }
}

impl fmt::Debug for PatternContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PatternContext")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// A number of a pattern's statistics. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// So many, for what is no sum.
    pub fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
