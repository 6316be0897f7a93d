//! Who did what: what is to be kept for good.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Somebody did something that is to be kept for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// When.
    pub at: Timestamp,
    /// Who did it: a person, a program, a part of one.
    pub actor: String,
    /// What was done, in kebab-case: `change-limit`.
    pub action: String,
    /// To what: `account/17`.
    pub subject: String,
    /// What that was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}
