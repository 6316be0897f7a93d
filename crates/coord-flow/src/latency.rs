//! How long events take through a flow that measures it: a histogram within 1 %.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer ones count as this: a day.
const MICROS_MAX: u64 = 24 * 60 * 60 * 1_000_000;

/// How long events took from when a flow took them until what became of them was published, within
/// 1 % and in microseconds; longer than a day counts as a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FlowLatency {
    /// How many were measured.
    pub count: u64,
    /// Half of them took at most this.
    #[serde(serialize_with = "coord_bus::duration::serialize")]
    pub p50: Duration,
    /// 90 % took at most this.
    #[serde(serialize_with = "coord_bus::duration::serialize")]
    pub p90: Duration,
    /// 99 % took at most this.
    #[serde(serialize_with = "coord_bus::duration::serialize")]
    pub p99: Duration,
    /// The longest.
    #[serde(serialize_with = "coord_bus::duration::serialize")]
    pub max: Duration,
}

/// What was measured so far. Grows with the longest, up to 32 KiB; made with the first.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Mutex<Option<Histogram<u64>>>);

impl Latencies {
    pub(crate) fn record(&self, took: Duration) {
        let mut micros = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let micros =
            micros.get_or_insert_with(|| Histogram::new(2).expect("2 digits are possible"));
        let took = u64::try_from(took.as_micros()).unwrap_or(MICROS_MAX);
        // One that grows takes everything.
        let _ = micros.record(took.clamp(1, MICROS_MAX));
    }

    pub(crate) fn summary(&self) -> Option<FlowLatency> {
        let micros = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let micros = micros.as_ref()?;
        let quantile = |quantile| Duration::from_micros(micros.value_at_quantile(quantile));
        Some(FlowLatency {
            count: micros.len(),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            max: Duration::from_micros(micros.max()),
        })
    }
}
