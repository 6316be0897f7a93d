//! Files that a workflow file takes in: what they declare is as if it stood in this one.
//!
//! All are read as one text, one behind the other, so that a place in any of them is an offset into that.

use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::FileFault;
use super::read::{FILE_BYTES_MAX, read};
use super::text::{Text, printable};
use super::walk::Keys;

pub(super) const INCLUDED_KEYS: Keys = Keys {
    table: "an included file",
    known: &[
        "params",
        "profile",
        "env",
        "secrets",
        "resources",
        "step",
        "service",
    ],
    elsewhere: &[],
};

/// How many files are taken in at most.
const FILES_MAX: usize = 64;

/// A file that is taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Included {
    /// As it was asked for: from the folder of the workflow file.
    pub(crate) name: String,
    /// What it contains.
    pub(crate) source: String,
}

/// Where files are had from, by their names; or why one cannot be.
pub(super) type Library<'l> = &'l dyn Fn(&str) -> Result<Vec<u8>, String>;

/// Reads a file in the folder of the workflow file or below it.
pub(super) fn from_disk(folder: &Path, name: &str) -> Result<Vec<u8>, String> {
    let path = folder.join(name);
    let told = |error: std::io::Error| printable(&error.to_string());
    // A link may lead elsewhere.
    let (real, within) = (path.canonicalize(), folder.canonicalize());
    if !real.map_err(told)?.starts_with(within.map_err(told)?) {
        return Err(NOT_BELOW.to_owned());
    }
    read(&path).map_err(|fault| match fault {
        FileFault::Unreadable { source, .. } => told(source),
        fault => fault.to_string(),
    })
}

const NOT_BELOW: &str = "it is not below the folder of this file";

/// A file with the text of those before it blanked out, so that its places are those of all.
pub(super) struct Placed {
    pub(super) file: Included,
    pub(super) blanked: String,
}

/// Takes in what a file names. Their texts are put behind its own.
pub(super) fn include(
    text: &mut Text,
    root: &DeTable<'_>,
    path: &Path,
    library: Library<'_>,
) -> (Vec<Placed>, Vec<FileFault>) {
    let (mut placed, mut faults) = (Vec::<Placed>::new(), Vec::new());
    let names = root
        .get("include")
        .and_then(|names| names.get_ref().as_array());
    for element in names.into_iter().flat_map(|names| names.iter()) {
        // What is no text is told where the other keys are read.
        let Some(name) = element.get_ref().as_str() else {
            continue;
        };
        let found = match refused(name, path, &placed) {
            Some(why) => Err(why),
            None => library(name).and_then(|bytes| {
                String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
            }),
        };
        let found = found.and_then(|source| match text.len() + source.len() {
            0..=FILE_BYTES_MAX => Ok(source),
            _ => Err(format!(
                "all together have more than {FILE_BYTES_MAX} bytes"
            )),
        });
        match found {
            Ok(source) => {
                let start = text.append(&path.with_file_name(name), source.as_bytes());
                let mut blanked = " ".repeat(start);
                blanked.push_str(&source.replacen(
                    '\u{feff}',
                    "   ",
                    usize::from(source.starts_with('\u{feff}')),
                ));
                let name = name.to_owned();
                let file = Included { name, source };
                placed.push(Placed { file, blanked });
            }
            Err(why) => faults.push(FileFault::Include {
                why,
                at: text.underlined(&element.span()),
            }),
        }
    }
    (placed, faults)
}

/// Why a file is not even looked at.
fn refused(name: &str, path: &Path, placed: &[Placed]) -> Option<String> {
    let is_within = |part: Component<'_>| matches!(part, Component::Normal(_));
    let asked = Path::new(name);
    if name.is_empty() || name.contains('\0') || !asked.components().all(is_within) {
        return Some(NOT_BELOW.to_owned());
    }
    if path.file_name() == Some(asked.as_os_str()) {
        return Some("it is this file itself".to_owned());
    }
    if placed
        .iter()
        .any(|other| Path::new(&other.file.name) == asked)
    {
        return Some("it is included already".to_owned());
    }
    (placed.len() == FILES_MAX).then(|| format!("more than {FILES_MAX} files are included"))
}

/// A file with what it takes in. What it says itself wins, and then what was named first.
pub(super) fn merged<'i>(mut root: DeTable<'i>, included: Vec<DeTable<'i>>) -> DeTable<'i> {
    for table in included {
        for (key, value) in table {
            if !INCLUDED_KEYS.known.contains(&key.get_ref().as_ref()) {
                continue;
            }
            match root.get_mut(key.get_ref().as_ref()) {
                None => {
                    root.insert(key, value);
                }
                Some(ours) => merge(key.get_ref(), ours, value),
            }
        }
    }
    root
}

fn merge<'i>(key: &str, ours: &mut Spanned<DeValue<'i>>, theirs: Spanned<DeValue<'i>>) {
    let span = theirs.span();
    match (ours.get_mut(), theirs.into_inner()) {
        (DeValue::Array(ours), DeValue::Array(theirs)) => {
            theirs.into_iter().for_each(|element| ours.push(element));
        }
        (DeValue::Table(ours), DeValue::Table(theirs)) => {
            for (name, value) in theirs {
                if !ours.contains_key(name.get_ref().as_ref()) {
                    ours.insert(name, value);
                }
            }
        }
        // One of the two is of the wrong type: it is kept, to be told of.
        (_, theirs) => {
            let is_right = match key {
                "step" | "service" => theirs.as_array().is_some(),
                _ => theirs.as_table().is_some(),
            };
            if !is_right {
                *ours = Spanned::new(span, theirs);
            }
        }
    }
}
