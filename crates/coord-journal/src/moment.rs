//! Times as the store keeps them: microseconds since 1970.

use coord_bus::Timestamp;

pub(crate) fn to_micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

/// `None` for what is no time at all.
pub(crate) fn from_micros(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros).ok()
}
