//! Which runs are kept that have finished.

use std::sync::Arc;
use std::{fs, io};

use coordination::bus::EventLog;
use coordination::bus::time::{Instant, sleep};
use coordination::journal::{Journal, JournalError, Retention};
use coordination::workflow::{RunId, RunJournal, RunQuery, RunState, WorkflowError};

use super::{GONE_LOOK, GONE_WITHIN, RunsFault};
use crate::journal::with_causes;
use crate::kept_output::{Kept, forget_others};

/// How many runs are kept that have finished, where nothing else is said.
pub(crate) const RUNS_KEPT: u64 = 1_000;

/// Forgets the runs that finished before so many others, and what they printed. How many they were.
pub(crate) async fn forget(journal: &Arc<Journal>, keep: u64) -> Result<u64, ForgetError> {
    let forget = async |of| journal.retain(Retention::of(of).keep_newest(keep)).await;
    let forgotten = forget(RunJournal::RUNS).await?;
    // One for each `coord` that was told something by another: hardly more than there are runs.
    forget(RunJournal::BELLS).await?;
    if forgotten > 0 {
        let runs = RunJournal::of(Arc::clone(journal));
        let runs = runs.runs(&RunQuery::newest().limit(usize::MAX)).await?;
        let runs = runs.iter().map(ToString::to_string).collect();
        forget_others(journal.dir(), &runs)?;
    }
    Ok(forgotten)
}

/// Forgets a run and what it printed, if it has finished. Whether it had.
pub(super) async fn forget_finished(
    journal: &Arc<Journal>,
    run: &RunId,
) -> Result<bool, RunsFault> {
    let view = RunJournal::of(Arc::clone(journal)).view(run).await?;
    if !matches!(view.state, RunState::Finished(_)) {
        return Ok(false);
    }
    let until = Instant::now() + GONE_WITHIN;
    let kept = Kept::of(journal.dir(), run);
    // Whoever drove it may still have something to write.
    while kept.is_written() && Instant::now() < until {
        sleep(GONE_LOOK).await;
    }
    // First: what is begun anew is not to go on in the files of the one before.
    let removed = fs::remove_dir_all(kept.dir());
    if let Err(error) = removed.or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }) {
        let message = format!("what run `{run}` printed cannot be removed: {error}");
        return Err(RunsFault::Failed { message });
    }
    let stream = format!("{}{run}", RunJournal::RUNS);
    let forgotten = journal.forget(&stream).await;
    forgotten.map_err(|error| RunsFault::Failed {
        message: with_causes(&error),
    })?;
    Ok(true)
}

/// Why not all was forgotten that could have been.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForgetError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Runs(#[from] WorkflowError),
    #[error("what was printed by runs that are forgotten cannot be removed")]
    Output(#[from] io::Error),
}
