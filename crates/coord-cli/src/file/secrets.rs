//! The secrets of a workflow file: where their values come from, which the file does not say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::FileFault;
use super::unit::is_variable;
use super::walk::{Keys, Walk};

pub(super) const SECRET_KEYS: Keys = Keys {
    table: "a secret",
    known: &["env", "file", "command"],
    elsewhere: &[("environment", "env"), ("path", "file"), ("run", "command")],
};

/// Where each secret comes from, by the name of its variable.
pub(crate) type Sources = BTreeMap<String, Source>;

/// Where the value of a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A variable of `coord`.
    Environment(String),
    /// A file.
    File(PathBuf),
    /// What a program prints: its name and arguments.
    Command(Vec<String>),
}

/// Reads where secrets come from.
pub(super) fn secrets(walk: &mut Walk<'_>, root: &DeTable<'_>, folder: &Path) -> Sources {
    const EXAMPLE: &str = "write it as a table, such as { TOKEN = { env = \"GITHUB_TOKEN\" } }";
    let mut sources = Sources::new();
    let Some(table) = walk.table(root, "secrets", Some(EXAMPLE)) else {
        return sources;
    };
    for (name, value) in table {
        let text = name.get_ref().as_ref();
        if !is_variable(text) {
            let at = walk.at(&name.span());
            let name = text.to_owned();
            walk.add(FileFault::VariableName { name, at });
        }
        if let Some(source) = source(walk, text, value, folder) {
            sources.insert(text.to_owned(), source);
        }
    }
    sources
}

fn source(
    walk: &mut Walk<'_>,
    name: &str,
    value: &Spanned<DeValue<'_>>,
    folder: &Path,
) -> Option<Source> {
    let Some(table) = value.get_ref().as_table() else {
        // What stands here may be the value: it is not repeated.
        let help = Some("say where it comes from, such as { env = \"GITHUB_TOKEN\" }");
        walk.wrong_type(name, value, "a table", help);
        return None;
    };
    walk.check_keys(table, &SECRET_KEYS);
    let environment = walk.process_text(table, "env").map(Source::Environment);
    let file = walk.process_text(table, "file");
    let file = file.map(|file| Source::File(folder.join(file)));
    let words = walk.command(table, None);
    let words = words.iter().map(|word| (*word.get_ref()).to_owned());
    let command = Some(words.collect()).filter(|words: &Vec<_>| !words.is_empty());
    let command = command.map(Source::Command);
    if SECRET_KEYS
        .known
        .iter()
        .filter(|key| table.contains_key(**key))
        .count()
        != 1
    {
        let (name, at) = (name.to_owned(), walk.at(&value.span()));
        walk.add(FileFault::Secret { name, at });
    }
    environment.or(file).or(command)
}
