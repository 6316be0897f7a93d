//! Which runs are kept that have finished.

use std::sync::Arc;
use std::{fs, io};

use coordination::bus::time::{Instant, sleep};
use coordination::journal::{Journal, JournalError, Retention};
use coordination::workflow::{RunJournal, RunQuery, WorkflowError};

use super::{GONE_LOOK, GONE_WITHIN, RunsFault};
use crate::file::printable;
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

/// Forgets what a run has printed that has finished.
pub(crate) async fn forget_output(kept: &Kept) -> Result<(), RunsFault> {
    let until = Instant::now() + GONE_WITHIN;
    // Whoever drove it may still have something to write.
    while kept.is_written() && Instant::now() < until {
        sleep(GONE_LOOK).await;
    }
    match fs::remove_dir_all(kept.dir()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let dir = printable(&kept.dir().display().to_string());
            let message = format!("what the run before printed cannot be removed: {dir}: {error}");
            Err(RunsFault::Failed { message })
        }
        _ => Ok(()),
    }
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
