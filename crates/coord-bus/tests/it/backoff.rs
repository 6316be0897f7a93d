//! How long a backoff waits.

use std::time::Duration;

use coord_bus::{Backoff, Growth, Jitter};
use proptest::prelude::*;

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0..100_000_u64).prop_map(Duration::from_millis),
        (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(s, ns)| Duration::new(s, ns)),
    ]
}

fn backoff() -> impl Strategy<Value = Backoff> {
    let kind = prop_oneof![
        Just(None),
        Just(Some(None)),
        prop_oneof![1.0..10.0, any::<f64>()].prop_map(|factor| Some(Some(factor))),
    ];
    (kind, duration(), duration()).prop_map(|(kind, initial, max)| match kind {
        None => Backoff::constant(initial).max(max),
        Some(None) => Backoff::linear(initial).max(max),
        Some(Some(factor)) => Backoff::exponential(initial).factor(factor).max(max),
    })
}

fn jitter() -> impl Strategy<Value = Jitter> {
    prop_oneof![
        Just(Jitter::None),
        Just(Jitter::Full),
        Just(Jitter::Decorrelated),
        prop_oneof![0.0..=1.0, any::<f64>()].prop_map(|share| Jitter::Proportional { share }),
    ]
}

/// With the longest wait of a backoff, which it does not tell.
fn with_max() -> impl Strategy<Value = (Backoff, Duration)> {
    (backoff(), duration()).prop_map(|(backoff, max)| (backoff.max(max), max))
}

proptest! {
    #[test]
    fn no_wait_is_longer_than_the_longest(
        (backoff, max) in with_max(),
        jitter in jitter(),
        failures: u32,
        chance in prop_oneof![0.0..1.0, any::<f64>()],
    ) {
        let backoff = backoff.jitter(jitter);
        prop_assert!(backoff.delay_with(failures, chance) <= max);
        prop_assert!(backoff.delay(failures) <= max);
    }

    #[test]
    fn without_jitter_no_wait_is_shorter_than_the_one_before(
        initial in duration(),
        max in duration(),
        percent in 100..1000_u32,
        failures in 0..1000_u32,
    ) {
        let exponential = Backoff::exponential(initial).factor(f64::from(percent) / 100.0);
        for backoff in [Backoff::constant(initial), Backoff::linear(initial), exponential] {
            let backoff = backoff.max(max);
            prop_assert!(backoff.delay(failures) <= backoff.delay(failures + 1));
        }
    }

    #[test]
    fn full_jitter_takes_any_part_of_the_wait(
        backoff in backoff(),
        failures: u32,
        chance in 0.0..1.0,
    ) {
        let whole = backoff.jitter(Jitter::None).delay(failures);
        let part = backoff.jitter(Jitter::Full).delay_with(failures, chance);
        let expected = whole.as_secs_f64() * chance;
        prop_assert!((part.as_secs_f64() - expected).abs() <= 1e-9 + expected * 1e-9);
        prop_assert!(part <= whole);
    }

    #[test]
    fn decorrelated_jitter_waits_from_the_first_wait_to_three_times_the_one_before(
        initial in (1..100_000_u64).prop_map(Duration::from_millis),
        chances in prop::collection::vec(0.0..1.0, 1..20),
    ) {
        let max = Duration::from_secs(100_000);
        let backoff = Backoff::exponential(initial).max(max).jitter(Jitter::Decorrelated);
        let mut previous = Duration::ZERO;
        for (before, chance) in (0..).zip(chances) {
            let longest = (previous.max(initial) * 3).min(max).as_secs_f64();
            let least = initial.as_secs_f64();
            let expected = least + (longest - least) * chance;
            let wait = backoff.delay_after_with(before + 1, previous, chance);
            // A wait is of whole nanoseconds.
            let off = (wait.as_secs_f64() - expected).abs();
            prop_assert!(off <= 1e-9 + 1e-12 * longest, "{off} of {longest}");
            // Who does not know the wait before may wait longer, never beyond what can come.
            let blind = backoff.delay_with(before + 1, chance).as_secs_f64();
            prop_assert!(blind >= wait.as_secs_f64() - 1e-9 - 1e-8 * longest);
            previous = wait;
        }
    }

    #[test]
    fn proportional_jitter_stays_within_its_share(
        initial in (1..100_000_u64).prop_map(Duration::from_millis),
        failures in 1..10_u32,
        share in 0.0..=1.0,
        chance in 0.0..1.0,
    ) {
        let backoff = Backoff::exponential(initial).max(Duration::MAX);
        let whole = backoff.delay(failures).as_secs_f64();
        let backoff = backoff.jitter(Jitter::Proportional { share });
        for wait in [backoff.delay_with(failures, chance), backoff.delay(failures)] {
            let wait = wait.as_secs_f64();
            prop_assert!(wait >= whole * (1.0 - share) - 1e-9, "{} of {}", wait, whole);
            prop_assert!(wait <= whole * (1.0 + share) + 1e-9, "{} of {}", wait, whole);
        }
    }
}

#[test]
fn each_growth_grows_as_it_says() {
    let seconds = Duration::from_secs;
    let first = |backoff: Backoff| [1, 2, 3, 4].map(|failures| backoff.delay(failures).as_secs());
    assert_eq!(first(Backoff::constant(seconds(3))), [3, 3, 3, 3]);
    assert_eq!(
        first(Backoff::constant(seconds(3)).initial(seconds(4))),
        [4, 4, 4, 4]
    );
    assert_eq!(first(Backoff::linear(seconds(3))), [3, 6, 9, 12]);
    assert_eq!(first(Backoff::exponential(seconds(3))), [3, 6, 12, 24]);
    assert_eq!(
        first(Backoff::exponential(seconds(3)).factor(3.0)),
        [3, 9, 27, 60]
    );
    assert_eq!(
        first(Backoff::exponential(seconds(3)).factor(0.1)),
        [3, 3, 3, 3]
    );
    assert_eq!(
        first(Backoff::linear(seconds(3)).factor(9.0).max(seconds(7))),
        [3, 6, 7, 7]
    );
    assert_eq!(Backoff::default().delay(1), Duration::from_millis(500));
    assert_eq!(Backoff::default().delay(u32::MAX), seconds(60));
    assert_eq!(Backoff::default().delay(0), Backoff::default().delay(1));
}

#[test]
fn a_jitter_share_past_its_bounds_counts_as_the_bound() {
    let backoff = Backoff::constant(Duration::from_secs(10)).max(Duration::from_secs(60));
    let waits = |share, chance| {
        let backoff = backoff.jitter(Jitter::Proportional { share });
        backoff.delay_with(1, chance).as_secs()
    };
    assert_eq!((waits(7.0, 0.0), waits(7.0, 0.75)), (0, 15));
    assert_eq!((waits(-7.0, 0.0), waits(-7.0, 0.75)), (10, 10));
    assert_eq!((waits(f64::NAN, 0.0), waits(f64::NAN, 0.75)), (10, 10));
}

#[test]
fn a_backoff_survives_serialisation() {
    for (backoff, json) in [
        (
            Backoff::default(),
            r#"{"growth":{"exponential":{"factor":2.0}},"initial":{"secs":0,"nanos":500000000},"max":{"secs":60,"nanos":0},"jitter":"none"}"#,
        ),
        (
            Backoff::linear(Duration::from_secs(1)).jitter(Jitter::Proportional { share: 0.5 }),
            r#"{"growth":"linear","initial":{"secs":1,"nanos":0},"max":{"secs":60,"nanos":0},"jitter":{"proportional":{"share":0.5}}}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&backoff).unwrap(), json);
        assert_eq!(serde_json::from_str::<Backoff>(json).unwrap(), backoff);
    }
    let growth: Growth = serde_json::from_str(r#""constant""#).unwrap();
    assert_eq!(growth, Growth::Constant);
}
