//! Settings: what is in a file, and what changed in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use coord_bus::vocabulary::ConfigValue;
use serde_json::{Map, Value};

use super::UiError;

/// The largest file of settings, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// The settings in a file; none, if it is not there.
pub(super) fn read(file: &Path) -> Result<Value, UiError> {
    let unreadable = |source| UiError::Unreadable {
        file: file.to_owned(),
        source,
    };
    let mut text = String::new();
    let opened = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(nothing()),
        opened => opened.map_err(unreadable)?,
    };
    let mut limited = opened.take(MAX_FILE + 1);
    limited.read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE {
        return Err(UiError::TooLarge {
            file: file.to_owned(),
            limit: MAX_FILE,
        });
    }
    let syntax = |(line, column): (usize, usize), message: String| UiError::Syntax {
        file: file.to_owned(),
        line,
        column,
        message,
    };
    match file
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        true => serde_json::from_str(&text)
            .map_err(|error| syntax((error.line(), error.column().max(1)), error.to_string())),
        false => toml::from_str(&text).map(from_toml).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            syntax(place(&text, start), error.message().replace('\n', " "))
        }),
    }
}

/// As JSON, which knows no dates: they are the texts that they were written as.
fn from_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => Value::from(number),
        toml::Value::Boolean(is) => Value::from(is),
        toml::Value::Datetime(date) => Value::from(date.to_string()),
        toml::Value::Array(values) => values.into_iter().map(from_toml).collect(),
        toml::Value::Table(members) => {
            let members = members.into_iter();
            members
                .map(|(name, value)| (name, from_toml(value)))
                .collect()
        }
    }
}

pub(super) fn nothing() -> Value {
    Value::Object(Map::new())
}

/// The setting of a path: `ui.theme`.
pub(super) fn find<'v>(settings: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.')
        .try_fold(settings, |value, name| value.get(name))
}

/// What changed, by paths.
pub(super) fn changes(before: &Value, after: &Value) -> BTreeMap<String, ConfigValue> {
    let (before, after) = (flat(before), flat(after));
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = paths
        .into_iter()
        .filter(|path| before.get(*path) != after.get(*path));
    changed
        .map(|path| {
            let value = ConfigValue {
                before: before.get(path).map(|value| (*value).clone()),
                after: after.get(path).map(|value| (*value).clone()),
            };
            (path.clone(), value)
        })
        .collect()
}

fn flat(settings: &Value) -> BTreeMap<String, &Value> {
    let mut all = BTreeMap::new();
    let mut open = vec![(String::new(), settings)];
    while let Some((path, value)) = open.pop() {
        match value {
            Value::Object(members) if !members.is_empty() || path.is_empty() => {
                let dot = if path.is_empty() { "" } else { "." };
                let members = members.iter();
                open.extend(members.map(|(name, value)| (format!("{path}{dot}{name}"), value)));
            }
            value => {
                all.insert(path, value);
            }
        }
    }
    all
}

/// The line and the column of a place, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[begin..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_changed_is_named_by_its_path() {
        let before = json!({ "a": 1, "b": { "c": [1], "d": 2 }, "e": {} });
        let after = json!({ "a": 1, "b": { "c": [1, 2] }, "e": { "f": true } });
        let changes = changes(&before, &after);
        let paths: Vec<_> = changes.keys().map(String::as_str).collect();
        assert_eq!(paths, ["b.c", "b.d", "e", "e.f"]);
        assert_eq!(changes["b.c"].after, Some(json!([1, 2])));
        assert_eq!(
            (&changes["b.d"].before, &changes["b.d"].after),
            (&Some(json!(2)), &None)
        );
        assert!(super::changes(&after, &after).is_empty());
    }

    #[test]
    fn a_date_is_the_text_that_was_written() {
        let house = tempfile::tempdir().unwrap();
        let file = house.path().join("app.toml");
        let text = "x = 1979-05-27T07:32:00Z\ny = [07:32:00]\nz = { a = 1.5, b = true }\n";
        std::fs::write(&file, text).unwrap();
        let expected = json!({
            "x": "1979-05-27T07:32:00Z",
            "y": ["07:32:00"],
            "z": { "a": 1.5, "b": true },
        });
        assert_eq!(read(&file).unwrap(), expected);
    }

    #[test]
    fn a_place_is_a_line_and_a_column() {
        assert_eq!(place("a\nbö=", 5), (2, 3));
        assert_eq!(place("", 0), (1, 1));
    }
}
