//! The top of a workflow file: its settings, parameters and variables, and the list of its steps.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use coordination::workflow::{NAME_LENGTH_MAX, is_name, nearest};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::check;
use super::fault::FileFault;
use super::step::{Draft, env, step};
use super::walk::{Keys, Walk};
use super::{WORKFLOW_TIMEOUT, WorkflowFile, param_variable};

/// More processes at once than this is a slip.
const CONCURRENCY_MAX: u32 = 1_000;

pub(super) const FILE_KEYS: Keys = Keys {
    table: "the file",
    known: &["name", "concurrency", "timeout", "params", "env", "step"],
    elsewhere: &[("jobs", "step"), ("tasks", "step"), ("workflow", "name")],
};

/// Reads everything that can be read; whatever is wrong is left to the walk.
pub(super) fn root(walk: &mut Walk<'_>, root: &DeTable<'_>, path: &Path) -> WorkflowFile {
    walk.check_keys(root, &FILE_KEYS);
    let default_name = default_name(path);
    let name = walk.string(root, "name");
    let name = name.unwrap_or_else(|| Spanned::new(0..0, &default_name));
    let concurrency = walk.count(root, "concurrency", CONCURRENCY_MAX);
    let timeout = walk.duration(root, "timeout");
    let params = params(walk, root);
    let env = env(walk, root);
    let folder = folder(path);
    let drafts = steps(walk, root, &folder, &params);
    check(walk, &name, &drafts);
    WorkflowFile {
        name: (*name.get_ref()).to_owned(),
        concurrency: concurrency
            .and_then(|steps| usize::try_from(steps).ok())
            .and_then(NonZeroUsize::new),
        timeout: timeout.unwrap_or(WORKFLOW_TIMEOUT),
        params,
        env,
        steps: drafts.into_iter().map(|draft| draft.step).collect(),
        text: walk.text.clone(),
    }
}

/// The file's name without its extension, and with `-` for what a name may not contain.
fn default_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let allowed = |character| {
        if is_name(&format!("a{character}")) {
            character
        } else {
            '-'
        }
    };
    let name: String = stem.chars().map(allowed).collect();
    let name = name.trim_start_matches(|first: char| !first.is_ascii_alphanumeric());
    match &name[..name.len().min(NAME_LENGTH_MAX)] {
        "" => "workflow".to_owned(),
        name => name.to_owned(),
    }
}

fn folder(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path);
    let path = absolute.as_deref().unwrap_or(path);
    path.parent().unwrap_or(path).to_owned()
}

fn params(walk: &mut Walk<'_>, root: &DeTable<'_>) -> BTreeMap<String, String> {
    let params = walk.texts(root, "params");
    let mut variables = BTreeMap::new();
    for (name, value) in &params {
        let at = walk.at(&value.span());
        let begins = |first: char| first.is_ascii_alphabetic() || first == '_';
        let continues = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !name.starts_with(begins) || !name.bytes().all(continues) {
            let name = name.clone();
            walk.add(FileFault::ParamName { name, at });
            continue;
        }
        let variable = param_variable(name);
        if let Some(first) = variables.insert(variable.clone(), at) {
            // Parameters come in the order of their names, not of the file.
            let (first, second) = if first.offset() < at.offset() {
                (first, at)
            } else {
                (at, first)
            };
            walk.add(FileFault::ParamCollision {
                variable,
                first,
                second,
            });
        }
    }
    let values = params.into_iter();
    values
        .map(|(name, value)| (name, value.into_inner()))
        .collect()
}

fn steps(
    walk: &mut Walk<'_>,
    root: &DeTable<'_>,
    folder: &Path,
    params: &BTreeMap<String, String>,
) -> Vec<Draft> {
    const EXAMPLE: &str = "begin each step with [[step]]";
    let Some(value) = root.get("step") else {
        // A misspelt key is told as such.
        if !root
            .keys()
            .any(|key| nearest(key.get_ref(), ["step"]).is_some())
        {
            walk.add(FileFault::NoSteps);
        }
        return Vec::new();
    };
    let Some(array) = value.get_ref().as_array() else {
        walk.wrong_type("step", value, "a list of tables", Some(EXAMPLE));
        return Vec::new();
    };
    if array.is_empty() {
        walk.add(FileFault::NoSteps);
    }
    let mut drafts = Vec::with_capacity(array.len());
    for element in array.iter() {
        match element.get_ref() {
            DeValue::Table(table) => {
                drafts.extend(step(walk, table, &element.span(), folder, params));
            }
            _ => walk.wrong_type("step", element, "a list of tables", Some(EXAMPLE)),
        }
    }
    drafts
}
