//! Durations that any thread records at any time, without a lock.

mod thread;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::thread::available_parallelism;
use std::time::Duration;

use crate::DurationSummary;
use crate::buckets::{OCTAVE, OCTAVES, nanos_of, place_of};

/// The most parts of one recorder that are each of one thread. Threads beyond that share another one.
const OWNED_MAX: usize = 8;

/// How many threads may run side by side. On Linux to ask for that is to read files.
static THREADS: LazyLock<usize> = LazyLock::new(|| available_parallelism().map_or(1, usize::from));

/// Counts durations in buckets. Threads have parts of their own, as far as there are processors: what
/// only one thread writes, it writes without asking for the others, which costs a third of an atomic
/// addition. An octave of a part is there once it is met. A duration of more than a day counts as a day.
#[derive(Debug)]
pub(crate) struct Recorder {
    owned: Box<[Shard]>,
    shared: Shard,
}

// Two cache lines, as processors fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    /// How often it was reset, as whoever resets it says, and as far as its owner has done so.
    resets: AtomicU64,
    done: AtomicU64,
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
    octaves: [OnceLock<Box<[AtomicU64; OCTAVE]>>; OCTAVES],
}

impl Recorder {
    pub(crate) fn new() -> Self {
        let owned = THREADS.next_power_of_two().min(OWNED_MAX);
        Self {
            owned: (0..owned).map(|_| Shard::new()).collect(),
            shared: Shard::new(),
        }
    }

    #[inline]
    pub(crate) fn record(&self, duration: Duration) {
        let nanos = nanos_of(duration);
        match self.owned.get(thread::number()) {
            Some(own) => own.record_alone(nanos),
            None => self.shared.record(nanos),
        }
    }

    /// `None` where nothing was recorded. What is recorded meanwhile may be a part of it already; where
    /// a reset is under way too, the shortest and the longest are within 1 %.
    pub(crate) fn summary(&self) -> Option<DurationSummary> {
        let shards: Vec<_> = self.shards().filter(|it| it.is_reset()).collect();
        let mut buckets = Vec::new();
        for octave in 0..OCTAVES {
            let of_shards: Vec<_> = shards.iter().filter_map(|it| it.octave(octave)).collect();
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
            let shards = shards.iter();
            shards.map(move |it| of(it).load(Ordering::Relaxed))
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
        for own in &self.owned {
            // Its owner does it, before it records again: nobody else may write there.
            own.resets.fetch_add(1, Ordering::Relaxed);
        }
        self.shared.clear();
    }

    fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.owned.iter().chain([&self.shared])
    }
}

impl Shard {
    fn new() -> Self {
        Self {
            resets: AtomicU64::new(0),
            done: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            octaves: [const { OnceLock::new() }; OCTAVES],
        }
    }

    /// Whether what it holds is of the time since the last reset.
    fn is_reset(&self) -> bool {
        self.done.load(Ordering::Acquire) == self.resets.load(Ordering::Relaxed)
    }

    /// Of the one thread that writes here.
    #[inline]
    fn record_alone(&self, nanos: u64) {
        let resets = self.resets.load(Ordering::Relaxed);
        if self.done.load(Ordering::Relaxed) != resets {
            self.begin_anew(resets);
        }
        add(self.count_of(nanos), 1);
        add(&self.sum, nanos);
        if nanos < self.min.load(Ordering::Relaxed) {
            self.min.store(nanos, Ordering::Relaxed);
        }
        if nanos > self.max.load(Ordering::Relaxed) {
            self.max.store(nanos, Ordering::Relaxed);
        }
    }

    #[cold]
    #[inline(never)]
    fn begin_anew(&self, resets: u64) {
        self.clear();
        self.done.store(resets, Ordering::Release);
    }

    /// Of any thread. Apart from what most threads do, so that there nothing has to be put aside for it.
    #[cold]
    #[inline(never)]
    fn record(&self, nanos: u64) {
        self.count_of(nanos).fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(nanos, Ordering::Relaxed);
        // Nearly always it is neither: then nothing is written.
        if nanos < self.min.load(Ordering::Relaxed) {
            self.min.fetch_min(nanos, Ordering::Relaxed);
        }
        if nanos > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(nanos, Ordering::Relaxed);
        }
    }

    #[inline]
    fn count_of(&self, nanos: u64) -> &AtomicU64 {
        let (octave, place) = place_of(nanos);
        let octave = &self.octaves[octave.min(OCTAVES - 1)];
        match octave.get() {
            Some(counts) => &counts[place],
            None => first(octave, place),
        }
    }

    fn clear(&self) {
        for octave in (0..OCTAVES).filter_map(|octave| self.octave(octave)) {
            octave
                .iter()
                .for_each(|count| count.store(0, Ordering::Relaxed));
        }
        self.sum.store(0, Ordering::Relaxed);
        self.min.store(u64::MAX, Ordering::Relaxed);
        self.max.store(0, Ordering::Relaxed);
    }

    fn octave(&self, octave: usize) -> Option<&[AtomicU64; OCTAVE]> {
        self.octaves[octave].get().map(|it| &**it)
    }
}

/// Adds where nobody else does: others only read.
#[inline]
fn add(count: &AtomicU64, more: u64) {
    let now = count.load(Ordering::Relaxed);
    count.store(now.wrapping_add(more), Ordering::Relaxed);
}

/// The count in an octave that is met for the first time.
#[cold]
#[inline(never)]
fn first(octave: &OnceLock<Box<[AtomicU64; OCTAVE]>>, place: usize) -> &AtomicU64 {
    &octave.get_or_init(|| Box::new([const { AtomicU64::new(0) }; OCTAVE]))[place]
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

    #[test]
    fn threads_that_come_and_go_count_in_full_however_many_they_are() {
        let recorder = Recorder::new();
        for _ in 0..20 {
            thread::scope(|scope| {
                // More than there are parts for.
                for _ in 0..OWNED_MAX + 4 {
                    scope.spawn(|| {
                        (0..500).for_each(|_| recorder.record(Duration::from_nanos(50)));
                    });
                }
            });
        }
        let summary = recorder.summary().unwrap();
        assert_eq!(summary.count, 20 * 500 * (OWNED_MAX as u64 + 4));
    }

    #[test]
    fn a_reset_is_not_undone_by_who_records_meanwhile() {
        let recorder = Recorder::new();
        recorder.record(Duration::from_secs(1));
        recorder.reset();
        assert_eq!(recorder.summary(), None);
        let stop = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                while stop.load(Ordering::Relaxed) == 0 {
                    recorder.record(Duration::from_nanos(50));
                }
            });
            for _ in 0..200 {
                while recorder.summary().is_none() {
                    thread::yield_now();
                }
                recorder.reset();
            }
            stop.store(1, Ordering::Relaxed);
        });
        recorder.record(Duration::from_nanos(50));
        // The second was before, and is in nothing that came after.
        assert_eq!(recorder.summary().unwrap().max, 50e-9);
    }

    #[test]
    fn a_snapshot_that_falls_into_a_reset_is_one_all_the_same() {
        let recorder = Recorder::new();
        recorder.shared.record(10);
        // A reset that has emptied the buckets; a record, which finds nothing to say of the shortest
        // and the longest; and the rest of the reset.
        let bucket = recorder.shared.count_of(10);
        bucket.store(0, Ordering::Relaxed);
        recorder.shared.record(10);
        recorder.shared.sum.store(0, Ordering::Relaxed);
        recorder.shared.min.store(u64::MAX, Ordering::Relaxed);
        recorder.shared.max.store(0, Ordering::Relaxed);
        let summary = recorder.summary().unwrap();
        assert_eq!((summary.count, summary.min, summary.max), (1, 10e-9, 10e-9));
    }

    #[test]
    fn snapshots_and_resets_go_on_while_more_threads_record_than_there_are_parts() {
        let recorder = Recorder::new();
        thread::scope(|scope| {
            let record = || {
                for _ in 0..100_000 {
                    recorder.record(Duration::from_nanos(50));
                    recorder.record(Duration::from_micros(50));
                }
            };
            let threads: Vec<_> = (0..OWNED_MAX + 2).map(|_| scope.spawn(record)).collect();
            while threads.iter().any(|thread| !thread.is_finished()) {
                if let Some(summary) = recorder.summary() {
                    let quantiles = [summary.min, summary.p50, summary.p99, summary.max];
                    assert!(quantiles.is_sorted(), "{summary:?}");
                    assert!((50e-9..=50.5e-6).contains(&summary.mean), "{summary:?}");
                }
                recorder.reset();
            }
        });
        let _ = recorder.summary();
    }
}
