//! Which lines of a process go with the time at which they were published.

use std::time::Duration;

use coord_bus::Timestamp;
use coord_bus::time::Clock;

/// Of the lines of a pipe, at most one in this time goes with it.
pub(super) const STAMP_EVERY: Duration = Duration::from_millis(1);

/// Says it of the lines of one pipe: of those that are read at once the first, unless the last one that
/// had the time is younger than [`STAMP_EVERY`]. So whoever measures how long lines are under way has a
/// sample, and a process that prints much costs one look at the clock for each time that it is read.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    /// How often the pipe had been read when the clock was looked at.
    reads: u64,
    last: Option<Timestamp>,
}

impl Stamps {
    /// The time, for a line that is published when the pipe has been read so often.
    pub(super) fn next(&mut self, reads: u64, clock: &dyn Clock) -> Option<Timestamp> {
        if reads == self.reads {
            return None;
        }
        self.reads = reads;
        let now = clock.now();
        // A clock that was set back begins anew.
        let is_young = |last| {
            Duration::try_from(now.duration_since(last)).is_ok_and(|since| since < STAMP_EVERY)
        };
        if self.last.is_some_and(is_young) {
            return None;
        }
        self.last = Some(now);
        Some(now)
    }
}

#[cfg(test)]
mod tests {
    use coord_bus::time::ManualClock;

    use super::*;

    #[test]
    fn the_first_line_of_a_read_has_the_time_and_those_of_a_millisecond_share_one() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let mut stamps = Stamps::default();
        assert_eq!(stamps.next(1, &clock), Some(clock.now()));
        assert_eq!(stamps.next(1, &clock), None);
        clock.advance(STAMP_EVERY / 2);
        assert_eq!(stamps.next(2, &clock), None);
        clock.advance(STAMP_EVERY / 2);
        // It was read at once with the one before.
        assert_eq!(stamps.next(2, &clock), None);
        assert_eq!(stamps.next(3, &clock), Some(clock.now()));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_end_the_times() {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let mut stamps = Stamps::default();
        assert!(stamps.next(1, &clock).is_some());
        let earlier = clock.now() - Duration::from_secs(3600);
        let time = stamps.next(2, &ManualClock::new(earlier));
        assert_eq!(time, Some(earlier));
    }
}
