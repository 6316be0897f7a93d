//! Command lines that need no shell: a program's name and plain words.
//!
//! A shell that only starts another program costs as much as that program. So what `sh` would do
//! with a line is done without it, as `make` does; and wherever that is not certain, `sh` does it.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::ProcessSpec;
use super::spec::SHELL;

/// The words by which the program is started that a spec's line names, if its shell would do nothing
/// but start that.
pub(super) fn of(spec: &ProcessSpec) -> Option<Vec<String>> {
    let [option, line] = &spec.arguments[..] else {
        return None;
    };
    if spec.program != SHELL || option != "-c" {
        return None;
    }
    let words = words(line.to_str()?)?;
    (words[0].contains('/') || is_looked_up_alike(spec)).then_some(words)
}

/// The value that a shell would give to `PWD`, where that is not what the program would see anyway.
pub(super) fn working_directory(spec: &ProcessSpec) -> Option<PathBuf> {
    let dir = spec.dir.as_deref().unwrap_or(Path::new("."));
    let given = spec.variables().rev().find(|(name, _)| *name == "PWD");
    let said = match given {
        Some((_, value)) => Some(PathBuf::from(value)),
        None => env::var_os("PWD").map(PathBuf::from),
    };
    let place = |path: &Path| {
        fs::metadata(path)
            .ok()
            .map(|found| (found.dev(), found.ino()))
    };
    match said {
        Some(said) if said.is_absolute() && (said == dir || place(&said) == place(dir)) => None,
        _ => dir.canonicalize().ok(),
    }
}

/// Whether a name leads the shell to the same program as it leads us: through a `PATH` that both see,
/// whose directories do not depend on where one is, and past no function that a shell would take from
/// its environment.
fn is_looked_up_alike(spec: &ProcessSpec) -> bool {
    let is_function = |name: &[u8]| name.starts_with(b"BASH_FUNC_");
    let path = env::var_os("PATH").unwrap_or_default();
    let mut names = spec.variables().map(|(name, _)| name.as_encoded_bytes());
    !path.is_empty()
        && env::split_paths(&path).all(|dir| dir.is_absolute())
        && !names.any(|name| name == b"PATH" || is_function(name))
        && !env::vars_os().any(|(name, _)| is_function(name.as_encoded_bytes()))
}

/// The words of a line by which any shell would start a program, and do nothing else.
///
/// The first is written without quotes. The others may be in quotes, wholly or in part, which hold
/// nothing that a shell would look for in them.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut characters = line.trim_matches(is_blank_or_end).chars().peekable();
    while characters.peek().is_some() {
        let is_first = words.is_empty();
        let mut word = String::new();
        while let Some(character) = characters.next_if(|next| !is_blank(*next)) {
            match character {
                '\'' | '"' if !is_first => loop {
                    match characters.next()? {
                        end if end == character => break,
                        quoted if is_plain_in(character, quoted) => word.push(quoted),
                        _ => return None,
                    }
                },
                plain if is_plain(plain) && !(plain == '=' && word.is_empty()) => word.push(plain),
                _ => return None,
            }
        }
        if is_first && !is_program(&word) {
            return None;
        }
        words.push(word);
        while characters.next_if(|next| is_blank(*next)).is_some() {}
    }
    (!words.is_empty()).then_some(words)
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

fn is_blank_or_end(character: char) -> bool {
    is_blank(character) || character == '\n'
}

/// Whether no shell sees anything in it but itself, wherever in a word it stands.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_./,:@%+=-".contains(character)
}

/// Whether no shell sees anything in it but itself, between such quotes.
fn is_plain_in(quote: char, character: char) -> bool {
    let is_text = matches!(character, ' '..='~' | '\t');
    is_text && (quote == '\'' || !matches!(character, '$' | '`' | '\\' | '!'))
}

/// Whether this is a program to every shell: neither a word of its language, nor one of its own
/// commands, nor an assignment.
fn is_program(word: &str) -> bool {
    let is_name =
        |character: char| character.is_ascii_alphanumeric() || "_./+-".contains(character);
    // A shell would take it for an option.
    let is_option = word.starts_with(['-', '+']);
    word.chars().all(is_name)
        && !is_option
        && (word.contains('/') || !SHELLS_OWN.split(' ').any(|own| own == word))
}

/// What dash, bash, ksh, mksh, zsh, yash, and the shells of BusyBox and the BSDs do themselves.
const SHELLS_OWN: &str = "\
    . alias array autoload bg bind bindkey bltin break builtin bye caller case cat cd chdir \
    command compgen complete compopt continue coproc declare dirs disable disown do done echo \
    elif else emulate enable end esac eval exec exit export false fc fg fi float for foreach \
    function functions getln getopts global hash help hist history if in inlib integer jobid \
    jobs kill let limit local login logout mapfile mknod namespace newgrp nocorrect noglob \
    popd print printf pushd pushln pwd read readarray readonly realpath rehash rename repeat \
    return sched select set setopt setvar shift shopt sleep source stop suspend test then time \
    times trap true type typeset ulimit umask unalias unfunction unhash unlimit unset unsetopt \
    until vared wait whence where which while zcompile zmodload zstyle";

#[cfg(test)]
mod tests;
