//! The workflow file: a TOML text read into steps, or everything that is wrong with it at once.
//!
//! What may stand in it is told in `docs/workflow-file.md`.

mod located;
mod read;
mod root;
mod unit;
mod step;
mod service;
mod secrets;
mod dotenv;
mod backoff;
mod resources;
mod params;
mod outputs;
mod each;
mod include;
mod condition;
mod check;
mod walk;
mod text;
mod failing;
mod hooks;
mod fault;
mod faults;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coordination::workflow::OnFailure;

use miette::SourceSpan;
use toml::de::DeTable;

pub(crate) use condition::{Condition, Outputs, environment};
pub(crate) use each::{Each, Items, item_text, items_of};
use fault::FileFault;
pub(crate) use faults::{FileFaults, ToldFault};
pub(crate) use hooks::Hooks;
pub(crate) use include::Included;
pub(crate) use located::{Located, located};
pub(crate) use outputs::{SENT, Taken, output_variable};
pub(crate) use read::{called, is_stdin};
pub(crate) use resources::Resources;
pub(crate) use secrets::Source;
pub(crate) use service::{Asked, Service};
pub(crate) use step::{Step, Undo};
use text::Text;
pub(crate) use text::{Place, printable};
pub(crate) use unit::{Action, Role, Unit};
use walk::Walk;

/// A workflow as its file describes it; without faults.
#[derive(Debug, Clone)]
pub(crate) struct WorkflowFile {
    /// What the workflow is called: what the file says, or the file's own name without extension.
    pub(crate) name: String,
    /// How many steps run and services start at once at most; `None` leaves it to the program.
    pub(crate) concurrency: Option<NonZeroUsize>,
    /// How long a run takes at most.
    pub(crate) timeout: Duration,
    /// What becomes of the rest of a run when a step fails.
    pub(crate) on_failure: OnFailure,
    /// The parameters with their defaults.
    pub(crate) params: BTreeMap<String, String>,
    /// What values those may have that say so.
    param_rules: params::Rules,
    /// What is otherwise with a profile.
    profiles: BTreeMap<String, params::Profile>,
    /// Variables for every step and service.
    pub(crate) env: BTreeMap<String, String>,
    /// Where the values of further variables come from, that are kept out of what is printed.
    pub(crate) secrets: secrets::Sources,
    dotenv_files: Vec<dotenv::Dotenv>,
    /// The variables of these files, once they have been read; those of `env` win over them.
    pub(crate) dotenv: BTreeMap<String, String>,
    /// What runs when a run has come to its end.
    pub(crate) hooks: Option<Hooks>,
    /// The folder that the file is in.
    pub(crate) folder: PathBuf,
    /// Whether that is above the current one, and nobody has named the file.
    pub(crate) is_above: bool,
    /// How many permits there are of each resource.
    pub(crate) resources: Resources,
    /// The steps and services, as the file orders them.
    pub(crate) units: Vec<Unit>,
    /// What the file contains.
    pub(crate) source: String,
    /// What it takes in.
    pub(crate) included: Vec<Included>,
    text: Text,
}

impl WorkflowFile {
    /// Reads a file, or with `-` standard input, which is as a file in the current folder.
    pub(crate) fn load(path: &Path) -> Result<Self, FileFaults> {
        let called = called(path);
        match read::read_asked(path) {
            Ok(bytes) => Self::parse(called, &bytes),
            Err(fault) => Err(FileFaults::one(Text::new(called, b""), fault)),
        }
    }

    /// Reads what a file contains; what it takes in is read from its folder.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, FileFaults> {
        let folder = root::folder(path);
        Self::parse_with(path, bytes, &|name| include::from_disk(&folder, name))
    }

    /// Reads what a file contained that took in these. The path is only for its name and its folder.
    pub(crate) fn parse_kept(
        path: &Path,
        source: &str,
        included: &[Included],
    ) -> Result<Self, FileFaults> {
        let kept = |name: &str| {
            let is_named = |file: &&Included| Path::new(&file.name) == Path::new(name);
            let file = included.iter().find(is_named);
            let file = file.ok_or_else(|| "it was not kept".to_owned())?;
            Ok(file.source.clone().into_bytes())
        };
        Self::parse_with(path, source.as_bytes(), &kept)
    }

    fn parse_with(
        path: &Path,
        bytes: &[u8],
        library: include::Library<'_>,
    ) -> Result<Self, FileFaults> {
        let text = Text::new(path, bytes);
        match std::str::from_utf8(bytes) {
            Ok(source) => Self::from_toml(path, text, source, library),
            Err(error) => {
                let at = error.valid_up_to();
                let fault = FileFault::NotText {
                    at: text.underlined(&(at..at + 1)),
                    byte: bytes[at],
                };
                Err(FileFaults::one(text, fault))
            }
        }
    }

    fn from_toml(
        path: &Path,
        mut text: Text,
        source: &str,
        library: include::Library<'_>,
    ) -> Result<Self, FileFaults> {
        let (root, mut errors) = DeTable::parse_recoverable(source);
        let (placed, refused) = include::include(&mut text, root.get_ref(), path, library);
        let mut walk = Walk::new(&text);
        let is_whole = refused.is_empty();
        refused.into_iter().for_each(|fault| walk.add(fault));
        let mut tables = Vec::with_capacity(placed.len());
        for other in &placed {
            let (table, more) = DeTable::parse_recoverable(&other.blanked);
            walk.check_keys(table.get_ref(), &include::INCLUDED_KEYS);
            errors.extend(more);
            tables.push(table.into_inner());
        }
        let (root, hidden) = include::merged(root.into_inner(), tables);
        let mut file = root::root(&mut walk, &root, path, source);
        for hidden in &hidden {
            root::check_hidden(&mut walk, hidden, &file);
        }
        file.included = placed.iter().map(|other| other.file.clone()).collect();
        let (mut faults, left_out) = walk.finish();
        // What is missing may be in a file that could not be taken in.
        faults.retain(|fault| is_whole || !fault.is_absence());
        if !errors.is_empty() {
            let syntax = syntax_faults(&text, &errors);
            // A heading that was not understood puts all keys below it elsewhere.
            let heading = syntax.keys().any(|&line| text.is_heading(line));
            faults.retain(|fault| {
                let doubtful = fault.is_absence() || heading && fault.is_misplaced();
                !doubtful && !syntax.contains_key(&fault.line(&text))
            });
            faults.extend(syntax.into_values());
        }
        if faults.is_empty() {
            Ok(file)
        } else {
            Err(FileFaults::new(text, faults, left_out))
        }
    }

    /// Whether each unit runs by its condition, in their order, as far as that is known before anything
    /// starts: a condition over what earlier steps put out is decided later, and one over a parameter that has
    /// no value cannot be. `environment` is that of the program; the file's variables and then the step's win
    /// over it.
    pub(crate) fn conditions(
        &self,
        params: &BTreeMap<String, String>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Vec<bool>, FileFaults> {
        let without_value = self.params.keys();
        let without_value = without_value.filter(|name| !params.contains_key(*name));
        let without_value = without_value.collect();
        let mut faults = Vec::new();
        let mut runs = Vec::with_capacity(self.units.len());
        for unit in &self.units {
            let condition = unit.step().and_then(|step| step.when.as_ref());
            let is_decided = |it: &&Condition| it.takes.is_empty() && !it.asks_for(&without_value);
            let Some(condition) = condition.filter(is_decided) else {
                runs.push(true);
                continue;
            };
            let env = self.env_of(unit, environment);
            match condition.holds(&self.text, self.typed(params), &env, &Outputs::new()) {
                Ok(holds) => runs.push(holds),
                Err(fault) => faults.push(fault),
            }
        }
        self.unless(faults, runs)
    }

    /// Whether a step runs by its condition, given what earlier ones put out.
    ///
    /// # Errors
    ///
    /// What is wrong with the condition, and where the file says so.
    pub(crate) fn decide(
        &self,
        unit: &Unit,
        condition: &Condition,
        params: &BTreeMap<String, String>,
        outputs: &Outputs,
    ) -> Result<bool, String> {
        let env = self.env_of(unit, &environment());
        let holds = condition.holds(&self.text, self.typed(params), &env, outputs);
        holds.map_err(|fault| {
            let at = fault.offset();
            let (name, place) = (self.text.name_at(at), self.text.place(at));
            format!("{fault} ({name}:{place})")
        })
    }

    /// These values of parameters, with what the file says of them.
    fn typed<'f>(&'f self, values: &'f BTreeMap<String, String>) -> params::Params<'f> {
        let rules = &self.param_rules;
        params::Params { values, rules }
    }

    /// The variables that a condition of a step sees.
    fn env_of(
        &self,
        unit: &Unit,
        environment: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let mut env = environment.clone();
        for variables in [&self.dotenv, &self.env, &unit.env] {
            env.extend(variables.clone());
        }
        env
    }

    /// Leaves out all units but these, and what the others say of those that are left out.
    ///
    /// # Errors
    ///
    /// One of these takes what one that is left out would have put out.
    pub(crate) fn keep(&mut self, ids: &[String]) -> Result<(), FileFaults> {
        let is_kept = |id: &String| ids.contains(id);
        self.units.retain(|unit| is_kept(&unit.id));
        for unit in &mut self.units {
            unit.needs.retain(is_kept);
            unit.needs_any.retain(is_kept);
        }
        self.check_taken()
    }

    /// The file that names a step or a service: this one, or one that it takes in.
    pub(crate) fn path_of(&self, unit: &Unit) -> &str {
        self.text.name_at(unit.id_at.start)
    }

    /// The file, as it was asked for.
    pub(crate) fn path(&self) -> &str {
        self.text.name()
    }

    /// Where the file names a step or a service.
    pub(crate) fn place(&self, unit: &Unit) -> Place {
        self.text.place(unit.id_at.start)
    }

    fn unless<T>(&self, faults: Vec<FileFault>, value: T) -> Result<T, FileFaults> {
        if faults.is_empty() {
            Ok(value)
        } else {
            Err(FileFaults::new(self.text.clone(), faults, 0))
        }
    }
}

/// The variable in which a parameter reaches the steps: `PARAM_BUILD_TYPE` for `build-type`.
pub(crate) fn param_variable(name: &str) -> String {
    format!("PARAM_{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// What the parser of TOML says, by line: the first of each line, because the others follow from
/// it.
fn syntax_faults(text: &Text, errors: &[toml::de::Error]) -> BTreeMap<usize, FileFault> {
    let mut faults = BTreeMap::new();
    for error in errors {
        let at: SourceSpan = text.underlined(&error.span().unwrap_or(0..0));
        faults
            .entry(text.line(at.offset()))
            .or_insert_with(|| FileFault::Syntax {
                message: printable(error.message()),
                at,
            });
    }
    faults
}
