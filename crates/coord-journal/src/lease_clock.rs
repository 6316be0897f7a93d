//! The time by which leases are counted: the wall clock's, but it never goes back.

use std::sync::{Arc, Mutex, PoisonError};

use coord_bus::time::{Clock, Instant};

use crate::moment;

/// Goes on as the wall clock does, and while that is set back, as the monotonic one does.
///
/// So a lease ends no later for that, and a process that begins with a clock that was set back
/// begins with the latest time that the journal has seen.
#[derive(Debug)]
pub(crate) struct LeaseClock {
    clock: Arc<dyn Clock>,
    last: Mutex<Option<Reading>>,
}

#[derive(Debug)]
struct Reading {
    wall: i64,
    at: Instant,
    /// What it was taken for.
    now: i64,
}

impl LeaseClock {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            last: Mutex::default(),
        }
    }

    /// The time, which is not earlier than one that was seen elsewhere.
    pub(crate) fn now_after(&self, seen: i64) -> i64 {
        let (wall, at) = (moment::to_micros(self.clock.now()), Instant::now());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match &*last {
            None => wall,
            Some(last) if wall >= last.wall => last.now.saturating_add(wall - last.wall),
            Some(last) => {
                let passed = at.saturating_duration_since(last.at).as_micros();
                last.now
                    .saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
            }
        };
        let now = now.max(seen);
        *last = Some(Reading { wall, at, now });
        now
    }
}
