//! Values of flags, from what was typed.

use coordination::bus::Timestamp;
use coordination::bus::time::{Clock, SystemClock};
use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

pub(super) fn key_value(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text
        .split_once('=')
        .ok_or("a parameter is given as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
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

pub(super) fn json(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| {
        format!("this is no JSON ({error}); text stands in quotes, such as '\"yes\"'")
    })
}
