//! How long something takes: a histogram within 1 %, from 1 µs to a day.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer durations are counted as this in percentiles.
pub const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];

/// How durations are distributed, in seconds.
///
/// `count`, `min`, `mean` and `max` are exact; percentiles are within 1 %, and durations of more
/// than [`MAX_DURATION`] are taken for that in them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
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
}

/// Durations recorded so far. Grows with the longest of them, up to 32 KiB.
#[derive(Debug)]
pub(crate) struct Durations {
    micros: Histogram<u64>,
    sum: Duration,
    min: Duration,
    max: Duration,
}

impl Durations {
    pub(crate) fn new() -> Self {
        Self {
            micros: Histogram::new(2).expect("2 digits are possible"),
            sum: Duration::ZERO,
            min: Duration::MAX,
            max: Duration::ZERO,
        }
    }

    pub(crate) fn record(&mut self, duration: Duration) {
        let micros = duration.min(MAX_DURATION).as_micros() as u64;
        if self.micros.record(micros).is_err() {
            // It could not grow so far, which a day does not ask of it.
            self.micros.saturating_record(micros);
        }
        self.sum = self.sum.saturating_add(duration);
        self.min = self.min.min(duration);
        self.max = self.max.max(duration);
    }

    /// `None` where nothing was recorded.
    pub(crate) fn summary(&self) -> Option<DurationSummary> {
        let count = self.micros.len();
        if count == 0 {
            return None;
        }
        let (min, max) = (self.min.as_secs_f64(), self.max.as_secs_f64());
        let mut quantiles = [0.0; QUANTILES.len()];
        for (quantile, micros) in quantiles
            .iter_mut()
            .zip(self.micros.value_at_quantiles(QUANTILES))
        {
            // The end of a bucket may lie beyond what was recorded.
            *quantile = (micros as f64 / 1e6).clamp(min, max);
        }
        let [p50, p90, p95, p99, p999] = quantiles;
        Some(DurationSummary {
            count,
            min,
            mean: self.sum.as_secs_f64() / count as f64,
            p50,
            p90,
            p95,
            p99,
            p999,
            max,
        })
    }
}
