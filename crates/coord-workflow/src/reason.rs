//! Why something of a run failed, with its words.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::StepError;

/// An error of somebody's code, and what it says of itself. That is asked for once, where the error
/// comes into the run: it is somebody's code, too, which may panic, or take its time, and is not to run
/// under a lock.
#[derive(Debug, Clone)]
pub(crate) struct Reason {
    pub(crate) error: StepError,
    pub(crate) words: Box<str>,
}

impl From<StepError> for Reason {
    /// Where the error panics as it is asked, that is the error.
    fn from(error: StepError) -> Self {
        match catch_unwind(AssertUnwindSafe(|| error.to_string())) {
            Ok(words) => Self {
                error,
                words: words.into(),
            },
            Err(panic) => {
                let panicked = StepError::panicked(&*panic);
                let panicked = match error.is_permanent() {
                    true => panicked.permanent(),
                    false => panicked,
                };
                Self {
                    words: panicked.to_string().into(),
                    error: panicked,
                }
            }
        }
    }
}
