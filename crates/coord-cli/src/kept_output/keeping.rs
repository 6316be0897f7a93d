//! Keeps the output of a run: a subscriber of the bus, on a thread of its own.

use std::thread;

use coordination::CoordinationModule;
use coordination::bus::time::{Clock, SystemClock};
use coordination::bus::vocabulary::{
    NOTIFICATION, Notification, PROCESS_OUTPUT, ProcessOutput, Severity,
};
use coordination::bus::{BusError, BusExt, DEFAULT_CAPACITY, Publisher, Subscriber};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::place::Kept;
use super::store::Store;
use super::{BOUNDS, record};
use crate::latency::Latency;

/// What the notification is called that output cannot be kept.
pub(crate) const TITLE: &str = "output";

/// What is to keep the output of a run.
pub(crate) struct Keeping {
    output: Subscriber<ProcessOutput>,
    notifications: Publisher<Notification>,
    store: Option<Store>,
    latency: Latency,
    /// What was to be said when nobody listened any more.
    untold: Option<String>,
    /// Whether it was said that something could not be kept.
    has_told: bool,
    /// Why nothing can be kept.
    refused: Option<std::io::Error>,
}

impl Keeping {
    /// Misses nothing of what is published from now on. Where no file can be made, the run goes on
    /// all the same, and is told.
    pub(crate) fn new(module: &CoordinationModule, kept: Kept) -> Result<Self, BusError> {
        let bus = module.bus();
        let (store, refused) = match Store::open(kept, BOUNDS) {
            Ok(store) => (Some(store), None),
            Err(error) => (None, Some(error)),
        };
        Ok(Self {
            output: bus.subscribe(&PROCESS_OUTPUT)?,
            notifications: bus.publisher(&NOTIFICATION)?,
            store,
            latency: Latency::of(module, "files", PROCESS_OUTPUT.name()),
            untold: None,
            has_told: false,
            refused,
        })
    }

    /// Keeps what is printed until the bus is closed, and everything is written. The receiver then
    /// has what there is to say and was not said on the bus.
    pub(crate) fn start(self, handle: Handle) -> oneshot::Receiver<Option<String>> {
        let (done, is_done) = oneshot::channel();
        thread::spawn(move || {
            // Nobody waits for that of a run that was abandoned.
            let _ = done.send(handle.block_on(self.keep()));
        });
        is_done
    }

    async fn keep(mut self) -> Option<String> {
        if let Some(error) = self.refused.take() {
            self.tell(&error).await;
        }
        let Some(mut store) = self.store.take() else {
            // Nobody is held up by a subscriber that is gone.
            return self.untold;
        };
        while let Some(first) = self.output.recv().await {
            let now = SystemClock.now();
            let at = record::time(now);
            self.latency.take(first.meta().time());
            let mut taken = store.add(now, &at, &first);
            for _ in 1..DEFAULT_CAPACITY {
                let Ok(line) = self.output.try_recv() else {
                    break;
                };
                self.latency.take(line.meta().time());
                taken = taken.and(store.add(now, &at, &line));
            }
            // So that all that was printed before is with the system before a kill of the program.
            match taken.and(store.flush(now)) {
                Ok(()) => self.latency.done(),
                Err(error) => {
                    self.latency.lost();
                    self.tell(&error).await;
                }
            }
        }
        self.untold
    }

    async fn tell(&mut self, error: &std::io::Error) {
        if std::mem::replace(&mut self.has_told, true) {
            return;
        }
        let message = format!(
            "what is printed cannot be kept: {error}; the run goes on, and `coord logs` will say what \
             is missing"
        );
        let said = Notification {
            at: SystemClock.now(),
            severity: Severity::Warning,
            title: TITLE.to_owned(),
            message: message.clone(),
        };
        if self.notifications.publish(said).await.is_err() {
            self.untold = Some(message);
        }
    }
}
