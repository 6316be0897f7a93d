//! What a pattern is started with.

use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coord_bus::time::Clock;
use coord_bus::{Bus, CancellationToken, Failure, TaskScope, Timestamp, catch};
use tokio::sync::watch;

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
    /// How many of its tasks run, without those that are to be the last.
    pub(super) working: Arc<watch::Sender<usize>>,
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
    /// [`TaskScope::spawn`]. After the pattern was stopped, nothing is run. A task that panics is told of on
    /// `error-detected`, and the pattern has [`failed`](Self::failed).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn spawn(
        &self,
        name: impl Into<Box<str>>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let working = Working::new(&self.working);
        self.run(name.into(), async move {
            let _working = working;
            task.await;
        });
    }

    /// Runs a task of the pattern when it was told to stop, and every task that was
    /// [`spawn`](Self::spawn)ed has ended: for what is to be there as long as they are. Where the pattern is
    /// dropped or its deadline passes, so is the task.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn spawn_last(
        &self,
        name: impl Into<Box<str>>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let (token, mut working) = (self.token(), self.working.subscribe());
        self.run(name.into(), async move {
            token.cancelled().await;
            // That nobody can count any more is to say that nothing runs.
            let _ = working.wait_for(|working| *working == 0).await;
            task.await;
        });
    }

    fn run(&self, name: Box<str>, task: impl Future<Output = ()> + Send + 'static) {
        let Some(scope) = self.scope.upgrade() else {
            return;
        };
        let (status, task_name) = (Arc::clone(&self.status), name.clone());
        scope.spawn(name, async move {
            if let Err(panic) = catch(task).await {
                let reason = format!("its task `{task_name}`: {}", Failure::panicked(&*panic));
                status.say(PatternState::Failed { reason });
                // The owner of the task tells of it.
                resume_unwind(panic);
            }
        });
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

/// A task that runs, or is about to.
struct Working(Arc<watch::Sender<usize>>);

impl Working {
    fn new(working: &Arc<watch::Sender<usize>>) -> Self {
        working.send_modify(|working| *working += 1);
        Self(Arc::clone(working))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.send_modify(|working| *working -= 1);
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
