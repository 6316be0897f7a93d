//! The ids of runs.

use std::fmt;
use std::sync::Arc;

use coord_bus::Timestamp;
use serde::{Serialize, Serializer};

use crate::WorkflowError;
use crate::fingerprint::Hash;
use crate::name::{NAME_LENGTH_MAX, is_name_up_to};
use crate::shape::MAX_ITEMS;

/// The longest id of a run, in characters: two UUIDs, say, and a word before them.
pub const RUN_ID_LENGTH_MAX: usize = 100;

/// How many characters of the id of a run that is the work at an item of a list, or in a round, are its place: a dot,
/// and as many digits as the last item may have. A round may have some more.
const ITEM_LENGTH_MAX: usize = 6;
const _: () = assert!(MAX_ITEMS <= 100_000);

/// The id of a run.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(Arc<str>);

impl RunId {
    /// An id chosen by who starts the run, such as `order-1042`: 1 to 100 letters, digits, `-`, `_`
    /// and `.`, the first of them a letter or a digit.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::InvalidRunId`].
    pub fn named(id: impl Into<String>) -> Result<Self, WorkflowError> {
        let id = id.into();
        match is_name_up_to(&id, RUN_ID_LENGTH_MAX) {
            true => Ok(Self(id.into())),
            false => Err(WorkflowError::InvalidRunId { id }),
        }
    }

    /// An id that no other run has. Of two that are made in different milliseconds, the later one
    /// sorts after the earlier one.
    pub fn unique() -> Self {
        Self::at(Timestamp::now())
    }

    /// The time in milliseconds and a random part, both in base 36.
    pub(crate) fn at(now: Timestamp) -> Self {
        let time = base_36(now.as_millisecond().unsigned_abs(), 9);
        Self(format!("{time}-{}", base_36(fastrand::u64(..), 6)).into())
    }

    /// That of the run that is the work of a step, or at an item of its list, or in a round, in an attempt at it: another for each
    /// attempt, and for each time that a retried run does it anew. To ask again is to have the same id, and with
    /// another nonce of the run, as when its own id is used once more, another.
    pub(crate) fn of_child(
        &self,
        nonce: Option<u64>,
        (step, part): (&str, Option<usize>),
        life: u32,
        attempt: u32,
    ) -> Self {
        let mut hash = Hash::default();
        hash.text(&self.0);
        if let Some(nonce) = nonce {
            hash.number(nonce as usize);
        }
        hash.text(step);
        hash.number(life as usize);
        hash.number(attempt as usize);
        let id = match part {
            // As long as ids could be at first: a run that an earlier version has started has children, too.
            None => self.within(step, NAME_LENGTH_MAX - 11),
            Some(part) => {
                hash.number(part);
                format!("{}{part}", self.of_parts(step))
            }
        };
        Self(format!("{id}-{}", base_36(hash.value(), 10)).into())
    }

    /// What the ids of all runs within this one begin with; perhaps others, too.
    pub(crate) fn of_all(&self) -> String {
        self.within("", NAME_LENGTH_MAX - 11 - ITEM_LENGTH_MAX)
    }

    /// What the ids of the runs begin with that are the work at items of a step's list, or in its rounds; perhaps others,
    /// too.
    pub(crate) fn of_parts(&self, step: &str) -> String {
        let mut id = self.within(step, NAME_LENGTH_MAX - 11 - ITEM_LENGTH_MAX);
        id.push('.');
        id
    }

    /// Ids have nothing in them but ASCII.
    fn within(&self, step: &str, length: usize) -> String {
        let mut id = format!("{self}.{step}");
        id.truncate(length);
        id
    }

    /// As idempotency keys name it: with what tells it from another run of this id.
    pub(crate) fn marked(&self, mark: Option<u64>) -> String {
        match mark {
            Some(mark) => format!("{self}-{}", base_36(mark, 10)),
            None => self.to_string(),
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The last so many digits of a number.
fn base_36(mut number: u64, digits: usize) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = vec![b'0'; digits];
    for digit in text.iter_mut().rev() {
        *digit = DIGITS[(number % 36) as usize];
        number /= 36;
    }
    String::from_utf8_lossy(&text).into_owned()
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
