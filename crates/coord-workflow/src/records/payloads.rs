//! What records of facts have in them, as JSON.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::kept_error::KeptError;
use crate::outcome::Status;
use crate::signals::SignalNumber;

#[derive(Serialize, Deserialize)]
pub(super) struct Attempt<'a> {
    #[serde(borrow)]
    pub(super) step: Id<'a>,
    pub(super) attempt: u32,
    pub(super) at: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct AttemptFailed<'a> {
    #[serde(borrow)]
    pub(super) step: Id<'a>,
    pub(super) error: KeptError,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) heartbeat: Option<&'a RawValue>,
    /// The signal that it took, if it waited for one; missing in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signal: Option<SignalNumber>,
    pub(super) until: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Completed<'a> {
    #[serde(borrow)]
    pub(super) step: Id<'a>,
    pub(super) at: u64,
    /// The signal that it took, if it waited for one; missing in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signal: Option<SignalNumber>,
    #[serde(borrow)]
    pub(super) output: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PartCompleted<'a> {
    #[serde(borrow)]
    pub(super) step: Id<'a>,
    pub(super) part: usize,
    pub(super) of: usize,
    pub(super) at: u64,
    #[serde(borrow)]
    pub(super) output: &'a RawValue,
}

/// That a step is done which did the same for each item of a list: what each put out is in a record of its own. Of a
/// kind of its own, too, which earlier versions say that they do not know.
#[derive(Serialize, Deserialize)]
pub(super) struct ItemsCompleted<'a> {
    #[serde(borrow)]
    pub(super) step: Id<'a>,
    pub(super) at: u64,
    pub(super) items: usize,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Failed<'a> {
    #[serde(borrow)]
    pub(super) step: Id<'a>,
    pub(super) error: KeptError,
    /// The signal that it took, if it waited for one; missing in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signal: Option<SignalNumber>,
    pub(super) at: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Exhausted<'a> {
    #[serde(borrow)]
    pub(super) step: Id<'a>,
    pub(super) error: KeptError,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) heartbeat: Option<&'a RawValue>,
    /// The signal that it took, if it waited for one; missing in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signal: Option<SignalNumber>,
    pub(super) at: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Continued {
    pub(super) at: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct OfStep<'a> {
    #[serde(borrow)]
    pub(super) step: Id<'a>,
    /// Which item of its list, or which round, it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<usize>,
    /// Missing where that is not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<KeptError>,
    /// Whether it was skipped because somebody asked for that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) asked: bool,
    /// The signal that it had taken, if it waited for one; missing in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signal: Option<SignalNumber>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Stopped {
    pub(super) status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<Box<str>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Retried<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<Id<'a>>,
    pub(super) at: u64,
    /// Missing in records of earlier versions.
    #[serde(default)]
    pub(super) rules: u32,
}

/// An id of a step; ids have nothing in them that JSON escapes.
pub(super) type Id<'a> = &'a str;
