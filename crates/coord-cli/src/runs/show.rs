//! `coord show` and `coord why`: a run, its steps, and what they wait for.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use anstyle::Style;
use coordination::bus::text::nearest;
use coordination::workflow::{
    Graph, GraphState, GraphStep, RunJournal, RunState, RunView, StepPhase, StepView, Why,
};
use serde::Serialize;

use super::find::find_or_latest;
use super::hint::hint;
use super::list::{between, local, styled};
use super::lives::{Lives, Service};
use super::{RunsFault, find, journal_flag, open_to_look, time_left, with_journal};
use crate::args::{JournalPlace, ShowArgs, Told, WhyArgs};
use crate::board::Lived;
use crate::exit_code::ExitCode;
use crate::file::printable;
use crate::job::shown;
use crate::kept_output::Kept;
use crate::run::{Living, living};
use crate::screen::{self, BAD, GOOD, ODD, QUIET};
use crate::shortened::first_line;
use crate::spoken::{Size, Spoken};

/// The columns that a value has at most which a step has put out.
const VALUE_WIDTH_MAX: usize = 40;

/// How many processes that live on are named; the others are counted.
const LIVING_NAMED_MAX: usize = 8;

/// A run, for programs.
#[derive(Serialize)]
struct Shown<'v> {
    #[serde(flatten)]
    view: &'v RunView,
    /// As how they were: in the view a service is a step, done once it was ready.
    services: Vec<Lived<'v>>,
    /// What lives on of it though nobody drives it.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    living: &'v [Living],
    output: Output<'v>,
}

/// What is kept of what its processes have printed.
#[derive(Serialize)]
struct Output<'v> {
    /// Where; nowhere, if nothing was kept.
    dir: Option<&'v Path>,
    bytes: u64,
}

impl Output<'_> {
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        match self.dir {
            Some(dir) if self.bytes > 0 => {
                let dir = printable(&dir.display().to_string());
                writeln!(out, "{QUIET}output: {} in {dir}{QUIET:#}", Size(self.bytes))
            }
            _ => Ok(()),
        }
    }
}

/// Shows a run.
pub(crate) fn show(args: &ShowArgs) -> ExitCode {
    with_journal(&args.of.of, async |journal| {
        let runs = RunJournal::of(Arc::clone(journal));
        let run = find_or_latest(&runs, args.of.run.as_deref()).await?;
        let view = runs.view(&run).await?;
        let kept = Kept::of(journal.dir(), &run);
        let output = Output {
            dir: kept.is_there().then(|| kept.dir()),
            bytes: kept.bytes()?,
        };
        let mut out = screen::out(args.of.of.color.into());
        let lives = Lives::read(&kept, &view)?;
        let living = left_of(&kept, &view)?;
        if args.output == Told::Json {
            let (view, services) = (&view, lives.told(&view));
            let shown = Shown {
                view,
                services,
                living: &living,
                output,
            };
            serde_json::to_writer_pretty(&mut out, &shown).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            print(&mut out, &view, &lives, &journal_flag(journal), |_| true)?;
            if let Some(said) = lives_on(&view, &living, &journal_flag(journal)) {
                writeln!(out, "{BAD}{said}{BAD:#}")?;
            }
            output.print(&mut out)?;
        }
        Ok(out.flush()?)
    })
}

/// What lives on of a run that nobody drives.
fn left_of(kept: &Kept, view: &RunView) -> io::Result<Vec<Living>> {
    match view.state {
        RunState::Running => Ok(Vec::new()),
        _ => living(kept.dir(), &view.run),
    }
}

/// Which processes live on, and what ends them.
fn lives_on(view: &RunView, living: &[Living], flag: &str) -> Option<String> {
    let named = living.iter().take(LIVING_NAMED_MAX);
    let named: Vec<_> = named
        .map(|of| format!("{} (process {})", printable(&of.process), of.id))
        .collect();
    let (what, them) = match living.len() {
        0 => return None,
        1 => (named.concat() + " lives on", "it"),
        all if all == named.len() => (named.join(", ") + " live on", "them"),
        all => {
            let more = all - named.len();
            (
                format!("{} and {more} more live on", named.join(", ")),
                "them",
            )
        }
    };
    let run = &view.run;
    let ends = match view.state {
        RunState::Interrupted => {
            format!("`coord resume {run}` ends {them} first, `coord cancel {run}` at once")
        }
        _ => format!("`coord resume {run}` ends {them}"),
    };
    Some(format!(
        "{what}, though nobody drives the run: {}",
        hint(&ends, flag)
    ))
}

/// Prints where a run is, and each of its steps that is `told`.
pub(super) fn print(
    out: &mut impl Write,
    view: &RunView,
    lives: &Lives,
    flag: &str,
    told: impl Fn(StepPhase) -> bool,
) -> io::Result<()> {
    let (style, state) = styled(view.phase());
    let started = local(view.started_at);
    write!(
        out,
        "run {} of {}: {style}{state}{style:#}, started {started}",
        view.run, view.workflow
    )?;
    if let Some(took) = view.duration {
        write!(out, ", took {}", Spoken(took))?;
    }
    if let Some(driver) = &view.driven_by {
        write!(out, ", driven by {driver}")?;
    }
    if let Some(left) = time_left::said(view, "timeout", view.times_out_at) {
        write!(out, "; {left}")?;
    }
    writeln!(out)?;
    // That of a step stands with that.
    if let Some(error) = &view.error
        && view.failed_step().is_none()
    {
        writeln!(out, "{BAD}{}{BAD:#}", printable(error))?;
    }
    let width = view.steps.iter().map(|step| step.id.len()).max();
    let width = width.unwrap_or_default();
    for step in &view.steps {
        if !told(lives.phase(step)) {
            continue;
        }
        let (style, phase, took, remark) = match lives.of(step) {
            Some(life) => {
                let (style, state) = life.state();
                let remark = life.remarks().join("; ");
                (style, state.to_owned(), life.took(), remark)
            }
            None => {
                let phase = step.phase;
                let took = phase.is_over().then(|| between(step.started, step.ended));
                let remark = remark(view, step);
                (
                    style_of(phase),
                    word_of(step),
                    took.unwrap_or_default(),
                    remark,
                )
            }
        };
        let line = format!("{:width$}  {took:>11}  {remark}", step.id);
        writeln!(out, "{style}{phase:10}{style:#} {}", line.trim_end())?;
    }
    if view.exhausted().next().is_some() {
        writeln!(out, "{QUIET}coord continue {}{flag}{QUIET:#}", view.run)?;
    }
    match view.state {
        RunState::Interrupted => writeln!(out, "{QUIET}coord resume {}{flag}{QUIET:#}", view.run),
        _ => Ok(()),
    }
}

fn remark(view: &RunView, step: &StepView) -> String {
    let mut remarks = Vec::new();
    if step.attempts > 1 {
        remarks.push(format!("{} attempts", step.attempts));
    }
    remarks.extend(step.error.as_deref().map(printable));
    remarks.extend(step.not_run.as_deref().map(printable));
    if let Some(error) = step.not_undone.as_deref() {
        let error = printable(error);
        remarks.push(format!("it could not be undone before a retry: {error}"));
    }
    let outputs = step.output.iter().flat_map(|output| shown(output));
    remarks.extend(
        outputs.map(|(name, value)| format!("{name}={}", first_line(value, VALUE_WIDTH_MAX))),
    );
    if view.state == RunState::Running {
        match view.why(&step.id) {
            None
            | Some(Why::Over(_) | Why::NotRun { .. } | Why::Running | Why::Exhausted { .. }) => {}
            Some(why) => remarks.push(said(view, &why)),
        }
        remarks.extend(time_left::said(view, "total_timeout", step.times_out_at));
    }
    remarks.join("; ")
}

/// What a step waits for, with times as clocks show them.
fn said(view: &RunView, why: &Why) -> String {
    match why {
        Why::Sleep { until } => format!("it waits until {}", local(view.started_at + *until)),
        why => why.to_string(),
    }
}

/// Where a step is, in a word: nobody has cancelled what never began.
fn word_of(step: &StepView) -> String {
    match step.phase {
        StepPhase::Cancelled if step.attempts == 0 => "not run".to_owned(),
        phase => phase.to_string(),
    }
}

fn style_of(phase: StepPhase) -> Style {
    match phase {
        StepPhase::Completed => GOOD,
        StepPhase::Failed | StepPhase::NotUndone | StepPhase::Exhausted => BAD,
        StepPhase::Retrying | StepPhase::Cancelled | StepPhase::Undone => ODD,
        StepPhase::Waiting | StepPhase::Skipped => QUIET,
        _ => Style::new(),
    }
}

/// What a step waits for, for programs.
#[derive(Serialize)]
struct Waits<'v> {
    step: &'v str,
    phase: StepPhase,
    why: Option<String>,
    error: Option<&'v str>,
    /// In seconds, where all attempts at it have a limit together.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_left: Option<f64>,
    /// In seconds, where it has not ended and its run has a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_time_left: Option<f64>,
    /// What lives on of the run though nobody drives it.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    living: &'v [Living],
}

/// Says what a step waits for, or else where it is.
pub(crate) fn why(args: &WhyArgs) -> ExitCode {
    with_journal(&args.of.of, async |journal| {
        let runs = RunJournal::of(Arc::clone(journal));
        let run = find_or_latest(&runs, args.of.run.as_deref()).await?;
        let view = runs.view(&run).await?;
        let mut step = step_of(&view, &args.step);
        if let Err(RunsFault::NoStep { step, help, .. }) = &mut step
            && args.of.run.is_none()
            && let Ok(named) = find(&runs, &args.step).await
        {
            *help = format!(
                "`{step}` is a run, and the step stands behind it: `coord why {named} STEP`"
            );
        }
        let step = step?;
        let mut out = screen::out(args.of.of.color.into());
        let why = runs.why(&run, &step.id).await?;
        // Of a service that was ready the journal knows no more.
        let kept = Kept::of(journal.dir(), &run);
        let lives = Lives::read(&kept, &view)?;
        let living = left_of(&kept, &view)?;
        let became = lives.of(step).map(Service::became);
        let told = became.or_else(|| why.as_ref().map(|why| said(&view, why)));
        let of_run = view.times_out_at.filter(|_| !step.phase.is_over());
        if args.output == Told::Json {
            let failed = lives.of(step).and_then(|service| service.failed.as_deref());
            let waits = Waits {
                step: &step.id,
                phase: lives.phase(step),
                why: told,
                error: failed.or(step.error.as_deref()),
                time_left: time_left::left(&view, step.times_out_at).map(|left| left.as_secs_f64()),
                run_time_left: time_left::left(&view, of_run).map(|left| left.as_secs_f64()),
                living: &living,
            };
            serde_json::to_writer_pretty(&mut out, &waits).map_err(io::Error::from)?;
            writeln!(out)?;
            return Ok(out.flush()?);
        }
        if let Some(told) = &told {
            writeln!(out, "{}: {}", step.id, printable(told))?;
        }
        if let Some(left) = time_left::said(&view, "total_timeout", step.times_out_at) {
            writeln!(out, "{}: {left}", step.id)?;
        }
        if let Some(left) = time_left::said(&view, "timeout", of_run) {
            writeln!(out, "run {run}: {left}")?;
        }
        if let Some(said) = lives_on(&view, &living, &journal_flag(journal)) {
            writeln!(out, "run {run}: {said}")?;
        }
        let is_told = matches!(why, Some(Why::Exhausted { .. }));
        if let Some(error) = step.error.as_ref().filter(|_| !is_told) {
            writeln!(out, "{}: {}", step.id, printable(error))?;
        }
        Ok(out.flush()?)
    })
}

/// The step of a run that is meant.
pub(super) fn step_of<'v>(view: &'v RunView, id: &str) -> Result<&'v StepView, RunsFault> {
    view.step(id).ok_or_else(|| RunsFault::NoStep {
        step: printable(id),
        run: view.run.to_string(),
        help: match nearest(id, view.steps.iter().map(|step| &*step.id)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("`coord show {}` shows its steps", view.run),
        },
    })
}

/// What needs what in a run, with where each step is, and how long it took; if there is such a run.
pub(crate) async fn of_run(place: &JournalPlace, run: &str) -> Option<Graph> {
    let journal = open_to_look(place).ok()?;
    let runs = RunJournal::of(Arc::clone(&journal));
    let run = find(&runs, run).await.ok()?;
    let view = runs.view(&run).await.ok()?;
    let lives = Lives::read(&Kept::of(journal.dir(), &run), &view).ok()?;
    let steps = view.steps.iter().map(|step| {
        let drawn = GraphStep::new(&step.id)
            .needs(step.needs.iter().copied())
            .needs_any(step.needs_any.iter().copied())
            .attempts(step.attempts);
        let phase = lives.phase(step);
        let (began, ended) = match lives.of(step).map(|service| service.moments(&view)) {
            Some((began, ended)) => (Some(began), ended),
            None => (step.started, step.ended.filter(|_| phase.is_over())),
        };
        let drawn = match began.zip(ended) {
            Some((began, ended)) => drawn.duration(ended.saturating_sub(began)),
            None => drawn,
        };
        match graph_state(phase) {
            Some(state) => drawn.state(state),
            None => drawn.note(phase.to_string()),
        }
    });
    Some(Graph::new(&view.workflow, steps.collect()))
}

/// What came of a step, if anything did.
fn graph_state(phase: StepPhase) -> Option<GraphState> {
    Some(match phase {
        StepPhase::Completed => GraphState::Completed,
        StepPhase::Failed => GraphState::Failed,
        StepPhase::Skipped => GraphState::Skipped,
        StepPhase::Cancelled => GraphState::Cancelled,
        StepPhase::Undone => GraphState::Undone,
        StepPhase::NotUndone => GraphState::NotUndone,
        _ => return None,
    })
}
