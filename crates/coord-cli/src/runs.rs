//! The runs in a journal: where it is, which run is meant, and the commands about runs that are
//! there.

mod attach;
mod detach;
mod fault;
mod find;
mod forget;
mod hint;
mod list;
mod lives;
mod logs;
mod marks;
mod offer;
mod place;
mod relay;
mod report;
mod show;
mod take_up;
mod tell;
mod time_left;

use std::sync::Arc;

use coordination::journal::Journal;
use coordination::workflow::RunJournal;
use miette::Report;

use crate::args::{Color, JournalPlace, OfJournal};
use crate::exit_code::ExitCode;
use crate::run::on_runtime;
use crate::screen;
pub(crate) use attach::attach;
pub(crate) use detach::{begin_in_background, detach, is_taken_back};
pub(crate) use fault::RunsFault;
pub(crate) use find::find;
pub(crate) use forget::{ForgetError, RUNS_KEPT, forget, forget_output};
pub(crate) use list::list;
pub(crate) use logs::logs;
pub(crate) use offer::{looked_at, offered};
pub(crate) use place::{journal_flag, open_for_run, open_there, open_to_look};
pub(crate) use report::report;
pub(crate) use show::{of_run, show, why};
pub(crate) use take_up::{GONE_LOOK, GONE_WITHIN, begin, check_unkept, resume, retry};
pub(crate) use tell::{act, tell, terminate};

/// Does something with the runs of a journal that is there, and says on standard error why not.
fn with_runs(
    of: &OfJournal,
    work: impl AsyncFnOnce(&RunJournal) -> Result<(), RunsFault>,
) -> ExitCode {
    with_journal(of, async |journal| {
        work(&RunJournal::of(Arc::clone(journal))).await
    })
}

/// As [`with_runs`], and with the journal that they are in.
fn with_journal(
    of: &OfJournal,
    work: impl AsyncFnOnce(&Arc<Journal>) -> Result<(), RunsFault>,
) -> ExitCode {
    let done = on_runtime(async |_| Ok(work(&open_to_look(&of.journal)?).await?));
    match done {
        Ok(()) => ExitCode::Done,
        Err(report) => refuse(of.color, &of.journal, &report),
    }
}

/// Says why nothing is done, with commands that name the journal. The exit code is that of the fault.
pub(crate) fn refuse(color: Color, place: &JournalPlace, report: &Report) -> ExitCode {
    let fault = report.downcast_ref::<RunsFault>();
    let code = fault.map_or(ExitCode::SetUp, RunsFault::exit_code);
    if let Some(RunsFault::Output(error)) = fault
        && screen::is_told(error)
    {
        return code;
    }
    let flag = place::flag_of_place(place);
    match screen::print_report(color, &hint::Hinting { report, flag }) {
        Ok(()) => code,
        Err(_) => ExitCode::OutputLost,
    }
}

/// The runs of a journal, if it is there.
pub(crate) fn there(place: &JournalPlace) -> Option<RunJournal> {
    open_to_look(place).ok().map(RunJournal::of)
}
