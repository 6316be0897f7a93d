//! The top of a workflow file: its settings, parameters and variables, and the list of its steps.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coordination::bus::text::nearest;
use coordination::workflow::{NAME_LENGTH_MAX, is_name};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::WorkflowFile;
use super::check::check;
use super::failing::on_failure;
use super::fault::FileFault;
use super::hooks::hooks;
use super::params::{Params, params, profiles};
use super::read::is_stdin;
use super::resources::{self, Resources};
use super::service::service;
use super::step::step;
use super::unit::{Draft, env};
use super::walk::{Keys, Walk};
use super::{dotenv, outputs, secrets};

/// More processes at once than this is a slip.
const CONCURRENCY_MAX: u32 = 1_000;

pub(super) const FILE_KEYS: Keys = Keys {
    table: "the file",
    known: &[
        "include",
        "name",
        "concurrency",
        "timeout",
        "on_failure",
        "hooks",
        "params",
        "profile",
        "env",
        "dotenv",
        "secrets",
        "resources",
        "step",
        "service",
    ],
    elsewhere: &[
        ("jobs", "step"),
        ("tasks", "step"),
        ("workflow", "name"),
        ("processes", "service"),
        ("daemons", "service"),
        ("pools", "resources"),
        ("env_file", "dotenv"),
        ("includes", "include"),
        ("import", "include"),
        ("profiles", "profile"),
        ("handlerOn", "hooks"),
        ("handler_on", "hooks"),
    ],
};

/// Reads everything that can be read; whatever is wrong is left to the walk.
pub(super) fn root(
    walk: &mut Walk<'_>,
    root: &DeTable<'_>,
    path: &Path,
    source: &str,
) -> WorkflowFile {
    walk.check_keys(root, &FILE_KEYS);
    // Those that are text are there already.
    walk.strings(root, "include");
    let default_name = default_name(path);
    let name = walk.string(root, "name");
    let name = name.unwrap_or_else(|| Spanned::new(0..0, &default_name));
    let concurrency = walk.count(root, "concurrency", CONCURRENCY_MAX);
    let timeout = walk.duration(root, "timeout");
    let on_failure = on_failure(walk, root);
    let hooks = hooks(walk, root);
    let (params, param_rules) = params(walk, root);
    let profiles = profiles(walk, root, &params, &param_rules);
    let env = env(walk, root);
    let folder = folder(path);
    let secrets = secrets::secrets(walk, root, &folder);
    let dotenv_files = dotenv::dotenv(walk, root, &folder);
    let resources = resources::declared(walk, root);
    let declared = Params {
        values: &params,
        rules: &param_rules,
    };
    let mut drafts = units(walk, root, &folder, declared, &resources);
    check(walk, &name, &drafts);
    outputs::need(&mut drafts);
    outputs::check(walk, &drafts);
    WorkflowFile {
        name: (*name.get_ref()).to_owned(),
        concurrency: concurrency
            .and_then(|steps| usize::try_from(steps).ok())
            .and_then(NonZeroUsize::new),
        timeout: timeout.unwrap_or(Duration::MAX),
        on_failure,
        params,
        param_rules,
        profiles,
        env,
        secrets,
        dotenv_files,
        dotenv: BTreeMap::new(),
        hooks,
        folder,
        is_above: false,
        resources,
        units: drafts.into_iter().map(|draft| draft.unit).collect(),
        source: source.to_owned(),
        included: Vec::new(),
        text: walk.text.clone(),
    }
}

/// Tells what is wrong with what an included file declares, and another declares before it.
pub(super) fn check_hidden(walk: &mut Walk<'_>, hidden: &DeTable<'_>, file: &WorkflowFile) {
    params(walk, hidden);
    profiles(walk, hidden, &file.params, &file.param_rules);
    env(walk, hidden);
    secrets::secrets(walk, hidden, &file.folder);
    resources::declared(walk, hidden);
}

/// The file's name without its extension, and with `-` for what a name may not contain.
fn default_name(path: &Path) -> String {
    if is_stdin(path) {
        return "stdin".to_owned();
    }
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

pub(super) fn folder(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path);
    let path = absolute.as_deref().unwrap_or(path);
    path.parent().unwrap_or(path).to_owned()
}

/// The steps and services, in the order in which they stand in the file.
fn units(
    walk: &mut Walk<'_>,
    root: &DeTable<'_>,
    folder: &Path,
    params: Params<'_>,
    resources: &Resources,
) -> Vec<Draft> {
    let steps = tables(walk, root, "step", "begin each step with [[step]]");
    let services = tables(walk, root, "service", "begin each service with [[service]]");
    if steps.is_empty() && services.is_empty() {
        // A misspelt key, and a value that is no list, are told as such.
        let is_told = |key: &str, value: &Spanned<DeValue<'_>>| match key {
            "step" | "service" => value.get_ref().as_array().is_none(),
            _ => nearest(key, ["step", "service"]).is_some(),
        };
        if !root
            .iter()
            .any(|(key, value)| is_told(key.get_ref(), value))
        {
            walk.add(FileFault::NoSteps);
        }
    }
    let mut drafts = Vec::with_capacity(steps.len() + services.len());
    for element in steps {
        if let DeValue::Table(table) = element.get_ref() {
            let at = element.span();
            drafts.extend(step(walk, table, &at, folder, params, resources));
        }
    }
    for element in services {
        if let DeValue::Table(table) = element.get_ref() {
            drafts.extend(service(walk, table, &element.span(), folder));
        }
    }
    drafts.sort_by_key(|draft| draft.unit.id_at.start);
    drafts
}

/// The tables of a list; whatever else is in it is a fault.
fn tables<'v, 'i>(
    walk: &mut Walk<'_>,
    root: &'v DeTable<'i>,
    key: &str,
    example: &'static str,
) -> Vec<&'v Spanned<DeValue<'i>>> {
    let Some(value) = root.get(key) else {
        return Vec::new();
    };
    let Some(array) = value.get_ref().as_array() else {
        walk.wrong_type(key, value, "a list of tables", Some(example));
        return Vec::new();
    };
    for element in array.iter() {
        if element.get_ref().as_table().is_none() {
            walk.wrong_type(key, element, "a list of tables", Some(example));
        }
    }
    array.iter().collect()
}
