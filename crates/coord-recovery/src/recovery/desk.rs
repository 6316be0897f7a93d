//! What the tasks of a manager share: where errors are counted, and handed to their strategies.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use coord_bus::time::{Clock, Instant};
use coord_bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, ErrorRecovery, NOTIFICATION, Notification,
    Recovery, Severity,
};
use coord_bus::{
    Bus, CancellationToken, Cause, Envelope, Meta, Received, Refusal, Subscriber, WithCauses,
    catch, panic_message,
};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::{join, select};

use super::strategy::{BoxError, CustomStrategy};
use super::{ErrorStatistics, LAST_MAX, MAX_WAITING, Matched, RECOVERY_FAILED, RecoveryStrategy};
use crate::RecoveryError;
use crate::teller::{AtOnce, Backlog, Untold};

/// Who a manager's events say has published them: no pattern looks at those.
pub(super) const PUBLISHER: &str = "error-recovery-manager";

/// The header of an event that a manager has counted, and attended to, before there was room for it in its
/// topic: with what tells that manager from others.
const COUNTED_BY: &str = "counted-by";

/// What is published is counted, and attended to, when it comes back from its topic, so that all see the
/// same; where that has no room it is done at once, and published later.
pub(super) struct Desk {
    clock: Arc<dyn Clock>,
    statistics: Mutex<ErrorStatistics>,
    strategies: Mutex<HashMap<String, RecoveryStrategy>>,
    /// Those that wait for their strategy, until there are to be no more.
    cases: Mutex<Option<Sender<Case>>>,
    detected: AtOnce<ErrorDetected>,
    recovery: AtOnce<ErrorRecovery>,
    notification: AtOnce<Notification>,
    untold: Untold,
    counted_by: String,
}

/// What a desk has no room for in its topics, each for itself.
pub(super) struct Telling {
    errors: Backlog<ErrorDetected>,
    recoveries: Backlog<ErrorRecovery>,
    notifications: Backlog<Notification>,
}

impl Telling {
    /// Publishes until it is to stop, and then what is left.
    pub(super) async fn run(self, stop: CancellationToken) {
        join!(
            self.errors.run(&stop),
            self.recoveries.run(&stop),
            self.notifications.run(&stop)
        );
    }
}

/// An error, and what is to be done about it.
pub(super) struct Case {
    error: ErrorDetected,
    /// The event that says so, or in which it was found; a guard finds it in none.
    cause: Option<Cause>,
    since: Instant,
    strategy: RecoveryStrategy,
}

/// Where guards report to, for as long as there is their manager.
#[derive(Clone)]
pub(super) struct Reports(Weak<Desk>);

impl Reports {
    pub(super) fn to(desk: &Arc<Desk>) -> Self {
        Self(Arc::downgrade(desk))
    }

    pub(super) fn detected(&self, source: &str, kind: &str, message: String, severity: Severity) {
        let Some(desk) = self.0.upgrade() else { return };
        let event = ErrorDetected {
            source: source.to_owned(),
            kind: kind.to_owned(),
            message,
            severity,
            at: desk.clock.now(),
        };
        desk.tell_error(Envelope::new(event), None);
    }

    pub(super) fn recovery(&self, source: &str, strategy: &str, progress: Recovery) {
        let Some(desk) = self.0.upgrade() else { return };
        let event = desk.recovery(strategy, source.to_owned(), progress);
        desk.tell_recovery(Envelope::new(event));
    }
}

impl Desk {
    /// A desk, what publishes what it has no room for, and the errors that are to be attended to.
    pub(super) fn new(
        bus: &dyn Bus,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Telling, Receiver<Case>), RecoveryError> {
        let untold = Untold::default();
        let (detected, errors) = AtOnce::new(bus, &ERROR_DETECTED, &untold)?;
        let (recovery, recoveries) = AtOnce::new(bus, &ERROR_RECOVERY, &untold)?;
        let (notification, notifications) = AtOnce::new(bus, &NOTIFICATION, &untold)?;
        let (sender, cases) = mpsc::channel(MAX_WAITING);
        let desk = Self {
            clock,
            statistics: Mutex::default(),
            strategies: Mutex::default(),
            cases: Mutex::new(Some(sender)),
            detected,
            recovery,
            notification,
            untold,
            counted_by: format!("{:016x}", fastrand::u64(..)),
        };
        let telling = Telling {
            errors,
            recoveries,
            notifications,
        };
        Ok((desk, telling, cases))
    }

    pub(super) fn untold(&self) -> u64 {
        self.untold.count()
    }

    pub(super) fn statistics(&self) -> MutexGuard<'_, ErrorStatistics> {
        self.statistics
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn strategies(&self) -> MutexGuard<'_, HashMap<String, RecoveryStrategy>> {
        self.strategies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn missed(&self, events: u64) {
        if events > 0 {
            self.statistics().missed += events;
        }
    }

    /// Tells what a pattern has found in an event.
    pub(super) fn detected(&self, pattern: &str, matched: Matched, cause: Option<&Cause>) {
        let event = ErrorDetected {
            source: matched.source,
            kind: pattern.to_owned(),
            message: matched.message,
            severity: matched.severity,
            at: self.clock.now(),
        };
        self.tell_error(ours(event, cause), cause);
    }

    fn tell_error(&self, event: Envelope<ErrorDetected>, cause: Option<&Cause>) {
        if let Err((event, _)) = self.detected.publish(event) {
            self.count_error(event.event(), || cause.cloned());
            let event = event.header(COUNTED_BY, &*self.counted_by);
            self.detected.later(event);
        }
    }

    /// Counts what is published, and hands errors on, until it is to stop, and then what is left. What
    /// the strategies make of that is counted until those have ended that attend to it.
    pub(super) async fn read(
        &self,
        mut detected: Subscriber<ErrorDetected>,
        mut recovery: Subscriber<ErrorRecovery>,
        mut attending: Receiver<Infallible>,
        stop: CancellationToken,
    ) {
        let reading = async {
            loop {
                select! {
                    Some(error) = detected.recv() => self.read_error(&error),
                    Some(event) = recovery.recv() => self.read_recovery(&event),
                    else => return,
                }
            }
        };
        if stop.run_until_cancelled(reading).await.is_some() {
            self.attend_to_no_more();
            return;
        }
        for _ in 0..LAST_MAX {
            let Ok(error) = detected.try_recv() else {
                break;
            };
            self.read_error(&error);
        }
        self.attend_to_no_more();
        loop {
            select! {
                biased;
                _ = attending.recv() => break,
                Some(error) = detected.recv() => self.read_error(&error),
                Some(event) = recovery.recv() => self.read_recovery(&event),
            }
        }
        for _ in 0..LAST_MAX {
            let Ok(error) = detected.try_recv() else {
                break;
            };
            self.read_error(&error);
        }
        for _ in 0..LAST_MAX {
            let Ok(event) = recovery.try_recv() else {
                break;
            };
            self.read_recovery(&event);
        }
    }

    fn read_error(&self, error: &Received<'_, ErrorDetected>) {
        self.missed(error.lag());
        if !self.has_counted(&error.meta()) {
            self.count_error(error, || Some(error.meta().cause()));
        }
    }

    fn read_recovery(&self, event: &Received<'_, ErrorRecovery>) {
        self.missed(event.lag());
        if !self.has_counted(&event.meta()) {
            self.statistics().progressed(event);
        }
    }

    fn has_counted(&self, event: &Meta<'_>) -> bool {
        event.header(COUNTED_BY) == Some(&*self.counted_by)
    }

    /// Nothing is done about what comes from now on.
    fn attend_to_no_more(&self) {
        self.cases().take();
    }

    fn cases(&self) -> MutexGuard<'_, Option<Sender<Case>>> {
        self.cases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_error(&self, error: &ErrorDetected, cause: impl FnOnce() -> Option<Cause>) {
        self.statistics().detected(error);
        if error.severity < Severity::Warning {
            return;
        }
        let Some(strategy) = self.strategies().get(&error.kind).cloned() else {
            return;
        };
        let case = Case {
            error: error.clone(),
            cause: cause(),
            since: Instant::now(),
            strategy,
        };
        let is_waiting = match &*self.cases() {
            Some(cases) => cases.try_send(case).is_ok(),
            None => false,
        };
        if !is_waiting {
            self.statistics().unhandled += 1;
        }
    }

    /// Does what is to be done, one case after the other; several do so side by side.
    pub(super) async fn work(&self, cases: &tokio::sync::Mutex<Receiver<Case>>) {
        loop {
            let case = cases.lock().await.recv().await;
            let Some(Case {
                error,
                cause,
                since,
                strategy,
            }) = case
            else {
                return;
            };
            let failed = error.clone();
            let result = match &strategy {
                RecoveryStrategy::NotifyAndContinue => self.notify(error, cause.as_ref()),
                RecoveryStrategy::Custom(custom) => {
                    self.run(custom, error, cause.as_ref(), since).await
                }
                RecoveryStrategy::Escalate => {
                    self.escalate(failed, None, cause.as_ref());
                    continue;
                }
            };
            let (progress, reason) = match result {
                Ok(()) => {
                    let (attempt, duration) = (1, since.elapsed());
                    (Recovery::Recovered { attempt, duration }, None)
                }
                Err(failure) => {
                    let (attempts, reason) = (1, WithCauses(&*failure).to_string());
                    let escalates = Some((strategy.name(), reason.clone()));
                    (Recovery::GaveUp { attempts, reason }, escalates)
                }
            };
            let source = failed.source.clone();
            let event = self.recovery(strategy.name(), source, progress);
            self.tell_recovery(ours(event, cause.as_ref()));
            if reason.is_some() {
                self.escalate(failed, reason, cause.as_ref());
            }
        }
    }

    /// Publishes that an error is nobody's any more. What is done about that is done once: where it
    /// fails in its turn, nothing follows.
    fn escalate(
        &self,
        error: ErrorDetected,
        failed: Option<(&str, String)>,
        cause: Option<&Cause>,
    ) {
        if error.kind == RECOVERY_FAILED {
            return;
        }
        self.statistics().escalated += 1;
        let why = match failed {
            Some((strategy, reason)) => format!("{strategy} failed: {reason}"),
            None => "nothing is done about it here".to_owned(),
        };
        let matched = Matched::new(
            error.source,
            format!("{}: {}; {why}", error.kind, error.message),
        );
        let matched = matched.severity(Severity::Critical);
        self.detected(RECOVERY_FAILED, matched, cause);
    }

    fn notify(&self, error: ErrorDetected, cause: Option<&Cause>) -> Result<(), BoxError> {
        let notification = Notification {
            at: self.clock.now(),
            severity: error.severity,
            title: format!("{}: {}", error.source, error.kind),
            message: error.message,
        };
        match self.notification.publish(ours(notification, cause)) {
            Ok(()) => Ok(()),
            Err((event, Refusal::Full)) => match self.notification.later(event) {
                true => Ok(()),
                false => Err(Refusal::Full.into()),
            },
            Err((_, reason)) => Err(reason.into()),
        }
    }

    async fn run(
        &self,
        custom: &CustomStrategy,
        error: ErrorDetected,
        cause: Option<&Cause>,
        since: Instant,
    ) -> Result<(), BoxError> {
        let wait = Duration::ZERO;
        let attempting = Recovery::Attempting { attempt: 1, wait };
        let event = self.recovery(custom.name(), error.source.clone(), attempting);
        self.tell_recovery(ours(event, cause));
        match catch(custom.run(error, since)).await {
            Ok(result) => result,
            Err(panic) => Err(format!("it panicked: {}", panic_message(&*panic)).into()),
        }
    }

    fn recovery(&self, strategy: &str, source: String, progress: Recovery) -> ErrorRecovery {
        ErrorRecovery {
            source,
            strategy: strategy.to_owned(),
            at: self.clock.now(),
            progress,
        }
    }

    fn tell_recovery(&self, event: Envelope<ErrorRecovery>) {
        if let Err((event, _)) = self.recovery.publish(event) {
            self.statistics().progressed(event.event());
            let event = event.header(COUNTED_BY, &*self.counted_by);
            self.recovery.later(event);
        }
    }
}

/// Says who publishes it, and because of which event.
fn ours<E>(event: E, cause: Option<&Cause>) -> Envelope<E> {
    let mut event = Envelope::new(event).source(PUBLISHER);
    if let Some(cause) = cause {
        cause.mark(&mut event);
    }
    event
}
