//! How large what is kept may be: a record that the log refuses once, it refuses for ever.

use coord_bus::{EventLog, Record};

use super::kept_error::WORDS_MAX;
use crate::{RunId, WorkflowError};

/// What there may be in a record beside what a step put out, or said with a sign of life: an error's words, of
/// which JSON makes six bytes of one at worst; the ids of the step; some numbers.
const BESIDE: usize = 6 * WORDS_MAX + 1024;

/// How many bytes what a step puts out, or anything else that is kept of a run, takes at most.
pub(crate) fn kept_max(log: &dyn EventLog) -> usize {
    let max = log.max_record_bytes();
    max.map_or(usize::MAX, |max| max.saturating_sub(BESIDE))
}

/// Whether a record of what a run is given is one that is taken; and what is in it then, too, as the output of a
/// step.
///
/// # Errors
///
/// [`WorkflowError::TooLarge`].
pub(crate) fn check(log: &dyn EventLog, run: &RunId, record: &Record) -> Result<(), WorkflowError> {
    let (bytes, limit) = (record.payload.len(), kept_max(log));
    match bytes <= limit {
        true => Ok(()),
        false => Err(WorkflowError::TooLarge {
            run: run.to_string(),
            bytes,
            limit,
        }),
    }
}
