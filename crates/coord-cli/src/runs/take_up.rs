//! `coord resume` and `coord retry`: runs that go on; and how `coord run` begins one that is kept.

use std::sync::Arc;
use std::time::Duration;

use coordination::bus::time::{Instant, sleep};
use coordination::journal::Journal;
use coordination::workflow::{RunId, RunJournal, RunQuery, RunState};
use miette::Report;

use super::find::is_there;
use super::{RunsFault, find, open_there, refuse};
use crate::args::{Manner, MannerArgs, OfJournal, ResumeArgs, RetryArgs};
use crate::definition::{Definition, Prepared};
use crate::exit_code::ExitCode;
use crate::file::{Action, printable};
use crate::run::{Begin, execute, on_runtime};
use crate::screen;

/// A `coord` that was killed drives its runs until its watchdog has ended what it ran: for so long
/// that is waited for, and looked at so often.
pub(crate) const GONE_WITHIN: Duration = Duration::from_secs(2);
pub(crate) const GONE_LOOK: Duration = Duration::from_millis(20);

/// How many unfinished runs, the newest, are looked at for one that was interrupted.
const LOOKED_AT_MAX: usize = 1_000;

/// How a run begins that is to be kept: as a new one, or, if it was given an id, as the one that has
/// it already.
pub(crate) async fn begin(
    journal: &Arc<Journal>,
    id: Option<&str>,
    prepared: Prepared,
    manner: Manner,
) -> Result<(Prepared, Begin), Report> {
    let Some(id) = id else {
        return Ok((prepared, Begin::New(RunId::unique())));
    };
    let id = RunId::named(id).map_err(RunsFault::from)?;
    let runs = RunJournal::of(Arc::clone(journal));
    if !is_there(&runs, &id).await? {
        return Ok((prepared, Begin::New(id)));
    }
    let definition = definition(&runs, &id).await?;
    if !definition.is_same(&prepared.definition) {
        let run = id.to_string();
        return Err(RunsFault::OtherFile { run }.into());
    }
    let prepared = Prepared::new(definition.checked()?, definition, manner.concurrency);
    Ok((prepared, Begin::Resumed(id)))
}

/// A run that is not kept cannot be told anything.
pub(crate) fn check_unkept(prepared: &Prepared) -> Result<(), RunsFault> {
    for (unit, runs) in prepared.file.units.iter().zip(&prepared.runs) {
        if let Action::Signal(signal) = &unit.action
            && *runs
        {
            let (step, signal) = (unit.id.clone(), printable(signal));
            return Err(RunsFault::Untold { step, signal });
        }
    }
    Ok(())
}

/// Goes on with a run that was interrupted.
pub(crate) fn resume(args: &ResumeArgs) -> ExitCode {
    go_on(&args.of, &args.manner, async |runs| {
        let run = match &args.run {
            Some(run) => find(runs, run).await?,
            None => interrupted(runs).await?,
        };
        Ok(Begin::Resumed(run))
    })
}

/// Does again what failed.
pub(crate) fn retry(args: &RetryArgs) -> ExitCode {
    go_on(&args.of, &args.manner, async |runs| {
        let run = find(runs, &args.run).await?;
        if let Some(step) = &args.from {
            super::show::step_of(&runs.view(&run).await?, step)?;
        }
        Ok(Begin::Retried(run, args.from.clone()))
    })
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
        if let Some(changed) = definition.changed() {
            screen::say(of.color, &changed);
        }
        let prepared = Prepared::new(definition.checked()?, definition, manner.concurrency);
        execute(manner, prepared, Some(journal), begin, handle).await
    });
    match done {
        Ok(code) => code,
        Err(report) => refuse(of, &report),
    }
}

async fn definition(runs: &RunJournal, run: &RunId) -> Result<Definition, RunsFault> {
    Ok(runs.input(run).await?)
}

/// The latest run that was interrupted.
async fn interrupted(runs: &RunJournal) -> Result<RunId, RunsFault> {
    let until = Instant::now() + GONE_WITHIN;
    let unfinished = RunQuery::newest().unfinished().limit(LOOKED_AT_MAX);
    loop {
        let mut is_any_driven = false;
        for id in runs.runs(&unfinished).await? {
            // One that cannot be read does not hide the others.
            match runs.view(&id).await.map(|view| view.state) {
                Ok(RunState::Interrupted) => return Ok(id),
                Ok(RunState::Running) => is_any_driven = true,
                _ => {}
            }
        }
        if !is_any_driven || Instant::now() >= until {
            return Err(RunsFault::NothingToResume);
        }
        sleep(GONE_LOOK).await;
    }
}
