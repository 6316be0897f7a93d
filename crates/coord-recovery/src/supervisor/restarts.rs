//! How often a child may be restarted: the times of its restarts within the last period.

use std::collections::VecDeque;
use std::time::Duration;

use coord_bus::time::Instant;

/// A window over the restarts of one child; holds at most as many as there may be.
#[derive(Debug)]
pub(super) struct Restarts {
    max: Option<u32>,
    within: Duration,
    recent: VecDeque<Instant>,
}

impl Restarts {
    pub(super) fn new(max: Option<u32>, within: Duration) -> Self {
        Self {
            max,
            within,
            recent: VecDeque::new(),
        }
    }

    pub(super) fn within(&self) -> Duration {
        self.within
    }

    /// Counts one more restart, if there may be one; otherwise says how many there were.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), u32> {
        let Some(max) = self.max else {
            return Ok(());
        };
        let within = self.within;
        while (self.recent.front()).is_some_and(|then| now.duration_since(*then) > within) {
            self.recent.pop_front();
        }
        if self.recent.len() >= max as usize {
            return Err(max);
        }
        self.recent.push_back(now);
        Ok(())
    }
}
