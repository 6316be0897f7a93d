//! The manager: recognises errors on the bus, does something about them, and counts both.

mod condition;
mod storm;
mod pattern;
mod builtin;
mod defaults;
mod strategy;
mod statistics;
mod desk;
mod guard;
mod keyed_guard;

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coord_bus::time::{Clock, Instant};
use coord_bus::vocabulary::{ERROR_DETECTED, ERROR_RECOVERY};
use coord_bus::{Bus, BusExt, Causes, DEFAULT_CAPACITY, Overflow, ShutdownReport, TaskScope};
use tokio::sync::mpsc;

use crate::RecoveryError;
use crate::policy::{KeyedPolicy, Policy};
use desk::{Desk, Reports};
use guard::{InWords, Reporter};

pub use condition::{Condition, Test};
pub use defaults::{DefaultPatterns, MAX_NAMED, STORM_ERRORS, STORM_WITHIN};
pub use guard::Guard;
pub use keyed_guard::KeyedGuard;
pub use pattern::{ErrorPattern, Matched};
pub use statistics::{ErrorStatistics, MAX_NAMES, OTHER, StrategyStatistics};
pub use storm::MAX_MATCHES;
pub use strategy::{CustomStrategy, RESTART_SETTLED, Recover, RecoveryStrategy};

/// The kind of an error that a strategy could not recover from, or has
/// [handed on](RecoveryStrategy::Escalate). It is [critical](coord_bus::vocabulary::Severity), and
/// says what the error was and why the strategy failed. A strategy may be registered for it; where
/// that fails too, nothing follows.
pub const RECOVERY_FAILED: &str = "recovery-failed";

/// What the tasks of a manager are called, where one panics.
const SCOPE: &str = "error-recovery";

/// How many events of a topic are still read after a stop: as many as one holds that states no
/// capacity, so that whoever goes on publishing does not put off the end.
const LAST_MAX: usize = DEFAULT_CAPACITY;

/// How much of a key, or of a source that an event names, is told, in characters.
const NAME_MAX: usize = 100;

/// The most error patterns of one manager: each has a task.
pub const MAX_PATTERNS: usize = 256;

/// The most recovery strategies of one manager.
pub const MAX_STRATEGIES: usize = 256;

/// How many errors are attended to at once, whatever their strategies: enough that one which takes
/// long does not hold up the others, and few enough that a wave of errors does not start a wave of
/// recoveries. As many strategies that never end hold up all others for good, as nothing
/// [limits their time](RecoveryStrategy#limits).
pub const MAX_RECOVERING: usize = 16;

/// How many errors may wait for their strategy. What comes beyond is counted as
/// [`unhandled`](ErrorStatistics::unhandled).
pub const MAX_WAITING: usize = 256;

/// Recognises errors on a bus, does something about them, and counts both.
///
/// An [`ErrorPattern`] makes errors of events: each match is published to `error-detected`, with
/// the pattern's name as its kind. A [`RecoveryStrategy`] is what is done about a kind of error,
/// whoever has published it: a pattern, a [`Supervisor`](crate::Supervisor) (`child-failed`,
/// `panic`), or any other part of the program.
///
/// What it publishes says what has caused it, and which undertaking that belongs to: of an error, the event
/// that its pattern has found; of a recovery and a notification, the error.
///
/// Who does not read what it publishes ends no recovery. Where a topic is full, what its patterns have found
/// and its guards report is counted and attended to all the same (the recovery then says the event that was
/// found as its cause), and is told once there is room; [`untold`](Self::untold) counts it until then. Only
/// what others publish to `error-detected` reaches it, like everybody, when there is room for it there.
///
/// It never makes a publisher wait: it reads what is published whether or not its strategies keep
/// up, and counts what it missed. Dropping it ends its tasks; [`shutdown`](Self::shutdown) lets
/// the strategies end first.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use coord_bus::vocabulary::{NOTIFICATION, PROCESS_LIFECYCLE, Exit, ProcessLifecycle, ProcessState};
/// use coord_bus::{BusExt, LocalBus, time::{Clock, SystemClock}};
/// use coord_recovery::{ErrorPattern, ErrorRecoveryManager, Matched, RecoveryStrategy};
///
/// let bus = LocalBus::new();
/// let clock = Arc::new(SystemClock);
/// let manager = ErrorRecoveryManager::new(Arc::new(bus.clone()), clock.clone())?;
/// manager.register_recovery_strategy("killed", RecoveryStrategy::NotifyAndContinue)?;
/// manager.register_error_pattern(ErrorPattern::on(
///     &PROCESS_LIFECYCLE,
///     "killed",
///     |event: &ProcessLifecycle| match event.state {
///         ProcessState::Exited(exit) => Some(Matched::new(&event.process, exit.to_string())),
///         _ => None,
///     },
/// ))?;
///
/// let mut notifications = bus.subscribe(&NOTIFICATION)?;
/// let state = ProcessState::Exited(Exit::signal(9));
/// let exited = ProcessLifecycle { process: "server".to_owned(), at: clock.now(), state };
/// bus.publisher(&PROCESS_LIFECYCLE)?.publish(exited).await?;
///
/// let notification = notifications.recv().await.unwrap();
/// assert_eq!(notification.title, "server: killed");
/// assert_eq!(notification.message, "killed by SIGKILL");
/// assert_eq!(manager.error_statistics().by_source["server"], 1);
/// # Ok(())
/// # }
/// ```
pub struct ErrorRecoveryManager {
    bus: Arc<dyn Bus>,
    desk: Arc<Desk>,
    patterns: Mutex<Patterns>,
    /// The task that publishes what there was no room for.
    telling: TaskScope,
    /// The tasks of patterns, which end before those that attend to what they find.
    looking: TaskScope,
    scope: TaskScope,
}

#[derive(Default)]
struct Patterns {
    names: HashSet<String>,
    defaults: Option<DefaultPatterns>,
    closed: bool,
}

impl Patterns {
    /// Whether this one can be registered, and so many together with it.
    fn check(&self, name: &str, together: usize) -> Result<(), RecoveryError> {
        let name = name.to_owned();
        if self.closed {
            return Err(RecoveryError::ShutDown {
                what: "the error recovery manager".to_owned(),
            });
        }
        if self.names.contains(&name) {
            return Err(RecoveryError::PatternExists { pattern: name });
        }
        if self.names.len() + together > MAX_PATTERNS {
            return Err(RecoveryError::TooMany {
                what: "error patterns",
                name,
                limit: MAX_PATTERNS,
            });
        }
        Ok(())
    }
}

impl ErrorRecoveryManager {
    /// A manager without patterns and strategies, which counts what is published to
    /// `error-detected` and `error-recovery` from now on, and takes the times in its events from
    /// this clock.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::Bus`] when a topic cannot be opened.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(bus: Arc<dyn Bus>, clock: Arc<dyn Clock>) -> Result<Self, RecoveryError> {
        let telling = TaskScope::reporting(SCOPE, &*bus, Arc::clone(&clock))?;
        let looking = TaskScope::reporting(SCOPE, &*bus, Arc::clone(&clock))?;
        let scope = TaskScope::reporting(SCOPE, &*bus, Arc::clone(&clock))?;
        let (desk, backlog, cases) = Desk::new(&*bus, clock)?;
        let desk = Arc::new(desk);
        let detected = bus.subscribe_with(&ERROR_DETECTED, Overflow::DropOldest)?;
        let recovery = bus.subscribe_with(&ERROR_RECOVERY, Overflow::DropOldest)?;
        let over = telling.token().child_token();
        telling.spawn("tell", backlog.run(over.clone()));
        let (reader, stop) = (Arc::clone(&desk), scope.token());
        // Its other end is gone when all of them have ended that attend to errors.
        let (working, attending) = mpsc::channel(1);
        scope.spawn("read", async move {
            reader.read(detected, recovery, attending, stop).await;
            // Nothing else is to be told: all have ended, or the bus is closed.
            over.cancel();
        });
        // They end with the reader, which closes their queue.
        let cases = Arc::new(tokio::sync::Mutex::new(cases));
        for number in 1..=MAX_RECOVERING {
            let (desk, cases) = (Arc::clone(&desk), Arc::clone(&cases));
            let name = format!("recover/{number}");
            let working = working.clone();
            scope.spawn(name, async move {
                desk.work(&cases).await;
                drop(working);
            });
        }
        Ok(Self {
            bus,
            desk,
            patterns: Mutex::default(),
            telling,
            looking,
            scope,
        })
    }

    /// Looks for this pattern from now on.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::PatternExists`] when there is one of its name,
    /// [`RecoveryError::TooMany`] when there are [`MAX_PATTERNS`], or no room for its strategy,
    /// [`RecoveryError::Setting`] when its condition compares with what is no finite number,
    /// [`RecoveryError::Bus`] when its topic cannot be opened, and [`RecoveryError::ShutDown`]
    /// after [`shutdown`](Self::shutdown).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn register_error_pattern(&self, pattern: ErrorPattern) -> Result<(), RecoveryError> {
        self.register(&mut self.patterns(), pattern)
    }

    /// The patterns `process-restart`, `cli-fallback`, `service-circuit-break` and
    /// `service-error-storm`, each with its strategy, which are looked for from the first call on. What
    /// comes back is where to name what they act upon; as long as nobody is named, they find nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    /// use coord_bus::{LocalBus, time::SystemClock};
    /// use coord_recovery::ErrorRecoveryManager;
    /// use coord_recovery::policy::CircuitBreaker;
    ///
    /// let bus = Arc::new(LocalBus::new());
    /// let recovery = ErrorRecoveryManager::new(bus, Arc::new(SystemClock))?;
    /// let defaults = recovery.default_patterns()?;
    /// defaults.circuit_break("db", &CircuitBreaker::new("db"))?;
    /// defaults.fallback("eslint", |error| async move {
    ///     println!("{}: the last report is shown instead", error.source);
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As of [`register_error_pattern`](Self::register_error_pattern).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn default_patterns(&self) -> Result<DefaultPatterns, RecoveryError> {
        let mut patterns = self.patterns();
        if let Some(defaults) = &patterns.defaults {
            return Ok(defaults.clone());
        }
        let defaults = DefaultPatterns::default();
        let all = defaults.patterns();
        // So that not only some of them are registered.
        for pattern in &all {
            patterns.check(pattern.name(), all.len())?;
        }
        for pattern in all {
            self.register(&mut patterns, pattern)?;
        }
        patterns.defaults = Some(defaults.clone());
        Ok(defaults)
    }

    fn register(
        &self,
        patterns: &mut Patterns,
        pattern: ErrorPattern,
    ) -> Result<(), RecoveryError> {
        let (name, strategy) = (pattern.name().to_owned(), pattern.strategy.clone());
        patterns.check(&name, 1)?;
        if let Some(limit) = pattern.not_finite() {
            return Err(RecoveryError::setting(
                format!("error pattern `{name}`"),
                format!("its condition compares with {limit}, and has to with a finite number"),
            ));
        }
        let stop = self.looking.token();
        let look = pattern.open(&*self.bus, Arc::clone(&self.desk), stop)?;
        if let Some(strategy) = strategy {
            self.register_recovery_strategy(&name, strategy)?;
        }
        self.looking.spawn(format!("pattern/{name}"), look);
        patterns.names.insert(name);
        Ok(())
    }

    /// From now on does this about errors of this kind that are a
    /// [`Warning`](coord_bus::vocabulary::Severity::Warning) or worse; those that are but an
    /// `Info` are only counted. It replaces an earlier strategy for the kind.
    ///
    /// The kind is a pattern's name, or any other kind that is published to `error-detected`, such
    /// as `panic`.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::TooMany`] when there are strategies for [`MAX_STRATEGIES`] other kinds.
    pub fn register_recovery_strategy(
        &self,
        kind: impl Into<String>,
        strategy: RecoveryStrategy,
    ) -> Result<(), RecoveryError> {
        let kind = kind.into();
        let mut strategies = self.desk.strategies();
        if strategies.len() >= MAX_STRATEGIES && !strategies.contains_key(&kind) {
            return Err(RecoveryError::TooMany {
                what: "recovery strategies",
                name: kind,
                limit: MAX_STRATEGIES,
            });
        }
        strategies.insert(kind, strategy);
        Ok(())
    }

    /// Operations under this policy, which report what goes wrong to `error-detected` and
    /// `error-recovery`, with this name as their source; so they are counted, and attended to, like
    /// all errors. See [`Guard`]. The operations fail of any error, or of a
    /// [`Failure`](coord_bus::Failure).
    ///
    /// Make it once and clone it: each guard listens to the circuit breakers of its policy.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn guard<T, E>(&self, name: impl Into<Arc<str>>, policy: Policy<T, E>) -> Guard<T, E>
    where
        E: Causes,
    {
        Guard::new(self.reporter(name, E::with_causes), policy)
    }

    /// [`guard`](Self::guard) with a policy for each key: what is reported says of which key it is. See
    /// [`KeyedGuard`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn guard_keyed<K, T, E>(
        &self,
        name: impl Into<Arc<str>>,
        policies: KeyedPolicy<K, T, E>,
    ) -> KeyedGuard<K, T, E>
    where
        K: fmt::Debug + fmt::Display + Clone + Eq + Hash + Sync + 'static,
        T: 'static,
        E: Causes,
    {
        KeyedGuard::new(self.reporter(name, E::with_causes), policies)
    }

    /// How many events have not been published, of what patterns found, strategies did and guards report:
    /// those that wait for room in their topic, and those for which there was no room among 4000 of it.
    pub fn untold(&self) -> u64 {
        self.desk.untold()
    }

    /// What has gone wrong so far, and what became of it.
    pub fn error_statistics(&self) -> ErrorStatistics {
        self.desk.statistics().clone()
    }

    /// Reads what has been published by now, of each topic at most [`DEFAULT_CAPACITY`] events, and
    /// no further; lets the strategies attend to the errors in it, at most for `deadline`, counts what
    /// they make of it, publishes what there was no room for, and aborts the rest. What escalates meanwhile is
    /// counted, and
    /// [not attended to](ErrorStatistics::unhandled).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, no pattern looks any further, and the strategies go on; it can be
    /// called again.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        self.patterns().closed = true;
        let begun = Instant::now();
        // What patterns find last is still read, and what strategies say last is still told.
        let mut report = self.looking.shutdown(deadline).await;
        for scope in [&self.scope, &self.telling] {
            let rest = deadline.saturating_sub(begun.elapsed());
            add(&mut report, scope.shutdown(rest).await);
        }
        report
    }

    fn reporter<E>(&self, name: impl Into<Arc<str>>, in_words: InWords<E>) -> Reporter<E> {
        Reporter {
            name: name.into(),
            reports: Reports::to(&self.desk),
            in_words,
        }
    }

    fn patterns(&self) -> MutexGuard<'_, Patterns> {
        self.patterns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(report: &mut ShutdownReport, other: ShutdownReport) {
    report.aborted.extend(other.aborted);
    report.still_running.extend(other.still_running);
    report.panicked += other.panicked;
}

impl fmt::Debug for ErrorRecoveryManager {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ErrorRecoveryManager")
            .field("patterns", &self.patterns().names)
            .finish_non_exhaustive()
    }
}
