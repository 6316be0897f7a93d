//! The outcomes of the last calls: of so many, or of so long.

use std::time::Duration;

/// Over which calls a circuit breaker counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlidingWindow {
    /// The last so many; 100 by default, at most 100,000.
    Count(u32),
    /// Those of so long, in whole seconds, the present one included; at most an hour.
    Time(Duration),
}

/// The most calls of a [`SlidingWindow::Count`]: each takes a byte.
pub(super) const MAX_CALLS: u32 = 100_000;

/// The longest [`SlidingWindow::Time`], in seconds: each has its counts.
pub(super) const MAX_SECONDS: u64 = 3600;

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) failed: bool,
    pub(super) slow: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) failed: u64,
    pub(super) slow: u64,
    pub(super) slow_failed: u64,
}

impl Counts {
    fn add(&mut self, outcome: Outcome) {
        self.calls += 1;
        self.failed += u64::from(outcome.failed);
        self.slow += u64::from(outcome.slow);
        self.slow_failed += u64::from(outcome.failed && outcome.slow);
    }

    fn subtract(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failed -= other.failed;
        self.slow -= other.slow;
        self.slow_failed -= other.slow_failed;
    }
}

#[derive(Debug)]
pub(super) struct Window {
    total: Counts,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A ring; filled as far as there are calls.
    Count {
        size: usize,
        next: usize,
        ring: Vec<Outcome>,
    },
    /// A ring of seconds. `second` is the latest.
    Time { second: u64, ring: Box<[Counts]> },
}

impl Window {
    pub(super) fn new(window: SlidingWindow) -> Self {
        match window {
            SlidingWindow::Count(size) => Self::of_calls(size),
            SlidingWindow::Time(length) => Self {
                total: Counts::default(),
                kind: Kind::Time {
                    second: 0,
                    ring: vec![Counts::default(); seconds(length)].into(),
                },
            },
        }
    }

    pub(super) fn of_calls(size: u32) -> Self {
        let kind = Kind::Count {
            size: size as usize,
            next: 0,
            ring: Vec::new(),
        };
        Self {
            total: Counts::default(),
            kind,
        }
    }

    /// Whether it has to be told the time.
    pub(super) fn is_timed(&self) -> bool {
        matches!(self.kind, Kind::Time { .. })
    }

    /// Adds one more, and says what is in it then.
    pub(super) fn record(&mut self, outcome: Outcome, now: Duration) -> &Counts {
        match &mut self.kind {
            Kind::Count { size, next, ring } => {
                if ring.len() < *size {
                    ring.push(outcome);
                    self.total.add(outcome);
                    return &self.total;
                }
                let gone = std::mem::replace(&mut ring[*next], outcome);
                *next = if *next + 1 == *size { 0 } else { *next + 1 };
                // Mostly one success comes in the place of another.
                if gone != outcome {
                    self.total.add(outcome);
                    let mut less = Counts::default();
                    less.add(gone);
                    self.total.subtract(less);
                }
            }
            Kind::Time { .. } => self.record_now(outcome, now),
        }
        &self.total
    }

    fn record_now(&mut self, outcome: Outcome, now: Duration) {
        self.advance(now);
        self.total.add(outcome);
        if let Kind::Time { second, ring } = &mut self.kind {
            let place = place(*second, ring.len());
            ring[place].add(outcome);
        }
    }

    /// What is in it at this time.
    pub(super) fn counts(&mut self, now: Duration) -> Counts {
        self.advance(now);
        self.total
    }

    /// Drops what is too old by now.
    fn advance(&mut self, now: Duration) {
        let Kind::Time { second, ring } = &mut self.kind else {
            return;
        };
        // Two threads may have read the clock in one order and come here in the other.
        let passed = now.as_secs().saturating_sub(*second);
        let stale = passed.min(ring.len() as u64);
        *second += passed;
        for age in 0..stale {
            let place = place(*second - age, ring.len());
            self.total.subtract(std::mem::take(&mut ring[place]));
        }
    }
}

fn place(second: u64, length: usize) -> usize {
    (second % length as u64) as usize
}

/// How many whole seconds a window has, at least one.
fn seconds(length: Duration) -> usize {
    let seconds = length.as_secs() + u64::from(length.subsec_nanos() > 0);
    seconds.clamp(1, MAX_SECONDS) as usize
}
