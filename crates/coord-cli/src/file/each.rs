//! Steps that do the same for each item of a list.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde::Serialize;
use serde_json::Value;
use toml::de::DeTable;

use super::condition::param_help;
use super::fault::FileFault;
use super::outputs::Taken;
use super::text::printable;
use super::unit::Unit;
use super::walk::{Keys, Walk};
use super::{FileFaults, WorkflowFile};

/// The most items that a list has: each is a process, and what it prints has a file of its own.
pub(crate) const ITEMS_MAX: usize = 1_000;
const PARALLEL_MAX: u32 = 1_000;

pub(super) const EACH_KEYS: Keys = Keys {
    table: "`for_each`",
    known: &["items", "param", "output", "max_parallel"],
    elsewhere: &[
        ("in", "items"),
        ("list", "items"),
        ("params", "param"),
        ("concurrency", "max_parallel"),
        ("parallel", "max_parallel"),
    ],
};

/// What a step is done for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Each {
    #[serde(flatten)]
    pub(crate) items: Items,
    /// How many at once at most; `None`: as many as steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_parallel: Option<NonZeroUsize>,
}

/// Where the items come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Items {
    /// The file has them.
    #[serde(rename = "items")]
    Listed(Vec<Value>),
    /// They are the value of a parameter, which has this place in the file.
    #[serde(skip)]
    Param(String, std::ops::Range<usize>),
    /// A step puts them out.
    #[serde(untagged)]
    Output(Taken),
}

/// Reads what a step is done for.
pub(super) fn each(
    walk: &mut Walk<'_>,
    step: &DeTable<'_>,
    params: &BTreeMap<String, String>,
    waits: bool,
) -> Option<Each> {
    let (key, value) = step.get_key_value("for_each")?;
    if waits {
        let at = walk.at(&key.span());
        walk.add(FileFault::UselessOfWaiting {
            key: "for_each",
            at,
            help: "remove it",
        });
    }
    if value.get_ref().as_array().is_some() {
        let items = Items::Listed(literal(walk, step, "for_each"));
        return Some(Each {
            items,
            max_parallel: None,
        });
    }
    let example = "such as [\"one\", \"two\"] or { output = \"list.files\" }";
    let Some(table) = value.get_ref().as_table() else {
        walk.wrong_type(
            "for_each",
            value,
            "a list, or a table that names one",
            Some(example),
        );
        return None;
    };
    walk.check_keys(table, &EACH_KEYS);
    let max_parallel = walk.count(table, "max_parallel", PARALLEL_MAX);
    let items = table
        .contains_key("items")
        .then(|| Items::Listed(literal(walk, table, "items")));
    let param = walk.string(table, "param").map(|name| {
        if !params.contains_key(*name.get_ref()) {
            let at = Some(walk.at(&name.span()));
            let name = (*name.get_ref()).to_owned();
            let help = param_help(&name, params);
            walk.add(FileFault::UnknownParam { name, at, help });
        }
        Items::Param((*name.get_ref()).to_owned(), name.span())
    });
    let output = walk.string(table, "output");
    let output = output.map(|output| Items::Output(Taken::new(&output)));
    let said = EACH_KEYS.known[..3].iter();
    if said.filter(|key| table.contains_key(**key)).count() != 1 {
        let at = walk.at(&value.span());
        walk.add(FileFault::NoItems { at });
    }
    Some(Each {
        items: items.or(param).or(output)?,
        max_parallel: max_parallel
            .and_then(|items| usize::try_from(items).ok())
            .and_then(NonZeroUsize::new),
    })
}

/// A list of texts.
fn literal(walk: &mut Walk<'_>, table: &DeTable<'_>, key: &str) -> Vec<Value> {
    let Some(value) = table.get(key) else {
        return Vec::new();
    };
    let Some(array) = value.get_ref().as_array() else {
        walk.wrong_type(key, value, "a list", None);
        return Vec::new();
    };
    if array.len() > ITEMS_MAX {
        let at = walk.at(&value.span());
        let why = too_many(array.len());
        walk.add(FileFault::Items { why, at });
    }
    let mut items = Vec::with_capacity(array.len());
    for element in array.iter() {
        if let Some(text) = walk.scalar(key, element) {
            let words = toml::Spanned::new(element.span(), text.as_str());
            walk.check_process_text(key, &words, false);
            items.push(Value::String(text));
        }
    }
    items
}

/// The items of a text: those of a JSON array, where it is one, or else its lines.
pub(crate) fn items_of(text: &str) -> Result<Vec<Value>, String> {
    let items: Vec<Value> = match text.trim_start().starts_with('[') {
        true => serde_json::from_str(text).map_err(|error| printable(&error.to_string()))?,
        false => {
            let lines = text.lines().map(str::trim_end);
            let lines = lines.filter(|line| !line.is_empty());
            lines.map(Value::from).collect()
        }
    };
    if let Some(at) = items.iter().position(|item| item_text(item).contains('\0')) {
        return Err(format!("item {at} has a NUL, which no variable can hold"));
    }
    match items.len() {
        0..=ITEMS_MAX => Ok(items),
        count => Err(too_many(count)),
    }
}

fn too_many(count: usize) -> String {
    format!("there are {count}, and {ITEMS_MAX} are the most")
}

/// An item as a variable holds it: text as it is, anything else as JSON.
pub(crate) fn item_text(item: &Value) -> String {
    item.as_str()
        .map_or_else(|| item.to_string(), str::to_owned)
}

impl Unit {
    /// What it is done for, if for each of a list.
    pub(crate) fn each(&self) -> Option<&Each> {
        self.step().and_then(|step| step.each.as_ref())
    }
}

impl WorkflowFile {
    /// With the items that are the value of a parameter, if it has one.
    ///
    /// # Errors
    ///
    /// A value is no list.
    pub(crate) fn with_items(
        mut self,
        params: &BTreeMap<String, String>,
    ) -> Result<Self, FileFaults> {
        let mut faults = Vec::new();
        for unit in &mut self.units {
            let super::Role::Step(step) = &mut unit.role else {
                continue;
            };
            let Some(each) = &mut step.each else {
                continue;
            };
            if let Items::Param(name, at) = &each.items
                && let Some(value) = params.get(name)
            {
                match items_of(value) {
                    Ok(items) => each.items = Items::Listed(items),
                    Err(why) => faults.push(FileFault::Items {
                        why,
                        at: self.text.underlined(at),
                    }),
                }
            }
        }
        match faults.is_empty() {
            true => Ok(self),
            false => Err(FileFaults::new(self.text, faults, 0)),
        }
    }

    /// What a step puts out that others go over, by name.
    pub(crate) fn lists_of<'f>(&'f self, step: &str) -> impl Iterator<Item = &'f str> {
        let units = self.units.iter();
        let taken = units.filter_map(|unit| match &unit.each()?.items {
            Items::Output(taken) => Some(taken.parts()),
            _ => None,
        });
        taken
            .filter(move |(id, _)| *id == step)
            .map(|(_, name)| name)
    }
}
