//! How many events a second, over the last second and over longer: counts as they were at moments
//! that are thinned out as they grow old.

use std::collections::VecDeque;
use std::time::Duration;

use coord_bus::time::Instant;
use serde::{Deserialize, Serialize};

/// Events published per second, over the last second and over longer.
///
/// Counts are known as of each sample, so a window begins at the last sample before it: one of a
/// second may be as long as an interval of the monitor more, and that of five minutes five seconds
/// more. Before as much time has passed, a window is as long as the monitor has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rates {
    /// Over the last second.
    pub second: f64,
    /// Over the last ten seconds.
    pub ten_seconds: f64,
    /// Over the last minute.
    pub minute: f64,
    /// Over the last five minutes.
    pub five_minutes: f64,
}

/// For how long each sample is kept, and beyond that, how long one in so many.
const RECENT: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(300);
const LONG_EVERY: Duration = Duration::from_secs(5);

/// The moments at which counts are known: those of all topics, as they are sampled at once.
#[derive(Debug)]
pub(crate) struct Moments {
    recent: VecDeque<Instant>,
    long: VecDeque<Instant>,
}

/// What a topic had counted at the last of these moments: at all of them, or since it was there.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    recent: VecDeque<u64>,
    long: VecDeque<u64>,
}

impl Moments {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            recent: VecDeque::from([now]),
            long: VecDeque::from([now]),
        }
    }

    /// One more. Whether it is also kept for long.
    pub(crate) fn push(&mut self, now: Instant) -> bool {
        push(&mut self.recent, now, RECENT);
        let last = self.long.back();
        let is_due = last.is_none_or(|last| now.duration_since(*last) >= LONG_EVERY);
        if is_due {
            push(&mut self.long, now, LONG);
        }
        is_due
    }

    pub(crate) fn rates(&self, marks: &Marks, published: u64, now: Instant) -> Rates {
        let over = |seconds| {
            let window = Duration::from_secs(seconds);
            let (moments, counts) = match window <= RECENT {
                true => (&self.recent, &marks.recent),
                false => (&self.long, &marks.long),
            };
            rate(moments, counts, published, now, window)
        };
        Rates {
            second: over(1),
            ten_seconds: over(10),
            minute: over(60),
            five_minutes: over(300),
        }
    }
}

impl Marks {
    /// What was counted at the newest moment.
    pub(crate) fn push(&mut self, moments: &Moments, is_long: bool, published: u64) {
        self.recent.push_back(published);
        shorten(&mut self.recent, moments.recent.len());
        if is_long {
            self.long.push_back(published);
        }
        shorten(&mut self.long, moments.long.len());
    }
}

/// Keeps one moment that is as old as the window, so that the whole of it is known.
fn push(moments: &mut VecDeque<Instant>, now: Instant, window: Duration) {
    moments.push_back(now);
    while moments
        .get(1)
        .is_some_and(|next| now.duration_since(*next) >= window)
    {
        moments.pop_front();
    }
}

fn shorten(counts: &mut VecDeque<u64>, len: usize) {
    while counts.len() > len {
        counts.pop_front();
    }
}

fn rate(
    moments: &VecDeque<Instant>,
    counts: &VecDeque<u64>,
    published: u64,
    now: Instant,
    window: Duration,
) -> f64 {
    let is_before = |moment: &&Instant| now.duration_since(**moment) >= window;
    let from = moments
        .iter()
        .rposition(|moment| is_before(&moment))
        .unwrap_or(0);
    let Some(moment) = moments.get(from) else {
        return 0.0;
    };
    let elapsed = now.duration_since(*moment).as_secs_f64();
    if elapsed <= 0.0 {
        return 0.0;
    }
    // Before it was there, it had published nothing.
    let age = moments.len() - from;
    let before = counts.len().checked_sub(age).and_then(|at| counts.get(at));
    published.saturating_sub(before.copied().unwrap_or(0)) as f64 / elapsed
}
