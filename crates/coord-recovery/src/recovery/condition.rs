//! Conditions on events, as data: for patterns over topics whose types are not at hand.

use std::ops::{BitAnd, BitOr, Not};

use regex_lite::Regex;
use serde_json::Value;

use crate::RecoveryError;

/// What an event has to be like, asked of it as JSON. Conditions join by `&`, `|` and `!`.
///
/// ```
/// use coord_recovery::{Condition, Test};
///
/// # fn main() -> Result<(), coord_recovery::RecoveryError> {
/// let refused = Condition::kind(Test::equals("connection"))
///     & Condition::message(Test::matches("refused|reset")?)
///     & !Condition::code(Test::at_least(500.0))
///     & Condition::field("details.attempt", Test::less_than(3.0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Condition(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Always,
    All(Box<[Condition; 2]>),
    Any(Box<[Condition; 2]>),
    Not(Box<Condition>),
    /// Of one of these fields: the first that is there.
    Field(Vec<String>, Test),
    Retryable(bool),
}

/// What a field has to be like.
#[derive(Debug, Clone)]
pub struct Test(Of);

#[derive(Debug, Clone)]
enum Of {
    IsThere,
    Equals(Value),
    Contains(String),
    Matches(Regex),
    Below { limit: f64, included: bool },
    Above { limit: f64, included: bool },
}

const KINDS: [&str; 3] = ["kind", "type", "error_type"];
const CODES: [&str; 3] = ["code", "exit_code", "status"];
const MESSAGES: [&str; 3] = ["message", "error", "reason"];

impl Condition {
    /// Whatever the event is like.
    pub fn always() -> Self {
        Self(Kind::Always)
    }

    /// The type of the error: the field `kind`, `type` or `error_type`, whichever is there first.
    pub fn kind(test: Test) -> Self {
        Self::first_of(KINDS, test)
    }

    /// Its code: the field `code`, `exit_code` or `status`.
    pub fn code(test: Test) -> Self {
        Self::first_of(CODES, test)
    }

    /// What it says: the field `message`, `error` or `reason`.
    pub fn message(test: Test) -> Self {
        Self::first_of(MESSAGES, test)
    }

    /// Any field: a name, or names and numbers joined by dots, such as `details.tries.0`. A field
    /// that is not there passes no test.
    pub fn field(path: impl Into<String>, test: Test) -> Self {
        Self(Kind::Field(vec![path.into()], test))
    }

    /// Whether the event says that another attempt could help: that `retryable` is true, or
    /// `permanent` is not. One that says neither is neither.
    pub fn retryable(is_retryable: bool) -> Self {
        Self(Kind::Retryable(is_retryable))
    }

    /// Whether an event is like this.
    pub fn holds(&self, event: &Value) -> bool {
        match &self.0 {
            Kind::Always => true,
            Kind::All(both) => both.iter().all(|condition| condition.holds(event)),
            Kind::Any(both) => both.iter().any(|condition| condition.holds(event)),
            Kind::Not(condition) => !condition.holds(event),
            Kind::Field(paths, test) => {
                let found = paths.iter().find_map(|path| find(event, path));
                found.is_some_and(|value| test.passes(value))
            }
            Kind::Retryable(expected) => is_retryable(event) == Some(*expected),
        }
    }

    /// What it compares a number with that no number can be compared with.
    pub(super) fn not_finite(&self) -> Option<f64> {
        match &self.0 {
            Kind::All(both) | Kind::Any(both) => both.iter().find_map(Self::not_finite),
            Kind::Not(condition) => condition.not_finite(),
            Kind::Field(_, Test(Of::Below { limit, .. } | Of::Above { limit, .. })) => {
                (!limit.is_finite()).then_some(*limit)
            }
            Kind::Always | Kind::Field(..) | Kind::Retryable(_) => None,
        }
    }

    fn first_of(names: [&str; 3], test: Test) -> Self {
        Self(Kind::Field(names.map(str::to_owned).to_vec(), test))
    }
}

impl BitAnd for Condition {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(Kind::All(Box::new([self, other])))
    }
}

impl BitOr for Condition {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(Kind::Any(Box::new([self, other])))
    }
}

impl Not for Condition {
    type Output = Self;

    fn not(self) -> Self {
        Self(Kind::Not(Box::new(self)))
    }
}

impl Test {
    /// It is there, and not null.
    pub fn is_there() -> Self {
        Self(Of::IsThere)
    }

    /// It is this; numbers by their value.
    pub fn equals(value: impl Into<Value>) -> Self {
        Self(Of::Equals(value.into()))
    }

    /// It is a text in which this is, or a list in which this is.
    pub fn contains(part: impl Into<String>) -> Self {
        Self(Of::Contains(part.into()))
    }

    /// It is a text of which some part matches this regular expression.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::Setting`] when it is none.
    pub fn matches(regex: &str) -> Result<Self, RecoveryError> {
        match Regex::new(regex) {
            Ok(regex) => Ok(Self(Of::Matches(regex))),
            Err(error) => Err(RecoveryError::setting(
                format!("the regular expression `{regex}`"),
                error.to_string(),
            )),
        }
    }

    /// It is a number below this, which is to be finite.
    pub fn less_than(limit: f64) -> Self {
        let included = false;
        Self(Of::Below { limit, included })
    }

    /// It is this number, which is to be finite, or one below.
    pub fn at_most(limit: f64) -> Self {
        let included = true;
        Self(Of::Below { limit, included })
    }

    /// It is a number above this, which is to be finite.
    pub fn greater_than(limit: f64) -> Self {
        let included = false;
        Self(Of::Above { limit, included })
    }

    /// It is this number, which is to be finite, or one above.
    pub fn at_least(limit: f64) -> Self {
        let included = true;
        Self(Of::Above { limit, included })
    }

    fn passes(&self, value: &Value) -> bool {
        let number = value.as_f64();
        match &self.0 {
            Of::IsThere => !value.is_null(),
            Of::Equals(expected) => match (number, expected.as_f64()) {
                (Some(number), Some(expected)) => number == expected,
                _ => value == expected,
            },
            Of::Contains(part) => match value {
                Value::String(text) => text.contains(part.as_str()),
                Value::Array(list) => list.iter().any(|value| value == part.as_str()),
                _ => false,
            },
            Of::Matches(regex) => value.as_str().is_some_and(|text| regex.is_match(text)),
            Of::Below { limit, included } => {
                number.is_some_and(|number| number < *limit || (*included && number == *limit))
            }
            Of::Above { limit, included } => {
                number.is_some_and(|number| number > *limit || (*included && number == *limit))
            }
        }
    }
}

/// The field at a path of names and numbers.
pub(super) fn find<'v>(event: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(event, |value, name| match value {
        Value::Array(list) => list.get(name.parse::<usize>().ok()?),
        _ => value.get(name),
    })
}

/// What an event says went wrong.
pub(super) fn message(event: &Value) -> Option<&str> {
    MESSAGES.iter().find_map(|name| event.get(name)?.as_str())
}

fn is_retryable(event: &Value) -> Option<bool> {
    let retryable = event.get("retryable").and_then(Value::as_bool);
    let permanent = || event.get("permanent").and_then(Value::as_bool);
    retryable.or_else(|| permanent().map(|permanent| !permanent))
}
