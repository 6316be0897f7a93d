//! Walking the tree of a TOML file: values by key and type, and a fault for whatever is otherwise.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use coordination::bus::{duration, text::nearest};
use coordination::workflow::{NAME_LENGTH_MAX, Shown};
use miette::SourceSpan;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::FileFault;
use super::text::Text;

/// How many faults are kept; those beyond are counted. More than are shown, because they are not
/// found in the order of the file.
const FAULTS_KEPT_MAX: usize = 200;

/// The highest exit code that a process has.
const EXIT_CODE_MAX: u32 = 255;

/// The keys that a table may have.
pub(super) struct Keys {
    /// The table, as a message names it.
    pub(super) table: &'static str,
    pub(super) known: &'static [&'static str],
    /// What other programs call some of them.
    pub(super) elsewhere: &'static [(&'static str, &'static str)],
}

impl Keys {
    /// The key that one which the table has not was probably meant to be.
    pub(super) fn meant(&self, name: &str) -> Option<&'static str> {
        if self.known.contains(&name) {
            return None;
        }
        let elsewhere = self.elsewhere.iter().find(|(other, _)| *other == name);
        let meant = elsewhere.map(|(_, ours)| *ours);
        meant.or_else(|| nearest(name, self.known.iter().copied()))
    }

    /// Whether one that the table has not was probably meant to be one of these: its fault says
    /// so, and that none of these is there need not be said as well.
    pub(super) fn misspells(&self, table: &DeTable<'_>, wanted: &[&str]) -> bool {
        let mut meant = table.keys().filter_map(|key| self.meant(key.get_ref()));
        meant.any(|meant| wanted.contains(&meant))
    }
}

/// Some text and where it stands.
pub(super) type Words<'t> = Spanned<&'t str>;

/// What is found on the way through a file.
pub(super) struct Walk<'t> {
    pub(super) text: &'t Text,
    faults: Vec<FileFault>,
    left_out: usize,
}

impl<'t> Walk<'t> {
    pub(super) fn new(text: &'t Text) -> Self {
        Self {
            text,
            faults: Vec::new(),
            left_out: 0,
        }
    }

    pub(super) fn add(&mut self, fault: FileFault) {
        self.add_with(|| fault);
    }

    /// For a fault that takes work to describe: not done for one that is only counted.
    pub(super) fn add_with(&mut self, fault: impl FnOnce() -> FileFault) {
        if self.faults.len() < FAULTS_KEPT_MAX {
            self.faults.push(fault());
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn leave_out(&mut self, count: usize) {
        self.left_out += count;
    }

    pub(super) fn at(&self, range: &Range<usize>) -> SourceSpan {
        self.text.underlined(range)
    }

    /// The faults, and how many more there were.
    pub(super) fn finish(self) -> (Vec<FileFault>, usize) {
        (self.faults, self.left_out)
    }

    pub(super) fn check_keys(&mut self, table: &DeTable<'_>, keys: &Keys) {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if keys.known.contains(&name) {
                continue;
            }
            let help = match keys.meant(name) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("{} has the keys {}", keys.table, keys.known.join(", ")),
            };
            let fault = FileFault::UnknownKey {
                key: name.to_owned(),
                table: keys.table,
                at: self.at(&key.span()),
                help,
            };
            self.add(fault);
        }
    }

    pub(super) fn wrong_type(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &'static str,
        help: Option<&str>,
    ) {
        let fault = FileFault::WrongType {
            key: key.to_owned(),
            expected,
            found: found(value.get_ref()),
            at: self.at(&value.span()),
            help: help.map(str::to_owned),
        };
        self.add(fault);
    }

    pub(super) fn string<'v>(&mut self, table: &'v DeTable<'_>, key: &str) -> Option<Words<'v>> {
        let value = table.get(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(key, value, "a string", None);
        }
        Some(Spanned::new(value.span(), text?))
    }

    /// Text for a process: not blank, and without a NUL.
    pub(super) fn process_text(&mut self, table: &DeTable<'_>, key: &str) -> Option<String> {
        let text = self.string(table, key)?;
        self.check_process_text(key, &text, true);
        Some((*text.get_ref()).to_owned())
    }

    pub(super) fn check_process_text(&mut self, key: &str, text: &Words<'_>, filled: bool) {
        let at = self.at(&text.span());
        let key = key.to_owned();
        if filled && text.get_ref().trim().is_empty() {
            self.add(FileFault::Empty { key, at });
        } else if text.get_ref().contains('\0') {
            self.add(FileFault::Nul { key, at });
        }
    }

    pub(super) fn strings<'v>(&mut self, table: &'v DeTable<'_>, key: &str) -> Vec<Words<'v>> {
        let Some(value) = table.get(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            let help = matches!(value.get_ref(), DeValue::String(_)).then_some("put it in [ ]");
            self.wrong_type(key, value, "a list of strings", help);
            return Vec::new();
        };
        let mut strings = Vec::with_capacity(array.len());
        for element in array.iter() {
            match element.get_ref().as_str() {
                Some(text) => strings.push(Spanned::new(element.span(), text)),
                None => self.wrong_type(key, element, "a list of strings", None),
            }
        }
        strings
    }

    /// A program and its arguments; `elsewhere` is where a line for a shell can stand.
    pub(super) fn command<'v>(
        &mut self,
        table: &'v DeTable<'_>,
        elsewhere: Option<&str>,
    ) -> Vec<Words<'v>> {
        let key = "command";
        let Some((value, line)) = table
            .get(key)
            .and_then(|value| Some((value, value.get_ref().as_str()?)))
        else {
            return self.strings(table, key);
        };
        let words = shlex::split(line).filter(|words| !words.is_empty());
        let words = words.unwrap_or_else(|| vec![line.to_owned()]);
        let words: Vec<_> = words.iter().map(|word| Shown(word).to_string()).collect();
        let mut help = format!("each word for itself: [{}]", words.join(", "));
        if let Some(elsewhere) = elsewhere {
            help += &format!("; a line for a shell is `{elsewhere}`");
        }
        self.wrong_type(key, value, "a list of strings", Some(&help));
        Vec::new()
    }

    pub(super) fn flag(&mut self, table: &DeTable<'_>, key: &str) -> bool {
        let Some(value) = table.get(key) else {
            return false;
        };
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type(key, value, "true or false", None);
        }
        flag.unwrap_or(false)
    }

    /// A whole number from 1 to `max`.
    pub(super) fn count(&mut self, table: &DeTable<'_>, key: &str, max: u32) -> Option<u32> {
        self.number(key, table.get(key)?, max)
    }

    /// A list of codes with which a process may fail.
    pub(super) fn exit_codes(&mut self, table: &DeTable<'_>, key: &str) -> Vec<i32> {
        let Some(value) = table.get(key) else {
            return Vec::new();
        };
        let codes = value.get_ref().as_array();
        let Some(codes) = codes.filter(|codes| !codes.is_empty()) else {
            let help =
                Some("such as [75, 111]; without it, every exit code is worth another attempt");
            self.wrong_type(key, value, "a list of exit codes", help);
            return Vec::new();
        };
        let codes = codes
            .iter()
            .filter_map(|code| self.number(key, code, EXIT_CODE_MAX));
        codes.map(u32::cast_signed).collect()
    }

    fn number(&mut self, key: &str, value: &Spanned<DeValue<'_>>, max: u32) -> Option<u32> {
        let Some(number) = value.get_ref().as_integer() else {
            self.wrong_type(key, value, "a whole number", None);
            return None;
        };
        let number = u32::from_str_radix(number.as_str(), number.radix()).ok();
        let within = number.filter(|number| (1..=max).contains(number));
        if within.is_none() {
            let at = self.at(&value.span());
            self.add(FileFault::OutOfRange {
                key: key.to_owned(),
                min: 1,
                max: max.into(),
                at,
            });
        }
        within
    }

    pub(super) fn duration(&mut self, table: &DeTable<'_>, key: &str) -> Option<Duration> {
        let value = table.get(key)?;
        let Some(text) = value.get_ref().as_str() else {
            let number = matches!(value.get_ref(), DeValue::Integer(_) | DeValue::Float(_));
            let help = number.then_some("add a unit and quotes: \"500ms\", \"5m\", \"1h30m\"");
            self.wrong_type(key, value, "a duration, such as \"5m\"", help);
            return None;
        };
        let why = match duration::parse(text) {
            Ok(Duration::ZERO) => "it is zero".to_owned(),
            Ok(duration) => return Some(duration),
            Err(why) => why.to_string(),
        };
        let at = self.at(&value.span());
        let key = key.to_owned();
        self.add(FileFault::Duration { key, why, at });
        None
    }

    pub(super) fn table<'v, 'i>(
        &mut self,
        table: &'v DeTable<'i>,
        key: &str,
        help: Option<&'static str>,
    ) -> Option<&'v DeTable<'i>> {
        let value = table.get(key)?;
        let inner = value.get_ref().as_table();
        if inner.is_none() {
            self.wrong_type(key, value, "a table", help);
        }
        inner
    }

    /// A table of text by name, each with the place of its name: `params` or `env`.
    pub(super) fn texts(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
    ) -> BTreeMap<String, Spanned<String>> {
        self.texts_but(table, key, |_, _, _| false)
    }

    /// The same, but for what `other` takes: it is asked of each first.
    pub(super) fn texts_but(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        mut other: impl FnMut(&mut Self, &str, &Spanned<DeValue<'_>>) -> bool,
    ) -> BTreeMap<String, Spanned<String>> {
        let mut texts = BTreeMap::new();
        let example = "write it as a table, such as { KEY = \"value\" }";
        for (name, value) in self.table(table, key, Some(example)).into_iter().flatten() {
            if other(self, name.get_ref(), value) {
                continue;
            }
            let shown = name.get_ref().escape_debug().take(NAME_LENGTH_MAX);
            let shown: String = shown.collect();
            if let Some(text) = self.scalar(&shown, value) {
                let words = Spanned::new(value.span(), text.as_str());
                self.check_process_text(&shown, &words, false);
                texts.insert(name.get_ref().to_string(), Spanned::new(name.span(), text));
            }
        }
        texts
    }

    pub(super) fn scalar(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
        let text = match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Boolean(flag) => Some(flag.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .map(|number| number.to_string()),
            _ => None,
        };
        if text.is_none() {
            let quotable = matches!(value.get_ref(), DeValue::Float(_) | DeValue::Datetime(_));
            let help = quotable.then_some("put it in quotes");
            self.wrong_type(key, value, "a string, a whole number, true or false", help);
        }
        text
    }
}

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
