//! `coord resume` and `coord retry`: runs that go on; and how `coord run` begins one that is kept.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::time::{Instant, sleep};
use coordination::journal::Journal;
use coordination::workflow::{
    OnExhausted, RunId, RunJournal, RunQuery, RunState, RunView, Status, StepPhase,
};
use miette::Report;

use super::find::{finished, is_there, latest};
use super::{RunsFault, find, open_there, refuse};
use crate::args::{Manner, MannerArgs, OfJournal, Output, ResumeArgs, RetryArgs, RunArgs};
use crate::definition::{Definition, Prepared};
use crate::exit_code::ExitCode;
use crate::file::{Action, Step, Unit, printable};
use crate::run::{Begin, execute, on_runtime};
use crate::screen;

/// A `coord` that was killed drives its runs until its watchdog has ended what it ran: for so long
/// that is waited for, and looked at so often.
pub(crate) const GONE_WITHIN: Duration = Duration::from_secs(2);
pub(crate) const GONE_LOOK: Duration = Duration::from_millis(20);

/// How many unfinished runs, the newest, are looked at for one that was interrupted.
const LOOKED_AT_MAX: usize = 1_000;
/// How many runs, the newest, are looked through for one that has failed, which is only a hint.
const FAILED_AMONG_MAX: usize = 100;

/// How a run begins that is to be kept: as a new one, or, if it was given an id, as the one that has
/// it already.
pub(crate) async fn begin(
    journal: &Arc<Journal>,
    args: &RunArgs,
    prepared: Prepared,
    manner: Manner,
) -> Result<(Prepared, Begin), Report> {
    let Some(id) = &args.id else {
        return Ok((prepared, Begin::New(RunId::unique())));
    };
    let id = RunId::named(id).map_err(RunsFault::from)?;
    let runs = RunJournal::of(Arc::clone(journal));
    if !is_there(&runs, &id).await? {
        return Ok((prepared, Begin::New(id)));
    }
    let is_finished = finished(&runs, &id).await?.is_some();
    if args.again && is_finished {
        return Ok((prepared, Begin::Anew(id)));
    }
    let definition = definition(&runs, &id).await?;
    if !definition.is_same(&prepared.definition) {
        let run = id.to_string();
        return Err(RunsFault::OtherFile { run, is_finished }.into());
    }
    let prepared = Prepared::new(definition.checked()?, definition, manner.concurrency);
    Ok((prepared, Begin::Resumed(id)))
}

/// A run that is not kept cannot be told anything, but that it is to go on, on its screen.
pub(crate) fn check_unkept(prepared: &Prepared, manner: Manner) -> Result<(), RunsFault> {
    for (unit, runs) in prepared.file.units.iter().zip(&prepared.runs) {
        if let Action::Signal(signal) = &unit.action
            && *runs
        {
            let (step, signal) = (unit.id.clone(), printable(signal));
            return Err(RunsFault::Untold { step, signal });
        }
        let pauses = |step: &Step| step.failing.on_exhausted == OnExhausted::Pause;
        if *runs && manner.output != Output::Tui && unit.step().is_some_and(pauses) {
            let step = unit.id.clone();
            return Err(RunsFault::Unpaused { step });
        }
    }
    Ok(())
}

/// Goes on with a run that was interrupted, or with all of them.
pub(crate) fn resume(args: &ResumeArgs) -> ExitCode {
    if args.all {
        return resume_all(args);
    }
    go_on(&args.of, &args.manner, async |runs| {
        let run = match &args.run {
            Some(run) => find(runs, run).await?,
            None => {
                let found = undriven(runs, 1, LOOKED_AT_MAX, &HashSet::new()).await?;
                let latest = found.interrupted.into_iter().next();
                latest.ok_or(RunsFault::NothingToResume)?
            }
        };
        Ok(Begin::Resumed(run))
    })
}

/// Goes on with one run after the other, the oldest first, until there is none left that was
/// interrupted: also none that became free only meanwhile. A person who ends one ends it all.
fn resume_all(args: &ResumeArgs) -> ExitCode {
    let mut tried = HashSet::new();
    let mut worst = None;
    loop {
        let found = on_runtime(async |_| {
            let runs = RunJournal::of(open_there(&args.of.journal)?);
            Ok(undriven(&runs, usize::MAX, usize::MAX, &tried).await?)
        });
        let found = match found {
            // Whoever takes up one that cannot be read says why.
            Ok(found) => [found.unreadable, found.interrupted].concat(),
            Err(report) => return refuse(args.of.color, &args.of.journal, &report),
        };
        if found.is_empty() {
            let nothing = RunsFault::NothingToResume.into();
            let nothing = || refuse(args.of.color, &args.of.journal, &nothing);
            return worst.unwrap_or_else(nothing);
        }
        for run in found.into_iter().rev() {
            let begin = async |_: &RunJournal| Ok(Begin::Resumed(run.clone()));
            let code = go_on(&args.of, &args.manner, begin);
            if matches!(code, ExitCode::Interrupted | ExitCode::OutputLost) {
                return code;
            }
            // In this order of their numbers: done, not to be resumed, failed.
            worst = worst.max(Some(code));
            tried.insert(run);
        }
    }
}

/// Does again what failed.
pub(crate) fn retry(args: &RetryArgs) -> ExitCode {
    go_on(&args.of, &args.manner, async |runs| {
        let run = match &args.run {
            Some(run) => find(runs, run).await?,
            None => latest_to_retry(runs, args.from.is_some()).await?,
        };
        let view = runs.view(&run).await?;
        if let Some(step) = &args.from {
            super::show::step_of(&view, step)?;
        } else if view.state == RunState::Finished(Status::Completed)
            && let Some((why, step)) = failed_optional(&view)
        {
            let run = run.to_string();
            return Err(RunsFault::NothingToRetry { run, why, step });
        }
        Ok(Begin::Retried(run, args.from.clone()))
    })
}

/// The latest run, if there is something in it to do again. It is not another one, which nobody has thought of.
async fn latest_to_retry(runs: &RunJournal, has_step: bool) -> Result<RunId, RunsFault> {
    let run = latest(runs).await?;
    let (why, help) = match runs.summary(&run).await?.state {
        RunState::Finished(Status::Completed) if !has_step => {
            let done = ("every step is done".to_owned(), "STEP".to_owned());
            let (why, step) = failed_optional(&runs.view(&run).await?).unwrap_or(done);
            let step = format!("`coord retry {run} --from {step}` does that step again");
            (why, step)
        }
        RunState::Finished(_) => return Ok(run),
        RunState::Interrupted => {
            let goes_on = format!("`coord resume {run}` goes on with it");
            ("it was interrupted".to_owned(), goes_on)
        }
        _ => (
            "it goes on".to_owned(),
            format!("`coord attach {run}` shows it"),
        ),
    };
    let failed = latest_failed(runs).await?;
    let failed = failed.map(|failed| {
        format!(
            "; `coord retry {failed}` does again what failed in the latest that has not completed"
        )
    });
    Err(RunsFault::NotRetried {
        run: run.to_string(),
        why,
        help: help + &failed.unwrap_or_default(),
    })
}

/// That nothing is done again in a run that has completed though a step of it has failed, as that is optional; and
/// the first such step.
fn failed_optional(view: &RunView) -> Option<(String, String)> {
    let steps = view.steps.iter();
    let mut failed = steps.filter(|step| step.phase == StepPhase::Failed);
    let step = failed.next()?.id.clone();
    let why = match failed.count() {
        0 => format!("only `{step}` has failed, which is optional"),
        more => format!("only `{step}` and {more} more have failed, which are optional"),
    };
    Some((why, step))
}

/// The latest run that has finished, and not well.
async fn latest_failed(runs: &RunJournal) -> Result<Option<RunId>, RunsFault> {
    let newest = RunQuery::newest().limit(FAILED_AMONG_MAX);
    for id in runs.runs(&newest).await? {
        // One that cannot be read does not hide the others.
        if let Ok(run) = runs.summary(&id).await
            && let RunState::Finished(status) = run.state
            && status != Status::Completed
        {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

fn go_on(
    of: &OfJournal,
    manner: &MannerArgs,
    which: impl AsyncFnOnce(&RunJournal) -> Result<Begin, RunsFault>,
) -> ExitCode {
    let manner = manner.manner(of.color);
    let done = on_runtime(async |handle| {
        let journal = open_there(&of.journal)?;
        let runs = RunJournal::of(Arc::clone(&journal));
        let begin = which(&runs).await?;
        let Some(run) = begin.before() else {
            return Err(RunsFault::NothingToResume.into());
        };
        let definition = definition(&runs, run).await?;
        check_folder(&runs, &begin, &definition).await?;
        if let Some(changed) = definition.changed() {
            screen::say(of.color, &changed);
        }
        let prepared = Prepared::new(definition.checked()?, definition, manner.concurrency);
        execute(manner, prepared, Some(journal), begin, handle).await
    });
    match done {
        Ok(code) => code,
        Err(report) => refuse(of.color, &of.journal, &report),
    }
}

/// A run whose folder is not there could start no process, nor undo anything: it would fail for good, though
/// nothing is wrong with it. One that has finished, and is only shown, starts none.
async fn check_folder(
    runs: &RunJournal,
    begin: &Begin,
    definition: &Definition,
) -> Result<(), RunsFault> {
    let (run, command) = match begin {
        Begin::Resumed(run) if finished(runs, run).await?.is_none() => {
            (run, format!("coord resume {run}"))
        }
        Begin::Retried(run, None) => (run, format!("coord retry {run}")),
        Begin::Retried(run, Some(step)) => (run, format!("coord retry {run} --from {step}")),
        _ => return Ok(()),
    };
    match definition.lacks_folder() {
        None => Ok(()),
        Some((folder, why)) => Err(RunsFault::NoFolder {
            run: run.to_string(),
            folder: printable(&folder.display().to_string()),
            why,
            command,
        }),
    }
}

pub(super) async fn definition(runs: &RunJournal, run: &RunId) -> Result<Definition, RunsFault> {
    Ok(runs.input(run).await?)
}

/// What a step of the run is in the file. `None` of one that cannot be read any more.
pub(super) async fn unit(
    runs: &RunJournal,
    run: &RunId,
    id: &str,
) -> Result<Option<Unit>, RunsFault> {
    let Ok(checked) = definition(runs, run).await?.looked_at() else {
        return Ok(None);
    };
    let mut units = checked.file.units.into_iter();
    Ok(units.find(|unit| unit.id == id))
}

/// Runs that have not finished and that nobody drives, the latest first.
#[derive(Default)]
struct Undriven {
    interrupted: Vec<RunId>,
    unreadable: Vec<RunId>,
}

/// Looks for runs that were interrupted, but for those that were tried: for so many among so many,
/// the latest, that have not finished.
async fn undriven(
    runs: &RunJournal,
    most: usize,
    among: usize,
    tried: &HashSet<RunId>,
) -> Result<Undriven, RunsFault> {
    let until = Instant::now() + GONE_WITHIN;
    let unfinished = RunQuery::newest().unfinished().limit(among);
    loop {
        let mut found = Undriven::default();
        let mut is_any_driven = false;
        for id in runs.runs(&unfinished).await? {
            if tried.contains(&id) {
                continue;
            }
            match runs.view(&id).await.map(|view| view.state) {
                Ok(RunState::Interrupted) => found.interrupted.push(id),
                Ok(RunState::Running) => is_any_driven = true,
                Ok(_) => {}
                // It does not hide the others.
                Err(_) => found.unreadable.push(id),
            }
            if found.interrupted.len() == most {
                return Ok(found);
            }
        }
        if !found.interrupted.is_empty() || !is_any_driven || Instant::now() >= until {
            return Ok(found);
        }
        sleep(GONE_LOOK).await;
    }
}
