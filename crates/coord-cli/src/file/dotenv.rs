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
            match variables_of(&file.path, &variables) {
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

/// The variables of a file, given those of the files before it.
fn variables_of(
    path: &Path,
    before: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    let bytes = read(path).map_err(|fault| match fault {
        FileFault::Unreadable { source, .. } => printable(&source.to_string()),
        fault => fault.to_string(),
    })?;
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    if text.contains('\0') {
        return Err("it contains NUL".to_owned());
    }
    // Some editors begin a file with a byte order mark.
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    variables(&text, |name| {
        let known = before.get(name).cloned();
        known.or_else(|| std::env::var(name).ok())
    })
}

/// The variables of a text, of which a value may name earlier ones and those `outside`. What is wrong is told
/// with its line, but not with what stands there, which may be secret.
fn variables(
    text: &str,
    outside: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let (mut rest, mut number, mut counted) = (text, 1, text);
    while !rest.is_empty() {
        // Those of the line, or the value, that was read last.
        number += counted[..counted.len() - rest.len()].matches('\n').count();
        counted = rest;
        let (line, mut after) = rest.split_once('\n').unwrap_or((rest, ""));
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            rest = after;
            continue;
        }
        let told = |what: &str| format!("line {number} {what}");
        let (name, value) = named(rest).ok_or_else(|| told("is not NAME=value"))?;
        let known = |name: &str| found.get(name).cloned().or_else(|| outside(name));
        let expanded = |value, is_quoted| {
            let expanded = expand(value, is_quoted, known);
            expanded.ok_or_else(|| told("has a `${…}` that names no variable: what stands in single quotes is taken as it is"))
        };
        let quote = value.chars().next().filter(|c| ['\'', '"'].contains(c));
        let value = match quote {
            Some(quote) => {
                let (inner, behind) = quoted(&value[1..], quote)
                    .ok_or_else(|| told("begins a quoted value that does not end"))?;
                let (behind, next) = behind.split_once('\n').unwrap_or((behind, ""));
                let behind = behind.trim_start();
                if !behind.is_empty() && !behind.starts_with('#') {
                    return Err(told("goes on behind the quote that ends its value"));
                }
                after = next;
                match quote {
                    '"' => expanded(inner, true)?,
                    _ => inner.to_owned(),
                }
            }
            None => {
                let value = value.split('\n').next().unwrap_or_default();
                let comment = value
                    .match_indices('#')
                    .find(|(at, _)| *at == 0 || value[..*at].ends_with(char::is_whitespace));
                let end = comment.map_or(value.len(), |(at, _)| at);
                expanded(value[..end].trim_end(), false)?
            }
        };
        found.insert(name.to_owned(), value);
        rest = after;
    }
    Ok(found)
}

/// The name with which a text begins, and what stands behind its `=`.
fn named(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim();
    let exported = name.strip_prefix("export");
    let exported = exported.filter(|name| name.starts_with([' ', '\t']));
    let name = exported.map_or(name, str::trim_start);
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    is_name.then(|| (name, value.trim_start_matches([' ', '\t'])))
}

/// What stands before the quote that ends a value, and what behind it.
fn quoted(text: &str, quote: char) -> Option<(&str, &str)> {
    let mut is_escaped = false;
    let end = text.char_indices().find(|(_, c)| {
        let ends = *c == quote && !is_escaped;
        is_escaped = *c == '\\' && quote == '"' && !is_escaped;
        ends
    });
    end.map(|(at, _)| (&text[..at], &text[at + 1..]))
}

/// With the values of what it names as `${NAME}`, or `${NAME:-otherwise}`; `None` where there is no such
/// variable. In double quotes also with what stands behind a `\`.
fn expand(text: &str, is_quoted: bool, known: impl Fn(&str) -> Option<String>) -> Option<String> {
    let (mut expanded, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(['$', '\\']) {
        let (before, from) = rest.split_at(at);
        expanded.push_str(before);
        let behind = &from[1..];
        let escaped = behind
            .chars()
            .next()
            .filter(|_| is_quoted && from.starts_with('\\'));
        if let Some(braced) = from.strip_prefix("${") {
            let (name, after) = braced.split_once('}')?;
            let (name, otherwise) = match name.split_once(":-") {
                Some((name, otherwise)) => (name, Some(otherwise)),
                None => (name, None),
            };
            let value = known(name).filter(|value| otherwise.is_none() || !value.is_empty());
            expanded.push_str(&value.or_else(|| otherwise.map(str::to_owned))?);
            rest = after;
        } else if let Some(escaped) = escaped {
            match escaped {
                'n' => expanded.push('\n'),
                'r' => expanded.push('\r'),
                't' => expanded.push('\t'),
                '"' | '\\' | '$' => expanded.push(escaped),
                other => expanded.extend(['\\', other]),
            }
            rest = &behind[escaped.len_utf8()..];
        } else {
            expanded.push_str(&from[..1]);
            rest = behind;
        }
    }
    expanded.push_str(rest);
    Some(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(text: &str) -> Result<BTreeMap<String, String>, String> {
        variables(text, |name| (name == "HOME").then(|| "/home/me".to_owned()))
    }

    #[test]
    fn a_value_is_what_stands_there() {
        for (line, value) in [
            ("V=pa$sword", "pa$sword"),
            ("V={\"a\":1}", "{\"a\":1}"),
            (r"V=a\nb", r"a\nb"),
            ("V=sp ace", "sp ace"),
            ("V=it's", "it's"),
            ("V=a\"b", "a\"b"),
            ("V=", ""),
            ("V= # nothing", ""),
            ("export V = b  # why", "b"),
            ("V=b#c", "b#c"),
            ("V='$A ${A} # \\n'", "$A ${A} # \\n"),
            ("V='a\nb' # two lines", "a\nb"),
            ("V=\"a\nb\"", "a\nb"),
            (r#"V="a\n\t\"\\\$ \x""#, "a\n\t\"\\$ \\x"),
            ("OK=1\nV=\"q $OK ${OK}\"", "q $OK 1"),
            ("V=${HOME}/x", "/home/me/x"),
            ("V=${A:-b c}d", "b cd"),
            ("A=\nV=${A}${A:-x}", "x"),
            ("V=a$", "a$"),
            ("V=1\n\n# later\nV=ä", "ä"),
        ] {
            let found = read_from(line).map(|mut found| found.remove("V"));
            assert_eq!(found, Ok(Some(value.to_owned())), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_what_stands_there() {
        for (text, told) in [
            ("A='\n'\nhush", "line 3 is not NAME=value"),
            ("\n1hush=x", "line 2 is not NAME=value"),
            ("A=b\nC='hush", "line 2 begins a quoted value"),
            ("A=\"hush\" 'hush'", "line 1 goes on behind the quote"),
            (
                "A=1\nB=x${hush}",
                "line 2 has a `${…}` that names no variable",
            ),
            ("B=x${hush", "line 1 has a `${…}` that names no variable"),
        ] {
            let error = read_from(text).unwrap_err();
            assert!(
                error.starts_with(told) && !error.contains("hush"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn many_lines_take_no_longer_than_they_are_many() {
        let text = "\n".repeat(1024 * 1024 - 6) + "A=${B}";
        let error = read_from(&text).unwrap_err();
        assert!(error.starts_with("line 1048571 has a"), "{error}");
    }
}
