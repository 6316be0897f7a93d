//! What a workflow file says of steps that fail, or hang.

use std::time::Duration;

use coordination::workflow::{OnExhausted, OnFailure};
use toml::de::DeTable;

use super::fault::FileFault;
use super::walk::Walk;

/// What becomes of a run when a step fails.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Failing {
    /// How long all attempts take at most, with the waits between them.
    pub(crate) total_timeout: Option<Duration>,
    /// For how long a process may print nothing.
    pub(crate) heartbeat_timeout: Option<Duration>,
    /// What becomes of the run when every attempt has failed.
    pub(crate) on_exhausted: OnExhausted,
    /// Whether its failure ends the run at once, whatever the file says.
    pub(crate) critical: bool,
}

/// Reads that of a step, which only waits or runs something, and is optional or not.
pub(super) fn failing(
    walk: &mut Walk<'_>,
    table: &DeTable<'_>,
    waits: bool,
    optional: bool,
) -> Failing {
    let heartbeat_timeout = walk.duration(table, "heartbeat_timeout");
    if waits && let Some((key, _)) = table.get_key_value("heartbeat_timeout") {
        let at = walk.at(&key.span());
        walk.add(FileFault::UselessHeartbeat { at });
    }
    let words = [("fail", OnExhausted::Fail), ("pause", OnExhausted::Pause)];
    let on_exhausted = word(walk, table, "on_exhausted", &words);
    let critical = walk.flag(table, "critical");
    if critical
        && optional
        && let (Some(critical), Some(optional)) = (table.get("critical"), table.get("optional"))
    {
        let (critical, optional) = (walk.at(&critical.span()), walk.at(&optional.span()));
        walk.add(FileFault::OptionalAndCritical { critical, optional });
    }
    Failing {
        total_timeout: walk.duration(table, "total_timeout"),
        heartbeat_timeout,
        on_exhausted: on_exhausted.unwrap_or_default(),
        critical,
    }
}

/// Reads what becomes of the rest of a run when a step fails.
pub(super) fn on_failure(walk: &mut Walk<'_>, root: &DeTable<'_>) -> OnFailure {
    let words = [
        ("fail-fast", OnFailure::FailFast),
        ("finish-branches", OnFailure::FinishBranches),
        ("finish-all", OnFailure::FinishAll),
    ];
    word(walk, root, "on_failure", &words).unwrap_or_default()
}

/// One of some words.
pub(super) fn word<T: Copy>(
    walk: &mut Walk<'_>,
    table: &DeTable<'_>,
    key: &'static str,
    words: &[(&'static str, T)],
) -> Option<T> {
    let said = walk.string(table, key)?;
    let meant = words.iter().find(|(word, _)| word == said.get_ref());
    if meant.is_none() {
        let (name, at) = ((*said.get_ref()).to_owned(), walk.at(&said.span()));
        let words: Vec<_> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let words = match &*words {
            [first @ .., last] => format!("{} or {last}", first.join(", ")),
            [] => String::new(),
        };
        walk.add(FileFault::Word {
            key,
            name,
            words,
            at,
        });
    }
    meant.map(|(_, meant)| *meant)
}
