//! An entry of a trail: what it says, and how it is sealed.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use coord_bus::{Timestamp, text::Printable, text::cut};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

/// The longest entry, in bytes. What would be longer keeps who did what, and of the rest its size
/// and its hash.
pub const MAX_ENTRY: usize = 256 * 1024;

/// How many arrays and objects of a value may be within each other. What is nested deeper is left out as
/// what is too long is: the entry around it included, it is what readers of JSON read at most (128 for
/// `serde_json`).
pub const MAX_DEPTH: usize = 126;

/// What comes before the hash in a line, and after it.
const OPENING: &[u8] = b"{\"hash\":\"";
const CLOSING: &[u8] = b"\",";
const HEX: usize = 64;

/// What an entry is to say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditFacts {
    /// When it happened; when it is written, by default.
    pub at: Option<Timestamp>,
    /// The topic that it came through.
    pub topic: String,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// What that was before.
    pub before: Option<Value>,
    /// What it is now.
    pub after: Option<Value>,
    /// The whole event.
    pub event: Option<Value>,
    /// The undertaking that it belongs to.
    pub correlation: Option<String>,
    /// The event that caused it.
    pub causation: Option<String>,
}

/// An entry of a trail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditEntry {
    /// Its hash, in hexadecimal: see the [module](super).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hash: String,
    /// The trail that it is of: its stream.
    pub trail: String,
    /// Its number, from 1.
    pub number: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The topic that it came through.
    pub topic: String,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what; empty where nobody said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// What that was before.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub before: Option<Value>,
    /// What it is now.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub after: Option<Value>,
    /// The whole event, where it is no [`AuditEvent`](coord_bus::vocabulary::AuditEvent).
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub event: Option<Value>,
    /// The undertaking that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// The event that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<String>,
    /// The hash of the entry before it.
    pub previous: String,
}

/// A value that is there, `null` too: so the entry is read as it was hashed.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// How far a trail goes: what is kept elsewhere, to know it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditHead {
    /// How many entries it has.
    pub entries: u64,
    /// The hash of the last; 64 zeros of an empty trail.
    pub head: String,
}

impl Default for AuditHead {
    fn default() -> Self {
        Self {
            entries: 0,
            head: "0".repeat(HEX),
        }
    }
}

impl AuditEntry {
    /// The line of an entry that follows on this head, and the head with it.
    pub(super) fn seal(
        facts: AuditFacts,
        trail: &str,
        after: &AuditHead,
        now: Timestamp,
    ) -> (Vec<u8>, AuditHead) {
        let mut entry = Self {
            hash: String::new(),
            trail: trail.to_owned(),
            number: after.entries + 1,
            at: facts.at.unwrap_or(now),
            topic: facts.topic,
            actor: facts.actor,
            action: facts.action,
            subject: facts.subject,
            before: facts.before,
            after: facts.after,
            event: facts.event,
            correlation: facts.correlation,
            causation: facts.causation,
            previous: after.head.clone(),
        };
        for value in entry.values().into_iter().flatten() {
            value.sort_all_objects();
            if is_deeper(value, MAX_DEPTH) {
                *value = omitted(&value.to_string());
            }
        }
        let mut content = entry.content();
        if content.len() > MAX_ENTRY {
            entry.omit_values();
            content = entry.content();
        }
        if content.len() > MAX_ENTRY {
            entry.cut_texts();
            content = entry.content();
        }
        let hash = blake3::hash(&content).to_hex();
        let mut line = OPENING.to_vec();
        line.extend(hash.as_bytes());
        line.extend(CLOSING);
        line.extend(&content[1..]);
        let head = AuditHead {
            entries: entry.number,
            head: hash.to_string(),
        };
        (line, head)
    }

    /// The entry that a line is, if its seal is whole.
    pub(super) fn unseal(line: &[u8]) -> Option<Self> {
        let rest = line.strip_prefix(OPENING)?;
        let (hash, rest) = rest.split_at_checked(HEX)?;
        let rest = rest.strip_prefix(CLOSING)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"{").update(rest);
        if hasher.finalize().to_hex().as_bytes() != hash {
            return None;
        }
        let entry = serde_json::from_slice(line).ok();
        entry.or_else(|| Self::read_without_what_is_too_deep(line))
    }

    /// The entry that a line is as earlier versions wrote some: with values that are nested too deep.
    fn read_without_what_is_too_deep(line: &[u8]) -> Option<Self> {
        let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(line).ok()?;
        // `{`, and for each member `"":` and what comes after it: so none is there twice.
        let lengths = members
            .iter()
            .map(|(name, value)| name.len() + value.get().len() + 4);
        if lengths.sum::<usize>() + 1 != line.len() {
            return None;
        }
        for name in ["before", "after", "event"] {
            let Some(value) = members.get_mut(name) else {
                continue;
            };
            let read = serde_json::from_str(value.get());
            if !read.is_ok_and(|read| !is_deeper(&read, MAX_DEPTH)) {
                *value = to_raw_value(&omitted(value.get())).ok()?;
            }
        }
        serde_json::from_slice(&serde_json::to_vec(&members).ok()?).ok()
    }

    fn values(&mut self) -> [&mut Option<Value>; 3] {
        [&mut self.before, &mut self.after, &mut self.event]
    }

    fn content(&self) -> Vec<u8> {
        // Texts, numbers and values of JSON can be written as JSON.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn omit_values(&mut self) {
        for value in self.values().into_iter().flatten() {
            *value = omitted(&value.to_string());
        }
    }

    fn cut_texts(&mut self) {
        const LONGEST: usize = 4096;
        let texts = [
            &mut self.topic,
            &mut self.actor,
            &mut self.action,
            &mut self.subject,
        ];
        let ids = [&mut self.correlation, &mut self.causation];
        for text in texts.into_iter().chain(ids.into_iter().flatten()) {
            text.truncate(cut(text, LONGEST).len());
        }
    }
}

/// What is kept of a value that is left out.
fn omitted(text: &str) -> Value {
    let hash = blake3::hash(text.as_bytes()).to_hex();
    json!({ "omitted_bytes": text.len(), "blake3": hash.as_str() })
}

/// Whether more arrays and objects than this are within each other.
fn is_deeper(value: &Value, depth: usize) -> bool {
    let Some(left) = depth.checked_sub(1) else {
        return value.is_array() || value.is_object();
    };
    match value {
        Value::Array(items) => items.iter().any(|item| is_deeper(item, left)),
        Value::Object(members) => members.values().any(|member| is_deeper(member, left)),
        _ => false,
    }
}

/// In one line, for people, with what is not [printable](coord_bus::text::is_printable) as escapes.
impl fmt::Display for AuditEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, at) = (self.number, self.at);
        let mut line = format!("{number:>5}  {at}  {}  {}", self.actor, self.action);
        if !self.subject.is_empty() {
            write!(line, " {}", self.subject)?;
        }
        match (&self.before, &self.after) {
            (None, None) => {}
            (None, Some(after)) => write!(line, ": {after}")?,
            (Some(before), None) => write!(line, ": {before} → nothing")?,
            (Some(before), Some(after)) => write!(line, ": {before} → {after}")?,
        }
        if let Some(event) = &self.event {
            write!(line, "  {event}")?;
        }
        if let Some(correlation) = &self.correlation {
            write!(line, "  [{correlation}]")?;
        }
        Printable(&line).fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_written_anew_fits_its_hash() {
        for value in [
            None,
            Some(Value::Null),
            Some(json!({ "b": null, "a": 1.5 })),
        ] {
            let facts = AuditFacts {
                before: value.clone(),
                after: value.clone(),
                event: value,
                ..AuditFacts::default()
            };
            let after = AuditHead::default();
            let (line, _) = AuditEntry::seal(facts, "it", &after, Timestamp::UNIX_EPOCH);
            let entry = AuditEntry::unseal(&line).unwrap();
            assert_eq!(serde_json::to_vec(&entry).unwrap(), line);
        }
    }
}
