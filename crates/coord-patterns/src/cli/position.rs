//! Where in a command a line has got to.

use clap::{Arg, ArgAction, Command};

use super::words::Word;

/// Where in a command a line has got to, after some words.
#[derive(Debug, Clone)]
pub(super) struct Position<'c> {
    /// The command or subcommand.
    pub(super) command: &'c Command,
    /// Its name, without that of the program: `remote add`.
    pub(super) path: String,
    /// The option whose value comes next.
    pub(super) value_of: Option<&'c Arg>,
    /// Which argument without a name comes next.
    pub(super) positional: usize,
    /// Whether `--` has come: there are no options any more.
    pub(super) options_over: bool,
    /// Whether what follows is not for this command to judge.
    pub(super) external: bool,
}

/// A word that does not fit where it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// There is no such subcommand.
    Subcommand,
    /// There is no such option.
    Option,
    /// It takes no such value.
    Value,
    /// Nothing more is expected.
    Surplus,
}

impl<'c> Position<'c> {
    pub(super) fn start(command: &'c Command) -> Self {
        Self {
            command,
            path: String::new(),
            value_of: None,
            positional: 0,
            options_over: false,
            external: false,
        }
    }

    /// The argument that a word without a name is for.
    pub(super) fn next_positional(&self) -> Option<&'c Arg> {
        let positionals: Vec<&Arg> = self.command.get_positionals().collect();
        let last = positionals.last().copied().filter(|last| is_many(last));
        positionals.get(self.positional).copied().or(last)
    }

    /// Whether subcommands may come here.
    pub(super) fn takes_subcommand(&self) -> bool {
        let none_yet = self.positional == 0 && !self.options_over;
        none_yet && self.command.has_subcommands()
    }

    /// Goes over a word.
    pub(super) fn step(&mut self, word: &Word) -> Result<(), Misfit> {
        let text = &*word.text;
        if self.external {
            return Ok(());
        }
        if let Some(arg) = self.value_of.take() {
            return fits(arg, text);
        }
        if !self.options_over && text == "--" {
            self.options_over = true;
            return Ok(());
        }
        if !self.options_over && text.len() > 1 && text.starts_with('-') && !is_number(text) {
            return match text.strip_prefix("--") {
                Some(long) => self.long(long),
                None => self.short(&text[1..]),
            };
        }
        if self.takes_subcommand() {
            if let Some(command) = self.command.find_subcommand(text) {
                let separator = if self.path.is_empty() { "" } else { " " };
                self.path = format!("{}{separator}{}", self.path, command.get_name());
                self.command = command;
                return Ok(());
            }
            if self.command.is_allow_external_subcommands_set() {
                self.external = true;
                return Ok(());
            }
            if self.next_positional().is_none() {
                return Err(Misfit::Subcommand);
            }
        }
        let arg = self.next_positional().ok_or(Misfit::Surplus)?;
        self.positional += 1;
        fits(arg, text)
    }

    fn long(&mut self, long: &str) -> Result<(), Misfit> {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let arg = self.find_long(name).ok_or(Misfit::Option)?;
        match value {
            Some(value) => fits(arg, value),
            None => {
                self.value_of = Some(arg).filter(|arg| needs_value(arg));
                Ok(())
            }
        }
    }

    fn short(&mut self, cluster: &str) -> Result<(), Misfit> {
        let mut rest = cluster.chars();
        while let Some(short) = rest.next() {
            let arg = self.find_short(short).ok_or(Misfit::Option)?;
            if needs_value(arg) {
                match rest.as_str() {
                    "" => self.value_of = Some(arg),
                    value => return fits(arg, value.strip_prefix('=').unwrap_or(value)),
                }
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn find_long(&self, name: &str) -> Option<&'c Arg> {
        self.command.get_arguments().find(|arg| {
            arg.get_long() == Some(name)
                || arg.get_all_aliases().is_some_and(|all| all.contains(&name))
        })
    }

    fn find_short(&self, short: char) -> Option<&'c Arg> {
        self.command.get_arguments().find(|arg| {
            arg.get_short() == Some(short)
                || arg
                    .get_all_short_aliases()
                    .is_some_and(|all| all.contains(&short))
        })
    }

    /// What stands before the value, the option and the value, in a word of short options of which the last
    /// has its value behind it: `-xvalue`.
    pub(super) fn short_value<'t>(&self, typed: &'t str) -> Option<(&'t str, &'c Arg, &'t str)> {
        let cluster = typed
            .strip_prefix('-')
            .filter(|rest| !rest.starts_with('-'))?;
        for (at, short) in cluster.char_indices() {
            let arg = self.find_short(short)?;
            let value = at + short.len_utf8();
            if needs_value(arg) && value < cluster.len() {
                let value = value + usize::from(cluster[value..].starts_with('='));
                let (before, value) = typed.split_at(1 + value);
                return Some((before, arg, value));
            }
        }
        None
    }

    /// The names of all options, as they are written: long ones first, aliases behind what they are
    /// aliases of.
    pub(super) fn options(&self) -> impl Iterator<Item = (Vec<String>, &'c Arg)> {
        let shown = self
            .command
            .get_arguments()
            .filter(|arg| !arg.is_hide_set());
        shown.map(|arg| {
            let long = arg.get_long_and_visible_aliases().unwrap_or_default();
            let short = arg.get_short_and_visible_aliases().unwrap_or_default();
            let long = long.into_iter().map(|long| format!("--{long}"));
            let short = short.into_iter().map(|short| format!("-{short}"));
            (long.chain(short).collect(), arg)
        })
    }
}

fn fits(arg: &Arg, value: &str) -> Result<(), Misfit> {
    let possible = arg.get_possible_values();
    let ignores_case = arg.is_ignore_case_set();
    let is_one = possible.iter().any(|one| one.matches(value, ignores_case));
    match possible.is_empty() || is_one {
        true => Ok(()),
        false => Err(Misfit::Value),
    }
}

/// Whether the next word is its value.
pub(super) fn needs_value(arg: &Arg) -> bool {
    let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    takes
        && arg
            .get_num_args()
            .is_none_or(|count| count.min_values() > 0)
}

fn is_many(arg: &Arg) -> bool {
    let many = arg
        .get_num_args()
        .is_some_and(|count| count.max_values() > 1);
    many || matches!(arg.get_action(), ArgAction::Append)
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok()
}
