//! The waits between one failure and the next attempt, of a `retry` or a `restart`.

use std::time::Duration;

use coordination::bus::Backoff;
use toml::Spanned;
use toml::de::DeTable;

use super::fault::FileFault;
use super::walk::Walk;

/// Reads `backoff`, `initial` and `max` of a table.
pub(super) fn backoff(
    walk: &mut Walk<'_>,
    table: &DeTable<'_>,
    default_initial: Duration,
) -> Backoff {
    let initial = walk.duration(table, "initial");
    let initial = initial.unwrap_or(default_initial);
    let max = walk.duration(table, "max");
    let max = max.unwrap_or(Backoff::DEFAULT_MAX);
    let growth = walk.string(table, "backoff");
    let growth = growth.unwrap_or_else(|| Spanned::new(0..0, "exponential"));
    let backoff = match *growth.get_ref() {
        "constant" => Backoff::constant(initial),
        "linear" => Backoff::linear(initial).max(max),
        "exponential" => Backoff::exponential(initial).max(max),
        other => {
            let name = other.to_owned();
            let at = walk.at(&growth.span());
            walk.add(FileFault::Backoff { name, at });
            Backoff::default()
        }
    };
    if *growth.get_ref() == "constant" {
        if let Some((key, _)) = table.get_key_value("max") {
            let at = walk.at(&key.span());
            walk.add(FileFault::UselessMax { at });
        }
    } else if initial > max
        && let Some(wait) = table.get("initial").or_else(|| table.get("max"))
    {
        let at = walk.at(&wait.span());
        walk.add(FileFault::Waits {
            initial,
            max,
            default_initial,
            at,
        });
    }
    backoff
}
