//! What failed in a run: where the file has it and what it printed last; and, at the very end, all of it
//! again in a line each.

use std::io::{self, Write};

use anstyle::Style;
use coordination::workflow::{Compensation, StepState};

use crate::board::Board;
use crate::ended::Ended;
use crate::file::{Unit, WorkflowFile};
use crate::process_name::{hook_name, undo_name};
use crate::screen::out::Out;
use crate::screen::text::{BAD, ODD, QUIET};
use crate::shortened::shortened;

/// How many of a process's last lines are shown.
pub(crate) const TAIL_LINES: usize = 10;
/// Of how many items of a step that failed they are shown.
const ITEMS_MAX: usize = 5;
/// How many failures, and how many ids of what was undone, are told again at the end, and how much of each
/// in columns: on the smallest screen all of that is in view, with the command that goes on.
const AGAIN_MAX: usize = 5;
const AGAIN_WIDTH_MAX: usize = 120;

/// Something that failed.
pub(super) struct Failure<'f> {
    /// What it is of; `None`: of the run.
    unit: Option<&'f Unit>,
    name: &'f str,
    /// What is to be said of it behind its name.
    what: String,
    /// The process that failed.
    process: String,
    /// Whether it was done for each item of a list.
    has_items: bool,
}

/// Everything that failed, in the order of the file; hooks last.
pub(super) fn of<'f>(ended: &'f Ended, file: &'f WorkflowFile) -> Vec<Failure<'f>> {
    let mut failures = Vec::new();
    for (unit, step) in file.units.iter().zip(ended.outcome.steps()) {
        let failure = |what, process| Failure {
            unit: Some(unit),
            name: &unit.id,
            what,
            process,
            has_items: false,
        };
        if let StepState::Failed(error) = step.state
            && !step.optional
        {
            failures.push(Failure {
                has_items: unit.each().is_some(),
                ..failure(format!("failed: {error}"), unit.id.clone())
            });
        }
        if let Some(Compensation::Failed(error)) = step.compensation {
            let what = format!("was not undone: {error}");
            failures.push(failure(what, undo_name(&unit.id)));
        }
        if let Some(service) = &ended.service
            && service.id == unit.id
            && !matches!(step.state, StepState::Failed(_))
        {
            failures.push(failure(format!("failed: {}", service.why), unit.id.clone()));
        }
    }
    failures.extend(ended.hooks.iter().map(|hook| {
        let unit = hook.unit.map(|place| &file.units[place]);
        Failure {
            unit,
            name: unit.map_or(&ended.outcome.workflow, |unit| &unit.id),
            what: format!("hook failed: {}", hook.why),
            process: hook_name(unit.map(|unit| unit.id.as_str())),
            has_items: false,
        }
    }));
    failures
}

impl Failure<'_> {
    /// What failed, where the file has it, and what it printed last.
    pub(super) fn print(
        &self,
        out: &mut Out,
        file: &WorkflowFile,
        board: &Board,
        has_tail: bool,
    ) -> io::Result<()> {
        writeln!(out, "\n{BAD}{} {}{BAD:#}", self.name, self.what)?;
        if let Some(at) = self.at(file) {
            writeln!(out, "  {QUIET}at {at}{QUIET:#}")?;
        }
        match self.has_items {
            _ if !has_tail => Ok(()),
            true => items(out, self.name, board),
            false => tail(out, &self.process, board),
        }
    }

    fn at(&self, file: &WorkflowFile) -> Option<String> {
        let unit = self.unit?;
        Some(format!("{}:{}", file.path_of(unit), file.place(unit)))
    }
}

/// The last lines of a step that has failed, or of its items that did.
pub(crate) fn last_lines(out: &mut Out, step: &str, board: &Board) -> io::Result<()> {
    match board.unwell_items(step).is_empty() {
        true => tail(out, step, board),
        false => items(out, step, board),
    }
}

/// The last lines of a process.
fn tail(out: &mut Out, process: &str, board: &Board) -> io::Result<()> {
    for line in board.tail(process, TAIL_LINES) {
        writeln!(out, "  {QUIET}|{QUIET:#} {line}{:#}", Style::new())?;
    }
    Ok(())
}

/// The last lines of the items of a step that did not end well, each under its name.
fn items(out: &mut Out, step: &str, board: &Board) -> io::Result<()> {
    let items = board.unwell_items(step);
    for process in items.iter().take(ITEMS_MAX) {
        let label = board.labels.label(process);
        let label = label.as_deref().unwrap_or(process);
        let exit = board.exit(process).map(|exit| format!(": {exit}"));
        writeln!(out, "  {BAD}{label}{}{BAD:#}", exit.unwrap_or_default())?;
        tail(out, process, board)?;
    }
    match items.len().saturating_sub(ITEMS_MAX) {
        0 => Ok(()),
        more => writeln!(out, "  {BAD}and {more} more items{BAD:#}"),
    }
}

/// What failed, where its last lines may have taken it out of view, and what was undone.
pub(super) fn recap(
    out: &mut Out,
    failures: &[Failure<'_>],
    ended: &Ended,
    file: &WorkflowFile,
) -> io::Result<()> {
    if failures.len() > 1 || failures.iter().any(|failure| failure.has_items) {
        for failure in failures.iter().take(AGAIN_MAX) {
            let at = failure.at(file).map(|at| format!("; at {at}"));
            let what = format!("{} {}", failure.name, failure.what);
            let at = at.unwrap_or_default();
            writeln!(
                out,
                "  {BAD}{}{BAD:#}{QUIET}{at}{QUIET:#}",
                shortened(&what, AGAIN_WIDTH_MAX)
            )?;
        }
        if failures.len() > AGAIN_MAX {
            let more = failures.len() - AGAIN_MAX;
            writeln!(out, "  {BAD}and {more} more{BAD:#}")?;
        }
    }
    for (said, style, wanted) in [("undone", ODD, true), ("not undone", BAD, false)] {
        let is_wanted = |it| wanted == matches!(it, Compensation::Completed);
        let steps = ended.outcome.steps();
        let steps = steps.filter(|step| step.compensation.is_some_and(is_wanted));
        let ids: Vec<&str> = steps.map(|step| step.id).collect();
        if !ids.is_empty() {
            writeln!(out, "  {style}{said}: {}{style:#}", some_of(&ids))?;
        }
    }
    Ok(())
}

/// Some of these, and how many more there are.
pub(crate) fn some_of(ids: &[&str]) -> String {
    let some = ids[..ids.len().min(AGAIN_MAX)].join(", ");
    match ids.len().saturating_sub(AGAIN_MAX) {
        0 => some,
        more => format!("{some} and {more} more"),
    }
}
