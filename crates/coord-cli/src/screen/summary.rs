//! How a run ended: a line a step, and of each failure what it said last and where the file has it.

use std::io::{self, Write};

use anstyle::Style;
use coordination::workflow::{Compensation, Outcome, Status, StepReport, StepState};

use super::duration::Spoken;
use super::out::Out;
use super::text::{BAD, GOOD, ODD, QUIET, Text};
use crate::file::WorkflowFile;
use crate::job::undo_name;

pub(super) fn print(
    out: &mut Out,
    outcome: &Outcome,
    file: &WorkflowFile,
    text: &Text,
) -> io::Result<()> {
    writeln!(out)?;
    for step in &outcome.steps {
        row(out, step, text.width())?;
    }
    for (step, error) in outcome.failures() {
        failure(
            out,
            &step.id,
            &format!("failed: {error}"),
            &step.id,
            file,
            text,
        )?;
    }
    for step in &outcome.steps {
        if let Some(Compensation::Failed(error)) = &step.compensation {
            let what = format!("was not undone: {error}");
            failure(out, &step.id, &what, &undo_name(&step.id), file, text)?;
        }
    }
    let style = match outcome.status {
        Status::Completed => GOOD,
        Status::Failed => BAD,
        _ => ODD,
    };
    let status = match outcome.status {
        Status::TimedOut => format!("took longer than {}", Spoken(file.timeout)),
        status => status.to_string(),
    };
    let took = Spoken(outcome.duration);
    writeln!(
        out,
        "\n{style}{} {status}{style:#} in {took}: {}",
        outcome.workflow,
        tally(outcome)
    )
}

/// What became of a step, in one line.
fn row(out: &mut Out, step: &StepReport, width: usize) -> io::Result<()> {
    let (style, state, mut remark) = match &step.state {
        StepState::Completed => (GOOD, "done", String::new()),
        StepState::Failed(error) if step.optional => (ODD, "failed", format!("{error}; optional")),
        StepState::Failed(error) => (BAD, "failed", error.to_string()),
        StepState::Skipped(reason) => (QUIET, "skipped", reason.to_string()),
        _ if step.attempts == 0 => (QUIET, "not run", String::new()),
        _ => (ODD, "cancelled", String::new()),
    };
    if step.attempts > 1 {
        remark = join(&remark, &format!("{} attempts", step.attempts));
    }
    match &step.compensation {
        Some(Compensation::Completed) => remark = join(&remark, "undone"),
        Some(_) => remark = join(&remark, "not undone"),
        None => {}
    }
    let took = match step.started {
        Some(_) => Spoken(step.duration).to_string(),
        None => String::new(),
    };
    let line = format!("{:width$}  {took:>11}  {remark}", step.id);
    writeln!(out, "{style}{state:9}{style:#} {}", line.trim_end())
}

fn join(before: &str, after: &str) -> String {
    if before.is_empty() {
        after.to_owned()
    } else {
        format!("{before}; {after}")
    }
}

/// What failed, where the file has it, and what it said last.
fn failure(
    out: &mut Out,
    step: &str,
    what: &str,
    process: &str,
    file: &WorkflowFile,
    text: &Text,
) -> io::Result<()> {
    writeln!(out, "\n{BAD}{step} {what}{BAD:#}")?;
    if let Some(step) = file.steps.iter().find(|other| other.id == step) {
        let (path, place) = (file.path(), file.place(step));
        writeln!(out, "  {QUIET}at {path}:{place}{QUIET:#}")?;
    }
    for line in text.tail(process) {
        writeln!(out, "  {QUIET}|{QUIET:#} {line}{:#}", Style::new())?;
    }
    Ok(())
}

fn tally(outcome: &Outcome) -> String {
    let count =
        |wanted: fn(&StepReport) -> bool| outcome.steps.iter().filter(|step| wanted(step)).count();
    let counts = [
        (
            count(|step| matches!(step.state, StepState::Completed)),
            "done",
        ),
        (
            count(|step| matches!(step.state, StepState::Failed(_))),
            "failed",
        ),
        (
            count(|step| matches!(step.state, StepState::Skipped(_))),
            "skipped",
        ),
        (
            count(|step| is_cancelled(step) && step.attempts > 0),
            "cancelled",
        ),
        (
            count(|step| is_cancelled(step) && step.attempts == 0),
            "not run",
        ),
    ];
    let said = counts.iter().filter(|(count, _)| *count > 0);
    let said: Vec<_> = said
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    said.join(", ")
}

fn is_cancelled(step: &StepReport) -> bool {
    matches!(step.state, StepState::Cancelled)
}
