//! The values that there are of an argument: runs and their steps, what is in a workflow file, codes.

use std::ffi::OsStr;
use std::path::Path;

use clap_complete::CompletionCandidate;
use clap_complete::PathCompleter;
use clap_complete::engine::ValueCompleter;

use super::line::Line;
use crate::explain;
use crate::file::WorkflowFile;
use crate::runs;

/// How many are offered at most.
const OFFERED_MAX: usize = 50;

type Candidates = Vec<CompletionCandidate>;

/// Those of these that begin with what is typed, each with what there is to say of it.
fn beginning(typed: &OsStr, all: impl IntoIterator<Item = (String, String)>) -> Candidates {
    let typed = typed.to_string_lossy();
    let begins = all
        .into_iter()
        .filter(|(name, _)| name.starts_with(&*typed));
    begins.map(candidate).collect()
}

fn candidate((value, help): (String, String)) -> CompletionCandidate {
    let help = (!help.is_empty()).then(|| help.into());
    CompletionCandidate::new(value).help(help)
}

/// Workflow files, and the folders on the way to them.
pub(super) fn files(line: &Line, typed: &OsStr) -> Candidates {
    let is_workflow = |path: &Path| path.extension().is_some_and(|it| it == "toml");
    let files = PathCompleter::file().filter(move |path| path.is_file() && is_workflow(path));
    let mut files = files.complete(typed);
    // Among the commands they would be many, and seldom what is meant.
    if line.is_at_command && typed.is_empty() {
        files.retain(|file| !is_folder(file));
    }
    files
}

fn is_folder(candidate: &CompletionCandidate) -> bool {
    candidate.get_value().as_encoded_bytes().ends_with(b"/")
}

pub(super) fn folders(_: &Line, typed: &OsStr) -> Candidates {
    let mut folders = PathCompleter::dir().complete(typed);
    folders.retain(is_folder);
    folders
}

pub(super) fn files_and_runs(line: &Line, typed: &OsStr) -> Candidates {
    let mut found = files(line, typed);
    found.extend(runs(line, typed));
    found
}

/// The runs that a command is for, the newest first: that begin with what is typed, or else end with it.
pub(super) fn runs(line: &Line, typed: &OsStr) -> Candidates {
    let typed = typed.to_string_lossy();
    let runs = runs::offered(&line.journal(), line.command(), &typed, OFFERED_MAX);
    runs.into_iter().map(candidate).collect()
}

/// What is the one argument of `coord why` is a step of the latest run.
pub(super) fn runs_and_steps(line: &Line, typed: &OsStr) -> Candidates {
    let mut found = runs(line, typed);
    found.extend(steps_of_run(line, typed));
    found
}

pub(super) fn steps_of_run(line: &Line, typed: &OsStr) -> Candidates {
    let view = runs::looked_at(&line.journal(), line.text("run"));
    let Some(view) = view else {
        return Vec::new();
    };
    let steps = view.steps.iter();
    let steps = steps.filter(|step| line.command() != "skip" || !step.phase.is_over());
    let told = steps.map(|step| (step.id.clone(), step.phase.to_string()));
    beginning(typed, told)
}

/// The signals that steps of the run wait for, or will.
pub(super) fn signals(line: &Line, typed: &OsStr) -> Candidates {
    let view = runs::looked_at(&line.journal(), line.text("run"));
    let steps = view.into_iter().flat_map(|view| view.steps);
    let steps = steps.filter(|step| !step.phase.is_over());
    let told = steps.filter_map(|step| Some((step.signal?, step.id)));
    let mut signals = beginning(typed, told);
    signals.dedup_by(|one, other| one.get_value() == other.get_value());
    signals
}

/// The file that is meant, if it is one. What is no file may have no end.
fn file(line: &Line) -> Option<WorkflowFile> {
    let path = line.file()?;
    let file = path.is_file().then(|| WorkflowFile::load(&path));
    file?.ok()
}

pub(super) fn steps_of_file(line: &Line, typed: &OsStr) -> Candidates {
    let units = file(line).map(|file| file.units);
    let told = units.into_iter().flatten().map(|unit| {
        let needs = unit.needs.join(", ");
        let what = match (unit.service(), &*needs) {
            (Some(_), "") => "service".to_owned(),
            (Some(_), _) => format!("service after {needs}"),
            (None, "") => String::new(),
            (None, _) => format!("after {needs}"),
        };
        (unit.id, what)
    });
    beginning(typed, told)
}

pub(super) fn profiles(line: &Line, typed: &OsStr) -> Candidates {
    let file = file(line);
    let names = file.iter().flat_map(WorkflowFile::profile_names);
    beginning(typed, names.map(|name| (name.to_owned(), String::new())))
}

/// The parameters; once one is typed, the values that it takes.
pub(super) fn params(line: &Line, typed: &OsStr) -> Candidates {
    let Some(file) = file(line) else {
        return Vec::new();
    };
    let text = typed.to_string_lossy();
    match text.split_once('=') {
        Some((name, _)) => {
            let values = file.param_choices(name).into_iter();
            let told = values.map(|value| (format!("{name}={value}"), String::new()));
            beginning(typed, told)
        }
        None => {
            let told = file.params.iter().map(|(name, default)| {
                let purpose = file.param_purpose(name).unwrap_or_default();
                let default = match default.is_empty() {
                    true => String::new(),
                    false => format!("by default {default}"),
                };
                let told: Vec<_> = [purpose, &default]
                    .into_iter()
                    .filter(|it| !it.is_empty())
                    .collect();
                (format!("{name}="), told.join("; "))
            });
            beginning(typed, told)
        }
    }
}

/// Codes that begin with what is typed, or whose last parts do.
pub(super) fn codes(_: &Line, typed: &OsStr) -> Candidates {
    let typed = typed.to_string_lossy();
    let codes = explain::beginning(&typed);
    let told = codes.map(|(code, line)| candidate((code.to_owned(), line.to_owned())));
    told.collect()
}
