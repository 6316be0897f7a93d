//! What the screen reads from the bus, and what of it goes where.

use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coordination::bus::vocabulary::{
    LOG_EVENTS, LogEvent, LogLevel, Notification, PROCESS_OUTPUT, ProcessOutput,
};
use coordination::bus::{BusExt, Delivery, Overflow, Subscriber};
use coordination::optimize::per_second;
use coordination::{CoordinationError, CoordinationModule};
use tokio_stream::{Stream, StreamExt};

use super::FRAMES;
use super::stream::{LineStream, Told};
use crate::board::{Board, Bounds};
use crate::happenings::{Happening, Happenings};
use crate::latency::ScreenLatency;
use crate::screen::drain;

/// How many events are kept to be shown.
const EVENTS_MAX: usize = 100;

/// What was printed since the last frame.
#[derive(Default)]
struct Printed {
    by_process: HashMap<String, Lines>,
    /// How many lines came.
    arrived: u64,
}

/// What a process printed since the last frame.
#[derive(Default)]
struct Lines {
    /// No more than is kept, each with which of all it was.
    kept: VecDeque<(u64, Delivery<ProcessOutput>)>,
    /// How many are gone already.
    gone: u64,
}

/// What the screen reads.
pub(super) struct Feed {
    /// The newest last.
    pub(super) events: VecDeque<LogEvent>,
    printed: Pin<Box<dyn Stream<Item = Printed> + Send>>,
    happenings: Happenings,
    logs: Subscriber<LogEvent>,
}

impl Feed {
    /// `bounds` are those of what is kept of each process's output, and `streams` says whether every
    /// line is to be shown.
    pub(super) fn new(
        module: &CoordinationModule,
        bounds: Bounds,
        streams: Arc<AtomicBool>,
    ) -> Result<Self, CoordinationError> {
        let bus = module.bus();
        let optimizer = module.optimizer()?;
        optimizer.configure_rate_limit(&PROCESS_OUTPUT, per_second(FRAMES))?;
        let add = move |printed: &mut Printed, line: Delivery<ProcessOutput>| {
            let arrival = printed.arrived;
            printed.arrived += 1;
            let processes = &mut printed.by_process;
            if !processes.contains_key(&line.process) {
                processes.insert(line.process.clone(), Lines::default());
            }
            if let Some(lines) = processes.get_mut(&line.process) {
                // An older one would be gone from what is kept at once; a stream shows it all the
                // same, and takes no more meanwhile.
                if lines.kept.len() >= bounds.lines && !streams.load(Ordering::Relaxed) {
                    lines.kept.pop_front();
                    lines.gone += 1;
                }
                lines.kept.push_back((arrival, line));
            }
        };
        let begin = add.clone();
        let seed = move |line| {
            let mut printed = Printed::default();
            begin(&mut printed, line);
            printed
        };
        Ok(Self {
            events: VecDeque::new(),
            printed: Box::pin(optimizer.conflate(&PROCESS_OUTPUT, seed, add)?),
            happenings: Happenings::new(&**bus)?,
            logs: bus.subscribe_with(&LOG_EVENTS, Overflow::DropOldest)?,
        })
    }

    /// Waits until something has happened, and puts it on the board. Whether more may come.
    ///
    /// # Cancel safety
    ///
    /// What has been taken is on the board.
    pub(super) async fn next(
        &mut self,
        board: &mut Board,
        stream: &mut LineStream,
        latency: &mut ScreenLatency,
    ) -> bool {
        let mut told = Telling {
            board,
            stream,
            latency,
        };
        tokio::select! {
            // Some of what was read waits for what was not.
            () = ready(()), if !self.happenings.is_empty() => {}
            Some(printed) = self.printed.next() => told.print(printed),
            Some(event) = self.logs.recv() => note(&mut self.events, event.event().clone()),
            is_open = self.happenings.arrive() => if !is_open {
                self.drain(&mut told);
                while !self.happenings.is_empty() {
                    self.drain(&mut told);
                }
                while let Some(printed) = self.printed.next().await {
                    told.print(printed);
                }
                return false;
            },
        }
        self.drain(&mut told);
        true
    }

    /// Takes what is there.
    fn drain(&mut self, told: &mut Telling<'_>) {
        let events = &mut self.events;
        self.happenings.read();
        while let Some(happening) = self.happenings.next() {
            match happening {
                Happening::Notification(event) => note(events, notified(&event)),
                happening => told.happening(&happening),
            }
        }
        drain(&mut self.logs, |event| note(events, event.clone()));
    }
}

/// Those that are told what comes.
struct Telling<'t> {
    board: &'t mut Board,
    stream: &'t mut LineStream,
    latency: &'t mut ScreenLatency,
}

impl Telling<'_> {
    fn print(&mut self, printed: Printed) {
        let mut lines = Vec::new();
        for (process, printed) in printed.by_process {
            self.board.skipped(&process, printed.gone);
            lines.extend(printed.kept);
        }
        // Those of each process are in order already, which makes it cheap.
        lines.sort_by_key(|(arrival, _)| *arrival);
        for (_, line) in &lines {
            self.latency.line(line.meta().time());
            self.board.output(line);
            self.stream.line(line, self.board);
        }
    }

    fn happening(&mut self, happening: &Happening) {
        match happening {
            Happening::Workflow(event) => {
                self.latency.step(event.at);
                self.board.workflow(event);
                self.stream.tell(|| Told::Workflow((**event).clone()));
            }
            Happening::Service(event) => {
                self.board.service(event);
                self.stream.tell(|| Told::Service((**event).clone()));
            }
            Happening::Process(event) => self.board.lifecycle(event),
            Happening::Health(event) => {
                self.board.health(event);
                self.stream.tell(|| Told::Health((**event).clone()));
            }
            Happening::Recovery(event) => {
                self.board.recovery(event);
                self.stream.tell(|| Told::Recovery((**event).clone()));
            }
            // What is done about an error is told, too; notifications are among the events.
            Happening::Error(_) | Happening::Notification(_) => {}
        }
    }
}

/// Notes an event, in the order of time, as they come from two topics; of two that tell of the same, the more
/// serious one.
fn note(events: &mut VecDeque<LogEvent>, event: LogEvent) {
    let is_same = |noted: &LogEvent| {
        let are_of_one = is_of(&noted.source, &event.source) || is_of(&event.source, &noted.source);
        noted.at == event.at && are_of_one
    };
    let same = events.iter_mut().rev().find(|noted| is_same(noted));
    if let Some(noted) = same {
        if noted.level < event.level {
            *noted = event;
        }
        return;
    }
    if events.len() == EVENTS_MAX {
        events.pop_front();
    }
    let after = events.iter().rposition(|noted| noted.at <= event.at);
    events.insert(after.map_or(0, |place| place + 1), event);
}

/// Whether a title is that of a source, or says something of it: `api crashed`.
fn is_of(title: &str, source: &str) -> bool {
    let rest = title.strip_prefix(source);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// A notification among what is logged.
fn notified(notification: &Notification) -> LogEvent {
    LogEvent {
        at: notification.at,
        level: LogLevel::Error,
        source: notification.title.clone(),
        message: notification.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use coordination::bus::Timestamp;

    use super::*;

    #[test]
    fn of_one_moment_what_tells_of_two_processes_is_two_events_and_what_tells_of_one_the_more_serious()
     {
        let event = |level, source: &str, message: &str| LogEvent {
            at: Timestamp::UNIX_EPOCH,
            level,
            source: source.to_owned(),
            message: message.to_owned(),
        };
        let mut events = VecDeque::new();
        for told in [
            event(LogLevel::Info, "a:1", "started"),
            event(LogLevel::Info, "a:11", "started"),
            event(LogLevel::Warn, "b", "exit code 7"),
            event(LogLevel::Error, "b crashed", "exit code 7"),
        ] {
            note(&mut events, told);
        }
        let sources: Vec<_> = events.iter().map(|event| &*event.source).collect();
        assert_eq!(sources, ["a:1", "a:11", "b crashed"]);
    }
}
