//! Values that steps put out, and where others take them.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use coordination::bus::text::nearest;
use coordination::workflow::{NAME_LENGTH_MAX, Shown};
use serde::Serialize;
use toml::de::DeTable;

use super::fault::FileFault;
use super::params::is_param_name;
use super::unit::{Draft, Unit, check_variable};
use super::walk::{Keys, Walk, Words};
use super::{FileFaults, WorkflowFile};

/// What is called so of a step that waits for a signal: what was sent with that.
pub(crate) const SENT: &str = "value";

pub(super) const TAKEN_KEYS: Keys = Keys {
    table: "a variable that is a table",
    known: &["output"],
    elsewhere: &[("from", "output"), ("outputs", "output")],
};

/// A value of an earlier step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Taken {
    /// The step that puts it out, and what that calls it, with a dot in between.
    pub(crate) output: String,
    /// Where the file says so.
    #[serde(skip)]
    pub(super) at: Range<usize>,
}

impl Taken {
    /// One that is written so.
    pub(super) fn new(words: &Words<'_>) -> Self {
        Self {
            output: (*words.get_ref()).to_owned(),
            at: words.span(),
        }
    }

    /// What this step calls so, which is said there.
    pub(super) fn of(step: &str, name: &str, at: Range<usize>) -> Self {
        let output = format!("{step}.{name}");
        Self { output, at }
    }

    /// The step, and what it calls the value. An id may have dots, a name has none.
    pub(crate) fn parts(&self) -> (&str, &str) {
        self.output.rsplit_once('.').unwrap_or((&self.output, ""))
    }
}

/// Variables whose values are known, and those whose values a step puts out.
pub(super) type Variables = (BTreeMap<String, String>, BTreeMap<String, Taken>);

/// The variables of a step, of which some may be what earlier ones put out.
pub(super) fn env_with_outputs(walk: &mut Walk<'_>, table: &DeTable<'_>) -> Variables {
    let mut taken = BTreeMap::new();
    let texts = walk.texts_but(table, "env", |walk, name, value| {
        let Some(table) = value.get_ref().as_table() else {
            return false;
        };
        walk.check_keys(table, &TAKEN_KEYS);
        match table.contains_key("output") {
            true => taken.extend(
                walk.string(table, "output")
                    .map(|words| (name.to_owned(), Taken::new(&words))),
            ),
            false => walk.wrong_type("env", value, "text or { output = \"step.name\" }", None),
        }
        true
    });
    let names = table.get("env").and_then(|env| env.get_ref().as_table());
    for name in names.into_iter().flat_map(DeTable::keys) {
        if taken.contains_key(name.get_ref().as_ref()) {
            check_variable(walk, table, name.get_ref(), &name.span());
        }
    }
    for (name, value) in &texts {
        check_variable(walk, table, name, &value.span());
    }
    let values = texts.into_iter();
    let values = values.map(|(name, value)| (name, value.into_inner()));
    (values.collect(), taken)
}

/// The names of what a step puts out.
pub(super) fn declared(walk: &mut Walk<'_>, table: &DeTable<'_>, waits: bool) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in walk.strings(table, "outputs") {
        let (text, at) = (*name.get_ref(), walk.at(&name.span()));
        if !is_param_name(text) || text.len() > NAME_LENGTH_MAX {
            let name = text.to_owned();
            walk.add(FileFault::OutputName { name, at });
        } else if !names.iter().any(|other| other == text) {
            names.push(text.to_owned());
        }
    }
    if waits && let Some((key, _)) = table.get_key_value("outputs") {
        let at = walk.at(&key.span());
        let help = match table.contains_key("signal") {
            true => "remove it: what is sent with the signal is put out as \"value\"",
            false => "remove it",
        };
        let key = "outputs";
        walk.add(FileFault::UselessOfWaiting { key, at, help });
    }
    names
}

/// Who takes what a step puts out needs that step, where it does so by way of others: its value is handed
/// over only to who names it.
pub(super) fn need(drafts: &mut [Draft]) {
    for place in 0..drafts.len() {
        let taken: Vec<Taken> = drafts[place].unit.takes().cloned().collect();
        for taken in taken {
            let step = taken.parts().0;
            let unit = &drafts[place].unit;
            if !unit.waits_for().any(|need| need == step) && is_before(drafts, step, unit) {
                let step = step.to_owned();
                drafts[place].unit.needs.push(step);
                drafts[place].needs_at.push(taken.at);
            }
        }
    }
}

/// Whether a step is over before a unit begins, whatever happens: of any that it needs, nobody knows which.
fn is_before(drafts: &[Draft], step: &str, unit: &Unit) -> bool {
    let mut ways: Vec<&str> = unit.needs.iter().map(|need| &**need).collect();
    let mut seen = HashSet::new();
    while let Some(way) = ways.pop() {
        if way == step {
            return true;
        }
        if seen.insert(way) {
            let units = drafts.iter().filter(|draft| draft.unit.id == way);
            let needs = units.flat_map(|draft| &draft.unit.needs);
            ways.extend(needs.map(|need| &**need));
        }
    }
    false
}

/// Checks that what is taken is put out, and before.
pub(super) fn check(walk: &mut Walk<'_>, drafts: &[Draft]) {
    for Draft { unit, .. } in drafts {
        for taken in unit.takes() {
            let (step, name) = taken.parts();
            let at = walk.at(&taken.at);
            let found = drafts.iter().find(|other| other.unit.id == step);
            let declared = found.map(|other| other.unit.puts_out());
            let declared = declared.unwrap_or_default();
            if !declared.contains(&name) {
                let help = match found {
                    Some(other) if other.unit.signal().is_some() => {
                        format!(
                            "what is sent with the signal is {}",
                            Shown(&format!("{step}.{SENT}"))
                        )
                    }
                    Some(other) if other.unit.service().is_some() => {
                        "a service puts nothing out: only a step does".to_owned()
                    }
                    Some(other) if other.unit.waits().is_some() => {
                        "a step that sleeps puts nothing out".to_owned()
                    }
                    Some(_) => output_help(step, name, &declared),
                    None => step_help(step, drafts),
                };
                let output = taken.output.clone();
                walk.add(FileFault::UnknownOutput { output, at, help });
            } else if !unit.waits_for().any(|need| need == step) {
                let (id, step) = (unit.id.clone(), step.to_owned());
                walk.add(FileFault::OutputNotNeeded { id, step, at });
            }
        }
    }
}

fn step_help(step: &str, drafts: &[Draft]) -> String {
    let putting = drafts
        .iter()
        .filter(|draft| !draft.unit.puts_out().is_empty());
    match nearest(step, putting.map(|draft| &*draft.unit.id)) {
        Some(meant) => format!("did you mean the step {}?", Shown(meant)),
        None => "write the id of a step, a dot, and what it puts out: version.tag".to_owned(),
    }
}

fn output_help(step: &str, name: &str, declared: &[&str]) -> String {
    match nearest(name, declared.iter().copied()) {
        Some(meant) => format!("did you mean {}?", Shown(&format!("{step}.{meant}"))),
        None if name.is_empty() => format!("say which: {step}.NAME"),
        None => format!(
            "declare it in the step {}: outputs = [{}]",
            Shown(step),
            Shown(name)
        ),
    }
}

impl WorkflowFile {
    /// Whether everything that is taken is still there: a part of the file may have been left out.
    ///
    /// # Errors
    ///
    /// Something is not.
    pub(super) fn check_taken(&self) -> Result<(), FileFaults> {
        let is_there = |step: &str| self.units.iter().any(|unit| unit.id == step);
        let taken = self.units.iter().flat_map(super::Unit::takes);
        let missing = taken.filter(|taken| !is_there(taken.parts().0));
        let faults = missing.map(|taken| FileFault::OutputLeftOut {
            output: taken.output.clone(),
            at: self.text.underlined(&taken.at),
        });
        self.unless(faults.collect(), ())
    }
}

/// The variable in which what a step puts out reaches what undoes it, and its hooks.
pub(crate) fn output_variable(name: &str) -> String {
    format!("OUTPUT_{}", name.to_ascii_uppercase().replace('-', "_"))
}
