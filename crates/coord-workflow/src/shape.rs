//! Steps whose work is more than one: what they are made of, and the bounds of that.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::durable::Codec;
use crate::plan::Output;

/// How many items a list may have that a step does the same for.
pub const MAX_ITEMS: usize = 100_000;

/// How many items of a list a step works at at once where nothing else is said.
pub const DEFAULT_ITEM_CONCURRENCY: NonZeroUsize = match NonZeroUsize::new(40) {
    Some(items) => items,
    None => NonZeroUsize::MIN,
};

/// How deep runs may be within each other: so a workflow that runs itself comes to an end.
pub const MAX_DEPTH: u32 = 32;

/// The step that a run is the work of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Parent {
    /// Its run.
    pub run: String,
    /// Its id.
    pub step: String,
    /// Which item of its list the child is the work at, from 0, where it is that [of one](crate::StepBuilder::for_each);
    /// or which round it is, from 0, of a step that [repeats](crate::StepBuilder::repeat) a workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<usize>,
    /// How many runs the child is within, that run included.
    pub depth: u32,
}

/// Makes the output of a step of those of all its items, in their order.
pub(crate) type Join = fn(&[Output]) -> Output;

/// What the work of a step is made of, where it is more than one.
pub(crate) enum Shape {
    /// The same for each item of a list, whose outputs are kept like this, and make that of the step: a function,
    /// or a run of this workflow.
    ForEach {
        codec: Option<Codec>,
        join: Join,
        workflow: Option<Box<str>>,
    },
    /// Rounds, of which each but the last leaves what is kept like this: a function, or a run of this workflow.
    Repeat {
        codec: Option<Codec>,
        workflow: Option<Box<str>>,
    },
    /// A run of another workflow.
    Workflow { name: Box<str> },
}

/// The same, as a run's first record has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeptShape {
    ForEach,
    ForEachWorkflow(String),
    Repeat,
    RepeatWorkflow(String),
    Workflow(String),
}

impl Shape {
    /// How the outputs of its parts are kept.
    pub(crate) fn codec_of_parts(&self) -> Option<Codec> {
        match self {
            Self::ForEach { codec, .. } | Self::Repeat { codec, .. } => *codec,
            Self::Workflow { .. } => None,
        }
    }

    /// The workflow that it is a run of, or that each of its parts is.
    pub(crate) fn workflow(&self) -> Option<&str> {
        match self {
            Self::Workflow { name } => Some(name),
            Self::ForEach { workflow, .. } | Self::Repeat { workflow, .. } => workflow.as_deref(),
        }
    }

    pub(crate) fn kept(&self) -> KeptShape {
        match self {
            Self::ForEach { workflow, .. } => match workflow {
                Some(name) => KeptShape::ForEachWorkflow(name.to_string()),
                None => KeptShape::ForEach,
            },
            Self::Repeat { workflow, .. } => match workflow {
                Some(name) => KeptShape::RepeatWorkflow(name.to_string()),
                None => KeptShape::Repeat,
            },
            Self::Workflow { name } => KeptShape::Workflow(name.to_string()),
        }
    }

    /// To read the records of a run by: outputs are JSON.
    pub(crate) fn of_kept(kept: &KeptShape) -> Self {
        let codec = Some(Codec::of::<Value>());
        let for_each = |workflow: Option<&str>| Self::ForEach {
            codec,
            join: |items| {
                let items = items.iter().filter_map(|item| item.downcast_ref::<Value>());
                Arc::new(Value::Array(items.cloned().collect()))
            },
            workflow: workflow.map(Into::into),
        };
        let repeat = |workflow: Option<&str>| Self::Repeat {
            codec,
            workflow: workflow.map(Into::into),
        };
        match kept {
            KeptShape::ForEach => for_each(None),
            KeptShape::ForEachWorkflow(name) => for_each(Some(name)),
            KeptShape::Repeat => repeat(None),
            KeptShape::RepeatWorkflow(name) => repeat(Some(name)),
            KeptShape::Workflow(name) => Self::Workflow {
                name: name.as_str().into(),
            },
        }
    }
}

/// In a word or two: what a graph says of the step, and a part of its fingerprint.
impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForEach { workflow: None, .. } => formatter.write_str("for each"),
            Self::ForEach {
                workflow: Some(name),
                ..
            } => write!(formatter, "for each workflow {name}"),
            Self::Repeat { workflow: None, .. } => formatter.write_str("repeats"),
            Self::Repeat {
                workflow: Some(name),
                ..
            } => write!(formatter, "repeats workflow {name}"),
            Self::Workflow { name } => write!(formatter, "workflow {name}"),
        }
    }
}
