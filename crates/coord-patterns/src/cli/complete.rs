//! What may stand where somebody types.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::{Arg, Command, ValueHint};

use super::position::Position;
use super::words::{quoted, until};

/// How many candidates there are at most.
const MAX_CANDIDATES: usize = 256;

/// How many entries of a directory are looked at.
const MAX_ENTRIES: usize = 10_000;

/// What may stand in a place of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Completions {
    /// What of the line a candidate takes the place of.
    pub replace: Range<usize>,
    /// The candidates: subcommands, values and options as the command has them, paths by name; at
    /// most 256. A visible alias is one where what is typed begins it, and not what it is an alias of; a
    /// short option, behind one dash.
    pub candidates: Vec<Candidate>,
}

/// One thing that may stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// What to put there, with quotes where it needs them.
    pub text: String,
    /// What it is for, if the command says so.
    pub help: Option<String>,
    /// What it is.
    pub kind: CandidateKind,
}

/// What a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CandidateKind {
    /// A subcommand.
    Subcommand,
    /// An option.
    Option,
    /// A value of an argument.
    Value,
    /// A file.
    File,
    /// A directory; more may follow.
    Directory,
}

pub(super) fn complete(
    command: &Command,
    directory: &Path,
    line: &str,
    cursor: usize,
) -> Completions {
    let (words, typed) = until(line, cursor);
    let mut position = Position::start(command);
    for word in &words {
        // What is wrong before does not keep the rest from being completed.
        let _ = position.step(word);
    }
    let mut candidates = candidates(&position, directory, &typed.text);
    candidates.truncate(MAX_CANDIDATES);
    Completions {
        replace: typed.start..typed.end,
        candidates,
    }
}

fn candidates(position: &Position<'_>, directory: &Path, typed: &str) -> Vec<Candidate> {
    if let Some(arg) = position.value_of {
        return values(arg, directory, "", typed);
    }
    if !position.options_over && typed.starts_with('-') {
        let named = typed
            .strip_prefix("--")
            .and_then(|long| long.split_once('='));
        if let Some((name, value)) = named {
            let option = format!("--{name}=");
            let arg = position.find_long(name);
            return arg
                .map(|arg| values(arg, directory, &option, value))
                .unwrap_or_default();
        }
        return match position.short_value(typed) {
            Some((option, arg, value)) => values(arg, directory, option, value),
            None => options(position, typed),
        };
    }
    let mut candidates = Vec::new();
    if position.takes_subcommand() {
        let subcommands = position.command.get_subcommands();
        let shown = subcommands.filter(|one| !one.is_hide_set());
        candidates.extend(shown.filter_map(|one| {
            let mut names = one.get_name_and_visible_aliases().into_iter();
            Some(Candidate {
                text: quoted(names.find(|name| name.starts_with(typed))?),
                help: one.get_about().map(ToString::to_string),
                kind: CandidateKind::Subcommand,
            })
        }));
    }
    if let Some(arg) = position.next_positional() {
        candidates.extend(values(arg, directory, "", typed));
    }
    candidates
}

fn options(position: &Position<'_>, typed: &str) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for (names, arg) in position.options() {
        let fits = |name: &String| name.starts_with(typed);
        let is_short = |name: &&String| !name.starts_with("--");
        let long = names.iter().filter(|name| !is_short(name));
        let short = names.iter().filter(is_short);
        let found = long.clone().find(|name| fits(name)).into_iter();
        // Aliases of it say no more.
        let found = found.chain(short.clone().find(|name| fits(name)));
        candidates.extend(found.map(|name| Candidate {
            text: name.clone(),
            help: arg.get_help().map(ToString::to_string),
            kind: CandidateKind::Option,
        }));
    }
    candidates
}

fn values(arg: &Arg, directory: &Path, before: &str, typed: &str) -> Vec<Candidate> {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let shown = possible.iter().filter(|one| !one.is_hide_set());
        let fitting = shown.filter(|one| one.get_name().starts_with(typed));
        let candidates = fitting.map(|one| Candidate {
            text: format!("{before}{}", quoted(one.get_name())),
            help: one.get_help().map(ToString::to_string),
            kind: CandidateKind::Value,
        });
        return candidates.collect();
    }
    match arg.get_value_hint() {
        ValueHint::AnyPath | ValueHint::FilePath | ValueHint::ExecutablePath => {
            paths(directory, before, typed, false)
        }
        ValueHint::DirPath => paths(directory, before, typed, true),
        // Of what is said nothing, a parser of paths tells.
        ValueHint::Unknown if takes_path(arg) => paths(directory, before, typed, false),
        _ => Vec::new(),
    }
}

fn takes_path(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == std::any::TypeId::of::<PathBuf>()
}

/// The paths that begin so. One that cannot be read has no candidates.
fn paths(directory: &Path, before: &str, typed: &str, only_directories: bool) -> Vec<Candidate> {
    let (parent, name) = match typed.rfind('/') {
        Some(slash) => typed.split_at(slash + 1),
        None => ("", typed),
    };
    let Ok(entries) = fs::read_dir(directory.join(parent)) else {
        return Vec::new();
    };
    let mut candidates: Vec<Candidate> = entries
        .take(MAX_ENTRIES)
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let file = entry.file_name().into_string().ok()?;
            let is_hidden = file.starts_with('.') && !name.starts_with('.');
            if is_hidden || !file.starts_with(name) {
                return None;
            }
            let is_directory = entry.path().is_dir();
            if only_directories && !is_directory {
                return None;
            }
            let (slash, kind) = match is_directory {
                true => ("/", CandidateKind::Directory),
                false => ("", CandidateKind::File),
            };
            Some(Candidate {
                text: format!("{before}{}", quoted(&format!("{parent}{file}{slash}"))),
                help: None,
                kind,
            })
        })
        .collect();
    candidates.sort_by(|one, other| one.text.cmp(&other.text));
    candidates
}
