//! What can go wrong with a step whose work is more than one.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::StepError;
use crate::shape::MAX_ITEMS;

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
    /// As the failure of an attempt: another could not help where it cannot help one of the items.
    pub(crate) fn items_failed(
        mut failed: Vec<(usize, StepError)>,
        of: usize,
    ) -> Option<StepError> {
        let is_permanent = failed.iter().any(|(_, error)| error.is_permanent());
        let source = failed.first()?.1.clone().into_cause();
        failed.sort_by_key(|(item, _)| *item);
        let failed = failed.into_iter().map(|(item, _)| item).collect();
        let error = StepError::from(Self::ItemsFailed { failed, of, source });
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
