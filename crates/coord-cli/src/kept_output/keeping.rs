//! Keeps the output of a run, and what happened to its processes: a subscriber of the bus, on a thread of
//! its own.

use std::io;
use std::time::Duration;

use coordination::CoordinationModule;
use coordination::bus::time::{Clock, Instant, SystemClock, sleep_until};
use coordination::bus::vocabulary::{
    NOTIFICATION, Notification, PROCESS_OUTPUT, ProcessOutput, Severity,
};
use coordination::bus::{
    BusError, BusExt, DEFAULT_CAPACITY, Delivery, Publisher, Subscriber, Timestamp,
};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::events::KeptEvent;
use super::place::Kept;
use super::store::Store;
use super::{BOUNDS, record};
use crate::happenings::{Happening, Happenings};
use crate::latency::Latency;
use crate::lines::Lines;
use crate::spare_thread::SpareThread;

/// How long what happens waits to be written, so that many short steps cost few writes.
const GATHERED: Duration = Duration::from_millis(20);

/// What the notification is called that output cannot be kept.
pub(crate) const TITLE: &str = "output";

/// What is to keep the output of a run.
pub(crate) struct Keeping {
    output: Subscriber<ProcessOutput>,
    happenings: Happenings,
    lines: Lines,
    /// When what has happened is to be written.
    due: Option<Instant>,
    /// The time of what was kept last. What comes later has a later one, but lines that come together.
    last: Timestamp,
    notifications: Publisher<Notification>,
    store: Option<Store>,
    /// Whether what is kept is of a run that had ended.
    retried: bool,
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
    pub(crate) fn new(
        module: &CoordinationModule,
        kept: Kept,
        retried: bool,
    ) -> Result<Self, BusError> {
        let bus = module.bus();
        let (store, refused) = match Store::open(kept, BOUNDS) {
            Ok(store) => (Some(store), None),
            Err(error) => (None, Some(error)),
        };
        Ok(Self {
            output: bus.subscribe(&PROCESS_OUTPUT)?,
            happenings: Happenings::new(&**bus)?,
            lines: Lines::default(),
            due: None,
            last: Timestamp::MIN,
            notifications: bus.publisher(&NOTIFICATION)?,
            store,
            retried,
            latency: Latency::of(module, "files", PROCESS_OUTPUT.name()),
            untold: None,
            has_told: false,
            refused,
        })
    }

    /// Keeps what is printed until the bus is closed, and everything is written. The receiver then
    /// has what there is to say and was not said on the bus.
    pub(crate) fn start(
        self,
        thread: SpareThread,
        handle: Handle,
    ) -> oneshot::Receiver<Option<String>> {
        thread.run(move || handle.block_on(self.keep()))
    }

    async fn keep(mut self) -> Option<String> {
        if let Some(error) = self.refused.take() {
            self.tell(&error).await;
        }
        let Some(mut store) = self.store.take() else {
            // Nobody is held up by a subscriber that is gone.
            return self.untold;
        };
        let (at, retried) = (self.tick(), self.retried);
        let mut taken = keep(&mut store, at, &KeptEvent::Driven { at, retried });
        let mut is_open = true;
        while is_open {
            let mut first = None;
            tokio::select! {
                line = self.output.recv() => match line {
                    Some(line) => first = Some(line.into_delivery()),
                    None => is_open = false,
                },
                // From the first on it is not woken by each.
                true = self.happenings.arrive(), if self.due.is_none() => {
                    self.due = Some(Instant::now() + GATHERED);
                    continue;
                }
                () = sleep_until(self.due.unwrap_or_else(Instant::now)), if self.due.is_some() => {}
            }
            loop {
                let now = SystemClock.now();
                taken = taken.and(self.take(&mut store, first.take()));
                // So that all that was printed before is with the system before a kill of the program.
                match std::mem::replace(&mut taken, Ok(())).and(store.flush(now)) {
                    Ok(()) => self.latency.done(),
                    Err(error) => {
                        self.latency.lost();
                        self.tell(&error).await;
                    }
                }
                // Some of what was read waits for what was not.
                if self.happenings.is_empty() {
                    break;
                }
            }
        }
        for line in self.lines.rest() {
            taken = taken.and(store.add(self.last, &record::time(self.last), &line));
        }
        if let Err(error) = taken.and(store.flush(self.last)) {
            self.tell(&error).await;
        }
        self.untold
    }

    /// Takes what is there: lines after it was told that their process has started, and before it was told
    /// that it has ended.
    fn take(
        &mut self,
        store: &mut Store,
        first: Option<Delivery<ProcessOutput>>,
    ) -> io::Result<()> {
        self.due = None;
        self.happenings.read();
        let now = self.tick();
        let at = record::time(now);
        let mut taken = Ok(());
        if let Some(line) = first {
            self.latency.take(line.meta().time());
            if self.lines.admit(&line) {
                taken = store.add(now, &at, &line);
            }
        }
        for _ in 0..DEFAULT_CAPACITY {
            let Ok(line) = self.output.try_recv() else {
                break;
            };
            self.latency.take(line.meta().time());
            if self.lines.admit(&line) {
                taken = taken.and(store.add(now, &at, &line));
            }
        }
        while let Some(happening) = self.happenings.next() {
            if let Some(told) = KeptEvent::of(&happening) {
                let at = self.tick();
                taken = taken.and(keep(store, at, &told));
            }
            if let Happening::Process(event) = &happening {
                for line in self.lines.after(event) {
                    let now = self.tick();
                    taken = taken.and(store.add(now, &record::time(now), &line));
                }
            }
        }
        taken
    }

    /// The time, but after what was kept last, to the microsecond as it is kept.
    fn tick(&mut self) -> Timestamp {
        self.last = SystemClock.now().max(self.last + Duration::from_micros(1));
        self.last
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

fn keep(store: &mut Store, at: Timestamp, told: &KeptEvent) -> io::Result<()> {
    match told.line() {
        Some(line) => store.add(at, &record::time(at), &line),
        None => Ok(()),
    }
}
