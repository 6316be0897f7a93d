//! Files that a workflow file takes in: what they declare is as if it stood in this one.
//!
//! All are read as one text, one behind the other, so that a place in any of them is an offset into that.

use std::ops::Range;
use std::path::{Component, Path, PathBuf};

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
        "include",
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
    /// Where it is, from the folder of the workflow file.
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

const NOT_BELOW: &str = "it is not below the folder of the workflow file";

/// A file with the text of those before it blanked out, so that its places are those of all.
pub(super) struct Placed {
    pub(super) file: Included,
    pub(super) blanked: String,
    /// What it takes in itself, from the folder of the first.
    includes: Vec<PathBuf>,
}

/// A file that is named, and where.
struct Asked {
    name: String,
    span: Range<usize>,
}

/// Takes in what a file names, and what that names. Their texts are put behind its own. Each comes before those that
/// it takes in itself, and otherwise they are as they are named.
pub(super) fn include(
    text: &mut Text,
    root: &DeTable<'_>,
    path: &Path,
    library: Library<'_>,
) -> (Vec<Placed>, Vec<FileFault>) {
    let own = path.file_name().map(PathBuf::from).unwrap_or_default();
    let mut taking = Taking {
        text,
        path,
        library,
        placed: Vec::new(),
        faults: Vec::new(),
        ring: Vec::new(),
    };
    let named = taking.take(&own, asked(root));
    let mut placed = Vec::with_capacity(taking.placed.len());
    put_last_first(&named, &mut taking.placed, &mut placed);
    placed.reverse();
    (placed, taking.faults)
}

/// Moves these, the last first, each behind all that it takes in.
fn put_last_first(named: &[PathBuf], from: &mut Vec<Placed>, to: &mut Vec<Placed>) {
    for name in named.iter().rev() {
        let mut files = from.iter();
        if let Some(at) = files.position(|other| Path::new(&other.file.name) == name) {
            let placed = from.remove(at);
            put_last_first(&placed.includes, from, to);
            to.push(placed);
        }
    }
}

/// What a file wants to be taken in. What is no text is told where the other keys are read.
fn asked(root: &DeTable<'_>) -> Vec<Asked> {
    let names = root
        .get("include")
        .and_then(|names| names.get_ref().as_array());
    let names = names.into_iter().flat_map(|names| names.iter());
    let asked = names.filter_map(|element| {
        let name = element.get_ref().as_str()?.to_owned();
        let span = element.span();
        Some(Asked { name, span })
    });
    asked.collect()
}

/// Files that are being taken in.
struct Taking<'t> {
    text: &'t mut Text,
    path: &'t Path,
    library: Library<'t>,
    placed: Vec<Placed>,
    faults: Vec<FileFault>,
    /// The files on the way to the one that is read, from the folder of the first, each with where it names the
    /// next.
    ring: Vec<(PathBuf, usize)>,
}

impl Taking<'_> {
    /// Takes in what a file names. What that is.
    fn take(&mut self, file: &Path, asked: Vec<Asked>) -> Vec<PathBuf> {
        let mut named = Vec::new();
        for Asked { name, span } in asked {
            let found = self.within(file, &name, &span).and_then(|within| {
                if named.contains(&within) {
                    return Err("it is included already".to_owned());
                }
                named.push(within.clone());
                // What several files name is taken in once.
                let is_there = |other: &Placed| Path::new(&other.file.name) == within;
                match self.placed.iter().any(is_there) {
                    true => Ok(None),
                    false => self.source(&within).map(|source| Some((within, source))),
                }
            });
            match found {
                Ok(Some((within, source))) => {
                    let (at, asked) = (self.placed.len(), self.place(&within, source));
                    self.ring.push((file.to_owned(), span.start));
                    self.placed[at].includes = self.take(&within, asked);
                    self.ring.pop();
                }
                Ok(None) => {}
                Err(why) => self.faults.push(FileFault::Include {
                    why,
                    at: self.text.underlined(&span),
                }),
            }
        }
        named
    }

    /// The path of a file that another names, from the folder of the first; or why it is not even looked at.
    fn within(&self, file: &Path, name: &str, span: &Range<usize>) -> Result<PathBuf, String> {
        let mut within = file.parent().unwrap_or(Path::new("")).to_owned();
        let is_named = !name.is_empty() && !name.contains('\0');
        for part in Path::new(name).components() {
            let is_below = match part {
                Component::Normal(part) => {
                    within.push(part);
                    true
                }
                Component::CurDir => true,
                Component::ParentDir => within.pop(),
                _ => false,
            };
            if !is_below {
                return Err(NOT_BELOW.to_owned());
            }
        }
        if !is_named {
            return Err(NOT_BELOW.to_owned());
        }
        if within == file {
            return Err("it is this file itself".to_owned());
        }
        let Some(from) = self.ring.iter().position(|(earlier, _)| *earlier == within) else {
            return Ok(within);
        };
        let places = self.ring[from..].iter().map(|(_, place)| *place);
        let ring: Vec<_> = places
            .chain([span.start])
            .map(|at| format!("{}:{}", self.text.name_at(at), self.text.place(at).line))
            .collect();
        Err(format!(
            "it includes this one, in a ring: {}",
            ring.join(", ")
        ))
    }

    /// What a file contains.
    fn source(&self, within: &Path) -> Result<String, String> {
        if self.placed.len() == FILES_MAX {
            return Err(format!("more than {FILES_MAX} files are included"));
        }
        let bytes = (self.library)(&within.to_string_lossy())?;
        let source = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
        match self.text.len() + source.len() {
            0..=FILE_BYTES_MAX => Ok(source),
            _ => Err(format!(
                "all together have more than {FILE_BYTES_MAX} bytes"
            )),
        }
    }

    /// Puts the text of a file behind the others, and says what it names itself.
    fn place(&mut self, within: &Path, source: String) -> Vec<Asked> {
        let path = self.path.with_file_name(within);
        let start = self.text.append(&path, source.as_bytes());
        let mut blanked = " ".repeat(start);
        blanked.push_str(&source.replacen(
            '\u{feff}',
            "   ",
            usize::from(source.starts_with('\u{feff}')),
        ));
        // What is wrong in it is told where all of it is read.
        let (table, _) = DeTable::parse_recoverable(&blanked);
        let asked = asked(table.get_ref());
        drop(table);
        let name = within.to_string_lossy().into_owned();
        let file = Included { name, source };
        self.placed.push(Placed {
            file,
            blanked,
            includes: Vec::new(),
        });
        asked
    }
}

/// A file with what it takes in. What it says itself wins, and then what was named first; what an included
/// file says wins over what that includes.
/// Beside it, of each file the entries that others have overridden: their faults are told all the same.
pub(super) fn merged<'i>(
    mut root: DeTable<'i>,
    included: Vec<DeTable<'i>>,
) -> (DeTable<'i>, Vec<DeTable<'i>>) {
    let mut hidden = Vec::new();
    for table in included {
        let mut of_file = DeTable::new();
        for (key, value) in table {
            if !INCLUDED_KEYS.known.contains(&key.get_ref().as_ref()) {
                continue;
            }
            match root.get_mut(key.get_ref().as_ref()) {
                None => {
                    root.insert(key, value);
                }
                Some(ours) => {
                    let span = value.span();
                    let of_key = merge(key.get_ref(), ours, value);
                    if !of_key.is_empty() {
                        of_file.insert(key, Spanned::new(span, DeValue::Table(of_key)));
                    }
                }
            }
        }
        if !of_file.is_empty() {
            hidden.push(of_file);
        }
    }
    (root, hidden)
}

/// Puts what an included file has under a key behind what is there. What is hidden by that.
fn merge<'i>(
    key: &str,
    ours: &mut Spanned<DeValue<'i>>,
    theirs: Spanned<DeValue<'i>>,
) -> DeTable<'i> {
    let span = theirs.span();
    let mut hidden = DeTable::new();
    match (ours.get_mut(), theirs.into_inner()) {
        (DeValue::Array(ours), DeValue::Array(theirs)) => {
            theirs.into_iter().for_each(|element| ours.push(element));
        }
        (DeValue::Table(ours), DeValue::Table(theirs)) => {
            for (name, value) in theirs {
                match ours.contains_key(name.get_ref().as_ref()) {
                    true => hidden.insert(name, value),
                    false => ours.insert(name, value),
                };
            }
        }
        // One of the two is of the wrong type: it is kept, to be told of.
        (_, theirs) => {
            let is_right = match key {
                "include" | "step" | "service" => theirs.as_array().is_some(),
                _ => theirs.as_table().is_some(),
            };
            if !is_right {
                *ours = Spanned::new(span, theirs);
            }
        }
    }
    hidden
}
