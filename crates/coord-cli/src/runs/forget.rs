//! Which runs are kept that have finished.

use std::io;
use std::sync::Arc;

use coordination::bus::time::{Instant, sleep};
use coordination::journal::{Journal, JournalError, Retention};
use coordination::workflow::{RunId, RunJournal, RunQuery, WorkflowError};

use super::find::finished;
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

/// Forgets what a run has printed that has finished. Where another `coord` has begun it anew meanwhile, nothing: who
/// is about to begin it is told so then.
pub(crate) async fn forget_output(
    runs: &RunJournal,
    run: &RunId,
    kept: &Kept,
) -> Result<(), RunsFault> {
    let until = Instant::now() + GONE_WITHIN;
    let removed = loop {
        let at_rest = kept.at_rest();
        // Looked at while nobody can begin to write: who drives a run does so before it begins.
        if finished(runs, run).await?.is_none() {
            return Ok(());
        }
        match at_rest {
            Some(at_rest) => break at_rest.remove(),
            None if Instant::now() < until => {}
            None => break Err(io::Error::other("it is still being written")),
        }
        // Whoever drove it may still have something to write.
        sleep(GONE_LOOK).await;
    };
    removed.map_err(|error| {
        let dir = printable(&kept.dir().display().to_string());
        let message = format!("what the run before printed cannot be removed: {dir}: {error}");
        RunsFault::Failed { message }
    })
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
