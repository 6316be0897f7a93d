//! Bash: it takes words apart at `=` and `:`, which names of parameters and codes have, and shows no help. So it has
//! a script of ours, which hands over the line as it is.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap_complete::engine::complete;
use clap_complete::env::EnvCompleter;
use unicode_width::UnicodeWidthStr;

use super::line::Typed;
use super::write_filled;
use crate::shortened::shortened;

/// The script: what is before the cursor, what is behind it, the word as Bash sees it, why it asks, and how many
/// columns there are.
const SCRIPT: &str = r#"_coord_complete() {
    COMPREPLY=()
    local line
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <(
        VARIABLE=bash COMPLETER -- "${COMP_LINE:0:COMP_POINT}" "${COMP_LINE:COMP_POINT}" \
            "$2" "$COMP_TYPE" "${COLUMNS:-80}" 2> /dev/null
    )
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/] ]]; then
        compopt -o nospace 2> /dev/null
    fi
}
complete -o bashdefault -o nosort -F _coord_complete PROGRAM 2> /dev/null ||
    complete -o bashdefault -F _coord_complete PROGRAM
"#;

/// Of `COMP_TYPE`: each tab puts the next one in the place of the word.
const MENU: &str = "37";

pub(super) struct Bash;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == self.name()
    }

    fn write_registration(
        &self,
        variable: &str,
        _name: &str,
        program: &str,
        completer: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        write_filled(SCRIPT, [variable, program, completer], out)
    }

    fn write_complete(
        &self,
        command: &mut clap::Command,
        args: Vec<OsString>,
        folder: Option<&Path>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let asked = Asked::of(&args);
        let Typed {
            words: typed,
            index,
        } = asked.words();
        let (_, last) = words(&asked.before);
        let replaced = Replaced::of(&last, &asked.word);
        let found: Vec<_> = complete(command, typed, index, folder)?
            .iter()
            .map(|candidate| {
                let value = candidate.get_value().to_string_lossy();
                let help = candidate.get_help().map(ToString::to_string);
                (replaced.by(&value), help.unwrap_or_default())
            })
            .collect();
        let is_told = found.len() > 1 && asked.why != MENU;
        let width = found.iter().map(|(value, _)| value.width()).max();
        let width = width.unwrap_or_default();
        for (value, help) in &found {
            let help = help.lines().next().unwrap_or_default();
            // Bash completes what all of them begin with, and that is of their values as these differ.
            match asked.columns.saturating_sub(width + "  ()".len() + 1) {
                room if is_told && room > 10 && !help.is_empty() => {
                    let pad = width - value.width();
                    writeln!(out, "{value}{:pad$}  ({})", "", shortened(help, room))?;
                }
                _ => writeln!(out, "{value}")?,
            }
        }
        Ok(())
    }
}

/// What the script hands over.
#[derive(Default)]
struct Asked {
    before: String,
    after: String,
    word: String,
    why: String,
    columns: usize,
}

impl Asked {
    fn of(args: &[OsString]) -> Self {
        let mut args = args.iter().map(|arg| arg.to_string_lossy().into_owned());
        let mut next = || args.next().unwrap_or_default();
        Self {
            before: next(),
            after: next(),
            word: next(),
            why: next(),
            columns: next().parse().unwrap_or_default(),
        }
    }

    /// The words of the line, that at the cursor up to there.
    fn words(&self) -> Typed {
        let (mut words, end) = words(&self.before);
        let last = words.len();
        words.push(end);
        // What is left of the word at the cursor is none of its own.
        let rest = self.after.find(char::is_whitespace);
        let rest = &self.after[rest.unwrap_or(self.after.len())..];
        let (mut others, end) = self::words(rest);
        others.push(end);
        words.extend(others.into_iter().filter(|word| !word.raw.is_empty()));
        let words = words.into_iter().map(|word| word.text.into()).collect();
        Typed { words, index: last }
    }
}

/// The line that the script hands over.
pub(super) fn typed(args: &[OsString]) -> Typed {
    Asked::of(args).words()
}

/// A word, as it is meant and as it stands on the line.
#[derive(Debug, Default, PartialEq)]
struct Word {
    text: String,
    raw: String,
    /// The quote that is open at its end.
    quote: Option<char>,
}

/// The words that end with a space, and the one at the end of the line.
fn words(line: &str) -> (Vec<Word>, Word) {
    let (mut words, mut word) = (Vec::new(), Word::default());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter.is_whitespace() && word.quote.is_none() {
            if !word.raw.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        word.raw.push(letter);
        match (letter, word.quote) {
            ('\\', None | Some('"')) => {
                if let Some(escaped) = letters.next() {
                    word.raw.push(escaped);
                    word.text.push(escaped);
                }
            }
            ('\'' | '"', None) => word.quote = Some(letter),
            (_, Some(quote)) if quote == letter => word.quote = None,
            _ => word.text.push(letter),
        }
    }
    (words, word)
}

/// What stands in the place of the part of a word that Bash takes for the word.
struct Replaced {
    /// How much of a value is before that part.
    kept: String,
    is_quoted: bool,
}

impl Replaced {
    fn of(word: &Word, part: &str) -> Self {
        let kept = word.raw.strip_suffix(part).unwrap_or_default();
        Self {
            kept: words(kept).1.text,
            is_quoted: word.quote.is_some(),
        }
    }

    fn by(&self, value: &str) -> String {
        let part = value.strip_prefix(&self.kept).unwrap_or(value);
        match self.is_quoted {
            true => part.to_owned(),
            false => escaped(part),
        }
    }
}

/// A word as it is typed without quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if letter.is_whitespace() || r#"\'"`$&|;<>()*?[]{}!#"#.contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(line: &str, part: &str, value: &str) -> String {
        Replaced::of(&words(line).1, part).by(value)
    }

    #[test]
    fn words_are_taken_as_bash_takes_them_up_to_a_quote_that_is_open() {
        let (before, last) = words(r#"coord 'a b'"c"\ d  e=f 'g "#);
        let texts: Vec<_> = before.iter().map(|word| &*word.text).collect();
        assert_eq!(texts, ["coord", "a bc d", "e=f"]);
        assert_eq!((&*last.text, last.quote), ("g ", Some('\'')));
        assert_eq!(words("coord ").1, Word::default());
        assert_eq!(words(r"a\").1.text, "a");
    }

    #[test]
    fn only_what_bash_takes_for_the_word_is_replaced() {
        assert_eq!(
            replaced("x --param=mode=r", "r", "--param=mode=release"),
            "release"
        );
        assert_eq!(replaced("x a::b", "b", "a::bc"), "bc");
        assert_eq!(replaced("x a::", "", "a::bc"), "bc");
        assert_eq!(replaced(r"x a\ b", r"a\ b", "a b/c d"), r"a\ b/c\ d");
        assert_eq!(replaced("x 'a b", "a b", "a b/c d"), "a b/c d");
        assert_eq!(replaced("x end", "end", "begin-end"), "begin-end");
    }

    #[test]
    fn what_is_behind_the_cursor_is_on_the_line_too() {
        let args = ["coord show ab", "cd --journal 'a b'"].map(OsString::from);
        let Typed { words, index } = typed(&args);
        assert_eq!(words, ["coord", "show", "ab", "--journal", "a b"]);
        assert_eq!(index, 2);
    }
}
