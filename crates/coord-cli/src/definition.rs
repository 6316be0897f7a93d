//! What a run is of: the text of a file with its parameters, kept with the run, so that it is taken
//! up without the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;

use coordination::workflow::OnFailure;
use miette::Report;
use serde::{Deserialize, Serialize};

use crate::file::{FileFaults, Included, WorkflowFile, called, is_stdin, printable};
use crate::needs::Needs;
use crate::validate::Checked;

/// What a run is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Definition {
    /// The file, from the root: its folder is that of the processes.
    path: PathBuf,
    text: String,
    /// What the file takes in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    included: Vec<Included>,
    params: BTreeMap<String, String>,
    /// Whether each unit runs by its condition: that is decided once.
    runs: Vec<bool>,
    /// The units that are meant; `None`: all of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    selected: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    /// Where the command line said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_failure: Option<OnFailure>,
    /// Whether services run on that no step needs any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) keep_services: bool,
}

impl Definition {
    pub(crate) fn of(checked: &Checked) -> io::Result<Self> {
        Ok(Self {
            path: std::path::absolute(called(&checked.path))?,
            text: checked.file.source.clone(),
            included: checked.file.included.clone(),
            params: checked.params.clone(),
            runs: checked.runs.clone(),
            selected: checked.selected.clone(),
            profile: checked.profile.clone(),
            on_failure: checked.on_failure(),
            keep_services: false,
        })
    }

    /// The file as it was, which was right then.
    pub(crate) fn checked(&self) -> Result<Checked, Report> {
        self.checked_with(WorkflowFile::with_dotenv)
    }

    /// The same, for who runs nothing of it, and needs no variables.
    pub(crate) fn looked_at(&self) -> Result<Checked, Report> {
        self.checked_with(Ok)
    }

    fn checked_with(
        &self,
        variables: impl FnOnce(WorkflowFile) -> Result<WorkflowFile, FileFaults>,
    ) -> Result<Checked, Report> {
        let file = WorkflowFile::parse_kept(&self.path, &self.text, &self.included)?;
        let mut file = file.with_profile(self.profile.as_deref())?;
        if let Some(selected) = &self.selected {
            file.keep(selected)?;
        }
        let file = variables(file)?.with_items(&self.params)?;
        let mut runs = self.runs.clone();
        runs.resize(file.units.len(), true);
        let (params, selected) = (self.params.clone(), self.selected.clone());
        let profile = self.profile.clone();
        let checked = Checked::of(self.path.clone(), file, params, runs, selected, profile);
        Ok(checked.with_on_failure(self.on_failure))
    }

    /// The profile that is meant.
    pub(crate) fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// Whether a run of the one is a run of the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (&self.path, &self.text, &self.params) == (&other.path, &other.text, &other.params)
            && self.included == other.included
            && (&self.selected, &self.profile, self.on_failure)
                == (&other.selected, &other.profile, other.on_failure)
    }

    /// The folder of its processes, and why none can be started there. An empty one is where a disk is to be
    /// mounted: what the run has begun with was in there.
    pub(crate) fn lacks_folder(&self) -> Option<(&Path, String)> {
        let folder = self.path.parent()?;
        let is_empty = folder
            .read_dir()
            .map(|mut entries| entries.next().is_none());
        let why = match is_empty {
            Ok(true) if !is_stdin(&self.path) => "is empty".to_owned(),
            Ok(_) => return None,
            // Processes run also where nobody may see what is there.
            Err(error) if error.kind() == ErrorKind::PermissionDenied && folder.is_dir() => {
                return None;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => "does not exist".to_owned(),
            Err(error) => format!("cannot be used: {error}"),
        };
        Some((folder, why))
    }

    /// What there is to say where the file is not what it was.
    pub(crate) fn changed(&self) -> Option<String> {
        let folder = self.path.parent().unwrap_or(&self.path);
        let included = self.included.iter();
        let included = included.map(|file| (folder.join(&file.name), &file.source));
        // What came from standard input is not there to be looked at.
        let own = (!is_stdin(&self.path)).then(|| (self.path.clone(), &self.text));
        let files = own.into_iter();
        files.chain(included).find_map(|(path, was)| {
            let what = match is_as_it_was(&path, was) {
                Ok(true) => return None,
                Ok(false) => "has changed since the run was started",
                Err(_) => "cannot be read any more",
            };
            let path = printable(&path.display().to_string());
            Some(format!(
                "{path} {what}: the run goes on with what it was started with"
            ))
        })
    }
}

/// Whether a file has this text, however large it is by now.
fn is_as_it_was(path: &Path, was: &str) -> io::Result<bool> {
    let mut now = Vec::new();
    let file = File::open(path)?;
    file.take(was.len() as u64 + 1).read_to_end(&mut now)?;
    Ok(now == was.as_bytes())
}

/// A workflow file of which everything is known to be right, and what of it runs.
pub(crate) struct Prepared {
    pub(crate) file: WorkflowFile,
    pub(crate) params: BTreeMap<String, String>,
    /// Whether each unit runs.
    pub(crate) runs: Vec<bool>,
    pub(crate) needs: Needs,
    pub(crate) definition: Definition,
}

impl Prepared {
    pub(crate) fn new(
        checked: Checked,
        definition: Definition,
        concurrency: Option<NonZeroUsize>,
    ) -> Self {
        let Checked {
            mut file,
            params,
            mut runs,
            ..
        } = checked;
        let processors = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let limit = concurrency.or(file.concurrency);
        file.concurrency = Some(limit.unwrap_or(processors));
        let needs = Needs::of(&file, &runs);
        for (place, unit) in file.units.iter().enumerate() {
            runs[place] &= unit.service().is_none() || needs.is_needed(place);
        }
        Self {
            file,
            params,
            runs,
            needs,
            definition,
        }
    }
}
