//! One `[[step]]` of a workflow file.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use coordination::bus::Backoff;
use coordination::workflow::Retry;
use toml::de::DeTable;

use super::backoff::backoff;
use super::condition::Condition;
use super::each::{Each, each};
use super::failing::{Failing, failing};
use super::fault::FileFault;
use super::hooks::{Hooks, hooks};
use super::outputs;
use super::params::Params;
use super::resources::{self, Resources};
use super::unit::{Draft, Role, unit};
use super::walk::{Keys, Walk};

/// More attempts than this wait longer than anyone watches.
const ATTEMPTS_MAX: u32 = 1_000;

pub(super) const STEP_KEYS: Keys = Keys {
    table: "a step",
    known: &[
        "id",
        "run",
        "command",
        "signal",
        "sleep",
        "dir",
        "env",
        "needs",
        "needs_any",
        "when",
        "retry",
        "timeout",
        "total_timeout",
        "heartbeat_timeout",
        "optional",
        "critical",
        "on_exhausted",
        "undo",
        "hooks",
        "outputs",
        "for_each",
        "resources",
    ],
    elsewhere: &[
        ("depends_on", "needs"),
        ("after", "needs"),
        ("name", "id"),
        ("script", "run"),
        ("cmd", "command"),
        ("cwd", "dir"),
        ("if", "when"),
        ("pool", "resources"),
        ("no_output_timeout", "heartbeat_timeout"),
        ("on_failure", "hooks"),
        ("on_success", "hooks"),
        ("output", "outputs"),
        ("matrix", "for_each"),
        ("foreach", "for_each"),
        ("loop", "for_each"),
    ],
};

pub(super) const RETRY_KEYS: Keys = Keys {
    table: "`retry`",
    known: &["max_attempts", "backoff", "initial", "max", "exit_codes"],
    elsewhere: &[
        ("attempts", "max_attempts"),
        ("delay", "initial"),
        ("exit_code", "exit_codes"),
        ("exit_status", "exit_codes"),
        ("on_exit", "exit_codes"),
    ],
};

pub(super) const UNDO_KEYS: Keys = Keys {
    table: "`undo`",
    known: &["run", "retry", "timeout"],
    elsewhere: &[("script", "run"), ("cmd", "run"), ("command", "run")],
};

/// What makes a unit a step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// Whether it runs; `None`: it does.
    pub(crate) when: Option<Condition>,
    /// How often it is tried; `None`: once.
    pub(crate) retry: Option<Retry>,
    /// The exit codes after which it is tried again; empty: all.
    pub(crate) exit_codes: Vec<i32>,
    /// How long one attempt takes at most; where the file says nothing, as long as the run.
    pub(crate) timeout: Duration,
    /// Whether it may fail without harm.
    pub(crate) optional: bool,
    /// What becomes of the run when it fails, and for how long it may print nothing.
    pub(crate) failing: Failing,
    /// What undoes it.
    pub(crate) undo: Option<Undo>,
    /// What runs when it has come to its end.
    pub(crate) hooks: Option<Hooks>,
    /// What it puts out, by name.
    pub(crate) outputs: Vec<String>,
    /// What it is done for, if for each of a list.
    pub(crate) each: Option<Each>,
    /// How many permits it takes of which resources.
    pub(crate) resources: Resources,
}

/// What undoes a step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Undo {
    /// A shell line.
    pub(crate) run: String,
    /// How often that is tried; `None`: as the workflow engine does.
    pub(crate) retry: Option<Retry>,
    /// The exit codes after which that is tried again; empty: all.
    pub(crate) exit_codes: Vec<i32>,
    /// How long one attempt takes at most; `None`: as long as one of the step.
    pub(crate) timeout: Option<Duration>,
}

/// Reads a step.
pub(super) fn step(
    walk: &mut Walk<'_>,
    table: &DeTable<'_>,
    at: &Range<usize>,
    folder: &Path,
    params: Params<'_>,
    declared: &Resources,
) -> Option<Draft> {
    walk.check_keys(table, &STEP_KEYS);
    let when = walk.string(table, "when");
    let when = when.map(|when| Condition::read(walk, &when, params));
    let (retry, exit_codes) = retry(walk, table).unzip();
    let timeout = walk.duration(table, "timeout");
    let waits = table.contains_key("signal") || table.contains_key("sleep");
    let optional = walk.flag(table, "optional");
    let failing = failing(walk, table, waits, optional);
    let undo = undo(walk, table);
    let hooks = hooks(walk, table);
    let outputs = outputs::declared(walk, table, waits);
    let each = each(walk, table, params.values, waits);
    let resources = resources::taken(walk, table, declared);
    let role = Role::Step(Step {
        when,
        retry,
        exit_codes: exit_codes.unwrap_or_default(),
        timeout: timeout.unwrap_or(Duration::MAX),
        optional,
        failing,
        undo,
        hooks,
        outputs,
        each,
        resources,
    });
    unit(walk, table, at, folder, role)
}

/// A shell line, or a table that says more.
fn undo(walk: &mut Walk<'_>, table: &DeTable<'_>) -> Option<Undo> {
    let value = table.get("undo")?;
    if value.get_ref().is_str() {
        let run = walk.process_text(table, "undo")?;
        return Some(Undo {
            run,
            retry: None,
            exit_codes: Vec::new(),
            timeout: None,
        });
    }
    let Some(undo) = value.get_ref().as_table() else {
        let example = "such as { run = \"./down.sh\", timeout = \"1m\" }";
        walk.wrong_type("undo", value, "a shell line or a table", Some(example));
        return None;
    };
    walk.check_keys(undo, &UNDO_KEYS);
    let (retry, exit_codes) = retry(walk, undo).unzip();
    let timeout = walk.duration(undo, "timeout");
    if !undo.contains_key("run") {
        let at = walk.at(&value.span());
        walk.add(FileFault::NoUndo { at });
    }
    let run = walk.process_text(undo, "run")?;
    Some(Undo {
        run,
        retry,
        exit_codes: exit_codes.unwrap_or_default(),
        timeout,
    })
}

/// How often something is tried, and after which exit codes.
fn retry(walk: &mut Walk<'_>, table: &DeTable<'_>) -> Option<(Retry, Vec<i32>)> {
    let example = "write it as a table, such as { max_attempts = 3 }";
    let table = walk.table(table, "retry", Some(example))?;
    walk.check_keys(table, &RETRY_KEYS);
    let attempts = walk.count(table, "max_attempts", ATTEMPTS_MAX);
    let mut retry =
        Retry::exponential().max_attempts(attempts.unwrap_or(Retry::DEFAULT_MAX_ATTEMPTS));
    retry.backoff = backoff(walk, table, Backoff::DEFAULT_INITIAL);
    Some((retry, walk.exit_codes(table, "exit_codes")))
}
