//! A value as it was given, in a file or in a variable, and what a setting makes of it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use coord_bus::duration;
use toml::de::DeValue;

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
            Self::Variable("true" | "1") => Some(true),
            Self::Variable("false" | "0") => Some(false),
            Self::Variable(_) => None,
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
        let duration = self.text().and_then(|text| duration::parse(text).ok());
        let some = duration.filter(|time| !time.is_zero());
        some.ok_or_else(|| self.expected("a time, such as \"500ms\", \"5m\" or \"1h30m\""))
    }

    /// Counts by name: a table, and in a variable `NAME=COUNT,NAME=COUNT`.
    pub(super) fn counts(self) -> Result<BTreeMap<String, u32>, String> {
        let expected = || self.expected("a count for each name, such as { gpu = 1 }");
        let count = |value: Value<'_>| value.number(&(1..=u32::MAX.into())).ok()?.try_into().ok();
        let counts: Option<BTreeMap<String, u32>> = match self {
            Self::Toml(value) => value.as_table().and_then(|table| {
                let counts = table.iter().map(|(name, value)| {
                    let name = name.get_ref().to_string();
                    Some((name, count(Value::Toml(value.get_ref()))?))
                });
                counts.collect()
            }),
            Self::Variable(text) => {
                let entries = text.split(',').filter(|entry| !entry.is_empty());
                let counts = entries.map(|entry| {
                    let (name, number) = entry.split_once('=')?;
                    Some((name.to_owned(), count(Value::Variable(number))?))
                });
                counts.collect()
            }
        };
        let counts = counts.filter(|counts| counts.len() <= COUNTS_MAX);
        counts.ok_or_else(expected)
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
