//! How far a step is whose work is more than one.

use std::fmt;

use serde::Serialize;

use crate::course::Course;

/// How far a step is, in a [`StepView`](crate::StepView).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Progress {
    /// Of the items of its list.
    Items {
        /// So many are done, …
        done: usize,
        /// … of so many.
        of: usize,
    },
}

impl Progress {
    pub(super) fn of(course: &Course, step: usize) -> Option<Self> {
        let parts = course.parts(step)?;
        Some(Self::Items {
            done: parts.outputs.len(),
            of: parts.of,
        })
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Items { done, of } => write!(formatter, "{done} of {of} items are done"),
        }
    }
}
