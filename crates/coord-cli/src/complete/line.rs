//! A command line that is being typed, and what is known from it already.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{ArgMatches, Command, CommandFactory, value_parser};

use crate::args::{Args, JournalPlace};
use crate::file::located;

/// The words of a line, and which of them is completed.
pub(super) struct Typed {
    pub(super) words: Vec<OsString>,
    pub(super) index: usize,
}

/// The words as most shells give them, as they stand on the line.
pub(super) fn typed(words: &[OsString]) -> Typed {
    let words: Vec<_> = words.iter().map(|word| without_quotes(word)).collect();
    let index = env::var("_CLAP_COMPLETE_INDEX").ok();
    let index = index.and_then(|index| index.parse().ok());
    let index = index.unwrap_or_else(|| words.len().saturating_sub(1));
    Typed { words, index }
}

fn without_quotes(word: &OsStr) -> OsString {
    let inside = word.to_str().and_then(shlex::split);
    match inside.as_deref() {
        Some([one]) => one.into(),
        _ => word.to_owned(),
    }
}

/// What is known from a line.
pub(super) struct Line {
    /// The command, if it is typed.
    command: String,
    matches: ArgMatches,
    /// Whether the word that is completed may still be a command.
    pub(super) is_at_command: bool,
    /// Whether there are commands at all: a file is followed by none.
    pub(super) has_commands: bool,
}

impl Line {
    pub(super) fn of(typed: Typed) -> Self {
        let Typed { words, index } = typed;
        let program = lenient(<Args as CommandFactory>::command());
        let is_command =
            |word: &OsString| word == "help" || program.find_subcommand(word).is_some();
        let is_at_command = index <= 1;
        let has_commands = is_at_command || words.get(1).is_some_and(is_command);
        let matches = program.try_get_matches_from(words);
        let mut matches = matches.unwrap_or_default();
        let mut command = String::new();
        while let Some((name, inner)) = matches.remove_subcommand() {
            (command, matches) = (name, inner);
        }
        Self {
            is_at_command,
            has_commands,
            command,
            matches,
        }
    }

    /// The innermost command, or nothing: that is a run.
    pub(super) fn command(&self) -> &str {
        &self.command
    }

    pub(super) fn text(&self, argument: &str) -> Option<&str> {
        self.os_text(argument)?.to_str()
    }

    fn os_text(&self, argument: &str) -> Option<&OsStr> {
        let text = self.matches.try_get_one::<OsString>(argument);
        Some(text.ok()??.as_os_str())
    }

    /// A path that is typed. The shell has not replaced a `~` yet.
    fn path(&self, argument: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.os_text(argument)?);
        match path.strip_prefix("~") {
            Ok(below) => Some(env::home_dir()?.join(below)),
            Err(_) => Some(path),
        }
    }

    /// The workflow file that is meant, if there is one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let file = located(self.path("file").as_deref());
        Some(file.ok()?.path)
    }

    /// The journal that is meant.
    pub(super) fn journal(&self) -> JournalPlace {
        JournalPlace {
            journal: self.path("journal"),
        }
    }
}

/// The command line, as far as it is understood: values may be anything yet.
fn lenient(command: Command) -> Command {
    let command = command.ignore_errors(true).mut_subcommands(lenient);
    command.mut_args(|arg| match arg.get_action().takes_values() {
        true => arg.value_parser(value_parser!(OsString)),
        false => arg,
    })
}
