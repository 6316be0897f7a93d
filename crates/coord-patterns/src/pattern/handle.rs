//! A pattern that was started.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::Clock;
use coord_bus::{Bus, ShutdownReport, TaskScope};

use super::status::{Status, locked};
use super::{Pattern, PatternContext, PatternError, PatternState};

/// A pattern that was started: how it does, what it has counted, and its end. Cheap to clone.
///
/// The last handle to go, the registry's included, aborts what still runs.
#[derive(Debug, Clone)]
pub struct PatternHandle {
    name: Arc<str>,
    status: Arc<Status>,
    scope: Arc<Mutex<Option<Arc<TaskScope>>>>,
}

impl PatternHandle {
    /// Starts a pattern that is in no registry.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, what the pattern has begun is aborted.
    ///
    /// # Errors
    ///
    /// [`PatternError::NotStarted`], with the pattern's reason; or that the bus does not open
    /// `error-detected`, where panics are told.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, where the pattern starts a task.
    pub async fn start(
        pattern: &(impl Pattern + ?Sized),
        bus: Arc<dyn Bus>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PatternError> {
        let handle = Self::new(pattern.name());
        handle.begin(pattern, bus, clock).await?;
        Ok(handle)
    }

    /// Of a pattern that does not run.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            status: Arc::default(),
            scope: Arc::default(),
        }
    }

    /// Starts its pattern. Called by one at a time, while nothing of it runs.
    pub(super) async fn begin(
        &self,
        pattern: &(impl Pattern + ?Sized),
        bus: Arc<dyn Bus>,
        clock: Arc<dyn Clock>,
    ) -> Result<(), PatternError> {
        let scope = TaskScope::reporting(self.name(), &*bus, Arc::clone(&clock))?;
        let scope = Arc::new(scope);
        let context = PatternContext {
            bus,
            clock,
            scope: Arc::downgrade(&scope),
            token: scope.token(),
            status: Arc::clone(&self.status),
            working: Arc::default(),
        };
        self.status.set(PatternState::Starting);
        // Dropped here or failed, the scope goes, and with it what was begun.
        let mut beginning = Beginning(Some(&self.status));
        let started = pattern.start(context).await;
        started.map_err(|source| PatternError::NotStarted {
            pattern: self.name().to_owned(),
            reason: source.to_string(),
            permanent: source.is_permanent(),
        })?;
        beginning.0 = None;
        *locked(&self.scope) = Some(scope);
        self.status.started();
        Ok(())
    }

    /// The pattern's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it does.
    pub fn state(&self) -> PatternState {
        self.status.state()
    }

    /// What it has counted, by name, since it was registered.
    pub fn statistics(&self) -> BTreeMap<String, u64> {
        self.status.counts()
    }

    /// The tasks of it that run, sorted by name.
    pub fn tasks(&self) -> Vec<String> {
        let scope = locked(&self.scope).clone();
        scope.map(|scope| scope.running()).unwrap_or_default()
    }

    /// Asks it to stop, waits for its tasks at most for `deadline`, and aborts the rest. Of one
    /// that has stopped, nothing is left to report.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the pattern has been asked to stop; stopping it again waits on.
    pub async fn stop(&self, deadline: Duration) -> ShutdownReport {
        let Some(scope) = locked(&self.scope).clone() else {
            return TaskScope::new("nothing").shutdown(Duration::ZERO).await;
        };
        self.status.set(PatternState::Stopping);
        let report = scope.shutdown(deadline).await;
        let mut current = locked(&self.scope);
        // Unless it was stopped by somebody else, and started again, meanwhile.
        if current.as_ref().is_some_and(|now| Arc::ptr_eq(now, &scope)) {
            *current = None;
            self.status.set(PatternState::Disabled);
        }
        report
    }
}

/// Says that a pattern is disabled again, unless it was started.
struct Beginning<'a>(Option<&'a Status>);

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        if let Some(status) = self.0 {
            status.set(PatternState::Disabled);
        }
    }
}
