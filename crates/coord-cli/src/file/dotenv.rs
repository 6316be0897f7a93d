//! Files of variables beside a workflow file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::fault::FileFault;
use super::read::read;
use super::text::printable;
use super::walk::Walk;
use super::{FileFaults, WorkflowFile};

/// A file of variables, and where it is named.
#[derive(Debug, Clone)]
pub(super) struct Dotenv {
    path: PathBuf,
    at: Range<usize>,
}

/// Reads which files of variables there are: one, or several of which the later win.
pub(super) fn dotenv(walk: &mut Walk<'_>, root: &DeTable<'_>, folder: &Path) -> Vec<Dotenv> {
    let is_one = |value: &DeValue<'_>| value.as_str().is_some();
    let names = match root.get("dotenv") {
        Some(value) if is_one(value.get_ref()) => walk.string(root, "dotenv").into_iter().collect(),
        _ => walk.strings(root, "dotenv"),
    };
    for name in &names {
        walk.check_process_text("dotenv", name, true);
    }
    let files = names.iter().map(|name| Dotenv {
        path: folder.join(name.get_ref()),
        at: name.span(),
    });
    files.collect()
}

impl WorkflowFile {
    /// The files of variables, the later of which win.
    pub(crate) fn dotenv_paths(&self) -> impl Iterator<Item = &Path> {
        self.dotenv_files.iter().map(|file| &*file.path)
    }

    /// Reads the variables in the files that this one names. What they say is never kept, for it is
    /// often secret.
    ///
    /// # Errors
    ///
    /// One of them cannot be read, or a line of it not be understood.
    pub(crate) fn with_dotenv(mut self) -> Result<Self, FileFaults> {
        let (mut variables, mut faults) = (BTreeMap::new(), Vec::new());
        for file in &self.dotenv_files {
            match variables_of(&file.path) {
                Ok(more) => variables.extend(more),
                Err(why) => faults.push(FileFault::Dotenv {
                    why,
                    at: self.text.underlined(&file.at),
                }),
            }
        }
        // A name that the file calls a secret means that one.
        variables.retain(|name, _| !self.secrets.contains_key(name));
        self.dotenv = variables;
        if faults.is_empty() {
            return Ok(self);
        }
        Err(FileFaults::new(self.text, faults, 0))
    }
}

fn variables_of(path: &Path) -> Result<Vec<(String, String)>, String> {
    let bytes = read(path).map_err(|fault| match fault {
        FileFault::Unreadable { source, .. } => printable(&source.to_string()),
        fault => fault.to_string(),
    })?;
    // Some editors begin a file with a byte order mark.
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let variables: Result<Vec<_>, _> = dotenvy::from_read_iter(bytes).collect();
    variables.map_err(|error| match error {
        // Not with the line, which may be secret.
        dotenvy::Error::LineParse(line, _) => {
            let text = String::from_utf8_lossy(bytes);
            let number = text.lines().position(|other| other.trim() == line.trim());
            let number =
                number.map_or_else(|| "a line".to_owned(), |at| format!("line {}", at + 1));
            format!("{number} is not NAME=value")
        }
        dotenvy::Error::Io(error) => printable(&error.to_string()),
        _ => "it cannot be understood".to_owned(),
    })
}
