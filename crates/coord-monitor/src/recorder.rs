//! Durations that any thread records at any time, without a lock.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use crate::buckets::{OCTAVE, OCTAVES, bucket_of};
use crate::durations::in_nanos;
use crate::{DurationSummary, MAX_DURATION};

/// The most parts of one recorder. More threads than that share them.
const SHARDS_MAX: usize = 8;

/// Counts durations in buckets. Threads have parts of their own, as far as there are processors, so
/// that they do not wait for each other's memory; an octave of a part is there once it is met. A
/// duration of more than a day counts as a day.
#[derive(Debug)]
pub(crate) struct Recorder {
    shards: Box<[Shard]>,
}

// Two cache lines, as processors fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
    octaves: [OnceLock<Box<[AtomicU64; OCTAVE]>>; OCTAVES],
}

impl Recorder {
    pub(crate) fn new() -> Self {
        let threads = available_parallelism().map_or(1, usize::from);
        let shards = threads.next_power_of_two().min(SHARDS_MAX);
        Self {
            shards: (0..shards).map(|_| Shard::new()).collect(),
        }
    }

    #[inline]
    pub(crate) fn record(&self, duration: Duration) {
        // There is a power of two of them.
        let shard = &self.shards[thread() & (self.shards.len() - 1)];
        shard.record(in_nanos(duration.min(MAX_DURATION)));
    }

    /// `None` where nothing was recorded. What is recorded meanwhile may be a part of it already.
    pub(crate) fn summary(&self) -> Option<DurationSummary> {
        let mut buckets = Vec::new();
        for octave in 0..OCTAVES {
            let of_shards: Vec<_> = self
                .shards
                .iter()
                .filter_map(|it| it.octave(octave))
                .collect();
            if of_shards.is_empty() {
                continue;
            }
            for place in 0..OCTAVE {
                let counts = of_shards.iter().map(|it| it[place].load(Ordering::Relaxed));
                let count: u64 = counts.sum();
                if count > 0 {
                    buckets.push(((octave * OCTAVE + place) as u16, count));
                }
            }
        }
        let each = |of: fn(&Shard) -> &AtomicU64| {
            self.shards
                .iter()
                .map(move |it| of(it).load(Ordering::Relaxed))
        };
        DurationSummary::of(
            buckets.into(),
            each(|shard| &shard.sum).map(u128::from).sum(),
            each(|shard| &shard.min).min()?,
            each(|shard| &shard.max).max()?,
        )
    }

    /// Begins anew. Of what is recorded meanwhile, a part may count as before and a part as after.
    pub(crate) fn reset(&self) {
        for shard in &self.shards {
            for octave in (0..OCTAVES).filter_map(|octave| shard.octave(octave)) {
                octave
                    .iter()
                    .for_each(|count| count.store(0, Ordering::Relaxed));
            }
            shard.sum.store(0, Ordering::Relaxed);
            shard.min.store(u64::MAX, Ordering::Relaxed);
            shard.max.store(0, Ordering::Relaxed);
        }
    }
}

impl Shard {
    fn new() -> Self {
        Self {
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            octaves: [const { OnceLock::new() }; OCTAVES],
        }
    }

    #[inline]
    fn record(&self, nanos: u64) {
        let bucket = bucket_of(nanos);
        let octave = self.octaves[bucket / OCTAVE].get_or_init(new_octave);
        octave[bucket % OCTAVE].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(nanos, Ordering::Relaxed);
        // Nearly always it is neither: then nothing is written.
        if nanos < self.min.load(Ordering::Relaxed) {
            self.min.fetch_min(nanos, Ordering::Relaxed);
        }
        if nanos > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(nanos, Ordering::Relaxed);
        }
    }

    fn octave(&self, octave: usize) -> Option<&[AtomicU64; OCTAVE]> {
        self.octaves[octave].get().map(|it| &**it)
    }
}

#[cold]
fn new_octave() -> Box<[AtomicU64; OCTAVE]> {
    Box::new([const { AtomicU64::new(0) }; OCTAVE])
}

/// The number of this thread: they are counted as they come here first.
#[inline]
fn thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    NUMBER.with(|number| match number.get() {
        usize::MAX => {
            let next = THREADS.fetch_add(1, Ordering::Relaxed);
            number.set(next);
            next
        }
        known => known,
    })
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_several_threads_record_is_counted_once() {
        let recorder = Recorder::new();
        thread::scope(|scope| {
            for thread in 0..4 {
                let recorder = &recorder;
                scope.spawn(move || {
                    for nanos in 0..10_000 {
                        recorder.record(Duration::from_nanos(4 * nanos + thread));
                    }
                });
            }
        });
        let summary = recorder.summary().unwrap();
        assert_eq!(
            (summary.count, summary.min, summary.max),
            (40_000, 0.0, 39_999e-9)
        );
        assert!((summary.mean - 19_999.5e-9).abs() < 1e-15);
        assert!((summary.p50 - 20_000e-9).abs() <= 200e-9);
        recorder.reset();
        assert_eq!(recorder.summary(), None);
        recorder.record(Duration::from_nanos(7));
        let summary = recorder.summary().unwrap();
        assert_eq!((summary.count, summary.min, summary.max), (1, 7e-9, 7e-9));
    }
}
