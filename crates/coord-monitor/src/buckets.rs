//! The buckets of a histogram with a high dynamic range: which one a duration is counted in.
//!
//! As in HdrHistogram with two significant digits: 128 buckets between a power of two and the next,
//! in nanoseconds, so a bucket is less than 1 % wide, from 1 ns to a day.

use std::time::Duration;

/// Longer durations are counted as this in percentiles.
pub const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

const MAX_NANOS: u64 = MAX_DURATION.as_nanos() as u64;

/// How many buckets there are between a power of two and the next: an octave.
pub(crate) const OCTAVE: usize = 1 << OCTAVE_BITS;
const OCTAVE_BITS: u32 = 7;

/// How many octaves there are. The first two are the numbers below 256, one by one.
pub(crate) const OCTAVES: usize = bucket_of(MAX_NANOS) / OCTAVE + 1;

/// In which bucket this is counted.
#[inline]
pub(crate) const fn bucket_of(nanos: u64) -> usize {
    let nanos = if nanos < MAX_NANOS { nanos } else { MAX_NANOS };
    let (octave, place) = place_of(nanos);
    octave * OCTAVE + place
}

/// The same as an octave and a bucket of that, of no more than a day.
#[inline]
pub(crate) const fn place_of(nanos: u64) -> (usize, usize) {
    const FIRST: u32 = u64::BITS - OCTAVE_BITS - 1;
    // Below the second power of two nothing is left out, and so nothing has to be asked.
    let shift = FIRST - (nanos | (2 * OCTAVE as u64 - 1)).leading_zeros();
    let head = (nanos >> shift) as usize;
    (shift as usize + head / OCTAVE, head % OCTAVE)
}

/// A duration in nanoseconds, of which one of more than a day is one.
#[inline]
pub(crate) const fn nanos_of(duration: Duration) -> u64 {
    // As plain numbers: `as_nanos` has 128 bits, which is a third of what to record it takes.
    match duration.as_secs() < MAX_DURATION.as_secs() {
        true => duration.as_secs() * 1_000_000_000 + duration.subsec_nanos() as u64,
        false => MAX_NANOS,
    }
}

/// The shortest that is counted in this bucket, in nanoseconds.
pub(crate) const fn begin_of(bucket: usize) -> u64 {
    match bucket.checked_sub(1) {
        Some(before) => end_of(before) + 1,
        None => 0,
    }
}

/// The longest that is counted in this bucket, in nanoseconds.
pub(crate) const fn end_of(bucket: usize) -> u64 {
    if bucket < 2 * OCTAVE {
        return bucket as u64;
    }
    let shift = bucket / OCTAVE - 1;
    (((bucket - shift * OCTAVE) as u64 + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_end_where_the_next_one_begins() {
        assert_eq!(bucket_of(0), 0);
        for bucket in 0..OCTAVES * OCTAVE - 1 {
            let end = end_of(bucket);
            if end >= MAX_NANOS {
                assert!(bucket >= bucket_of(MAX_NANOS));
                break;
            }
            assert_eq!(bucket_of(end), bucket, "{end} ns");
            assert_eq!(bucket_of(end + 1), bucket + 1, "{end} ns and one more");
        }
        assert_eq!(bucket_of(u64::MAX), bucket_of(MAX_NANOS));
    }

    #[test]
    fn more_than_a_day_is_a_day_and_what_is_less_is_what_it_is() {
        let just_less = MAX_DURATION - Duration::from_nanos(1);
        for duration in [
            Duration::ZERO,
            Duration::from_nanos(1_999_999_999),
            just_less,
        ] {
            assert_eq!(u128::from(nanos_of(duration)), duration.as_nanos());
        }
        for duration in [MAX_DURATION, MAX_DURATION * 2, Duration::MAX] {
            assert_eq!(nanos_of(duration), MAX_NANOS);
        }
        let (octave, place) = place_of(MAX_NANOS);
        assert!(octave < OCTAVES && place < OCTAVE, "{octave} {place}");
    }

    #[test]
    fn a_bucket_is_less_than_one_percent_wide() {
        for bucket in 1..OCTAVES * OCTAVE {
            let (before, end) = (end_of(bucket - 1), end_of(bucket));
            assert!((end - before - 1) as f64 <= end as f64 * 0.01, "{bucket}");
        }
    }
}
