//! A run as text: each line of output behind the name of its step, and what becomes of the steps.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};

use anstyle::{AnsiColor, Color, Style};
use coordination::bus::vocabulary::{ProcessOutput, Transition};

use super::duration::Spoken;
use super::out::Out;
use crate::file::WorkflowFile;
use crate::job::undo_name;

pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const ODD: Style = AnsiColor::Yellow.on_default();
pub(super) const QUIET: Style = Style::new().dimmed();

/// The colours of steps' names, in turn: those that say neither good nor bad.
const NAMES: [AnsiColor; 4] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
];
/// The widest column for names; longer names stand out of it.
const NAME_WIDTH_MAX: usize = 24;
/// How many lines of each process are kept for the summary, and how many characters of each.
const TAIL_LINES: usize = 10;
const TAIL_LINE_LENGTH: usize = 400;

pub(super) struct Text {
    width: usize,
    colors: HashMap<String, AnsiColor>,
    attempts: HashMap<String, u32>,
    /// The last lines of each step that has not ended well.
    tails: HashMap<String, VecDeque<String>>,
}

impl Text {
    pub(super) fn new(file: &WorkflowFile) -> Self {
        let ids = file.steps.iter().map(|step| &step.id);
        let width = ids.clone().map(String::len).max().unwrap_or_default();
        let colors = ids.cloned().zip(NAMES.into_iter().cycle());
        let attempts = file.steps.iter().filter_map(|step| {
            let retry = step.retry.as_ref()?;
            Some((step.id.clone(), retry.max_attempts.get()))
        });
        Self {
            width: width.min(NAME_WIDTH_MAX),
            colors: colors.collect(),
            attempts: attempts.collect(),
            tails: HashMap::new(),
        }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The last lines that a process printed, if it has not ended well.
    pub(super) fn tail(&self, process: &str) -> impl Iterator<Item = &str> {
        let lines = self.tails.get(process).into_iter().flatten();
        lines.map(String::as_str)
    }

    pub(super) fn output(&mut self, out: &mut Out, line: &ProcessOutput) -> io::Result<()> {
        self.keep(line);
        self.name(out, &line.process, "|")?;
        out.write_all(line.line.as_bytes())?;
        // Colours end with their line.
        let reset = if line.line.contains('\u{1b}') {
            "\u{1b}[0m\n"
        } else {
            "\n"
        };
        out.write_all(reset.as_bytes())
    }

    fn keep(&mut self, line: &ProcessOutput) {
        if !self.tails.contains_key(&line.process) {
            self.tails.insert(line.process.clone(), VecDeque::new());
        }
        if let Some(tail) = self.tails.get_mut(&line.process) {
            if tail.len() == TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(line.line.chars().take(TAIL_LINE_LENGTH).collect());
        }
    }

    fn name(&self, out: &mut Out, process: &str, mark: &str) -> io::Result<()> {
        let step = process.strip_prefix("undo ").unwrap_or(process);
        let color = self.colors.get(step).copied().unwrap_or(NAMES[0]);
        let style = Style::new().fg_color(Some(Color::Ansi(color)));
        let width = self.width;
        write!(
            out,
            "{style}{process:width$}{style:#} {QUIET}{mark}{QUIET:#} "
        )
    }

    fn say(&self, out: &mut Out, step: &str, style: Style, what: &str) -> io::Result<()> {
        self.name(out, step, "·")?;
        writeln!(out, "{style}{what}{style:#}")
    }

    pub(super) fn transition(&mut self, out: &mut Out, transition: &Transition) -> io::Result<()> {
        match transition {
            Transition::StepStarted { step, attempt: 1 } => self.say(out, step, QUIET, "started"),
            Transition::StepStarted { step, attempt } => {
                let what = format!("attempt {} of {}", attempt, self.attempts(step));
                self.say(out, step, QUIET, &what)
            }
            Transition::StepRetrying {
                step,
                attempt,
                error,
                wait,
            } => {
                let of = self.attempts(step);
                let wait = Spoken(*wait);
                let what = format!("attempt {attempt} of {of} failed: {error}; again in {wait}");
                self.say(out, step, ODD, &what)
            }
            Transition::StepCompleted { step, duration, .. } => {
                self.tails.remove(step);
                self.say(out, step, GOOD, &format!("done in {}", Spoken(*duration)))
            }
            Transition::StepFailed {
                step,
                error,
                optional: true,
                ..
            } => self.say(out, step, ODD, &format!("failed: {error}; it is optional")),
            Transition::StepFailed { step, error, .. } => {
                self.say(out, step, BAD, &format!("failed: {error}"))
            }
            Transition::StepSkipped { step, reason } => {
                self.say(out, step, QUIET, &format!("skipped: {reason}"))
            }
            Transition::StepCancelled { step } => self.say(out, step, ODD, "cancelled"),
            Transition::CompensationStarted { step } => {
                self.say(out, &undo_name(step), QUIET, "started")
            }
            Transition::CompensationCompleted { step } => {
                let process = undo_name(step);
                self.tails.remove(&process);
                self.say(out, &process, GOOD, "done")
            }
            Transition::CompensationFailed { step, error } => {
                self.say(out, &undo_name(step), BAD, &format!("failed: {error}"))
            }
            // The beginning says nothing new, and the end is the summary's.
            _ => Ok(()),
        }
    }

    fn attempts(&self, step: &str) -> u32 {
        self.attempts.get(step).copied().unwrap_or(1)
    }

    pub(super) fn interrupt(&self, out: &mut Out, which: usize) -> io::Result<()> {
        let what = match which {
            0 => "ending: steps have 10 s to stop; once more kills them",
            1 => "killed what ran; once more leaves at once, with nothing else undone",
            _ => "leaving",
        };
        writeln!(out, "{ODD}{what}{ODD:#}")
    }
}
