//! `coord list`: the runs in a journal, a line each.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::Style;
use coordination::bus::{Causes, Timestamp};
use coordination::workflow::{RunId, RunPhase, RunSummary, Status, WorkflowError};
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{find, with_runs};
use crate::args::{ListArgs, Listed};
use crate::exit_code::ExitCode;
use crate::file::printable;
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
        let mut query = args.query();
        if let Some(before) = &args.before {
            query.before = Some(find(runs, before).await?);
        }
        let seen = runs.list_runs(&query).await?;
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
type Seen = (RunId, Result<RunSummary, WorkflowError>);

fn lines(out: &mut impl Write, seen: &[Seen]) -> io::Result<()> {
    for run in seen {
        serde_json::to_writer(&mut *out, &told(run))?;
        writeln!(out)?;
    }
    Ok(())
}

fn told((run, seen): &Seen) -> Told<'_> {
    match seen {
        Ok(summary) => Told::Run(summary),
        Err(error) => Told::Unreadable {
            run,
            error: error.with_causes(),
        },
    }
}

fn table(out: &mut impl Write, seen: &[Seen]) -> io::Result<()> {
    let width = |texts: &mut dyn Iterator<Item = &str>, least: usize| {
        texts.map(str::len).max().unwrap_or_default().max(least)
    };
    let ids = seen.iter().map(|(run, _)| run.as_str());
    let id_width = width(&mut { ids }, "RUN".len());
    let read = seen.iter().flat_map(|(_, summary)| summary);
    let names = read.clone().map(|summary| &*summary.workflow);
    let name_width = width(&mut { names }, "WORKFLOW".len());
    let steps: Vec<_> = seen.iter().map(steps).collect();
    // So wide only where there is something to say behind it.
    let has_why = read.clone().any(|summary| summary.error.is_some());
    let tooks = read.map(took).collect::<Vec<_>>();
    let took_width = match has_why {
        true => width(&mut tooks.iter().map(String::as_str), "TOOK".len()),
        false => 0,
    };
    let steps_width = width(&mut steps.iter().map(String::as_str), "STEPS".len());
    writeln!(
        out,
        "{QUIET}{:id_width$}  {:name_width$}  {:11}  {:>steps_width$}  {:19}  {}{QUIET:#}",
        "RUN",
        "WORKFLOW",
        "STATE",
        "STEPS",
        "STARTED",
        match took_width {
            0 => "TOOK".to_owned(),
            _ => format!("{:took_width$}  WHY", "TOOK"),
        }
    )?;
    for ((run, seen), steps) in seen.iter().zip(steps) {
        match seen {
            Ok(summary) => {
                let (style, state) = styled(summary.phase());
                let line = format!(
                    "{:id_width$}  {:name_width$}  {style}{state:11}{style:#}  {steps:>steps_width$}  {}  {:took_width$}  {}",
                    run.as_str(),
                    summary.workflow,
                    local(summary.started_at),
                    took(summary),
                    summary.error.as_deref().map(why).unwrap_or_default(),
                );
                writeln!(out, "{}", line.trim_end())?;
            }
            Err(error) => {
                let why = printable(&error.with_causes());
                writeln!(out, "{:id_width$}  {BAD}{why}{BAD:#}", run.as_str())?;
            }
        }
    }
    Ok(())
}

fn took(summary: &RunSummary) -> String {
    let took = summary.duration.map(|took| Spoken(took).to_string());
    took.unwrap_or_default()
}

/// Why a run has ended, or is to, as far as a line goes.
fn why(error: &str) -> String {
    printable(error.lines().next().unwrap_or_default())
}

/// How many steps are done, of how many.
fn steps((_, seen): &Seen) -> String {
    let seen = seen.as_ref();
    seen.map_or_else(
        |_| String::new(),
        |summary| format!("{}/{}", summary.done, summary.steps),
    )
}

/// Where a run is, in a word, and how that is shown.
pub(super) fn styled(phase: RunPhase) -> (Style, &'static str) {
    let style = match phase {
        RunPhase::Ended(Status::Completed) | RunPhase::Up => GOOD,
        RunPhase::Ended(Status::Failed) => BAD,
        RunPhase::Running => Style::new(),
        _ => ODD,
    };
    (style, phase.name())
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
