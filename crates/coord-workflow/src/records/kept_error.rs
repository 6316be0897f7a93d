//! What is kept of an error: its words.

use serde::{Deserialize, Serialize};

use crate::StepError;
use crate::reason::Reason;

/// How many bytes of an error's words are kept. Whoever wraps much in an error is to fail all the same, and what
/// has failed has to fit into a record.
pub(super) const WORDS_MAX: usize = 16 << 10;

/// An error, of which its words remain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeptError {
    message: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    permanent: bool,
}

impl KeptError {
    pub(super) fn of(reason: &Reason) -> Self {
        Self {
            message: cut(&reason.words).into(),
            permanent: reason.error.is_permanent(),
        }
    }

    pub(super) fn into_reason(self) -> Reason {
        let error = StepError::message(self.message);
        let error = match self.permanent {
            true => error.permanent(),
            false => error,
        };
        error.into()
    }
}

/// Words, as far as they are kept.
pub(crate) fn cut(words: &str) -> Box<str> {
    if words.len() <= WORDS_MAX {
        return words.into();
    }
    let kept = coord_bus::text::cut(words, WORDS_MAX);
    let more = words.len() - kept.len();
    format!("{kept} … and {more} bytes more").into()
}
