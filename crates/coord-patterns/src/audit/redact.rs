//! What must not be kept, taken out.

use std::collections::BTreeSet;

use serde_json::Value;

use super::AuditFacts;

/// What stands in the place of what was taken out.
pub const REDACTED: &str = "[redacted]";

/// What most programs call what nobody else is to know.
pub(super) const SECRETS: [&str; 8] = [
    "password",
    "passwd",
    "secret",
    "token",
    "authorization",
    "api_key",
    "apikey",
    "private_key",
];

/// Takes out members by their names.
#[derive(Debug, Clone)]
pub(super) struct Redaction(BTreeSet<String>);

impl Redaction {
    pub(super) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| name.to_lowercase()).collect())
    }

    pub(super) fn apply(&self, facts: &mut AuditFacts) {
        let values = [&mut facts.before, &mut facts.after, &mut facts.event];
        for value in values.into_iter().flatten() {
            self.redact(value);
        }
    }

    fn redact(&self, value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    if self.0.contains(&name.to_lowercase()) {
                        *member = REDACTED.into();
                    } else {
                        self.redact(member);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact(item)),
            _ => {}
        }
    }
}
