//! What is wrong with a line, while it is typed and when it is run.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command};
use coord_bus::text::all_near;
use coord_bus::vocabulary::CliFault;

use super::position::{Misfit, Position};
use super::words::{Word, split};

/// How many suggestions there are at most.
const MAX_SUGGESTIONS: usize = 3;

/// What is wrong with a line that is being typed, and which command it gives. The word that is
/// typed last is wrong only if nothing begins with it; the others are where clap says so.
pub(super) fn while_typed(command: &Command, line: &str) -> (String, Vec<CliFault>) {
    let words = split(line);
    let (path, faults) = by_position(command, &words, line);
    // Which words belong together, clap knows in each case: what it does not mind is right.
    if !faults.is_empty() && refused(command, &words).is_none() {
        return (path, Vec::new());
    }
    let finished = words.iter().take_while(|word| word.end < line.len());
    let finished = &words[..finished.count()];
    match refused(command, finished).filter(|_| faults.is_empty()) {
        Some(error) => (path, vec![of_clap(&error, finished, line)]),
        None => (path, faults),
    }
}

/// Which command a line gives, right or wrong.
pub(super) fn path(command: &Command, line: &str) -> String {
    by_position(command, &split(line), line).0
}

/// Why clap refuses what stands there, whatever comes after it.
fn refused(command: &Command, words: &[Word]) -> Option<clap::Error> {
    let texts = words.iter().map(|word| &word.text);
    let command = command.clone().no_binary_name(true);
    let error = command.try_get_matches_from(texts).err()?;
    let is_for_good = match error.kind() {
        // Also where a value has not been typed yet.
        ErrorKind::InvalidValue => !matches!(
            error.get(ContextKind::InvalidValue),
            Some(ContextValue::String(value)) if value.is_empty()
        ),
        kind => matches!(
            kind,
            ErrorKind::UnknownArgument
                | ErrorKind::InvalidSubcommand
                | ErrorKind::NoEquals
                | ErrorKind::ValueValidation
                | ErrorKind::TooManyValues
                | ErrorKind::ArgumentConflict
                | ErrorKind::InvalidUtf8
        ),
    };
    is_for_good.then_some(error)
}

/// The first word that does not fit where it stands, by what is offered there.
fn by_position(command: &Command, words: &[Word], line: &str) -> (String, Vec<CliFault>) {
    let mut position = Position::start(command);
    for word in words {
        let before = position.clone();
        let Err(misfit) = position.step(word) else {
            continue;
        };
        let is_typed = word.end == line.len();
        let names = names(&before, &misfit, &word.text);
        let begins = names.iter().any(|name| name.starts_with(&word.text));
        if !(is_typed && begins) {
            // What follows on a wrong word would be judged wrongly.
            return (
                before.path.clone(),
                vec![fault(&before, &misfit, word, &names)],
            );
        }
    }
    (position.path, Vec::new())
}

/// What could have stood there.
fn names(position: &Position<'_>, misfit: &Misfit, typed: &str) -> Vec<String> {
    match misfit {
        Misfit::Subcommand => {
            let subcommands = position.command.get_subcommands();
            let shown = subcommands.filter(|one| !one.is_hide_set());
            shown
                .flat_map(|one| one.get_name_and_visible_aliases())
                .map(str::to_owned)
                .collect()
        }
        Misfit::Option => position.options().flat_map(|(names, _)| names).collect(),
        Misfit::Value => {
            let named = typed
                .strip_prefix("--")
                .and_then(|long| long.split_once('='));
            let (before, arg) = match (position.value_of, named) {
                (Some(arg), _) => (String::new(), Some(arg)),
                (None, Some((name, _))) => (format!("--{name}="), position.find_long(name)),
                (None, None) => match position.short_value(typed) {
                    Some((before, arg, _)) if !position.options_over => {
                        (before.to_owned(), Some(arg))
                    }
                    _ => (String::new(), position.next_positional()),
                },
            };
            let possible = arg.map(clap::Arg::get_possible_values).unwrap_or_default();
            let shown = possible.iter().filter(|one| !one.is_hide_set());
            shown
                .map(|one| format!("{before}{}", one.get_name()))
                .collect()
        }
        Misfit::Surplus => Vec::new(),
    }
}

fn fault(position: &Position<'_>, misfit: &Misfit, word: &Word, names: &[String]) -> CliFault {
    let text = &word.text;
    let of = match &*position.path {
        "" => String::new(),
        path => format!(" of `{path}`"),
    };
    let message = match misfit {
        Misfit::Subcommand => format!("there is no command `{text}`{of}"),
        Misfit::Option => format!("there is no option `{text}`{of}"),
        Misfit::Value => format!("`{text}` is none of {}", names.join(", ")),
        Misfit::Surplus => format!("`{text}` is one argument too many{of}"),
    };
    let near = all_near(text, names.iter().map(String::as_str)).into_iter();
    let suggestions = near.take(MAX_SUGGESTIONS).map(str::to_owned).collect();
    CliFault {
        start: word.start,
        end: word.end,
        message,
        suggestions,
    }
}

/// What a whole line gives, by clap's own judgement.
pub(super) fn parse(command: &Command, line: &str) -> Result<ArgMatches, Vec<CliFault>> {
    let (_, faults) = while_typed(command, line);
    // With a space after it, the last word is no longer being typed.
    let (_, ended) = while_typed(command, &format!("{line} "));
    let faults = if faults.is_empty() { ended } else { faults };
    let words = split(line);
    let texts = words.iter().map(|word| &word.text);
    let parsed = command
        .clone()
        .no_binary_name(true)
        .try_get_matches_from(texts);
    match parsed {
        Ok(matches) => Ok(matches),
        // It says so better: where, and what was meant.
        Err(error) if !faults.is_empty() && !is_help(&error) => Err(faults),
        Err(error) => Err(vec![of_clap(&error, &words, line)]),
    }
}

fn is_help(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    )
}

fn of_clap(error: &clap::Error, words: &[Word], line: &str) -> CliFault {
    let rendered = error.render().to_string();
    let message = match is_help(error) {
        true => rendered.trim().to_owned(),
        false => rendered
            .lines()
            .take_while(|line| !line.trim().is_empty())
            .map(|line| line.trim().trim_start_matches("error: "))
            .collect::<Vec<_>>()
            .join(" "),
    };
    let wrong = [ContextKind::InvalidValue, ContextKind::InvalidArg]
        .into_iter()
        .find_map(|kind| match error.get(kind)? {
            ContextValue::String(text) => words.iter().find(|word| word.text == *text),
            _ => None,
        });
    let (start, end) = wrong.map_or((line.len(), line.len()), |word| (word.start, word.end));
    CliFault {
        start,
        end,
        message,
        suggestions: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction};
    use proptest::prelude::*;

    use super::*;

    /// With what is hard to tell from outside clap.
    fn command() -> Command {
        let flag = |name| Arg::new(name).long(name).action(ArgAction::SetTrue);
        Command::new("tool")
            .arg(Arg::new("point").long("point").num_args(2))
            .arg(
                Arg::new("mode")
                    .long("mode")
                    .value_delimiter(',')
                    .value_parser(["a", "b"]),
            )
            .arg(
                Arg::new("port")
                    .long("port")
                    .value_parser(clap::value_parser!(u16)),
            )
            .arg(flag("fast").conflicts_with("slow"))
            .arg(flag("slow"))
            .arg(Arg::new("inf").short('i').num_args(0..=1))
            .subcommand(
                Command::new("exec").arg(
                    Arg::new("rest")
                        .num_args(1..)
                        .trailing_var_arg(true)
                        .allow_hyphen_values(true),
                ),
            )
            .subcommand(
                Command::new("neg").arg(Arg::new("by").required(true).allow_hyphen_values(true)),
            )
    }

    fn messages(line: &str) -> Vec<String> {
        let (_, faults) = while_typed(&command(), line);
        faults.into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn what_clap_accepts_is_right() {
        for line in [
            "--point 1 2 ",
            "--mode a,b ",
            "exec ls --color ",
            "neg -x ",
            "-inf ",
        ] {
            assert_eq!(messages(line), [""; 0], "{line}");
        }
    }

    #[test]
    fn a_value_that_does_not_fit_and_a_conflict_are_told_once_they_are_typed() {
        for (line, said) in [
            ("--port abc ", "invalid value 'abc'"),
            ("--port 99999 ", "99999 is not in"),
            ("--fast --slow ", "cannot be used with"),
            ("--mode c ", "`c` is none of a, b"),
        ] {
            let messages = messages(line);
            assert!(
                messages.iter().any(|message| message.contains(said)),
                "{line}: {messages:?}"
            );
        }
    }

    #[test]
    fn what_is_still_being_typed_or_still_to_come_is_not_wrong() {
        for line in [
            "--port 9x",
            "--port",
            "--port ",
            "--fast --slo",
            "neg",
            "neg ",
            "--point 1 ",
        ] {
            assert_eq!(messages(line), [""; 0], "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_line_that_clap_takes_has_no_faults(
            words in proptest::collection::vec(
                proptest::sample::select(vec![
                    "--point", "--mode", "--mode=a", "a,b", "a", "--port", "--port=80", "80", "--fast", "--slow",
                    "-i", "-inf", "exec", "neg", "-x", "--", "--color", "ls", "-1", "--nothing", "x",
                ]),
                0..6,
            ),
            is_finished: bool,
        ) {
            let line = format!("{}{}", words.join(" "), if is_finished { " " } else { "" });
            let parsed = command().no_binary_name(true).try_get_matches_from(&words);
            if parsed.is_ok() {
                prop_assert_eq!(messages(&line), [""; 0], "{}", line);
            }
        }
    }
}
