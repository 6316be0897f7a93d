//! Settings that changed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Settings changed, all of these at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigChange {
    /// Where they are kept: a file, most often.
    pub source: String,
    /// When.
    pub at: Timestamp,
    /// What changed, by the setting's path: `server.port`. A list counts as one setting.
    pub changes: BTreeMap<String, ConfigValue>,
}

/// A setting that changed: what it was, and what it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigValue {
    /// What it was, if it was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it is, if it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

impl ConfigChange {
    /// Whether something changed in this section: `server` is the section of `server.port`, and of
    /// itself.
    pub fn concerns(&self, section: &str) -> bool {
        self.changes.keys().any(|path| {
            path.strip_prefix(section)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}
