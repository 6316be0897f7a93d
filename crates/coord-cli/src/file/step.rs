//! One `[[step]]` of a workflow file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coordination::bus::Backoff;
use coordination::workflow::Retry;
use toml::Spanned;
use toml::de::DeTable;

use super::condition::Condition;
use super::fault::FileFault;
use super::walk::{Keys, Walk};

/// How long an attempt of a step takes at most, where the file says nothing else.
pub(crate) const STEP_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// More attempts than this wait longer than anyone watches.
const ATTEMPTS_MAX: u32 = 1_000;

pub(super) const STEP_KEYS: Keys = Keys {
    table: "a step",
    known: &[
        "id", "run", "command", "dir", "env", "needs", "when", "retry", "timeout", "optional",
        "undo",
    ],
    elsewhere: &[
        ("depends_on", "needs"),
        ("after", "needs"),
        ("name", "id"),
        ("script", "run"),
        ("cmd", "command"),
        ("cwd", "dir"),
        ("if", "when"),
    ],
};

pub(super) const RETRY_KEYS: Keys = Keys {
    table: "`retry`",
    known: &["max_attempts", "backoff", "initial", "max"],
    elsewhere: &[("attempts", "max_attempts"), ("delay", "initial")],
};

/// One step of a workflow file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FileStep {
    /// Unique in the file.
    pub(crate) id: String,
    /// What the step does.
    pub(crate) action: Action,
    /// Where it is done: the file's folder, or a folder below or beside it.
    pub(crate) folder: PathBuf,
    /// Variables for this step only; they win over those of the file.
    pub(crate) env: BTreeMap<String, String>,
    /// The ids of the steps that end before this one begins.
    pub(crate) needs: Vec<String>,
    /// Whether the step runs; `None`: it does.
    pub(crate) when: Option<Condition>,
    /// How often it is tried; `None`: once.
    pub(crate) retry: Option<Retry>,
    /// How long one attempt takes at most.
    pub(crate) timeout: Duration,
    /// Whether it may fail without harm.
    pub(crate) optional: bool,
    /// A shell line that undoes the step.
    pub(crate) undo: Option<String>,
    /// Where the file names the id.
    pub(super) id_at: Range<usize>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// A line for `sh -c`.
    Shell(String),
    /// A program, without a shell in between.
    Program {
        /// Its name or path.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

/// A step with the places of what is checked once all steps are known.
pub(super) struct Draft {
    pub(super) step: FileStep,
    pub(super) needs_at: Vec<Range<usize>>,
}

/// Reads a step. One without an id is looked through all the same, and then left out.
pub(super) fn step(
    walk: &mut Walk<'_>,
    table: &DeTable<'_>,
    at: &Range<usize>,
    folder: &Path,
    params: &BTreeMap<String, String>,
) -> Option<Draft> {
    walk.check_keys(table, &STEP_KEYS);
    let id = walk.string(table, "id");
    if !table.contains_key("id") {
        let at = walk.at(at);
        walk.add(FileFault::NoId { at });
    }
    let action = action(walk, table, at);
    let dir = walk.process_text(table, "dir");
    let env = env(walk, table);
    let needs = walk.strings(table, "needs");
    let when = walk.string(table, "when");
    let when = when.map(|when| Condition::read(walk, &when, params));
    let retry = retry(walk, table);
    let timeout = walk.duration(table, "timeout");
    let optional = walk.flag(table, "optional");
    let undo = walk.process_text(table, "undo");
    let id = id?;
    Some(Draft {
        step: FileStep {
            id: (*id.get_ref()).to_owned(),
            action: action.unwrap_or(Action::Shell(String::new())),
            folder: dir.map_or_else(|| folder.to_owned(), |dir| folder.join(dir)),
            env,
            needs: needs
                .iter()
                .map(|need| (*need.get_ref()).to_owned())
                .collect(),
            when,
            retry,
            timeout: timeout.unwrap_or(STEP_TIMEOUT),
            optional,
            undo,
            id_at: id.span(),
        },
        needs_at: needs.iter().map(Spanned::span).collect(),
    })
}

fn action(walk: &mut Walk<'_>, table: &DeTable<'_>, at: &Range<usize>) -> Option<Action> {
    let shell = walk.process_text(table, "run").map(Action::Shell);
    let program = command(walk, table);
    match (table.get_key_value("run"), table.get_key_value("command")) {
        (None, None) => {
            let at = walk.at(at);
            walk.add(FileFault::NoAction { at });
        }
        (Some((run, _)), Some((command, _))) => {
            let (run, command) = (walk.at(&run.span()), walk.at(&command.span()));
            walk.add(FileFault::TwoActions { run, command });
        }
        _ => {}
    }
    shell.or(program)
}

fn command(walk: &mut Walk<'_>, table: &DeTable<'_>) -> Option<Action> {
    let words = walk.strings(table, "command");
    for (index, word) in words.iter().enumerate() {
        // An empty argument is an argument; an empty program is none.
        walk.check_process_text("command", word, index == 0);
    }
    let value = table.get("command")?;
    if value
        .get_ref()
        .as_array()
        .is_some_and(|array| array.is_empty())
    {
        let at = walk.at(&value.span());
        let key = "command".to_owned();
        walk.add(FileFault::Empty { key, at });
    }
    let mut words = words.iter().map(|word| (*word.get_ref()).to_owned());
    Some(Action::Program {
        program: words.next()?,
        arguments: words.collect(),
    })
}

/// The variables of a step or of the file.
pub(super) fn env(walk: &mut Walk<'_>, table: &DeTable<'_>) -> BTreeMap<String, String> {
    let variables = walk.texts(table, "env");
    for (name, value) in &variables {
        if name.is_empty() || name.contains(['=', '\0']) {
            let at = walk.at(&value.span());
            let name = name.clone();
            walk.add(FileFault::VariableName { name, at });
        }
    }
    let values = variables.into_iter();
    values
        .map(|(name, value)| (name, value.into_inner()))
        .collect()
}

fn retry(walk: &mut Walk<'_>, table: &DeTable<'_>) -> Option<Retry> {
    let example = "write it as a table, such as { max_attempts = 3 }";
    let table = walk.table(table, "retry", Some(example))?;
    walk.check_keys(table, &RETRY_KEYS);
    let attempts = walk.count(table, "max_attempts", ATTEMPTS_MAX);
    let initial = walk.duration(table, "initial");
    let initial = initial.unwrap_or(Backoff::DEFAULT_INITIAL);
    let max = walk.duration(table, "max");
    let max = max.unwrap_or(Backoff::DEFAULT_MAX);
    let backoff = walk.string(table, "backoff");
    let backoff = backoff.unwrap_or_else(|| Spanned::new(0..0, "exponential"));
    let retry = match *backoff.get_ref() {
        "constant" => Retry::constant(initial),
        "linear" => Retry::linear(initial).max_delay(max),
        "exponential" => Retry::exponential().initial(initial).max_delay(max),
        other => {
            let name = other.to_owned();
            let at = walk.at(&backoff.span());
            walk.add(FileFault::Backoff { name, at });
            Retry::default()
        }
    };
    if *backoff.get_ref() == "constant" {
        if let Some((key, _)) = table.get_key_value("max") {
            let at = walk.at(&key.span());
            walk.add(FileFault::UselessMax { at });
        }
    } else if initial > max
        && let Some(wait) = table.get("initial").or_else(|| table.get("max"))
    {
        let at = walk.at(&wait.span());
        walk.add(FileFault::Waits { initial, max, at });
    }
    Some(retry.max_attempts(attempts.unwrap_or(Retry::DEFAULT_MAX_ATTEMPTS)))
}
