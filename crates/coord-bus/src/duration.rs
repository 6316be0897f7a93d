//! Times as people write them: `500ms`, `2s`, `1h30m`, and in settings also a number of seconds.
//!
//! One notation for all crates: what is parsed here is what [jiff calls
//! friendly](https://docs.rs/jiff/latest/jiff/fmt/friendly/index.html), within bounds. For a field of
//! a configuration:
//!
//! ```
//! use std::time::Duration;
//!
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     /// A time, such as `"500ms"`, or a number of seconds.
//!     #[serde(with = "coord_bus::duration")]
//!     interval: Duration,
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! for text in [r#"{ "interval": "500ms" }"#, r#"{ "interval": 0.5 }"#] {
//!     let config: Config = serde_json::from_str(text)?;
//!     assert_eq!(config.interval, Duration::from_millis(500));
//! }
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::time::Duration;

use jiff::fmt::friendly::SpanParser;
use serde::{Deserializer, Serializer, de};

/// The longest time that is understood, a year: what is longer is a slip, and clocks can add it
/// without care.
pub const MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A day of a time that is none of a calendar.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Why something is not understood as a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// A number in a text.
    #[error("it has no unit")]
    NoUnit,
    /// It is less than no time.
    #[error("it is negative")]
    Negative,
    /// It is infinite, or no number at all.
    #[error("it is not a finite number")]
    NotFinite,
    /// It is longer than [`MAX`].
    #[error("it is longer than a year, 365d")]
    TooLong,
    /// A smaller unit stands before a larger one, or one twice.
    #[error("the largest unit stands first, and each once, as in 1h30m")]
    Order,
    /// Another number than the last has a fraction.
    #[error("only the last number may have a fraction")]
    Fraction,
    /// It is written otherwise.
    #[error(
        "only days (d), hours (h), minutes (m), seconds (s), milliseconds (ms), microseconds (us) and \
         nanoseconds (ns) are understood"
    )]
    NotUnderstood,
}

/// The time that a text says: `500ms`, `2s`, `1h30m`, `7d`. No time at all is one, too. A day has 24 hours.
///
/// # Errors
///
/// See [`DurationError`].
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    understand(text).map_err(|why| match why {
        DurationError::NotUnderstood => why_not(text),
        why => why,
    })
}

fn understand(text: &str) -> Result<Duration, DurationError> {
    if text.parse::<f64>().is_ok() {
        return Err(DurationError::NoUnit);
    }
    if text.trim_start().starts_with('-') {
        return Err(DurationError::Negative);
    }
    let parse = |text| {
        let parsed = SpanParser::new().parse_unsigned_duration(text);
        within(parsed.map_err(|_| DurationError::NotUnderstood)?)
    };
    let Some((days, rest)) = days(text) else {
        return parse(text);
    };
    let is_whole = !days.contains('.');
    let days: f64 = days.parse().map_err(|_| DurationError::NotUnderstood)?;
    let days = from_seconds(days * DAY.as_secs_f64())?;
    match rest {
        "" => Ok(days),
        // As of all units, only the last may be a part.
        rest if is_whole => within(days.saturating_add(parse(rest)?)),
        _ => Err(DurationError::NotUnderstood),
    }
}

/// The number of days that a text begins with, and the rest of it: a calendar has days of other lengths, so
/// jiff reads none where it has no date.
fn days(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
    let (number, unit) = text.split_at(end);
    let mut units = ["days", "day", "d"].into_iter();
    let rest = units.find_map(|name| unit.trim_start().strip_prefix(name))?;
    let is_unit = !rest.starts_with(|character: char| character.is_alphabetic());
    is_unit.then(|| (number, rest.trim_start()))
}

/// The units, the largest first, as jiff calls them.
const UNITS: [&[&str]; 7] = [
    &["d", "day", "days"],
    &["h", "hr", "hrs", "hour", "hours"],
    &["m", "min", "mins", "minute", "minutes"],
    &["s", "sec", "secs", "second", "seconds"],
    &[
        "ms",
        "msec",
        "msecs",
        "milli",
        "millis",
        "millisecond",
        "milliseconds",
    ],
    &[
        "us",
        "µs",
        "usec",
        "usecs",
        "micro",
        "micros",
        "microsecond",
        "microseconds",
    ],
    &[
        "ns",
        "nsec",
        "nsecs",
        "nano",
        "nanos",
        "nanosecond",
        "nanoseconds",
    ],
];

/// Why a text is not understood: what jiff says of it is about more than what is a time here.
fn why_not(text: &str) -> DurationError {
    let mut rest = text.trim();
    let (mut before, mut has_fraction) = (None, false);
    while !rest.is_empty() {
        let is_number = |character: char| character.is_ascii_digit() || character == '.';
        let unit = rest.trim_start_matches(is_number);
        let number = &rest[..rest.len() - unit.len()];
        let unit = unit.trim_start();
        let next = unit.trim_start_matches(char::is_alphabetic);
        let unit = &unit[..unit.len() - next.len()];
        let place = UNITS.iter().position(|names| names.contains(&unit));
        let Some(place) = place.filter(|_| !number.is_empty()) else {
            return DurationError::NotUnderstood;
        };
        if has_fraction {
            return DurationError::Fraction;
        }
        if before.is_some_and(|before| place <= before) {
            return DurationError::Order;
        }
        (before, has_fraction) = (Some(place), number.contains('.'));
        rest = next.trim_start();
    }
    DurationError::NotUnderstood
}

/// So many seconds.
///
/// # Errors
///
/// See [`DurationError`].
pub fn from_seconds(seconds: f64) -> Result<Duration, DurationError> {
    if !seconds.is_finite() {
        return Err(DurationError::NotFinite);
    }
    if seconds < 0.0 {
        return Err(DurationError::Negative);
    }
    // One that has no room in a duration is longer than a year.
    within(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

fn within(duration: Duration) -> Result<Duration, DurationError> {
    match duration <= MAX {
        true => Ok(duration),
        false => Err(DurationError::TooLong),
    }
}

/// As a number of seconds: what people and other languages read without a table.
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// From a text, as [`parse`] does, or a number of seconds, as [`from_seconds`] does. In a format that
/// says what a value is, such as TOML or JSON.
///
/// # Errors
///
/// What is neither, with what was written and why it is no time.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Written)
}

struct Written;

impl Written {
    fn or_fault<E: de::Error>(
        duration: Result<Duration, DurationError>,
        written: &dyn fmt::Display,
    ) -> Result<Duration, E> {
        duration.map_err(|why| {
            E::custom(format_args!(
                "`{written}` is no time: {why}; write such as \"500ms\", \"2s\" or \"1h30m\", or a \
                 number of seconds"
            ))
        })
    }
}

impl de::Visitor<'_> for Written {
    type Value = Duration;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a time, such as \"500ms\", or a number of seconds")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        Self::or_fault(parse(text), &text.escape_debug())
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Duration, E> {
        Self::or_fault(from_seconds(seconds), &seconds)
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Duration, E> {
        Self::or_fault(within(Duration::from_secs(seconds)), &seconds)
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Duration, E> {
        let whole = u64::try_from(seconds).map_err(|_| DurationError::Negative);
        Self::or_fault(
            whole.and_then(|whole| within(Duration::from_secs(whole))),
            &seconds,
        )
    }
}
