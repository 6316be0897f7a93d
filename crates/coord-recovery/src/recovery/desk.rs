//! What the tasks of a manager share: where errors are counted, and handed to their strategies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coord_bus::time::{Clock, Instant};
use coord_bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, ErrorRecovery, NOTIFICATION, Notification,
    Recovery, Severity,
};
use coord_bus::{
    Bus, BusExt, CancellationToken, Envelope, Publisher, Received, Subscriber, WithCauses, catch,
    panic_message,
};
use tokio::select;
use tokio::sync::mpsc::{Receiver, Sender};

use super::strategy::{CustomStrategy, Failure};
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

    /// Publishes what a pattern has found. On a closed bus nobody is left to be told.
    pub(super) async fn detected(&self, pattern: &str, matched: Matched) {
        let event = ErrorDetected {
            source: matched.source,
            kind: pattern.to_owned(),
            message: matched.message,
            severity: matched.severity,
            at: self.clock.now(),
        };
        let event = Envelope::new(event).source(PUBLISHER);
        let _ = self.detected.publish_with(event).await;
    }

    /// Counts what is published, and hands errors on, until it is to stop, and then what is left;
    /// waits for nothing but events.
    pub(super) async fn read(
        &self,
        mut detected: Subscriber<ErrorDetected>,
        mut recovery: Subscriber<ErrorRecovery>,
        cases: Sender<Case>,
        stop: CancellationToken,
    ) {
        let reading = async {
            loop {
                select! {
                    Some(error) = detected.recv() => self.count_error(&error, &cases),
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
            self.count_error(&error, &cases);
        }
        for _ in 0..LAST_MAX {
            let Ok(event) = recovery.try_recv() else {
                break;
            };
            self.count_recovery(&event);
        }
    }

    fn count_error(&self, error: &Received<'_, ErrorDetected>, cases: &Sender<Case>) {
        self.missed(error.lag());
        self.statistics().detected(error);
        self.hand_on(error, cases);
    }

    fn count_recovery(&self, event: &Received<'_, ErrorRecovery>) {
        self.missed(event.lag());
        self.statistics().progressed(event);
    }

    fn hand_on(&self, error: &ErrorDetected, cases: &Sender<Case>) {
        if error.severity < Severity::Warning {
            return;
        }
        let Some(strategy) = self.strategies().get(&error.kind).cloned() else {
            return;
        };
        let case = Case {
            error: error.clone(),
            since: Instant::now(),
            strategy,
        };
        if cases.try_send(case).is_err() {
            self.statistics().unhandled += 1;
        }
    }

    /// Does what is to be done, one case after the other; several do so side by side.
    pub(super) async fn work(&self, cases: &tokio::sync::Mutex<Receiver<Case>>) {
        loop {
            let case = cases.lock().await.recv().await;
            let Some(Case {
                error,
                since,
                strategy,
            }) = case
            else {
                return;
            };
            let failed = error.clone();
            let result = match &strategy {
                RecoveryStrategy::NotifyAndContinue => self.notify(error).await,
                RecoveryStrategy::Custom(custom) => self.run(custom, error, since).await,
                RecoveryStrategy::Escalate => {
                    self.escalate(failed, None).await;
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
            self.recovery(strategy.name(), failed.source.clone(), progress)
                .await;
            if reason.is_some() {
                self.escalate(failed, reason).await;
            }
        }
    }

    /// Publishes that an error is nobody's any more. What is done about that is done once: where it
    /// fails in its turn, nothing follows.
    async fn escalate(&self, error: ErrorDetected, failed: Option<(&str, String)>) {
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
        self.detected(RECOVERY_FAILED, matched.severity(Severity::Critical))
            .await;
    }

    async fn notify(&self, error: ErrorDetected) -> Result<(), Failure> {
        let notification = Notification {
            at: self.clock.now(),
            severity: error.severity,
            title: format!("{}: {}", error.source, error.kind),
            message: error.message,
        };
        let notification = Envelope::new(notification).source(PUBLISHER);
        let told = self.notification.publish_with(notification).await;
        told.map_err(|refused| refused.reason.into())
    }

    async fn run(
        &self,
        custom: &CustomStrategy,
        error: ErrorDetected,
        since: Instant,
    ) -> Result<(), Failure> {
        let wait = Duration::ZERO;
        let attempting = Recovery::Attempting { attempt: 1, wait };
        let source = error.source.clone();
        self.recovery(custom.name(), source, attempting).await;
        match catch(custom.run(error, since)).await {
            Ok(result) => result,
            Err(panic) => Err(format!("it panicked: {}", panic_message(&*panic)).into()),
        }
    }

    async fn recovery(&self, strategy: &str, source: String, progress: Recovery) {
        let event = ErrorRecovery {
            source,
            strategy: strategy.to_owned(),
            at: self.clock.now(),
            progress,
        };
        let event = Envelope::new(event).source(PUBLISHER);
        let _ = self.recovery.publish_with(event).await;
    }
}
