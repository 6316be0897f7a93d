//! `coord list`: the runs in a journal, a line each.

use std::io::{self, Write};
use std::time::Duration;

use anstyle::Style;
use coordination::bus::Timestamp;
use coordination::workflow::{
    RunId, RunJournal, RunQuery, RunState, RunView, Status, StepPhase, WorkflowError,
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

/// A run, for programs.
#[derive(Serialize)]
struct Line<'v> {
    run: &'v RunId,
    workflow: &'v str,
    state: RunState,
    is_paused: bool,
    /// Whether all steps are over, and services run on.
    is_up: bool,
    started_at: Timestamp,
    /// In seconds, once it has finished.
    duration: Option<f64>,
    /// How many steps are done, and how many there are.
    done: usize,
    steps: usize,
    driven_by: Option<&'v str>,
}

/// As [`Seen`], for programs.
#[derive(Serialize)]
#[serde(untagged)]
enum Told<'v> {
    Run(Line<'v>),
    Unreadable { run: &'v RunId, error: String },
}

/// Lists runs.
pub(crate) fn list(args: &ListArgs) -> ExitCode {
    with_runs(&args.of, async |runs| {
        let mut query = RunQuery::newest().limit(args.limit);
        query.only_unfinished = args.unfinished;
        let mut views = Vec::new();
        for id in runs.runs(&query).await? {
            views.push(view(runs, id).await);
        }
        let mut out = screen::out(args.of.color.into());
        match args.output {
            Listed::Text => table(&mut out, &views)?,
            Listed::Json => {
                let told: Vec<_> = views.iter().map(told).collect();
                serde_json::to_writer_pretty(&mut out, &told).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            Listed::Jsonl => lines(&mut out, &views)?,
        }
        Ok(out.flush()?)
    })
}

/// A run, or why it cannot be read: that is no reason not to list the others.
type Seen = Result<RunView, (RunId, WorkflowError)>;

async fn view(runs: &RunJournal, id: RunId) -> Seen {
    runs.view(&id).await.map_err(|error| (id, error))
}

fn lines(out: &mut impl Write, views: &[Seen]) -> io::Result<()> {
    for view in views {
        serde_json::to_writer(&mut *out, &told(view))?;
        writeln!(out)?;
    }
    Ok(())
}

fn told(view: &Seen) -> Told<'_> {
    match view {
        Ok(view) => Told::Run(line(view)),
        Err((run, error)) => Told::Unreadable {
            run,
            error: with_causes(error),
        },
    }
}

fn line(view: &RunView) -> Line<'_> {
    Line {
        run: &view.run,
        workflow: &view.workflow,
        state: view.state,
        is_paused: view.is_paused,
        is_up: view.is_up,
        started_at: view.started_at,
        duration: view.duration.map(|duration| duration.as_secs_f64()),
        done: done(view),
        steps: view.steps.len(),
        driven_by: view.driven_by.as_deref(),
    }
}

fn table(out: &mut impl Write, views: &[Seen]) -> io::Result<()> {
    let width = |texts: &mut dyn Iterator<Item = &str>, least: usize| {
        texts.map(str::len).max().unwrap_or_default().max(least)
    };
    let ids = views.iter().map(|view| match view {
        Ok(view) => &view.run,
        Err((run, _)) => run,
    });
    let id_width = width(&mut ids.map(RunId::as_str), "RUN".len());
    let names = views.iter().flatten().map(|view| &*view.workflow);
    let name_width = width(&mut { names }, "WORKFLOW".len());
    let steps: Vec<_> = views.iter().map(steps).collect();
    let steps_width = width(&mut steps.iter().map(String::as_str), "STEPS".len());
    writeln!(
        out,
        "{QUIET}{:id_width$}  {:name_width$}  {:11}  {:>steps_width$}  {:19}  TOOK{QUIET:#}",
        "RUN", "WORKFLOW", "STATE", "STEPS", "STARTED"
    )?;
    for (view, steps) in views.iter().zip(steps) {
        match view {
            Ok(view) => {
                let (style, state) = state(view);
                let took = view.duration.map(|took| Spoken(took).to_string());
                let line = format!(
                    "{:id_width$}  {:name_width$}  {style}{state:11}{style:#}  {steps:>steps_width$}  {}  {}",
                    view.run.as_str(),
                    view.workflow,
                    local(view.started_at),
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
fn steps(view: &Seen) -> String {
    let view = view.as_ref();
    view.map_or_else(
        |_| String::new(),
        |view| format!("{}/{}", done(view), view.steps.len()),
    )
}

fn done(view: &RunView) -> usize {
    let is_done = |phase| phase == StepPhase::Completed;
    view.steps.iter().filter(|step| is_done(step.phase)).count()
}

/// Where a run is, in a word.
pub(super) fn state(view: &RunView) -> (Style, String) {
    let style = match view.state {
        RunState::Finished(Status::Completed) => GOOD,
        RunState::Finished(Status::Failed) => BAD,
        RunState::Running if view.is_up => GOOD,
        RunState::Running if !view.is_paused => Style::new(),
        _ => ODD,
    };
    let state = match view.state {
        RunState::Running if view.is_up => "up".to_owned(),
        RunState::Running if view.is_paused => "paused".to_owned(),
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
