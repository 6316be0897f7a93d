//! A value as it was given, in a file or in a variable, and what a setting makes of it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use coord_bus::duration::{self, DurationError};
use toml::Spanned;
use toml::de::{DeString, DeValue};

/// The most entries of a table of counts.
const COUNTS_MAX: usize = 1000;

/// A value as it was given.
#[derive(Clone, Copy)]
pub(super) enum Value<'v> {
    /// In a file, where it has a type.
    Toml(&'v DeValue<'v>),
    /// In a variable, where it is text.
    Variable(&'v str),
}

impl<'v> Value<'v> {
    pub(super) fn flag(self) -> Result<bool, String> {
        let flag = match self {
            Self::Toml(value) => value.as_bool(),
            Self::Variable(text) => match &*text.to_ascii_lowercase() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
        };
        flag.ok_or_else(|| self.expected("true or false"))
    }

    pub(super) fn number(self, range: &RangeInclusive<u64>) -> Result<u64, String> {
        let number = match self {
            Self::Toml(value) => value
                .as_integer()
                .and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok()),
            Self::Variable(text) => text.parse().ok(),
        };
        let within = number.filter(|number| range.contains(number));
        within.ok_or_else(|| {
            let (first, last) = range.clone().into_inner();
            self.expected(&format!("a whole number from {first} to {last}"))
        })
    }

    pub(super) fn duration(self) -> Result<Duration, String> {
        let expected = || self.expected("a time, such as \"500ms\", \"5m\" or \"1h30m\"");
        let text = self.text().ok_or_else(expected)?;
        let why = match duration::parse(text) {
            Ok(Duration::ZERO) => "it has to be more than no time".to_owned(),
            Ok(time) => return Ok(time),
            Err(why @ (DurationError::Negative | DurationError::TooLong)) => why.to_string(),
            Err(why) => return Err(format!("{}: {why}", expected())),
        };
        Err(format!("`{}` is out of bounds: {why}", shown(text)))
    }

    /// Counts by name: a table, and in a variable `NAME=COUNT,NAME=COUNT`.
    pub(super) fn counts(self) -> Result<BTreeMap<String, u32>, String> {
        let expected = || self.expected("a count for each name, such as { gpu = 1 }");
        let given: Vec<(&str, Value<'_>)> = match self {
            Self::Toml(value) => {
                let entries = value.as_table().ok_or_else(expected)?.iter();
                let entry =
                    |(name, value): (&'v Spanned<DeString<'_>>, &'v Spanned<DeValue<'_>>)| {
                        (&**name.get_ref(), Value::Toml(value.get_ref()))
                    };
                entries.map(entry).collect()
            }
            Self::Variable(text) => {
                let entries = text.split(',').filter(|entry| !entry.is_empty());
                let entries = entries.map(|entry| {
                    let (name, number) = entry.split_once('=').ok_or_else(expected)?;
                    Ok((name, Value::Variable(number)))
                });
                entries.collect::<Result<_, String>>()?
            }
        };
        if given.len() > COUNTS_MAX {
            return Err(format!("there are more than {COUNTS_MAX} names"));
        }
        let mut counts = BTreeMap::new();
        for (name, value) in given {
            let of = |fault: String| format!("`{}`: {fault}", shown(name));
            let count = value.number(&(1..=u32::MAX.into())).map_err(of)?;
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            if counts.insert(name.to_owned(), count).is_some() {
                return Err(of("it is there twice".to_owned()));
            }
        }
        Ok(counts)
    }

    /// Whether it is this word, which a setting takes in the place of a value.
    pub(super) fn is(self, word: &str) -> bool {
        self.text() == Some(word)
    }

    fn text(self) -> Option<&'v str> {
        match self {
            Self::Toml(value) => value.as_str(),
            Self::Variable(text) => Some(text),
        }
    }

    fn expected(self, what: &str) -> String {
        let found = match self {
            Self::Variable(text) => return format!("`{}` is not {what}", shown(text)),
            Self::Toml(DeValue::String(text)) => format!("the string `{}`", shown(text)),
            Self::Toml(DeValue::Integer(number)) => format!("the number {number}"),
            Self::Toml(value) => match value {
                DeValue::Float(_) => "a float",
                DeValue::Boolean(_) => "a boolean",
                DeValue::Datetime(_) => "a date or time",
                DeValue::Array(_) => "an array",
                _ => "a table",
            }
            .to_owned(),
        };
        format!("expected {what}, found {found}")
    }
}

/// So much of a text as a message needs.
fn shown(text: &str) -> String {
    super::fault::printable(&text.chars().take(60).collect::<String>())
}
