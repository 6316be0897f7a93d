//! Times as people write them.

use std::time::Duration;

use coord_bus::duration::{self, DurationError, MAX, from_seconds, parse};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Setting {
    #[serde(with = "duration")]
    wait: Duration,
}

fn read(value: &str) -> Result<Duration, String> {
    let setting = serde_json::from_str::<Setting>(&format!("{{\"wait\":{value}}}"));
    setting
        .map(|setting| setting.wait)
        .map_err(|error| error.to_string())
}

#[test]
fn a_time_is_a_text_with_a_unit_or_a_number_of_seconds() {
    for (value, millis) in [
        (r#""500ms""#, 500),
        (r#""2s""#, 2_000),
        (r#""1m""#, 60_000),
        (r#""1h30m""#, 5_400_000),
        (r#""1.5s""#, 1_500),
        (r#""0s""#, 0),
        ("0", 0),
        ("2", 2_000),
        ("0.05", 50),
        (r#""8760h""#, 365 * 24 * 3_600_000),
    ] {
        assert_eq!(read(value), Ok(Duration::from_millis(millis)), "{value}");
    }
}

#[test]
fn what_is_no_time_is_refused_with_what_was_written_and_why() {
    for (value, why) in [
        (r#""5""#, "`5` is no time: it has no unit"),
        (r#""-5s""#, "`-5s` is no time: it is negative"),
        ("-5", "`-5` is no time: it is negative"),
        ("-0.5", "`-0.5` is no time: it is negative"),
        (r#""8761h""#, "`8761h` is no time: it is longer than a year"),
        (
            "31536001",
            "`31536001` is no time: it is longer than a year",
        ),
        ("1e300", "is no time: it is longer than a year"),
        (r#""soon""#, "`soon` is no time: only days (d)"),
        (r#""\u001b[2J""#, r"`\u{1b}[2J` is no time"),
        ("true", "expected a time, such as \"500ms\""),
    ] {
        let refused = read(value).unwrap_err();
        assert!(refused.contains(why), "{value}: {refused}");
    }
    let refused = read(r#""5""#).unwrap_err();
    let hint = "write such as \"500ms\", \"2s\" or \"1h30m\", or a number of seconds";
    assert!(refused.contains(hint), "{refused}");
    for (seconds, why) in [
        (f64::NAN, DurationError::NotFinite),
        (f64::INFINITY, DurationError::NotFinite),
        (f64::NEG_INFINITY, DurationError::NotFinite),
        (f64::MAX, DurationError::TooLong),
        (-f64::MIN_POSITIVE, DurationError::Negative),
    ] {
        assert_eq!(from_seconds(seconds), Err(why), "{seconds}");
    }
}

proptest! {
    #[test]
    fn every_number_is_a_time_within_bounds_or_refused(seconds in any::<f64>()) {
        match from_seconds(seconds) {
            Ok(time) => {
                prop_assert!(time <= MAX);
                prop_assert!((time.as_secs_f64() - seconds).abs() < 1e-6);
            }
            Err(_) => prop_assert!(!(0.0..=MAX.as_secs_f64()).contains(&seconds)),
        }
    }

    #[test]
    fn what_is_written_is_read_as_it_was(millis in 0..=MAX.as_millis() as u64, text in ".{0,20}") {
        let wait = Duration::from_millis(millis);
        prop_assert_eq!(parse(&format!("{millis}ms")), Ok(wait));
        let written = serde_json::to_string(&Setting { wait }).unwrap();
        let read: Setting = serde_json::from_str(&written).unwrap();
        prop_assert!(read.wait.abs_diff(wait) < Duration::from_micros(1));
        if let Ok(time) = parse(&text) {
            prop_assert!(time <= MAX);
        }
    }
}

#[test]
fn days_have_24_hours_and_stand_first() {
    let hours = |hours: u64| Ok(Duration::from_secs(hours * 3600));
    for (text, time) in [
        ("7d", hours(7 * 24)),
        ("1d12h", hours(36)),
        (" 2 days 1h ", hours(49)),
        ("1.5d", hours(36)),
        ("0d", hours(0)),
        ("365d", hours(365 * 24)),
        ("366d", Err(DurationError::TooLong)),
        ("364d48h", Err(DurationError::TooLong)),
        ("1dx", Err(DurationError::NotUnderstood)),
        ("d", Err(DurationError::NotUnderstood)),
        ("1.2.3d", Err(DurationError::NotUnderstood)),
    ] {
        assert_eq!(parse(text), time, "{text}");
    }
}

#[test]
fn what_is_wrong_with_a_time_is_told_as_it_is() {
    for (text, why) in [
        ("1m1h", "the largest unit stands first, and each once"),
        ("1h1d", "the largest unit stands first, and each once"),
        ("1s 1s", "the largest unit stands first, and each once"),
        ("1d2d", "the largest unit stands first, and each once"),
        ("1ms1m", "the largest unit stands first, and each once"),
        ("1.5h30m", "only the last number may have a fraction"),
        ("1.5d1h", "only the last number may have a fraction"),
        (
            "1w",
            "milliseconds (ms), microseconds (us) and nanoseconds (ns) are understood",
        ),
        ("1h1w", "days (d), hours (h), minutes (m), seconds (s)"),
    ] {
        let refused = parse(text).unwrap_err().to_string();
        assert!(refused.contains(why), "{text}: {refused}");
    }
    assert_eq!(parse("1us"), Ok(Duration::from_micros(1)));
}
