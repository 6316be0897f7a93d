//! What the tasks of a manager share: where errors are counted, and handed to their strategies.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coord_bus::time::{Clock, Instant};
use coord_bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, ErrorRecovery, NOTIFICATION, Notification,
    Recovery, Severity,
};
use coord_bus::{
    Bus, BusExt, CancellationToken, Cause, Envelope, Publisher, Received, Subscriber, WithCauses,
    catch, panic_message,
};
use tokio::select;
use tokio::sync::mpsc::{Receiver, Sender};

use super::strategy::{BoxError, CustomStrategy};
use super::{ErrorStatistics, LAST_MAX, Matched, RECOVERY_FAILED, RecoveryStrategy};
use crate::RecoveryError;

/// Who a manager's events say has published them: no pattern looks at those.
pub(super) const PUBLISHER: &str = "error-recovery-manager";

pub(super) struct Desk {
    clock: Arc<dyn Clock>,
    statistics: Mutex<ErrorStatistics>,
    strategies: Mutex<HashMap<String, RecoveryStrategy>>,
    detected: Publisher<ErrorDetected>,
    recovery: Publisher<ErrorRecovery>,
    notification: Publisher<Notification>,
}

/// An error, and what is to be done about it.
pub(super) struct Case {
    error: ErrorDetected,
    /// The event that says so.
    cause: Cause,
    since: Instant,
    strategy: RecoveryStrategy,
}

impl Desk {
    pub(super) fn new(bus: &dyn Bus, clock: Arc<dyn Clock>) -> Result<Self, RecoveryError> {
        Ok(Self {
            clock,
            statistics: Mutex::default(),
            strategies: Mutex::default(),
            detected: bus.publisher(&ERROR_DETECTED)?,
            recovery: bus.publisher(&ERROR_RECOVERY)?,
            notification: bus.publisher(&NOTIFICATION)?,
        })
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

    /// Publishes what a pattern has found in an event. On a closed bus nobody is left to be told.
    pub(super) async fn detected(&self, pattern: &str, matched: Matched, cause: &Cause) {
        let event = ErrorDetected {
            source: matched.source,
            kind: pattern.to_owned(),
            message: matched.message,
            severity: matched.severity,
            at: self.clock.now(),
        };
        let _ = self.detected.publish_with(ours(event, cause)).await;
    }

    /// Counts what is published, and hands errors on, until it is to stop, and then what is left. What
    /// the strategies make of that is counted until those have ended that attend to it.
    pub(super) async fn read(
        &self,
        mut detected: Subscriber<ErrorDetected>,
        mut recovery: Subscriber<ErrorRecovery>,
        cases: Sender<Case>,
        mut attending: Receiver<Infallible>,
        stop: CancellationToken,
    ) {
        let reading = async {
            loop {
                select! {
                    Some(error) = detected.recv() => self.count_error(&error, Some(&cases)),
                    Some(event) = recovery.recv() => self.count_recovery(&event),
                    else => return,
                }
            }
        };
        if stop.run_until_cancelled(reading).await.is_some() {
            return;
        }
        for _ in 0..LAST_MAX {
            let Ok(error) = detected.try_recv() else {
                break;
            };
            self.count_error(&error, Some(&cases));
        }
        drop(cases);
        loop {
            select! {
                biased;
                _ = attending.recv() => break,
                Some(error) = detected.recv() => self.count_error(&error, None),
                Some(event) = recovery.recv() => self.count_recovery(&event),
            }
        }
        for _ in 0..LAST_MAX {
            let Ok(error) = detected.try_recv() else {
                break;
            };
            self.count_error(&error, None);
        }
        for _ in 0..LAST_MAX {
            let Ok(event) = recovery.try_recv() else {
                break;
            };
            self.count_recovery(&event);
        }
    }

    /// Where there are no cases any more, nothing is done about it.
    fn count_error(&self, error: &Received<'_, ErrorDetected>, cases: Option<&Sender<Case>>) {
        self.missed(error.lag());
        self.statistics().detected(error);
        self.hand_on(error, cases);
    }

    fn count_recovery(&self, event: &Received<'_, ErrorRecovery>) {
        self.missed(event.lag());
        self.statistics().progressed(event);
    }

    fn hand_on(&self, error: &Received<'_, ErrorDetected>, cases: Option<&Sender<Case>>) {
        if error.severity < Severity::Warning {
            return;
        }
        let Some(strategy) = self.strategies().get(&error.kind).cloned() else {
            return;
        };
        let case = Case {
            error: (**error).clone(),
            cause: error.meta().cause(),
            since: Instant::now(),
            strategy,
        };
        if cases.is_none_or(|cases| cases.try_send(case).is_err()) {
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
                RecoveryStrategy::NotifyAndContinue => self.notify(error, &cause).await,
                RecoveryStrategy::Custom(custom) => self.run(custom, error, &cause, since).await,
                RecoveryStrategy::Escalate => {
                    self.escalate(failed, None, &cause).await;
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
            self.recovery(strategy.name(), source, progress, &cause)
                .await;
            if reason.is_some() {
                self.escalate(failed, reason, &cause).await;
            }
        }
    }

    /// Publishes that an error is nobody's any more. What is done about that is done once: where it
    /// fails in its turn, nothing follows.
    async fn escalate(&self, error: ErrorDetected, failed: Option<(&str, String)>, cause: &Cause) {
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
        self.detected(RECOVERY_FAILED, matched, cause).await;
    }

    async fn notify(&self, error: ErrorDetected, cause: &Cause) -> Result<(), BoxError> {
        let notification = Notification {
            at: self.clock.now(),
            severity: error.severity,
            title: format!("{}: {}", error.source, error.kind),
            message: error.message,
        };
        let notification = ours(notification, cause);
        let told = self.notification.publish_with(notification).await;
        told.map_err(|refused| refused.reason.into())
    }

    async fn run(
        &self,
        custom: &CustomStrategy,
        error: ErrorDetected,
        cause: &Cause,
        since: Instant,
    ) -> Result<(), BoxError> {
        let wait = Duration::ZERO;
        let attempting = Recovery::Attempting { attempt: 1, wait };
        let source = error.source.clone();
        self.recovery(custom.name(), source, attempting, cause)
            .await;
        match catch(custom.run(error, since)).await {
            Ok(result) => result,
            Err(panic) => Err(format!("it panicked: {}", panic_message(&*panic)).into()),
        }
    }

    async fn recovery(&self, strategy: &str, source: String, progress: Recovery, cause: &Cause) {
        let event = ErrorRecovery {
            source,
            strategy: strategy.to_owned(),
            at: self.clock.now(),
            progress,
        };
        let _ = self.recovery.publish_with(ours(event, cause)).await;
    }
}

/// Says who publishes it, and because of which event.
fn ours<E>(event: E, cause: &Cause) -> Envelope<E> {
    let mut event = Envelope::new(event).source(PUBLISHER);
    cause.mark(&mut event);
    event
}
