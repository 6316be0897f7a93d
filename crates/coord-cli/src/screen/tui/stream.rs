//! The run as a stream below the shell's prompt, for as long as somebody prefers that to the screen:
//! every line of output once, in the order of arrival, also those that came while the screen was there.

use std::collections::VecDeque;
use std::io::{self, Stdout, Write, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coordination::CoordinationError;
use coordination::bus::vocabulary::{
    ErrorRecovery, OutputStream, PROCESS_OUTPUT, ProcessHealth, ProcessOutput, ServiceLifecycle,
    WorkflowEvent,
};
use coordination::bus::{BusExt, Publisher};

use crate::board::Board;
use crate::screen::Start;
use crate::screen::out::{Out, out_to};
use crate::screen::text::{QUIET, Text};

/// What becomes of steps and services, as far as a stream tells of it.
pub(super) enum Told {
    Workflow(WorkflowEvent),
    Service(ServiceLifecycle),
    Health(ProcessHealth),
    Recovery(ErrorRecovery),
}

pub(super) struct LineStream {
    text: Text,
    out: Out,
    /// Whether it is shown. Then no line may be let go before it comes here.
    is_on: Arc<AtomicBool>,
    /// How many lines of all have been told, or said to be missing.
    told: u64,
    /// What happened, each with how many lines had been printed by then: they are told before it, and come later
    /// where they are conflated.
    happened: VecDeque<(u64, Told)>,
    /// Knows how many lines are printed, of which so many were before there was a screen.
    output: Publisher<ProcessOutput>,
    before: u64,
    /// That it could not be written.
    fault: Option<io::Error>,
}

impl LineStream {
    pub(super) fn new(
        start: &Start<'_>,
        is_on: Arc<AtomicBool>,
    ) -> Result<Self, CoordinationError> {
        let output = start.module.bus().publisher(&PROCESS_OUTPUT)?;
        Ok(Self {
            text: Text::new(start.file, Arc::clone(start.labels)),
            out: out_to(Raw(stdout()), start.args.color.into()),
            is_on,
            told: 0,
            happened: VecDeque::new(),
            before: output.stats().published,
            output,
            fault: None,
        })
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Begins to be shown, with what was printed since it was shown last.
    pub(super) fn begin(&mut self, board: &Board) {
        self.is_on.store(true, Ordering::Relaxed);
        let rows = board.rows.iter();
        let lines = rows.flat_map(|row| {
            let lines = row.output.after(self.told);
            lines.map(|(arrival, by, line)| (arrival, by.unwrap_or(&row.id), line))
        });
        let mut lines: Vec<(u64, &str, &str)> = lines.collect();
        lines.sort_unstable_by_key(|(arrival, ..)| *arrival);
        let gone = (board.arrived - self.told).saturating_sub(lines.len() as u64);
        self.say("as a stream; o goes back to the screen");
        if gone > 0 {
            self.say(&format!("{gone} earlier lines are not kept any more"));
        }
        for (_, process, line) in lines {
            let line = ProcessOutput {
                process: process.to_owned(),
                pid: 0,
                attempt: 1,
                stream: OutputStream::Stdout,
                line: line.to_owned(),
                continues: false,
            };
            self.print(&line);
        }
        self.told = board.arrived;
    }

    /// Is not shown any more.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.is_on.store(false, Ordering::Relaxed);
        self.happened.clear();
        self.flush()
    }

    /// A line of output, after it has been put on the board.
    pub(super) fn line(&mut self, line: &ProcessOutput, board: &Board) {
        if self.is_on() {
            self.happen(self.told);
            self.print(line);
            self.told = board.arrived;
        }
    }

    /// Something that happened.
    pub(super) fn tell(&mut self, told: impl FnOnce() -> Told) {
        if self.is_on() {
            let printed = self.output.stats().published - self.before;
            self.happened.push_back((printed, told()));
        }
    }

    /// Says something of the program's own.
    pub(super) fn say(&mut self, what: &str) {
        if self.is_on() {
            let written = writeln!(self.out, "{QUIET}{what}{QUIET:#}");
            self.note(written);
        }
    }

    /// Shows what is to be shown. Whether something is left for the next frame.
    pub(super) fn frame(&mut self) -> io::Result<bool> {
        self.happen(self.told);
        self.flush()?;
        Ok(!self.happened.is_empty())
    }

    /// Shows what is left, once no more lines come.
    pub(super) fn rest(&mut self) -> io::Result<()> {
        self.happen(u64::MAX);
        self.flush()
    }

    /// Tells what happened before more lines than these were printed.
    fn happen(&mut self, lines: u64) {
        let is_due = |(printed, _): &(u64, Told)| *printed <= lines;
        while self.happened.front().is_some_and(is_due)
            && let Some((_, told)) = self.happened.pop_front()
        {
            let (text, out) = (&self.text, &mut self.out);
            let written = match &told {
                Told::Workflow(event) => text.transition(out, &event.transition),
                Told::Service(event) => text.service(out, event),
                Told::Health(event) => text.health(out, event),
                Told::Recovery(event) => text.recovery(out, event),
            };
            self.note(written);
        }
    }

    fn print(&mut self, line: &ProcessOutput) {
        let written = self.text.output(&mut self.out, line);
        self.note(written);
    }

    fn note(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.fault.get_or_insert(error);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.fault.take() {
            Some(error) => Err(error),
            None => self.out.flush(),
        }
    }
}

/// A terminal that takes keys as they come, and so does not return to the first column by itself.
struct Raw(Stdout);

impl Write for Raw {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(line) => {
                    self.0.write_all(line)?;
                    self.0.write_all(b"\r\n")?;
                }
                None => self.0.write_all(line)?,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
