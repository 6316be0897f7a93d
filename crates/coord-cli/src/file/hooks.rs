//! Hooks: shell lines for when a step, or the run, has come to its end.

use std::time::Duration;

use coordination::workflow::{DEFAULT_STEP_TIMEOUT, Status};
use serde::{Serialize, Serializer};
use toml::de::DeTable;

use super::fault::FileFault;
use super::walk::{Keys, Walk};

pub(super) const HOOK_KEYS: Keys = Keys {
    table: "`hooks`",
    known: &["success", "failure", "always", "timeout"],
    elsewhere: &[
        ("on_success", "success"),
        ("on_failure", "failure"),
        ("error", "failure"),
        ("exit", "always"),
        ("finally", "always"),
    ],
};

/// The hooks of a step, or of the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Hooks {
    /// For when it succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) success: Option<String>,
    /// For when it failed, or the run took too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
    /// For whatever came of it, after the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) always: Option<String>,
    /// How long they take at most, all together.
    #[serde(rename = "timeout_ms", serialize_with = "milliseconds")]
    pub(crate) timeout: Duration,
}

fn milliseconds<S: Serializer>(timeout: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u128(timeout.as_millis())
}

impl Hooks {
    /// The lines that are there, and for when.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let lines = [
            ("success", &self.success),
            ("failure", &self.failure),
            ("always", &self.always),
        ];
        let lines = lines.into_iter();
        lines.filter_map(|(when, line)| Some((when, line.as_deref()?)))
    }

    /// Those that are for such an end, in the order in which they run.
    pub(crate) fn of(&self, status: Status) -> impl Iterator<Item = (&'static str, &str)> {
        let is_for = move |when| match status {
            Status::Completed => when != "failure",
            // Whoever cancelled it knows.
            Status::Cancelled => when == "always",
            _ => when != "success",
        };
        self.lines().filter(move |(when, _)| is_for(*when))
    }
}

/// Reads those of a step, or of the file.
pub(super) fn hooks(walk: &mut Walk<'_>, table: &DeTable<'_>) -> Option<Hooks> {
    let example = "write it as a table, such as { failure = \"./notify.sh\" }";
    let at = table.get("hooks")?.span();
    let table = walk.table(table, "hooks", Some(example))?;
    walk.check_keys(table, &HOOK_KEYS);
    let mut line = |key| walk.process_text(table, key);
    let [success, failure, always] = ["success", "failure", "always"].map(&mut line);
    let timeout = walk.duration(table, "timeout");
    let lines = &HOOK_KEYS.known[..3];
    if !lines.iter().any(|key| table.contains_key(*key)) {
        let at = walk.at(&at);
        walk.add(FileFault::NoHook { at });
    }
    Some(Hooks {
        success,
        failure,
        always,
        timeout: timeout.unwrap_or(DEFAULT_STEP_TIMEOUT),
    })
}
