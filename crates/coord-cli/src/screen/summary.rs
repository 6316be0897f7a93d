//! How a run ended: a line a step and service, and of each failure what it said last and where the
//! file has it.

pub(super) mod failures;

use std::io::{self, Write};

use anstyle::Style;
use coordination::bus::Timestamp;
use coordination::bus::vocabulary::PROCESS_OUTPUT;
use coordination::monitor::PerformanceMetrics;
use coordination::workflow::{Compensation, Status, StepReport, StepState};

use super::out::Out;
use super::text::{BAD, GOOD, ODD, QUIET, id_width};
use crate::args::Layout;
use crate::board::{Board, Lived, Row, State, UNNEEDED};
use crate::ended::Ended;
use crate::file::{WorkflowFile, printable};
use crate::spoken::Spoken;

pub(super) fn print(
    out: &mut Out,
    ended: &Ended,
    file: &WorkflowFile,
    board: &Board,
    layout: Layout,
) -> io::Result<()> {
    let outcome = &ended.outcome;
    let mut is_first = true;
    let width = id_width(file);
    let reports = || file.units.iter().zip(outcome.steps());
    for ((unit, step), row) in reports().zip(&board.rows) {
        let line = match unit.service() {
            Some(_) => service_line(&step, row, ended),
            None => step_line(&step),
        };
        let Verdict {
            style,
            state,
            took,
            remark,
        } = line;
        if layout.is_quiet && state != "failed" {
            continue;
        }
        if std::mem::take(&mut is_first) {
            writeln!(out)?;
        }
        let line = format!("{:width$}  {took:>11}  {remark}", step.id);
        writeln!(out, "{style}{state:9}{style:#} {}", line.trim_end())?;
    }
    let failures = failures::of(ended, file);
    for failure in &failures {
        failure.print(out, file, board, layout.fails_at_the_end)?;
    }
    // Where it is all there is, it stands alone.
    if !layout.is_quiet || !is_first || !failures.is_empty() {
        writeln!(out)?;
    }
    verdict(out, ended, file, board)?;
    failures::recap(out, &failures, ended, file)?;
    if let Some(journal) = &ended.kept {
        kept(out, ended, journal)?;
    }
    match layout.is_quiet {
        true => Ok(()),
        false => writeln!(out, "{QUIET}{}{QUIET:#}", load(&ended.metrics)),
    }
}

/// How all of it ended, in one line.
fn verdict(out: &mut Out, ended: &Ended, file: &WorkflowFile, board: &Board) -> io::Result<()> {
    let outcome = &ended.outcome;
    let (style, status) = match outcome.status {
        _ if ended.service.is_some() => (BAD, Status::Failed.to_string()),
        Status::Completed => (GOOD, Status::Completed.to_string()),
        Status::Failed => (BAD, Status::Failed.to_string()),
        Status::TimedOut => (
            ODD,
            format!("took longer than {}, its timeout", Spoken(file.timeout)),
        ),
        status => match outcome.error() {
            Some(why) => (ODD, format!("{status} ({})", printable(why))),
            None => (ODD, status.to_string()),
        },
    };
    let (name, tally) = (&outcome.workflow, tally(ended, file, board));
    let within = match outcome.status {
        Status::TimedOut if ended.service.is_none() => String::new(),
        _ => format!(" in {}", Spoken(ended.took)),
    };
    writeln!(out, "{style}{name} {status}{style:#}{within}: {tally}")
}

/// What the run is called, and what can be done with it.
fn kept(out: &mut Out, ended: &Ended, journal: &str) -> io::Result<()> {
    let run = &ended.outcome.run;
    match ended.outcome.status {
        Status::Completed => writeln!(out, "{QUIET}run {run}{QUIET:#}"),
        _ => writeln!(
            out,
            "{QUIET}run {run}; to do again what is not done: coord retry {run}{journal}{QUIET:#}"
        ),
    }
}

/// A line of the summary.
struct Verdict {
    style: Style,
    state: &'static str,
    took: String,
    remark: String,
}

/// What became of a step.
fn step_line(step: &StepReport<'_>) -> Verdict {
    let (style, state, mut remark) = match step.state {
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
    match step.compensation {
        Some(Compensation::Completed) => remark = join(&remark, "undone"),
        Some(_) => remark = join(&remark, "not undone"),
        None => {}
    }
    let took = step.started.map(|_| Spoken(step.duration).to_string());
    Verdict {
        style,
        state,
        took: took.unwrap_or_default(),
        remark,
    }
}

/// The services that were ready, for programs.
pub(super) fn lived<'l>(
    ended: &'l Ended,
    board: &'l Board,
    began: Timestamp,
) -> impl Iterator<Item = Lived<'l>> {
    let services = ended.outcome.steps().zip(&board.rows);
    let services = services.filter(|(_, row)| row.is_service && row.life.ready.is_some());
    services.filter_map(move |(step, row)| {
        let state = service_line(&step, row, ended).state;
        let error = (state == "failed").then_some(&*row.remark);
        row.life.told(began, &row.id, state, row.incarnation, error)
    })
}

/// What became of a service: of the step that started it, and of it since.
fn service_line(step: &StepReport<'_>, row: &Row, ended: &Ended) -> Verdict {
    let failed = ended.service.as_ref();
    let failed = failed.filter(|service| service.id == row.id && row.incarnation == 0);
    let (style, state, mut remark) = match (step.state, row.state, failed) {
        (StepState::Failed(error), ..) => (BAD, "failed", error.to_string()),
        (_, State::Failed, _) => (BAD, "failed", row.remark.clone()),
        // Before the run was taken up.
        (_, _, Some(service)) => (BAD, "failed", service.why.clone()),
        (StepState::Skipped(_), ..) => (QUIET, "not run", UNNEEDED.to_owned()),
        // In a run that was taken up, nothing may have needed it any more.
        (StepState::Completed, ..) if row.incarnation == 0 => (QUIET, "stopped", String::new()),
        _ if row.incarnation == 0 => (QUIET, "not run", String::new()),
        _ => (GOOD, "stopped", String::new()),
    };
    if let Some(took) = row.life.ready_in() {
        remark = join(&remark, &format!("ready in {}", Spoken(took)));
    }
    if row.incarnation > 1 {
        remark = join(&remark, &format!("started {} times", row.incarnation));
    }
    let took = row.life.ended.and_then(|ended| row.life.until(ended));
    let took = took.or(row.took).map(|took| Spoken(took).to_string());
    Verdict {
        style,
        state,
        took: took.unwrap_or_default(),
        remark,
    }
}

fn join(before: &str, after: &str) -> String {
    if before.is_empty() {
        after.to_owned()
    } else {
        format!("{before}; {after}")
    }
}

/// How many steps ended in which way, and how many services there were, or failed of how many.
fn tally(ended: &Ended, file: &WorkflowFile, board: &Board) -> String {
    let reports = file.units.iter().zip(ended.outcome.steps());
    let steps: Vec<StepReport<'_>> = reports
        .filter(|(unit, _)| unit.step().is_some())
        .map(|(_, step)| step)
        .collect();
    let count =
        |wanted: fn(&StepReport<'_>) -> bool| steps.iter().filter(|step| wanted(step)).count();
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
    let reports = file.units.iter().zip(ended.outcome.steps());
    let failed = reports.zip(&board.rows).filter(|((unit, step), row)| {
        unit.service().is_some() && service_line(step, row, ended).state == "failed"
    });
    let services = match (failed.count(), file.units.len() - steps.len()) {
        (_, 0) => None,
        (0, 1) => Some("1 service".to_owned()),
        (0, services) => Some(format!("{services} services")),
        (_, 1) => Some("1 service failed".to_owned()),
        (failed, services) => Some(format!("{failed} of {services} services failed")),
    };
    let said = counts.iter().filter(|(count, _)| *count > 0);
    let said = said.map(|(count, what)| format!("{count} {what}"));
    said.chain(services).collect::<Vec<_>>().join(", ")
}

fn is_cancelled(step: &StepReport<'_>) -> bool {
    matches!(step.state, StepState::Cancelled)
}

/// What the run was for the machine.
fn load(metrics: &PerformanceMetrics) -> String {
    let topics = metrics.topics.iter();
    let output = topics
        .clone()
        .find(|topic| topic.topic == PROCESS_OUTPUT.name());
    let lines = output.map_or(0, |topic| topic.published);
    let events: u64 = topics.map(|topic| topic.published).sum();
    let line = if lines == 1 { "line" } else { "lines" };
    format!("{lines} {line} of output, {} other events", events - lines)
}
