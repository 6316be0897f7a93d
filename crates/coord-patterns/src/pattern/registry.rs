//! The patterns of a program, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::{self, Clock, Instant, SystemClock};
use coord_bus::{Bus, CancellationToken, ShutdownReport};
use tokio::select;
use tokio::sync::Mutex as Turn;

use super::status::locked;
use super::table::{Table, What};
use super::{Pattern, PatternError, PatternHandle, PatternInfo, PatternState};

/// How long what has to be undone may take to stop, where nobody gave a deadline.
const UNDOING: Duration = Duration::from_secs(1);

/// The patterns of a program: registered by name, enabled, listed, composed, disabled.
///
/// What changes which are enabled happens one after another; what only looks waits for nobody. See
/// the [module](super).
pub struct IntegrationPatterns {
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
    /// The order in which they were enabled.
    turn: Turn<Vec<String>>,
    /// Who has the turn to be enabled, and what makes it give that up.
    enabling: Mutex<Option<(String, CancellationToken)>>,
    /// Cancelled for ever by the first shutdown.
    closed: CancellationToken,
}

/// What [`IntegrationPatterns::shutdown`] or [`disable`](IntegrationPatterns::disable) found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "says whether anything was left"]
#[non_exhaustive]
pub struct PatternsReport {
    /// Who was stopped, in that order, with what was found.
    pub stopped: Vec<(String, ShutdownReport)>,
}

impl PatternsReport {
    /// Whether every task of every pattern stopped by itself, in time, and without a panic.
    pub fn is_complete(&self) -> bool {
        let mut reports = self.stopped.iter();
        reports.all(|(_, report)| report.is_complete())
    }
}

impl IntegrationPatterns {
    /// Without any pattern, on this bus, by the machine's clock.
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Self::with_clock(bus, Arc::new(SystemClock))
    }

    /// Without any pattern, on this bus and by this clock.
    pub fn with_clock(bus: Arc<dyn Bus>, clock: Arc<dyn Clock>) -> Self {
        Self {
            bus,
            clock,
            table: Mutex::default(),
            turn: Turn::default(),
            enabling: Mutex::default(),
            closed: CancellationToken::new(),
        }
    }

    /// Registers a pattern, which is not enabled by that.
    ///
    /// # Errors
    ///
    /// [`PatternError::NameTaken`] or [`PatternError::TooMany`].
    #[track_caller]
    pub fn register(&self, pattern: impl Pattern + 'static) -> Result<(), PatternError> {
        let place = Location::caller();
        let pattern: Arc<dyn Pattern> = Arc::new(pattern);
        let what = What::One(Arc::clone(&pattern));
        locked(&self.table).insert(pattern.name(), what, place)
    }

    /// Takes a pattern or a bundle out of the registry, so that its name is free again. Waits while
    /// others are being enabled or disabled, for as long as that takes.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing was changed.
    ///
    /// # Errors
    ///
    /// [`PatternError::Unknown`]; [`PatternError::Needed`] where a bundle has it as a member, enabled
    /// or not; [`PatternError::StillEnabled`] where it is enabled.
    pub async fn unregister(&self, name: &str) -> Result<(), PatternError> {
        let _turn = self.turn.lock().await;
        locked(&self.table).remove(name)
    }

    /// Registers a pattern and enables it, or does neither: one that cannot start leaves its name
    /// free, for another attempt.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, what the pattern has begun is aborted, and it is not registered.
    ///
    /// # Errors
    ///
    /// Those of [`register`](Self::register) and [`enable`](Self::enable). Only where somebody has
    /// made it a member of a bundle while it was being started does it stay registered.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, where the pattern starts a task.
    #[track_caller]
    pub fn register_and_enable(
        &self,
        pattern: impl Pattern + 'static,
    ) -> impl Future<Output = Result<PatternHandle, PatternError>> + Send {
        let place = Location::caller();
        async move {
            let mut enabled = self.turn.lock().await;
            let name = pattern.name().to_owned();
            let what = What::One(Arc::new(pattern));
            locked(&self.table).insert(&name, what, place)?;
            // Goes before the turn does: so nobody else has enabled it.
            let mut attempt = Attempt(Some((&self.table, &name)));
            let handle = self.enable_in_turn(&name, &mut enabled).await?;
            attempt.0 = None;
            Ok(handle)
        }
    }

    /// Registers a bundle: one name for several patterns that are registered, enabled in this order
    /// and disabled in reverse. A member may be a bundle.
    ///
    /// # Errors
    ///
    /// [`PatternError::Unknown`] names a member that is not registered; [`PatternError::NoMembers`]
    /// where there are none; or those of [`register`](Self::register).
    #[track_caller]
    pub fn compose(
        &self,
        name: &str,
        members: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<(), PatternError> {
        let place = Location::caller();
        let members: Arc<[String]> = members.into_iter().map(Into::into).collect();
        if members.is_empty() {
            let bundle = name.to_owned();
            return Err(PatternError::NoMembers { bundle, place });
        }
        let mut table = locked(&self.table);
        for member in members.iter() {
            table.get(member)?;
        }
        table.insert(name, What::Bundle(members), place)
    }

    /// Enables a pattern, or the members of a bundle; those that are enabled stay so.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the pattern that was being started is aborted. Members that had
    /// been started by then are enabled for the bundle until it is disabled.
    ///
    /// # Errors
    ///
    /// [`PatternError::Unknown`], [`Conflict`](PatternError::Conflict),
    /// [`NotStarted`](PatternError::NotStarted), also where it was
    /// [disabled](Self::disable) while it was being started, or [`ShutDown`](PatternError::ShutDown). Of a
    /// bundle, the members that were started for it are stopped again, within a second.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, where a pattern starts a task.
    pub async fn enable(&self, name: &str) -> Result<PatternHandle, PatternError> {
        let mut enabled = self.turn.lock().await;
        self.enable_in_turn(name, &mut enabled).await
    }

    async fn enable_in_turn(
        &self,
        name: &str,
        enabled: &mut Vec<String>,
    ) -> Result<PatternHandle, PatternError> {
        let order = locked(&self.table).order(name)?;
        let given_up = self.closed.child_token();
        let _enabling = Enabling::new(&self.enabling, name, &given_up);
        for one in &order {
            let enabled_one = select! {
                biased;
                // Dropped, what was being started is aborted.
                () = given_up.cancelled() => Err(self.why_given_up(one)),
                done = self.enable_one(one, name, enabled) => done,
            };
            if let Err(error) = enabled_one {
                let _ = self.release(name, enabled, UNDOING).await;
                return Err(error);
            }
        }
        Ok(locked(&self.table).get(name)?.handle.clone())
    }

    fn why_given_up(&self, name: &str) -> PatternError {
        let pattern = name.to_owned();
        match self.closed.is_cancelled() {
            true => PatternError::ShutDown { pattern },
            false => PatternError::NotStarted {
                pattern,
                reason: "it was disabled while it was being started".to_owned(),
                permanent: false,
            },
        }
    }

    async fn enable_one(
        &self,
        name: &str,
        wanted_by: &str,
        enabled: &mut Vec<String>,
    ) -> Result<(), PatternError> {
        let (what, handle) = {
            let table = locked(&self.table);
            table.check_claims(name)?;
            let entry = table.get(name)?;
            (entry.what.clone(), entry.handle.clone())
        };
        if let What::One(pattern) = what {
            // A disable that was dropped has left it so.
            if handle.state() == PatternState::Stopping {
                handle.stop(UNDOING).await;
            }
            if handle.state() == PatternState::Disabled {
                let (bus, clock) = (Arc::clone(&self.bus), Arc::clone(&self.clock));
                handle.begin(&*pattern, bus, clock).await?;
            }
        }
        if let Some(entry) = locked(&self.table).get_mut(name) {
            entry.wanted_by.insert(wanted_by.to_owned());
        }
        if !enabled.iter().any(|one| one == name) {
            enabled.push(name.to_owned());
        }
        Ok(())
    }

    /// Disables a pattern, or those members of a bundle that nobody else wants, at most for
    /// `deadline` altogether; what has not stopped by then is aborted where it awaits, and what holds its
    /// thread is named as still running ([`TaskScope::shutdown`](coord_bus::TaskScope::shutdown)). One
    /// that is not enabled is left so, and one that is being started is aborted. While others are being enabled or disabled
    /// this waits for them, at most for the deadline too.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the pattern at hand has been asked to stop; disabling it again
    /// goes on.
    ///
    /// # Errors
    ///
    /// [`PatternError::Unknown`]; [`PatternError::InUse`] where a bundle that is enabled has it as a
    /// member; or [`PatternError::Busy`] where others took longer than the deadline.
    pub async fn disable(
        &self,
        name: &str,
        deadline: Duration,
    ) -> Result<PatternsReport, PatternError> {
        let begun = Instant::now();
        if let Some((enabling, given_up)) = &*locked(&self.enabling)
            && enabling == name
        {
            given_up.cancel();
        }
        let turn = time::timeout(deadline, self.turn.lock()).await;
        let mut enabled = turn.map_err(|_| PatternError::Busy {
            pattern: name.to_owned(),
            waited: deadline,
        })?;
        {
            let table = locked(&self.table);
            let entry = table.get(name)?;
            if let Some(bundle) = entry.wanted_by.iter().find(|wanter| *wanter != name) {
                return Err(PatternError::InUse {
                    pattern: name.to_owned(),
                    bundle: bundle.clone(),
                });
            }
        }
        let left = deadline.saturating_sub(begun.elapsed());
        Ok(self.release(name, &mut enabled, left).await)
    }

    /// Nobody called `wanted_by` wants anything any more: what nobody else wants is stopped.
    async fn release(
        &self,
        wanted_by: &str,
        enabled: &mut Vec<String>,
        deadline: Duration,
    ) -> PatternsReport {
        let begun = Instant::now();
        let mut report = PatternsReport::default();
        let handles: Vec<(String, PatternHandle)> = {
            let mut table = locked(&self.table);
            for name in table.names() {
                if let Some(entry) = table.get_mut(&name) {
                    entry.wanted_by.remove(wanted_by);
                }
            }
            let unwanted = table.unwanted();
            let last_first = enabled.iter().rev().filter(|name| {
                let entry = table.get(name);
                unwanted.contains(name) || entry.is_ok_and(|entry| !entry.is_enabled())
            });
            last_first
                .filter_map(|name| Some((name.clone(), table.get(name).ok()?.handle.clone())))
                .collect()
        };
        for (name, handle) in handles {
            let left = deadline.saturating_sub(begun.elapsed());
            let stopped = handle.stop(left).await;
            enabled.retain(|one| *one != name);
            report.stopped.push((name, stopped));
        }
        report
    }

    /// The handle of a pattern, enabled or not.
    ///
    /// # Errors
    ///
    /// [`PatternError::Unknown`].
    pub fn handle(&self, name: &str) -> Result<PatternHandle, PatternError> {
        Ok(locked(&self.table).get(name)?.handle.clone())
    }

    /// All patterns, by name: how they do, what they have counted, and who wants them.
    pub fn list(&self) -> Vec<PatternInfo> {
        locked(&self.table).list()
    }

    /// How many are not disabled, bundles not counted. One that was stopped by its
    /// [handle](PatternHandle::stop) is disabled.
    pub fn active(&self) -> usize {
        let infos = self.list();
        let active = infos
            .iter()
            .filter(|info| info.members.is_empty() && info.state != PatternState::Disabled);
        active.count()
    }

    /// Disables all, the last one enabled first, at most for `deadline` altogether. They stay
    /// registered, and none is enabled any more: the one that is being started is aborted, and others are
    /// refused. Called again, it disables what is left.
    ///
    /// Where somebody else is disabling for longer than the deadline, all are aborted then. Tasks are aborted
    /// where they await, as by [`disable`](Self::disable).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing can be enabled, some patterns have stopped, and others go on;
    /// calling it again goes on.
    pub async fn shutdown(&self, deadline: Duration) -> PatternsReport {
        let begun = Instant::now();
        self.closed.cancel();
        let Ok(mut enabled) = time::timeout(deadline, self.turn.lock()).await else {
            return self.abort().await;
        };
        {
            let mut table = locked(&self.table);
            for name in table.names() {
                if let Some(entry) = table.get_mut(&name) {
                    entry.wanted_by.clear();
                }
            }
        }
        let left = deadline.saturating_sub(begun.elapsed());
        self.release("", &mut enabled, left).await
    }

    /// Aborts all that run, without a turn.
    async fn abort(&self) -> PatternsReport {
        let running = locked(&self.table).running();
        let mut report = PatternsReport::default();
        for (name, handle) in running {
            let stopped = handle.stop(Duration::ZERO).await;
            report.stopped.push((name, stopped));
        }
        report
    }

    /// What all patterns have counted, by pattern.
    pub fn statistics(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let infos = self.list().into_iter();
        infos.map(|info| (info.name, info.statistics)).collect()
    }
}

impl fmt::Debug for IntegrationPatterns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("IntegrationPatterns")
            .field("patterns", &locked(&self.table).names())
            .finish_non_exhaustive()
    }
}

/// Who is being enabled, for as long as that goes on.
struct Enabling<'a>(&'a Mutex<Option<(String, CancellationToken)>>);

impl<'a> Enabling<'a> {
    fn new(
        place: &'a Mutex<Option<(String, CancellationToken)>>,
        name: &str,
        given_up: &CancellationToken,
    ) -> Self {
        *locked(place) = Some((name.to_owned(), given_up.clone()));
        Self(place)
    }
}

impl Drop for Enabling<'_> {
    fn drop(&mut self) {
        *locked(self.0) = None;
    }
}

/// A pattern that is registered for as long as it is being started: dropped, it is not any more.
struct Attempt<'a>(Option<(&'a Mutex<Table>, &'a str)>);

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some((table, name)) = self.0 {
            // What has become a member of a bundle stays: a bundle has all of its members.
            let _ = locked(table).remove(name);
        }
    }
}
