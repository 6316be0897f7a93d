//! `coord list`: the runs in a journal, a line each.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::Style;
use coordination::bus::Timestamp;
use coordination::workflow::{
    RunId, RunJournal, RunQuery, RunState, RunSummary, RunView, Status, WorkflowError,
};
use jiff::tz::TimeZone;
use serde::Serialize;

use super::with_runs;
use crate::args::{ListArgs, Listed};
use crate::exit_code::ExitCode;
use crate::file::printable;
use crate::journal::with_causes;
use crate::screen::{self, BAD, GOOD, ODD, QUIET};
use crate::spoken::Spoken;

/// As [`Seen`], for programs.
#[derive(Serialize)]
#[serde(untagged)]
enum Told<'v> {
    Run(&'v RunSummary),
    Unreadable { run: &'v RunId, error: String },
}

/// Lists runs.
pub(crate) fn list(args: &ListArgs) -> ExitCode {
    with_runs(&args.of, async |runs| {
        let mut query = RunQuery::newest().limit(args.limit);
        query.only_unfinished = args.unfinished;
        let mut seen = Vec::new();
        for id in runs.runs(&query).await? {
            seen.push(summary(runs, id).await);
        }
        let mut out = screen::out(args.of.color.into());
        match args.output {
            Listed::Text => table(&mut out, &seen)?,
            Listed::Json => {
                let told: Vec<_> = seen.iter().map(told).collect();
                serde_json::to_writer_pretty(&mut out, &told).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            Listed::Jsonl => lines(&mut out, &seen)?,
        }
        Ok(out.flush()?)
    })
}

/// A run, or why it cannot be read: that is no reason not to list the others.
type Seen = Result<RunSummary, (RunId, WorkflowError)>;

async fn summary(runs: &RunJournal, id: RunId) -> Seen {
    runs.summary(&id).await.map_err(|error| (id, error))
}

fn lines(out: &mut impl Write, seen: &[Seen]) -> io::Result<()> {
    for run in seen {
        serde_json::to_writer(&mut *out, &told(run))?;
        writeln!(out)?;
    }
    Ok(())
}

fn told(seen: &Seen) -> Told<'_> {
    match seen {
        Ok(summary) => Told::Run(summary),
        Err((run, error)) => Told::Unreadable {
            run,
            error: with_causes(error),
        },
    }
}

fn table(out: &mut impl Write, seen: &[Seen]) -> io::Result<()> {
    let width = |texts: &mut dyn Iterator<Item = &str>, least: usize| {
        texts.map(str::len).max().unwrap_or_default().max(least)
    };
    let ids = seen.iter().map(|seen| match seen {
        Ok(summary) => &summary.run,
        Err((run, _)) => run,
    });
    let id_width = width(&mut ids.map(RunId::as_str), "RUN".len());
    let names = seen.iter().flatten().map(|summary| &*summary.workflow);
    let name_width = width(&mut { names }, "WORKFLOW".len());
    let steps: Vec<_> = seen.iter().map(steps).collect();
    let steps_width = width(&mut steps.iter().map(String::as_str), "STEPS".len());
    writeln!(
        out,
        "{QUIET}{:id_width$}  {:name_width$}  {:11}  {:>steps_width$}  {:19}  TOOK{QUIET:#}",
        "RUN", "WORKFLOW", "STATE", "STEPS", "STARTED"
    )?;
    for (seen, steps) in seen.iter().zip(steps) {
        match seen {
            Ok(summary) => {
                let (style, state) = word(
                    summary.state,
                    summary.ending,
                    summary.is_paused,
                    summary.is_up,
                );
                let took = summary.duration.map(|took| Spoken(took).to_string());
                let line = format!(
                    "{:id_width$}  {:name_width$}  {style}{state:11}{style:#}  {steps:>steps_width$}  {}  {}",
                    summary.run.as_str(),
                    summary.workflow,
                    local(summary.started_at),
                    took.unwrap_or_default(),
                );
                writeln!(out, "{}", line.trim_end())?;
            }
            Err((run, error)) => {
                let why = printable(&with_causes(error));
                writeln!(out, "{:id_width$}  {BAD}{why}{BAD:#}", run.as_str())?;
            }
        }
    }
    Ok(())
}

/// How many steps are done, of how many.
fn steps(seen: &Seen) -> String {
    let seen = seen.as_ref();
    seen.map_or_else(
        |_| String::new(),
        |summary| format!("{}/{}", summary.done, summary.steps),
    )
}

/// Where a run is, in a word.
pub(super) fn state(view: &RunView) -> (Style, String) {
    word(view.state, view.ending, view.is_paused, view.is_up)
}

pub(super) fn word(
    state: RunState,
    ending: Option<Status>,
    is_paused: bool,
    is_up: bool,
) -> (Style, String) {
    let style = match state {
        RunState::Finished(Status::Completed) => GOOD,
        RunState::Finished(Status::Failed) => BAD,
        RunState::Running if is_up => GOOD,
        RunState::Running if ending.is_none() && !is_paused => Style::new(),
        _ => ODD,
    };
    let state = match state {
        RunState::Running if ending == Some(Status::Cancelled) => "cancelling".to_owned(),
        RunState::Running if ending == Some(Status::TimedOut) => "timing-out".to_owned(),
        RunState::Running if ending.is_some() => "failing".to_owned(),
        RunState::Running if is_up => "up".to_owned(),
        RunState::Running if is_paused => "paused".to_owned(),
        state => state.to_string(),
    };
    (style, state)
}

/// A time as it is where the program runs.
pub(super) fn local(at: Timestamp) -> String {
    let at = at.to_zoned_datetime(TimeZone::system());
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// How long something took, or goes on.
pub(super) fn between(from: Option<Duration>, to: Option<Duration>) -> String {
    let took = from.zip(to).map(|(from, to)| to.saturating_sub(from));
    took.map(|took| Spoken(took).to_string())
        .unwrap_or_default()
}
