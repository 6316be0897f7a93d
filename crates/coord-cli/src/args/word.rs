//! Words that are no commands, and which command is meant.

use std::ffi::OsStr;

use clap::CommandFactory;
use coordination::bus::text::nearest;

use super::Args;

/// What commands like ours are called elsewhere, and here.
const ELSEWHERE: [(&str, &str); 11] = [
    ("abort", "cancel"),
    ("check", "validate"),
    ("down", "cancel"),
    ("exec", "run"),
    ("kill", "cancel"),
    ("lint", "validate"),
    ("ls", "list"),
    ("ps", "list"),
    ("start", "run"),
    ("status", "show"),
    ("up", "run"),
];

/// Whether this may have been meant for a command: it is no path, and has no extension.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && !text.contains(['.', '/'])
}

/// The command that is meant by a word that is none.
pub(crate) fn nearest_command(word: &str) -> Option<String> {
    let elsewhere = ELSEWHERE.iter().find(|(name, _)| *name == word);
    if let Some((_, command)) = elsewhere {
        return Some((*command).to_owned());
    }
    let program = <Args as CommandFactory>::command();
    let commands = program.get_subcommands();
    let commands = commands.filter(|command| !command.is_hide_set());
    nearest(word, commands.map(clap::Command::get_name)).map(str::to_owned)
}

/// What there is to say of a command line that was not understood because its first word, which is no
/// command, was taken for a file.
pub(crate) fn meant_by(first: &OsStr) -> Option<String> {
    let word = first.to_str().filter(|word| is_word(word))?;
    let program = <Args as CommandFactory>::command();
    if program.find_subcommand(word).is_some() || word == "help" {
        return None;
    }
    let command = nearest_command(word)?;
    Some(format!(
        "`{}` is no command: did you mean `coord {command}`?",
        word.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_are_called_elsewhere_names_commands_that_there_are_and_none_of_ours() {
        let program = <Args as CommandFactory>::command();
        for (word, command) in ELSEWHERE {
            assert!(program.find_subcommand(command).is_some(), "{command}");
            assert!(program.find_subcommand(word).is_none(), "{word}");
        }
    }
}
