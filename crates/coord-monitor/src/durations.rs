//! How long something takes: what is recorded by one thread, and how durations are summed up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::buckets::{begin_of, bucket_of, end_of};

const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];

/// How durations are distributed, in seconds.
///
/// `count`, `min`, `mean` and `max` are exact; percentiles are within 1 %, and durations of more
/// than [`MAX_DURATION`](crate::MAX_DURATION) are taken for that in them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DurationSummary {
    /// How many there were.
    pub count: u64,
    /// The shortest.
    pub min: f64,
    /// Their mean.
    pub mean: f64,
    /// Half of them took at most this.
    pub p50: f64,
    /// 90 % took at most this.
    pub p90: f64,
    /// 95 % took at most this.
    pub p95: f64,
    /// 99 % took at most this.
    pub p99: f64,
    /// 99.9 % took at most this.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// What it was read from; empty once it has been written and read back.
    #[serde(skip)]
    buckets: Buckets,
    #[serde(skip)]
    sum: u128,
}

/// How many durations were counted in which bucket, in the order of the buckets.
pub(crate) type Buckets = Arc<[(u16, u64)]>;

impl DurationSummary {
    /// `None` where nothing was recorded.
    pub(crate) fn of(buckets: Buckets, sum: u128, min: u64, max: u64) -> Option<Self> {
        let count: u64 = buckets.iter().map(|(_, count)| count).sum();
        let (first, last) = (buckets.first()?.0 as usize, buckets.last()?.0 as usize);
        // What was read while others record and reset may disagree: then the buckets are right.
        let max = match bucket_of(max) == last {
            true => max,
            false => end_of(last),
        };
        let min = match bucket_of(min) == first {
            true => min.min(max),
            false => begin_of(first),
        };
        let (min, max) = (seconds(min), seconds(max));
        // The end of a bucket may lie beyond what was recorded.
        let [p50, p90, p95, p99, p999] =
            quantiles(&buckets, count).map(|nanos| seconds(nanos).clamp(min, max));
        Some(Self {
            count,
            min,
            mean: (sum as f64 / count as f64 / 1e9).clamp(min, max),
            p50,
            p90,
            p95,
            p99,
            p999,
            max,
            buckets,
            sum,
        })
    }

    /// Of what was recorded after an earlier summary of the same. The shortest and the longest are
    /// within 1 % then, unless they are those of all.
    ///
    /// `None` where nothing was, or where it is not known what was: one of the two has been read
    /// back, or the earlier one is of another monitor or before a reset.
    pub(crate) fn since(&self, earlier: Option<&Self>) -> Option<Self> {
        let Some(earlier) = earlier else {
            return (!self.buckets.is_empty()).then(|| self.clone());
        };
        let before: BTreeMap<u16, u64> = earlier.buckets.iter().copied().collect();
        let after = self.buckets.iter().map(|(bucket, count)| {
            let before = before.get(bucket).copied().unwrap_or(0);
            (*bucket, count.saturating_sub(before))
        });
        let after: Buckets = after.filter(|(_, count)| *count > 0).collect();
        let added: u64 = after.iter().map(|(_, count)| count).sum();
        let (first, last) = (after.first()?.0, after.last()?.0);
        if added != self.count.checked_sub(earlier.count)? {
            return None;
        }
        let (min, max) = (nanos(self.min), nanos(self.max));
        Self::of(
            after,
            self.sum.saturating_sub(earlier.sum),
            begin_of(first as usize).clamp(min, max),
            end_of(last as usize).clamp(min, max),
        )
    }
}

#[cfg(feature = "metrics")]
impl DurationSummary {
    /// How many took how long, in seconds: the longest of each bucket.
    pub(crate) fn recorded(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.buckets.iter().map(|(bucket, count)| {
            let longest = seconds(end_of(*bucket as usize));
            (longest.clamp(self.min, self.max), *count)
        })
    }
}

fn quantiles(buckets: &[(u16, u64)], count: u64) -> [u64; QUANTILES.len()] {
    let mut buckets = buckets.iter();
    let (mut passed, mut end) = (0, 0);
    QUANTILES.map(|quantile| {
        let rank = ((quantile * count as f64).ceil() as u64).max(1);
        while passed < rank
            && let Some((bucket, count)) = buckets.next()
        {
            passed += count;
            end = end_of(*bucket as usize);
        }
        end
    })
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

/// A duration in nanoseconds; the longest that there are is 584 years.
pub(crate) fn in_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Durations recorded so far, by one thread at a time: for what is rare, and of which there is
/// much. As large as the buckets that were met.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    buckets: BTreeMap<u16, u64>,
    sum: u128,
    min: Option<u64>,
    max: u64,
}

impl Durations {
    pub(crate) fn record(&mut self, duration: Duration) {
        let nanos = in_nanos(duration);
        *self.buckets.entry(bucket_of(nanos) as u16).or_default() += 1;
        self.sum += u128::from(nanos);
        self.min = Some(self.min.map_or(nanos, |min| min.min(nanos)));
        self.max = self.max.max(nanos);
    }

    /// `None` where nothing was recorded.
    pub(crate) fn summary(&self) -> Option<DurationSummary> {
        let buckets = self.buckets.iter().map(|(at, count)| (*at, *count));
        DurationSummary::of(buckets.collect(), self.sum, self.min?, self.max)
    }
}
