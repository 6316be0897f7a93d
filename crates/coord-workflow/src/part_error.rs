//! What can go wrong with a step whose work is more than one.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::shape::{MAX_DEPTH, MAX_ITEMS};
use crate::{Status, StepError};

/// How many of the items that failed a message names; the others are counted.
const NAMED_MAX: usize = 8;

/// Why an attempt failed at a step whose work is more than one.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// The list is longer than lists may be.
    #[error(
        "its list has {count} items, and {MAX_ITEMS} are the most: let each item stand for several"
    )]
    TooManyItems {
        /// How many it has.
        count: usize,
    },
    /// It was still not done after as many rounds as it may have.
    #[error("it is not done after {limit} rounds, its limit")]
    RoundsExhausted {
        /// How many it may have.
        limit: u32,
    },
    /// The run of its workflow failed.
    #[error("run `{run}` of `{workflow}` failed at its step `{step}`")]
    ChildFailed {
        /// The run.
        run: String,
        /// Of which workflow it is.
        workflow: String,
        /// The step that failed: the first of them, in the workflow's order.
        step: String,
        /// Why.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The run of its workflow ended before it was done.
    #[error("run `{run}` of `{workflow}` ended as {status}")]
    ChildEnded {
        /// The run.
        run: String,
        /// Of which workflow it is.
        workflow: String,
        /// How.
        status: Status,
    },
    /// The run of its workflow could not be started.
    #[error("workflow `{workflow}` cannot be run")]
    ChildNotStarted {
        /// The workflow.
        workflow: String,
        /// Why not.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The run of its workflow completed without the step whose output it was to have.
    #[error("run `{run}` completed, and its step `{step}` was skipped, so there is no output")]
    NoOutput {
        /// The run.
        run: String,
        /// The step.
        step: String,
    },
    /// Its workflow would be run too deep within others.
    #[error(
        "workflow `{workflow}` would be run within {MAX_DEPTH} other runs, the most there may be: \
         does it run itself?"
    )]
    TooDeep {
        /// The workflow.
        workflow: String,
    },
    /// Its list is not one.
    #[error("its items come from `{step}`, whose output is no list")]
    NotAList {
        /// The step whose output was to be a list.
        step: String,
    },
    /// Some items of its list failed. The others are done, and are not done again.
    #[error("{} of {of} failed, the first of them because", Items(failed))]
    ItemsFailed {
        /// Which, by their places in the list, from 0.
        failed: Vec<usize>,
        /// How many there are.
        of: usize,
        /// Why the first to fail did.
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl PartError {
    /// As the failure of an attempt: another could not help where it cannot help one of the items, and
    /// comes when the last of them may be tried again, where they say when.
    pub(crate) fn items_failed(
        mut failed: Vec<(usize, StepError)>,
        of: usize,
    ) -> Option<StepError> {
        let is_permanent = failed.iter().any(|(_, error)| error.is_permanent());
        let wait = failed.iter().filter_map(|(_, error)| error.retry_delay());
        let wait = wait.max();
        let source = failed.first()?.1.clone().into_cause();
        failed.sort_by_key(|(item, _)| *item);
        let failed = failed.into_iter().map(|(item, _)| item).collect();
        let mut error = StepError::from(Self::ItemsFailed { failed, of, source });
        if let Some(wait) = wait {
            error = error.retry_after(wait);
        }
        Some(match is_permanent {
            true => error.permanent(),
            false => error,
        })
    }
}

/// Places in a list.
struct Items<'a>(&'a [usize]);

impl fmt::Display for Items<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<String> = self
            .0
            .iter()
            .take(NAMED_MAX)
            .map(|item| format!("[{item}]"))
            .collect();
        write!(formatter, "items {}", named.join(", "))?;
        match self.0.len() - named.len() {
            0 => Ok(()),
            more => write!(formatter, " and {more} more"),
        }
    }
}
