//! Values of flags, from what was typed.

use std::num::NonZeroUsize;
use std::thread;

use anstream::adapter::strip_str;
use coordination::bus::Timestamp;
use coordination::bus::time::{Clock, SystemClock};
use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use regex_lite::{Regex, RegexBuilder};

pub(super) fn key_value(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text
        .split_once('=')
        .ok_or("a parameter is given as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// A number, or so many percent of the processors: at least 1.
pub(super) fn concurrency(text: &str) -> Result<NonZeroUsize, &'static str> {
    const WRONG: &str = "give a number from 1, or percent of the processors, such as 50%";
    let Some(percent) = text.strip_suffix('%') else {
        return text.parse().map_err(|_| WRONG);
    };
    let percent: NonZeroUsize = percent.parse().map_err(|_| WRONG)?;
    let processors = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Ok(share(processors, percent))
}

fn share(of: NonZeroUsize, percent: NonZeroUsize) -> NonZeroUsize {
    let share = of.get().saturating_mul(percent.get()) / 100;
    NonZeroUsize::new(share).unwrap_or(NonZeroUsize::MIN)
}

/// A time, or how long ago it was.
pub(super) fn since(text: &str) -> Result<Timestamp, &'static str> {
    const WRONG: &str = "a time is given as 10m, 2h30m, 2026-03-01 or 2026-03-01T09:30:00Z";
    if let Ok(ago) = text.parse::<SignedDuration>() {
        let then = SystemClock.now().checked_sub(ago);
        return then.map_err(|_| "that is too long ago");
    }
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let local = text.parse::<DateTime>().map_err(|_| WRONG)?;
    let at = local
        .to_zoned_datetime(TimeZone::system())
        .map_err(|_| WRONG)?;
    Ok(at.timestamp())
}

/// What lines are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Grep {
    exact: Regex,
    any_case: Regex,
}

impl Grep {
    /// Whether it matches what is to be seen of a line, whatever its colours.
    pub(crate) fn is_in(&self, line: &str, ignore_case: bool) -> bool {
        let regex = match ignore_case {
            true => &self.any_case,
            false => &self.exact,
        };
        regex.is_match(&strip_str(line).to_string())
    }
}

pub(super) fn grep(text: &str) -> Result<Grep, String> {
    let regex = |ignore_case| {
        let regex = RegexBuilder::new(text)
            .case_insensitive(ignore_case)
            .build();
        regex.map_err(|error| format!("this is no regular expression: {error}"))
    };
    Ok(Grep {
        exact: regex(false)?,
        any_case: regex(true)?,
    })
}

pub(super) fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| {
        format!("this is no JSON ({error}); text stands in quotes, such as '\"yes\"'")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_are_of_the_processors_and_at_least_one() {
        let number = |number| NonZeroUsize::new(number).expect("it is one");
        assert_eq!(share(number(8), number(50)), number(4));
        assert_eq!(share(number(3), number(50)), number(1));
        assert_eq!(share(number(1), number(1)), number(1));
        assert_eq!(share(number(4), number(200)), number(8));
        for wrong in ["0", "0%", "-1", "%", "many", "50 %"] {
            assert!(concurrency(wrong).is_err(), "{wrong}");
        }
        assert_eq!(concurrency("7"), Ok(number(7)));
    }
}
