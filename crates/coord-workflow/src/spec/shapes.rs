//! Steps as data whose work is more than one.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Call;
use crate::Repeat;

/// A step's handler is called for each item of a list; or its [workflow](crate::StepSpec::workflow) is run for each, and
/// started with it.
///
/// ```
/// use std::num::NonZeroUsize;
/// use coord_workflow::{ForEachSpec, StepSpec};
///
/// let mail = StepSpec::new("mail", "send").for_each(ForEachSpec::step_items("people"));
/// let written: StepSpec = serde_json::from_str(
///     r#"{ "id": "mail", "handler": "send", "for_each": { "items": "people" } }"#,
/// )?;
/// assert_eq!(written, mail);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForEachSpec {
    /// The items.
    pub items: Items,
    /// Where in the output of a step the list is, as a JSON pointer (RFC 6901): `/files`. `None`: the output
    /// is the list. With `/*` before it, the output is a list, and the pointer says where in each of it the item
    /// is: `/*/file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// How many at once at most; `None`:
    /// [`DEFAULT_ITEM_CONCURRENCY`](crate::DEFAULT_ITEM_CONCURRENCY).
    #[serde(default)]
    pub concurrency: Option<NonZeroUsize>,
}

/// The items of a list: written down, or what a step puts out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Items {
    /// The list that the step of this id puts out. It ends before this one begins, which is skipped
    /// when there is no output.
    Step(String),
    /// These.
    List(Vec<Value>),
}

impl ForEachSpec {
    /// For each item of the list that the step of this id puts out.
    pub fn step_items(step: impl Into<String>) -> Self {
        Items::Step(step.into()).into()
    }

    /// With the list at this place in the output of the step: a JSON pointer, such as `/files`, or `/*/file` for
    /// what is there in each of a list.
    #[must_use]
    pub fn pointer(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// With at most so many at once.
    #[must_use]
    pub fn concurrency(mut self, items: NonZeroUsize) -> Self {
        self.concurrency = Some(items);
        self
    }

    /// The step that the items come from, if they do.
    pub(crate) fn step(&self) -> Option<&str> {
        match &self.items {
            Items::Step(step) => Some(step),
            Items::List(_) => None,
        }
    }
}

impl From<Items> for ForEachSpec {
    fn from(items: Items) -> Self {
        Self {
            items,
            pointer: None,
            concurrency: None,
        }
    }
}

/// For each of these.
impl From<Vec<Value>> for ForEachSpec {
    fn from(items: Vec<Value>) -> Self {
        Items::List(items).into()
    }
}

/// A step's handler is called in rounds, until another handler says that it is done. Each round is given
/// what the one before put out ([`HandlerCall::last`](crate::HandlerCall::last)); the output of the step
/// is that of its last round.
///
/// Or its [workflow](crate::StepSpec::workflow) is run in rounds: the first run is started with the step's `input`, and each
/// other with what the one before put out; with nothing, where the workflow takes nothing.
///
/// ```
/// use coord_workflow::{Call, Repeat, RepeatSpec, StepSpec};
///
/// let until = Call::new("is-ready", "job-7");
/// let poll = StepSpec::new("poll", "status").repeat(RepeatSpec::until(until, Repeat::at_most(20)));
/// let written: StepSpec = serde_json::from_str(
///     r#"{ "id": "poll", "handler": "status", "repeat": {
///         "until": { "handler": "is-ready", "input": "job-7" }, "rounds": { "limit": 20 } } }"#,
/// )?;
/// assert_eq!(written, poll);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatSpec {
    /// A handler that is given what a round put out, and answers `true` or `false`: whether that was the
    /// last.
    pub until: Call,
    /// How many rounds at most, and the wait in between.
    #[serde(default)]
    pub rounds: Repeat,
}

impl RepeatSpec {
    /// Until this says that it is done.
    pub fn until(until: Call, rounds: Repeat) -> Self {
        Self { until, rounds }
    }
}

/// A workflow that a step runs, by its name in the registry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowSpec {
    /// Its name.
    pub name: String,
    /// The step of it whose output is that of this step. `None`: an object with the outputs of all its
    /// steps that completed, by their ids.
    #[serde(default)]
    pub output: Option<String>,
}

impl WorkflowSpec {
    /// With the output of this step of it.
    #[must_use]
    pub fn output(mut self, step: impl Into<String>) -> Self {
        self.output = Some(step.into());
        self
    }
}

/// Of this name.
impl From<&str> for WorkflowSpec {
    fn from(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            output: None,
        }
    }
}
