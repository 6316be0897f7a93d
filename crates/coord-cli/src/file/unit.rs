//! What a `[[step]]` and a `[[service]]` of a workflow file have in common: a process with a name.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::DeTable;

use super::each::Items;
use super::fault::FileFault;
use super::outputs::{SENT, Taken, env_with_outputs};
use super::service::{SERVICE_KEYS, Service};
use super::step::{STEP_KEYS, Step};
use super::text::printable;
use super::walk::{Keys, Walk, Words};
use crate::spoken::Spoken;

/// One step or service of a workflow file.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    /// Unique in the file.
    pub(crate) id: String,
    /// What it does.
    pub(crate) action: Action,
    /// Where it is done: the file's folder, or a folder below or beside it.
    pub(crate) folder: PathBuf,
    /// Variables for it only; they win over those of the file.
    pub(crate) env: BTreeMap<String, String>,
    /// Variables whose values earlier steps put out; of services none.
    pub(crate) taken: BTreeMap<String, Taken>,
    /// The ids of the steps that have ended, and of the services that are ready, before it begins.
    pub(crate) needs: Vec<String>,
    /// The ids of steps and services of which one is done, or ready, before it begins.
    pub(crate) needs_any: Vec<String>,
    /// Which of the two it is.
    pub(crate) role: Role,
    /// Where the file names the id.
    pub(super) id_at: Range<usize>,
}

/// Whether a unit is to end or to stay.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    /// It is to end.
    Step(Step),
    /// It is to stay.
    Service(Service),
}

/// What a unit does.
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
    /// A step waits for a signal of this name.
    Signal(String),
    /// A step waits for so long.
    Sleep(Duration),
}

impl Unit {
    /// All that it waits for, one way or the other.
    pub(crate) fn waits_for(&self) -> impl Iterator<Item = &String> {
        self.needs.iter().chain(&self.needs_any)
    }

    /// The signal for which it waits, where that is all it does.
    pub(crate) fn signal(&self) -> Option<&str> {
        match &self.action {
            Action::Signal(name) => Some(name),
            _ => None,
        }
    }

    /// The names of what it puts out.
    pub(crate) fn puts_out(&self) -> Vec<&str> {
        match (&self.action, self.step()) {
            (Action::Signal(_), _) => vec![SENT],
            (_, Some(step)) => step.outputs.iter().map(String::as_str).collect(),
            (_, None) => Vec::new(),
        }
    }

    /// All that it takes of what earlier steps put out.
    pub(crate) fn takes(&self) -> impl Iterator<Item = &Taken> {
        let items = self.each().and_then(|each| match &each.items {
            Items::Output(taken) => Some(taken),
            _ => None,
        });
        let condition = self.step().and_then(|step| step.when.as_ref());
        let decides = condition.into_iter().flat_map(|condition| &condition.takes);
        self.taken.values().chain(items).chain(decides)
    }

    /// What it waits for, in words, where that is all it does.
    pub(crate) fn waits(&self) -> Option<String> {
        match &self.action {
            Action::Shell(_) | Action::Program { .. } => None,
            Action::Signal(name) => Some(format!("waits for the signal `{}`", printable(name))),
            Action::Sleep(wait) => Some(format!("waits for {}", Spoken(*wait))),
        }
    }

    /// The step that it is, if it is one.
    pub(crate) fn step(&self) -> Option<&Step> {
        match &self.role {
            Role::Step(step) => Some(step),
            Role::Service(_) => None,
        }
    }

    /// The service that it is, if it is one.
    pub(crate) fn service(&self) -> Option<&Service> {
        match &self.role {
            Role::Step(_) => None,
            Role::Service(service) => Some(service),
        }
    }
}

/// A unit with the places of what is checked once all are known.
pub(super) struct Draft {
    pub(super) unit: Unit,
    pub(super) needs_at: Vec<Range<usize>>,
    pub(super) needs_any_at: Vec<Range<usize>>,
}

/// Reads what both have. A unit without an id is looked through all the same, and then left out.
pub(super) fn unit(
    walk: &mut Walk<'_>,
    table: &DeTable<'_>,
    at: &Range<usize>,
    folder: &Path,
    role: Role,
) -> Option<Draft> {
    let (what, keys) = match role {
        Role::Step(_) => ("step", &STEP_KEYS),
        Role::Service(_) => ("service", &SERVICE_KEYS),
    };
    let id = walk.string(table, "id");
    if !table.contains_key("id") && !keys.misspells(table, &["id"]) {
        let at = walk.at(at);
        walk.add(FileFault::NoId { what, at });
    }
    let action = action(walk, table, keys, what, at);
    let dir = walk.process_text(table, "dir");
    let (env, taken) = match role {
        Role::Step(_) => env_with_outputs(walk, table),
        Role::Service(_) => (env(walk, table), BTreeMap::new()),
    };
    let needs = walk.strings(table, "needs");
    let needs_any = walk.strings(table, "needs_any");
    let owned = |words: &[Words<'_>]| {
        words
            .iter()
            .map(|word| (*word.get_ref()).to_owned())
            .collect()
    };
    let id = id?;
    Some(Draft {
        unit: Unit {
            id: (*id.get_ref()).to_owned(),
            action: action.unwrap_or(Action::Shell(String::new())),
            folder: dir.map_or_else(|| folder.to_owned(), |dir| folder.join(dir)),
            env,
            taken,
            needs: owned(&needs),
            needs_any: owned(&needs_any),
            role,
            id_at: id.span(),
        },
        needs_at: needs.iter().map(Spanned::span).collect(),
        needs_any_at: needs_any.iter().map(Spanned::span).collect(),
    })
}

/// What says what a unit does: one of these; of a service, one of the first two.
const WORKS: [&str; 4] = ["run", "command", "signal", "sleep"];

fn action(
    walk: &mut Walk<'_>,
    table: &DeTable<'_>,
    known: &Keys,
    what: &'static str,
    at: &Range<usize>,
) -> Option<Action> {
    let shell = shell(walk, table);
    let program = command(walk, table);
    // A service has no such key.
    let waits = ["signal", "sleep"].map(|key| table.contains_key(key) && what == "step");
    let signal = waits[0].then(|| walk.process_text(table, "signal"));
    let sleep = waits[1].then(|| walk.duration(table, "sleep"));
    let keys = if what == "step" {
        &WORKS[..]
    } else {
        &WORKS[..2]
    };
    let said = keys.iter().filter_map(|key| {
        let (place, _) = table.get_key_value(*key)?;
        Some((*key, walk.at(&place.span())))
    });
    let said: Vec<_> = said.collect();
    match said[..] {
        [] if known.misspells(table, keys) => {}
        [] => {
            let at = walk.at(at);
            walk.add(FileFault::NoAction { what, at });
        }
        [_] => {}
        [(first_key, first), (second_key, second), ..] => walk.add(FileFault::TwoActions {
            what,
            first_key,
            second_key,
            first,
            second,
        }),
    }
    let signal = signal.flatten().map(Action::Signal);
    let sleep = sleep.flatten().map(Action::Sleep);
    shell.or(program).or(signal).or(sleep)
}

fn shell(walk: &mut Walk<'_>, table: &DeTable<'_>) -> Option<Action> {
    let run = table.get("run")?;
    if run.get_ref().is_array() {
        let help = "a program and its arguments are `command`";
        walk.wrong_type("run", run, "a string", Some(help));
        return None;
    }
    walk.process_text(table, "run").map(Action::Shell)
}

fn command(walk: &mut Walk<'_>, table: &DeTable<'_>) -> Option<Action> {
    let words = walk.command(table, Some("run"));
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

/// The variables of a unit or of the file.
pub(super) fn env(walk: &mut Walk<'_>, table: &DeTable<'_>) -> BTreeMap<String, String> {
    let variables = walk.texts(table, "env");
    for (name, value) in &variables {
        check_variable(walk, table, name, &value.span());
    }
    let values = variables.into_iter();
    values
        .map(|(name, value)| (name, value.into_inner()))
        .collect()
}

/// Checks the name of a variable of this table, which stands there. What no shell can say is for programs: some
/// shells do not hand it on.
pub(super) fn check_variable(
    walk: &mut Walk<'_>,
    table: &DeTable<'_>,
    name: &str,
    at: &Range<usize>,
) {
    let is_for_shell = table.contains_key("run");
    if !is_variable(name) || is_for_shell && utterable(name).is_some() {
        let at = walk.at(at);
        let name = name.to_owned();
        walk.add(FileFault::VariableName { name, at });
    }
}

/// Whether a process can be handed a variable of this name, and somebody can have meant it.
pub(super) fn is_variable(name: &str) -> bool {
    let is_odd = |char: char| char == '=' || char == '\0' || char.is_whitespace();
    !name.is_empty() && !name.contains(is_odd)
}

/// A name that a shell can say, in place of one that it cannot.
pub(super) fn utterable(name: &str) -> Option<String> {
    let is_fit = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let mut fit: String = name
        .chars()
        .map(|char| if is_fit(char) { char } else { '_' })
        .collect();
    if fit.starts_with(|first: char| first.is_ascii_digit()) {
        fit.insert(0, '_');
    }
    (!name.is_empty() && fit != name).then_some(fit)
}
