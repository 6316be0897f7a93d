//! `coord cancel`, `pause`, `continue`, `signal`, `skip`, `restart` and `stop`: what a run is told, by way of the
//! journal.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::LocalBus;
use coordination::bus::time::{Instant, sleep};
use coordination::journal::Journal;
use coordination::workflow::{
    Command, RunId, RunJournal, RunState, RunView, Status, StepPhase, StepView, Why,
    WorkflowOrchestrator,
};

use super::hint::hint;
use super::lives::{Lives, Service};
use super::place::flag_of_place;
use super::show::step_of;
use super::take_up::unit;
use super::{RunsFault, find, with_journal};
use crate::args::{Color, OfRun, OfStep};
use crate::exit_code::ExitCode;
use crate::file::{Unit, printable};
use crate::hands::Wish;
use crate::kept_output::Kept;
use crate::run::end_cancelled;
use crate::screen;

/// How long what is under way to the journal is waited for at most, and how often it is looked for.
const BEGINS_WITHIN: Duration = Duration::from_millis(500);
const BEGINS_LOOK: Duration = Duration::from_millis(10);

/// Tells a run something, and says what comes of it.
pub(crate) fn tell(args: &OfRun, command: Command) -> ExitCode {
    with_journal(&args.of, async |journal| {
        let runs = &RunJournal::of(Arc::clone(journal));
        let run = find(runs, &args.run).await?;
        let cancels = matches!(command, Command::Cancel { .. });
        let mut sent_before = None;
        let what = match &command {
            Command::Cancel { reason } => cancelled(&runs.view(&run).await?, reason.is_some()),
            Command::Pause => "is paused".to_owned(),
            Command::Continue => "is continued".to_owned(),
            Command::Signal { name, id, .. } => {
                if let Some(id) = id
                    && runs.has_signal(&run, name, id).await?
                {
                    let id = printable(id);
                    sent_before = Some(format!(
                        "was sent the signal `{name}` before, with the id `{id}`: nothing is sent anew"
                    ));
                } else {
                    // One that is sent again may have been taken.
                    check_signal(runs, &run, name).await?;
                }
                format!("is sent the signal `{name}`")
            }
            Command::Skip { step } => {
                let view = runs.view(&run).await?;
                let step = step_of(&view, step)?;
                if is_service(unit(runs, &run, &step.id).await?.as_ref()) {
                    let (service, run) = (step.id.clone(), run.to_string());
                    return Err(RunsFault::SkippedService { service, run });
                }
                format!("skips the step `{}`", step.id)
            }
            _ => "is told".to_owned(),
        };
        runs.tell(&run, command).await?;
        let what = sent_before.unwrap_or(what);
        let when = match runs.view(&run).await?.state {
            RunState::Interrupted => {
                if cancels {
                    end_left(journal, &run, args.of.color).await?;
                }
                let when = format!(", once it goes on: `coord resume {run}`");
                hint(&when, &flag_of_place(&args.of.journal))
            }
            _ => String::new(),
        };
        let mut out = screen::out(args.of.color.into());
        writeln!(out, "run {run} {what}{when}")?;
        Ok(out.flush()?)
    })
}

/// Ends what lives on of a run that is cancelled and that nobody drives.
async fn end_left(journal: &Journal, run: &RunId, color: Color) -> Result<(), RunsFault> {
    let kept = Kept::of(journal.dir(), run);
    Ok(end_cancelled(kept.dir(), run, color).await?)
}

/// What becomes of a run that is cancelled: one that comes to its end already has that end all the same.
fn cancelled(view: &RunView, has_reason: bool) -> String {
    let is_over = |step: &StepView| step.phase.is_over();
    let said = match view.ending {
        _ if view.is_up && has_reason => {
            "is up: its services are stopped, and it completes; the reason is not kept"
        }
        _ if view.is_up => "is up: its services are stopped, and it completes",
        Some(Status::Cancelled) => "is cancelled already, and comes to its end",
        Some(Status::TimedOut) => "has run out of time already, and comes to its end",
        Some(_) => "has failed already, and comes to its end",
        None if view.state == RunState::Running && view.steps.iter().all(is_over) => {
            "has done all its steps already, and comes to its end"
        }
        None => "is cancelled",
    };
    said.to_owned()
}

/// Ends a run that nobody drives as it is.
pub(crate) fn terminate(args: &OfRun, reason: Option<&str>) -> ExitCode {
    with_journal(&args.of, async |journal| {
        let runs = RunJournal::of(Arc::clone(journal));
        let run = find(&runs, &args.run).await?;
        let bus = LocalBus::new();
        let orchestrator = WorkflowOrchestrator::builder(&bus).journal(runs);
        let orchestrator = orchestrator.build()?;
        let reason = reason.unwrap_or("ended by `coord cancel --no-undo`");
        orchestrator.terminate_run(&run, reason).await?;
        end_left(journal, &run, args.of.color).await?;
        let mut out = screen::out(args.of.color.into());
        writeln!(out, "run {run} is over, and nothing of it was undone")?;
        Ok(out.flush()?)
    })
}

/// Restarts or stops a step or service that who drives the run has under way.
pub(crate) fn act(args: &OfStep, wish: fn(String) -> Wish) -> ExitCode {
    with_journal(&args.of.of, async |journal| {
        let runs = &RunJournal::of(Arc::clone(journal));
        let run = find(runs, &args.of.run).await?;
        let view = once_begun(runs, &run, &args.step).await?;
        let step = step_of(&view, &args.step)?;
        let wish = wish(step.id.clone());
        let does = match wish {
            Wish::Stop(_) => "stop",
            _ => "restart",
        };
        let unit = unit(runs, &run, &step.id).await?;
        let is_service = is_service(unit.as_ref());
        let kept = Kept::of(journal.dir(), &run);
        // Of a run that nobody drives, or that has finished, more is to be said than of the step.
        if view.state == RunState::Running {
            let waits = unit.as_ref().and_then(Unit::waits);
            check_under_way(&view, step, is_service, waits.as_deref(), does)?;
            if let Wish::Stop(_) = wish {
                check_up(&kept, &view, step).await?;
            }
        }
        let lives = Lives::read(&kept, &view)?;
        let is_over = lives.of(step).and_then(Service::over).is_some();
        runs.tell(&run, wish.into_command()).await?;
        let what = match is_service {
            true => "service",
            false => "step",
        };
        let mut out = screen::out(args.of.of.color.into());
        match is_over && does == "restart" {
            true => writeln!(out, "run {run} starts the {what} `{}` again", step.id)?,
            false => writeln!(out, "run {run} {does}s the {what} `{}`", step.id)?,
        }
        Ok(out.flush()?)
    })
}

/// The run, once a step has begun that could: that it has is in the journal a moment after its process was
/// started, which somebody may have seen by then.
async fn once_begun(runs: &RunJournal, run: &RunId, named: &str) -> Result<RunView, RunsFault> {
    let until = Instant::now() + BEGINS_WITHIN;
    loop {
        let view = runs.view(run).await?;
        let why = view.why(&step_of(&view, named)?.id);
        let could_begin = matches!(why, Some(Why::Place { .. } | Why::Permits { .. }));
        if !could_begin || Instant::now() >= until {
            return Ok(view);
        }
        sleep(BEGINS_LOOK).await;
    }
}

/// Whether a service that was ready is up still, or is started again. What becomes of it is kept a moment later, and
/// one that is being restarted by hand has ended meanwhile: so it is waited for that it starts.
async fn check_up(kept: &Kept, view: &RunView, step: &StepView) -> Result<(), RunsFault> {
    let until = Instant::now() + BEGINS_WITHIN;
    loop {
        let lives = Lives::read(kept, view)?;
        let Some(why) = lives.of(step).and_then(Service::over) else {
            return Ok(());
        };
        if Instant::now() >= until {
            let (run, id) = (&view.run, &step.id);
            return Err(RunsFault::NotUnderWay {
                step: id.clone(),
                run: run.to_string(),
                does: "stop".to_owned(),
                why: why.to_owned(),
                help: format!("`coord restart {run} {id}` starts it again"),
            });
        }
        sleep(BEGINS_LOOK).await;
    }
}

/// Whether something of a step is there to be stopped, or started again: a process, or a wait for the next
/// attempt. The step of a service is done when that is ready: what becomes of it then is in no journal, but kept.
fn check_under_way(
    view: &RunView,
    step: &StepView,
    is_service: bool,
    waits: Option<&str>,
    does: &str,
) -> Result<(), RunsFault> {
    let (run, id) = (view.run.to_string(), &step.id);
    let (why, help) = match step.phase {
        StepPhase::Running if waits.is_some() => (
            waits.unwrap_or_default().to_owned(),
            format!("`coord skip {run} {id}` ends that"),
        ),
        StepPhase::Running | StepPhase::Retrying => return Ok(()),
        StepPhase::Completed if is_service => return Ok(()),
        StepPhase::Waiting => (
            "has not begun".to_owned(),
            format!("`coord why {run} {id}` says why; `coord skip {run} {id}` skips it"),
        ),
        StepPhase::Exhausted => (
            "has failed in every attempt".to_owned(),
            format!(
                "`coord continue {run}` tries it again, `coord skip {run} {id}` goes on without"
            ),
        ),
        phase => (
            format!("is {phase}"),
            format!("`coord retry {run} --from {id}` does it again, once the run has finished"),
        ),
    };
    Err(RunsFault::NotUnderWay {
        step: id.clone(),
        run,
        does: does.to_owned(),
        why,
        help,
    })
}

/// A signal that comes after the steps that wait for it is a slip. Of one that none waits for, and of a run that has
/// finished, more is said as it is sent.
async fn check_signal(runs: &RunJournal, run: &RunId, name: &str) -> Result<(), RunsFault> {
    let view = runs.view(run).await?;
    let waits = || {
        view.steps
            .iter()
            .filter(|step| step.signal.as_deref() == Some(name))
    };
    let is_over = waits().next().is_some() && waits().all(|step| step.phase.is_over());
    if !is_over || view.state != RunState::Running {
        return Ok(());
    }
    let over = waits().map(|step| format!("`{}` is {}", step.id, step.phase));
    Err(RunsFault::NoSignal {
        signal: printable(name),
        run: run.to_string(),
        help: over.collect::<Vec<_>>().join(", "),
    })
}

/// Whether that is a service: what needs one starts it, whatever became of the step that is to. What is not
/// known is taken for a step.
fn is_service(unit: Option<&Unit>) -> bool {
    unit.is_some_and(|unit| unit.service().is_some())
}
