//! What a step puts out: names and values in a file, which are kept with its end, and reach others as
//! variables.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use coordination::bus::time::{Clock, SystemClock};
use coordination::bus::vocabulary::{Exit, NOTIFICATION, Notification, Severity};
use coordination::bus::{BusExt, text::nearest};
use coordination::patterns::process::ProcessSpec;
use coordination::workflow::{ForEachSpec, HandlerCall, Shown, StepError};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::NamedTempFile;

use super::Job;
use crate::file::{
    self, Condition, Each, Items, SENT, Taken, Unit, WorkflowFile, item_text, items_of,
    output_variable, printable,
};
use crate::output_folder::OutputFolder;

/// The variable that holds the name of the file.
pub(super) const FILE: &str = "COORD_OUTPUT";
/// The most that a step puts out, in bytes: it is kept in the journal, and a variable has bounds, too.
const BYTES_MAX: usize = 64 * 1024;
/// The most that a variable has, in bytes, with its name: Linux passes on no more. What the items of a list put
/// out may be more, together.
const VARIABLE_MAX: usize = 128 * 1024 - 1;
/// What the notification is called that a process runs without a variable.
pub(crate) const VARIABLE: &str = "variable";

/// What a step leaves when it has succeeded.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StepOutput {
    #[serde(flatten)]
    pub(super) exit: Exit,
    /// What it put out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) outputs: BTreeMap<String, String>,
    /// Those of them that others go over, item by item.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) lists: BTreeMap<String, Vec<Value>>,
    /// What it took of others, by variable: what undoes it sees the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) taken: BTreeMap<String, String>,
}

/// What is wrong with what a step put out.
#[derive(Debug, thiserror::Error)]
enum OutputFault {
    #[error("the file for its outputs cannot be made: {0}")]
    NotMade(io::Error),
    #[error("what it put out cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("`$COORD_OUTPUT` is no file any more")]
    NoFile,
    #[error("it put out more than {} KiB, the most that is kept", BYTES_MAX / 1024)]
    TooMuch,
    #[error("what it put out is not UTF-8 without NUL")]
    NotText,
    #[error("line {line} of `$COORD_OUTPUT` is not NAME=value")]
    NoValue { line: usize },
    #[error("line {line} of `$COORD_OUTPUT` begins a value that `{end}` does not end")]
    NoEnd { line: usize, end: String },
    #[error("it put out {}, which its `outputs` do not name{}", Shown(name), meant.as_ref().map(|meant| format!("; did you mean {}?", Shown(meant))).unwrap_or_default())]
    Undeclared { name: String, meant: Option<String> },
    #[error(
        "it did not put out {}: echo \"{name}=…\" >> \"$COORD_OUTPUT\"",
        Shown(name)
    )]
    Missing { name: String },
    #[error(
        "it uses `{variable}`, which would have {bytes} bytes: a variable has {VARIABLE_MAX} at most"
    )]
    TooLong { variable: String, bytes: usize },
    #[error(
        "what it put out as {} is no list that can be gone over: {why}",
        Shown(name)
    )]
    NoList { name: String, why: String },
}

/// Where an attempt at a step writes what it puts out; nowhere, where it puts out nothing. It is removed
/// with this.
pub(super) struct OutputFile<'u> {
    declared: &'u [String],
    file: Option<NamedTempFile>,
}

impl<'u> OutputFile<'u> {
    pub(super) fn of(unit: &'u Unit, folder: Option<&OutputFolder>) -> Result<Self, StepError> {
        let declared = unit.step().map(|step| &*step.outputs).unwrap_or_default();
        let folder = folder.filter(|_| !declared.is_empty());
        let made = folder.map(OutputFolder::file);
        Ok(Self {
            declared,
            file: made.transpose().map_err(OutputFault::NotMade)?,
        })
    }

    /// The variable that names it.
    pub(super) fn variable(&self) -> Option<(&'static str, &OsStr)> {
        let file = self.file.as_ref()?;
        Some((FILE, file.path().as_os_str()))
    }

    /// What was written, which is all that is declared and nothing else. Secrets are masked by `masked`.
    pub(super) fn read(
        &self,
        masked: impl Fn(&str) -> String,
    ) -> Result<BTreeMap<String, String>, StepError> {
        let Some(file) = &self.file else {
            return Ok(BTreeMap::new());
        };
        // By its name: there may be another file by now.
        let file = opened(file.path())?;
        let mut bytes = Vec::new();
        let mut bounded = file.take(BYTES_MAX as u64 + 1);
        let read = bounded.read_to_end(&mut bytes);
        read.map_err(OutputFault::Unreadable)?;
        // Masked as a whole: what is wrong with it is told in its own words, too.
        Ok(parsed(&masked(text(&bytes)?), self.declared)?)
    }
}

/// Opens what is there without waiting: it may be a pipe by now that nobody writes to, or a terminal, and all
/// else would wait, too.
fn opened(path: &Path) -> Result<File, OutputFault> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
    let mut options = File::options();
    let options = options.read(true).custom_flags(flags.bits().cast_signed());
    let file = options.open(path).map_err(OutputFault::Unreadable)?;
    match file.metadata().map_err(OutputFault::Unreadable)?.is_file() {
        true => Ok(file),
        false => Err(OutputFault::NoFile),
    }
}

fn text(bytes: &[u8]) -> Result<&str, OutputFault> {
    if bytes.len() > BYTES_MAX {
        return Err(OutputFault::TooMuch);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(OutputFault::NotText),
    }
}

/// Lines such as `NAME=value`; or `NAME<<END`, the lines of the value, and `END`, as GitHub has them. The
/// later of a name counts.
fn parsed(text: &str, declared: &[String]) -> Result<BTreeMap<String, String>, OutputFault> {
    let mut outputs = BTreeMap::new();
    let mut lines = text.lines().zip(1..);
    while let Some((begun, line)) = lines.next() {
        if begun.trim().is_empty() {
            continue;
        }
        let at = begun
            .find(['=', '<'])
            .ok_or(OutputFault::NoValue { line })?;
        let (name, rest) = begun.split_at(at);
        let value = match (rest.strip_prefix('='), rest.strip_prefix("<<")) {
            (Some(value), _) => value.to_owned(),
            (None, Some(end)) if !end.trim().is_empty() => {
                let mut value = Vec::new();
                loop {
                    match lines.next() {
                        Some((next, _)) if next == end => break value.join("\n"),
                        Some((next, _)) => value.push(next),
                        None => {
                            let end = end.to_owned();
                            return Err(OutputFault::NoEnd { line, end });
                        }
                    }
                }
            }
            _ => return Err(OutputFault::NoValue { line }),
        };
        if !declared.iter().any(|output| output == name) {
            let meant = nearest(name, declared.iter().map(String::as_str));
            return Err(OutputFault::Undeclared {
                name: name.to_owned(),
                meant: meant.map(str::to_owned),
            });
        }
        outputs.insert(name.to_owned(), value);
    }
    let missing = declared.iter().find(|name| !outputs.contains_key(*name));
    match missing {
        Some(name) => Err(OutputFault::Missing { name: name.clone() }),
        None => Ok(outputs),
    }
}

/// Those of these that others go over, item by item.
pub(super) fn lists<'n>(
    outputs: &BTreeMap<String, String>,
    names: impl Iterator<Item = &'n str>,
) -> Result<BTreeMap<String, Vec<Value>>, StepError> {
    // Most steps put out nothing: then no other is asked for what it goes over.
    if outputs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let lists = names.filter_map(|name| {
        let items = items_of(outputs.get(name)?);
        let no_list = |why| OutputFault::NoList {
            name: name.to_owned(),
            why,
        };
        Some(items.map(|items| (name.to_owned(), items)).map_err(no_list))
    });
    Ok(lists.collect::<Result<_, _>>()?)
}

/// What a step of this file is done for, so many at once.
pub(super) fn each(
    file: &WorkflowFile,
    each: &Each,
    concurrency: Option<NonZeroUsize>,
) -> ForEachSpec {
    let mut spec = match &each.items {
        Items::Listed(items) => ForEachSpec::from(items.clone()),
        Items::Output(taken) => {
            let (step, name) = taken.parts();
            let items = ForEachSpec::step_items(step);
            let source = file.units.iter().find(|unit| unit.id == step);
            // A name has nothing that a pointer would have to escape.
            match source {
                Some(unit) if unit.signal().is_some() => items,
                Some(unit) if unit.each().is_some() => items.pointer(format!("/*/outputs/{name}")),
                _ => items.pointer(format!("/lists/{name}")),
            }
        }
        // Whoever checked the file has put the items in its place.
        Items::Param(..) => ForEachSpec::from(Vec::new()),
    };
    spec.concurrency = concurrency;
    spec
}

impl Job {
    /// What a step takes of what those before it have put out, by variable. Where one of them did not
    /// succeed, its variable is not set.
    pub(super) fn taken(
        &self,
        unit: &Unit,
        outputs: &BTreeMap<String, Arc<Value>>,
    ) -> BTreeMap<String, String> {
        let taken = unit.taken.iter();
        taken
            .filter_map(|(variable, taken)| Some((variable.clone(), self.value(taken, outputs)?)))
            .collect()
    }

    /// Whether a step runs whose condition is about what earlier ones put out.
    pub(super) fn decide(&self, call: &HandlerCall) -> Result<Value, StepError> {
        let unit = self.unit(call)?;
        let condition = unit.step().and_then(|step| step.when.as_ref());
        let condition = condition.ok_or_else(super::no_such_unit)?;
        let outputs = self.decided_by(condition, &call.outputs);
        let runs = self.file.decide(unit, condition, &self.params, &outputs);
        Ok(Value::Bool(runs.map_err(StepError::message)?))
    }

    /// A command line without the variables that are too long to be passed on, which is told. One that uses such a
    /// variable is refused: it would do something else without it.
    pub(super) fn fitting(&self, mut process: ProcessSpec) -> Result<ProcessSpec, StepError> {
        let bytes = |(name, value): &(OsString, OsString)| name.len() + 1 + value.len();
        let variables = process.environment.iter();
        let too_long = variables.filter(|variable| bytes(variable) > VARIABLE_MAX);
        let too_long: Vec<_> = too_long
            .map(|variable| (variable.0.display().to_string(), bytes(variable)))
            .collect();
        let line = process.arguments.last().and_then(|line| line.to_str());
        for (variable, bytes) in too_long {
            if line.is_none_or(|line| line.contains(&variable)) {
                return Err(StepError::from(OutputFault::TooLong { variable, bytes }).permanent());
            }
            let said = Notification {
                at: SystemClock.now(),
                severity: Severity::Warning,
                title: VARIABLE.to_owned(),
                message: format!(
                    "{} runs without `{variable}`: that would have {bytes} bytes, and a variable has {VARIABLE_MAX} at most",
                    printable(&process.name)
                ),
            };
            // Where so many wait to be shown, this one is not waited for.
            if let Ok(notifications) = self.module.bus().publisher(&NOTIFICATION) {
                let _ = notifications.try_publish(said);
            }
        }
        process
            .environment
            .retain(|variable| bytes(variable) <= VARIABLE_MAX);
        Ok(process)
    }

    /// What a condition takes of what steps have put out, as far as they did.
    fn decided_by(
        &self,
        condition: &Condition,
        outputs: &BTreeMap<String, Arc<Value>>,
    ) -> file::Outputs {
        let mut decided_by = file::Outputs::new();
        for taken in &condition.takes {
            let (step, name) = taken.parts();
            let of_step = decided_by.entry(step.to_owned()).or_default();
            let value = self.value(taken, outputs);
            of_step.extend(value.map(|value| (name.to_owned(), value)));
        }
        decided_by
    }

    fn value(&self, taken: &Taken, outputs: &BTreeMap<String, Arc<Value>>) -> Option<String> {
        let (step, name) = taken.parts();
        let output = outputs.get(step)?;
        let unit = &self.file.units[self.place(step)?];
        match output.as_array() {
            _ if unit.signal().is_some() => sent(output),
            // Done for each of nothing: nobody put anything out.
            Some(items) if items.is_empty() => Some("[]".to_owned()),
            _ => whole(output)?.outputs.remove(name),
        }
    }
}

/// What was sent with a signal, if anything was.
fn sent(output: &Value) -> Option<String> {
    (!output.is_null()).then(|| item_text(output))
}

/// What a step left. Of one that is done for each of a list, a value is the JSON array of those of the
/// items.
fn whole(output: &Value) -> Option<StepOutput> {
    let Some(items) = output.as_array() else {
        return StepOutput::deserialize(output).ok();
    };
    let items = items.iter().map(StepOutput::deserialize);
    let mut items: Vec<StepOutput> = items.collect::<Result<_, _>>().ok()?;
    let mut outputs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in items
        .iter_mut()
        .flat_map(|item| std::mem::take(&mut item.outputs))
    {
        outputs.entry(name).or_default().push(value);
    }
    let outputs = outputs.into_iter();
    let outputs = outputs.map(|(name, values)| (name, Value::from(values).to_string()));
    let first = items.into_iter().next()?;
    Some(StepOutput {
        outputs: outputs.collect(),
        ..first
    })
}

/// The variables that a step's success leaves to what undoes it, and to its hooks: what it took, and what
/// it put out.
pub(super) fn of_step(unit: &Unit, output: Option<&Value>) -> Vec<(String, String)> {
    if unit.signal().is_some() {
        let sent = output.and_then(sent);
        return sent
            .map(|sent| (output_variable(SENT), sent))
            .into_iter()
            .collect();
    }
    let Some(output) = output.and_then(whole) else {
        return Vec::new();
    };
    let put_out = output.outputs.into_iter();
    let put_out = put_out.map(|(name, value)| (output_variable(&name), value));
    output.taken.into_iter().chain(put_out).collect()
}

/// What a step put out, for people.
pub(crate) fn shown(output: &Value) -> impl Iterator<Item = (&str, &str)> {
    let outputs = output.get("outputs").and_then(Value::as_object);
    let outputs = outputs.into_iter().flatten();
    outputs.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Result<Vec<(String, String)>, String> {
        let declared = ["tag", "notes"].map(str::to_owned);
        let outputs = super::text(text.as_bytes()).and_then(|text| parsed(text, &declared));
        let outputs = outputs.map_err(|fault| fault.to_string())?;
        Ok(outputs.into_iter().collect())
    }

    #[test]
    fn values_are_read_of_lines_and_of_several() {
        let value = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            told("tag=v0\n\nnotes<<EOF\na=b\n\n<<\nEOF\ntag=v1=<<\n"),
            Ok(vec![value("notes", "a=b\n\n<<"), value("tag", "v1=<<")])
        );
        assert_eq!(
            told("tag=\r\nnotes<<E\nE"),
            Ok(vec![value("notes", ""), value("tag", "")])
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        let fault = |text: &str| told(text).expect_err("it is wrong");
        assert_eq!(
            fault("tag=1\nnotes"),
            "line 2 of `$COORD_OUTPUT` is not NAME=value"
        );
        assert_eq!(
            fault("tag<1"),
            "line 1 of `$COORD_OUTPUT` is not NAME=value"
        );
        assert_eq!(
            fault("tag<<EOF\n1\nEOF "),
            "line 1 of `$COORD_OUTPUT` begins a value that `EOF` does not end"
        );
        assert_eq!(
            fault("tags=1"),
            "it put out \"tags\", which its `outputs` do not name; did you mean \"tag\"?"
        );
        assert_eq!(
            fault("tag=1"),
            "it did not put out \"notes\": echo \"notes=…\" >> \"$COORD_OUTPUT\""
        );
        assert_eq!(fault("tag=\0"), "what it put out is not UTF-8 without NUL");
        assert_eq!(
            fault(&format!("tag={}", "x".repeat(BYTES_MAX))),
            "it put out more than 64 KiB, the most that is kept"
        );
    }
}
