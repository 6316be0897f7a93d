//! Publishes what supervision and guards find, apart from themselves: a full topic holds up the
//! telling, and never a restart, a stop or a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coord_bus::time::Clock;
use coord_bus::vocabulary::{
    ERROR_DETECTED, ERROR_RECOVERY, ErrorDetected, ErrorRecovery, Recovery, Severity,
};
use coord_bus::{Bus, BusExt, CancellationToken, Publisher};
use tokio::select;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::{MAX_CHILDREN, RecoveryError};

/// How many events may wait to be published, besides those in their topics: a failure is two, so
/// that all children of a supervisor may fail twice at once.
const OUTBOX: usize = 4 * MAX_CHILDREN;

#[derive(Clone)]
pub(crate) struct Teller {
    outbox: Sender<Tale>,
    untold: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
}

enum Tale {
    Detected(ErrorDetected),
    Recovery(ErrorRecovery),
}

impl Teller {
    /// A teller, and what publishes what it is told.
    pub(crate) fn new(
        bus: &(impl Bus + ?Sized),
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Telling), RecoveryError> {
        let (outbox, tales) = mpsc::channel(OUTBOX);
        let untold = Arc::new(AtomicU64::new(0));
        let telling = Telling {
            tales,
            detected: bus.publisher(&ERROR_DETECTED)?,
            recovery: bus.publisher(&ERROR_RECOVERY)?,
            untold: Arc::clone(&untold),
        };
        let teller = Self {
            outbox,
            untold,
            clock,
        };
        Ok((teller, telling))
    }

    pub(crate) fn untold(&self) -> u64 {
        self.untold.load(Ordering::Relaxed)
    }

    pub(crate) fn detected(&self, source: &str, kind: &str, message: String, severity: Severity) {
        self.tell(Tale::Detected(ErrorDetected {
            source: source.to_owned(),
            kind: kind.to_owned(),
            message,
            severity,
            at: self.clock.now(),
        }));
    }

    pub(crate) fn recovery(&self, source: &str, strategy: &str, progress: Recovery) {
        self.tell(Tale::Recovery(ErrorRecovery {
            source: source.to_owned(),
            strategy: strategy.to_owned(),
            at: self.clock.now(),
            progress,
        }));
    }

    fn tell(&self, tale: Tale) {
        self.untold.fetch_add(1, Ordering::Relaxed);
        // Where there is no room it stays untold, and counted.
        let _ = self.outbox.try_send(tale);
    }
}

pub(crate) struct Telling {
    tales: Receiver<Tale>,
    detected: Publisher<ErrorDetected>,
    recovery: Publisher<ErrorRecovery>,
    untold: Arc<AtomicU64>,
}

impl Telling {
    /// Publishes until it is to stop, and then what is left.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let tale = select! {
                biased;
                tale = self.tales.recv() => tale,
                () = stop.cancelled(), if !self.tales.is_closed() => {
                    // What is in the outbox still comes, and then the end.
                    self.tales.close();
                    continue;
                }
            };
            let is_told = match tale {
                Some(Tale::Detected(event)) => self.detected.publish(event).await.is_ok(),
                Some(Tale::Recovery(event)) => self.recovery.publish(event).await.is_ok(),
                None => return,
            };
            if is_told {
                self.untold.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}
