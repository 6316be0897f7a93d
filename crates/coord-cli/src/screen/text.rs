//! A run as text: each line of output behind the name of its step, and what becomes of the steps.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::Arc;

use anstyle::{AnsiColor, Color, Style};
use coordination::bus::vocabulary::{
    ErrorRecovery, Exit, ProcessHealth, ProcessOutput, Recovery, ServiceLifecycle, ServiceState,
    Transition,
};

use coordination::workflow::{RunView, StepPhase};

use super::out::Out;
use crate::args::Names;
use crate::file::{Items, WorkflowFile, printable};
use crate::labels::Labels;
use crate::process_name::{hook_name, item_name, step_of, undo_name};
use crate::spoken::Spoken;

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const ODD: Style = AnsiColor::Yellow.on_default();
pub(crate) const QUIET: Style = Style::new().dimmed();

/// The colours of steps' names, in turn: those that say neither good nor bad.
pub(crate) const NAMES: [AnsiColor; 4] = [
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
];
/// The widest column for names; longer names stand out of it.
pub(crate) const NAME_WIDTH_MAX: usize = 24;

pub(super) struct Text {
    width: usize,
    colors: HashMap<String, AnsiColor>,
    attempts: HashMap<String, u32>,
    services: HashSet<String>,
    /// What steps wait for that do nothing else.
    waits: HashMap<String, String>,
    /// Which lines of output begin with the name of their process.
    names: Names,
    /// What items are called.
    labels: Arc<Labels>,
}

impl Text {
    pub(super) fn new(file: &WorkflowFile, labels: Arc<Labels>) -> Self {
        let ids = file.units.iter().map(|unit| &unit.id);
        let colors = ids.cloned().zip(NAMES.into_iter().cycle());
        let attempts = file.units.iter().filter_map(|unit| {
            let retry = unit.step()?.retry.as_ref()?;
            Some((unit.id.clone(), retry.max_attempts.get()))
        });
        let units = file.units.iter();
        let waits = units.filter_map(|unit| Some((unit.id.clone(), unit.waits()?)));
        Self {
            width: name_width(file, &labels),
            colors: colors.collect(),
            attempts: attempts.collect(),
            services: services(file),
            waits: waits.collect(),
            names: Names::All,
            labels,
        }
    }

    pub(super) fn with_names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    pub(super) fn output(&self, out: &mut Out, line: &ProcessOutput) -> io::Result<()> {
        if self.names != Names::None {
            self.name(out, &line.process, "|")?;
        }
        printed(out, &line.line)
    }

    /// A line that stands in the folded group of its step.
    pub(super) fn folded(&self, out: &mut Out, line: &ProcessOutput) -> io::Result<()> {
        let is_own = step_of(&line.process) == &*line.process;
        match self.names == Names::OutsideTheirGroup && is_own {
            true => printed(out, &line.line),
            false => self.output(out, line),
        }
    }

    fn name(&self, out: &mut Out, process: &str, mark: &str) -> io::Result<()> {
        let color = self
            .colors
            .get(step_of(process))
            .copied()
            .unwrap_or(NAMES[0]);
        let style = Style::new().fg_color(Some(Color::Ansi(color)));
        let width = self.width;
        let label = self.labels.label(process);
        let process = label.as_deref().unwrap_or(process);
        write!(
            out,
            "{style}{process:width$}{style:#} {QUIET}{mark}{QUIET:#} "
        )
    }

    fn say(&self, out: &mut Out, step: &str, style: Style, what: &str) -> io::Result<()> {
        self.name(out, step, "·")?;
        writeln!(out, "{style}{what}{style:#}")
    }

    /// What becomes of a step. What becomes of a service is told as that, but for one that never
    /// came up.
    pub(super) fn transition(&self, out: &mut Out, transition: &Transition) -> io::Result<()> {
        match transition {
            Transition::StepStarted { step, .. }
            | Transition::StepCompleted { step, .. }
            | Transition::StepCancelled { step }
                if self.services.contains(step) =>
            {
                Ok(())
            }
            Transition::StepStarted { step, attempt: 1 } => {
                let what = self.waits.get(step).map_or("started", |waits| waits);
                self.say(out, step, QUIET, what)
            }
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
                let mut what = format!("attempt {attempt} of {of} failed: {error}");
                // After the last it is to be skipped.
                if *attempt < of {
                    what.push_str(&format!("; again in {}", Spoken(*wait)));
                }
                self.say(out, step, ODD, &what)
            }
            Transition::PartCompleted { step, part, .. } => {
                self.say(out, &item_name(step, *part), QUIET, "done")
            }
            Transition::StepCompleted { step, duration, .. } => {
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
            Transition::StepExhausted { step, error, .. } => {
                let what = format!("failed: {error}; the run is paused, until `coord continue`");
                self.say(out, step, BAD, &what)
            }
            Transition::StepSkipped { step, reason } => {
                self.say(out, step, QUIET, &format!("skipped: {reason}"))
            }
            Transition::StepCancelled { step } => self.say(out, step, ODD, "cancelled"),
            Transition::CompensationStarted { step } => {
                self.say(out, &undo_name(step), QUIET, "started")
            }
            Transition::CompensationCompleted { step } => {
                self.say(out, &undo_name(step), GOOD, "done")
            }
            Transition::CompensationFailed { step, error } => {
                self.say(out, &undo_name(step), BAD, &format!("failed: {error}"))
            }
            Transition::HookFailed { step, error } => {
                let hook = hook_name(step.as_deref());
                self.say(out, &hook, BAD, &format!("failed: {error}"))
            }
            // The beginning says nothing new, and the end is the summary's.
            _ => Ok(()),
        }
    }

    /// What becomes of a service.
    pub(super) fn service(&self, out: &mut Out, event: &ServiceLifecycle) -> io::Result<()> {
        let service = &event.service;
        match &event.state {
            ServiceState::Starting => self.say(out, service, QUIET, "starting"),
            ServiceState::Ready { duration } => {
                let what = format!("ready in {}", Spoken(*duration));
                self.say(out, service, GOOD, &what)
            }
            ServiceState::NotReady { answer } => {
                let what = format!("did not become ready: {answer}");
                self.say(out, service, BAD, &what)
            }
            ServiceState::Unhealthy { answer } => {
                self.say(out, service, BAD, &format!("is not well: {answer}"))
            }
            ServiceState::Ended { asked: true, .. } => self.say(out, service, QUIET, "stopped"),
            ServiceState::Ended { exit, .. } => {
                let style = match exit {
                    Some(exit) if exit.is_success() => QUIET,
                    _ => BAD,
                };
                let what = match exit {
                    Some(exit) => format!("ended: {exit}"),
                    None => "ended".to_owned(),
                };
                self.say(out, service, style, &what)
            }
            _ => Ok(()),
        }
    }

    /// What is done about a service that failed.
    pub(super) fn recovery(&self, out: &mut Out, event: &ErrorRecovery) -> io::Result<()> {
        if !self.services.contains(&event.source) {
            return Ok(());
        }
        match &event.progress {
            Recovery::Attempting { wait, .. } => {
                let what = format!("is started again in {}", Spoken(*wait));
                self.say(out, &event.source, ODD, &what)
            }
            Recovery::GaveUp { reason, .. } => {
                self.say(out, &event.source, BAD, &format!("is given up: {reason}"))
            }
            _ => Ok(()),
        }
    }

    /// A probe whose answer is another than before, and not a good one.
    pub(super) fn health(&self, out: &mut Out, event: &ProcessHealth) -> io::Result<()> {
        if event.healthy {
            return Ok(());
        }
        let what = format!("{} probe: {}", event.probe, event.answer);
        self.say(out, &event.process, QUIET, &what)
    }

    fn attempts(&self, step: &str) -> u32 {
        self.attempts.get(step).copied().unwrap_or(1)
    }

    /// What there is to say of how a step is told.
    pub(super) fn note(&self, out: &mut Out, step: &str, what: &str) -> io::Result<()> {
        self.say(out, step, ODD, what)
    }

    /// What is said of no step, such as what an interrupt does.
    pub(super) fn remark(&self, out: &mut Out, what: &str) -> io::Result<()> {
        writeln!(out, "{ODD}{what}{ODD:#}")
    }
}

/// Whether this is a failure that nothing is tried against.
pub(super) fn is_failure(transition: &Transition) -> bool {
    matches!(
        transition,
        Transition::StepFailed { .. }
            | Transition::StepExhausted { .. }
            | Transition::CompensationFailed { .. }
            | Transition::HookFailed { .. }
    )
}

/// Whether a service has failed.
pub(super) fn is_failure_of_service(state: &ServiceState) -> bool {
    match state {
        ServiceState::NotReady { .. } | ServiceState::Unhealthy { .. } => true,
        ServiceState::Ended { exit, asked: false } => !exit.is_some_and(Exit::is_success),
        _ => false,
    }
}

/// What a process has printed, and the end of the line.
pub(crate) fn printed(out: &mut impl Write, line: &str) -> io::Result<()> {
    out.write_all(line.as_bytes())?;
    // Colours end with their line.
    let reset = if line.contains('\u{1b}') {
        "\u{1b}[0m\n"
    } else {
        "\n"
    };
    out.write_all(reset.as_bytes())
}

/// Where a run is that is taken up, and what of it was not undone.
pub(super) fn before(run: &RunView) -> String {
    let is_done = |phase| phase == StepPhase::Completed;
    let done = run.steps.iter().filter(|step| is_done(step.phase));
    let (done, all) = (done.count(), run.steps.len());
    let mut before = format!("run {}: {done} of {all} steps are done already", run.run);
    for step in run.steps.iter().filter(|step| !step.phase.is_over()) {
        if let Some(error) = &step.not_undone {
            let (id, error) = (&step.id, printable(error));
            let _ = write!(
                before,
                "\n{id} is done again, as it could not be undone: {error}"
            );
        }
    }
    before
}

/// The width of the column for the names of a file, with those of its items that are known.
pub(super) fn name_width(file: &WorkflowFile, labels: &Labels) -> usize {
    let items = file.units.iter().flat_map(|unit| {
        let items = match unit.each().map(|each| &each.items) {
            Some(Items::Listed(items)) => items.len(),
            _ => 0,
        };
        (0..items).filter_map(|item| labels.label(&item_name(&unit.id, item)))
    });
    let items = items.map(|label| label.chars().count());
    let width = items.max().unwrap_or_default().max(id_width(file));
    width.min(NAME_WIDTH_MAX)
}

/// The width of the column for the ids of a file.
pub(super) fn id_width(file: &WorkflowFile) -> usize {
    let ids = file.units.iter().map(|unit| unit.id.chars().count());
    ids.max().unwrap_or_default().min(NAME_WIDTH_MAX)
}

/// The ids of a file's services.
pub(super) fn services(file: &WorkflowFile) -> HashSet<String> {
    let services = file.units.iter().filter(|unit| unit.service().is_some());
    services.map(|unit| unit.id.clone()).collect()
}
