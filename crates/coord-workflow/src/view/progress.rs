//! How far a step is whose work is more than one.

use std::fmt;

use serde::Serialize;

use crate::course::{Course, Parts};
use crate::plan::Plan;
use crate::shape::Shape;

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
    /// Of its rounds.
    Rounds {
        /// So many are done, …
        done: usize,
        /// … of at most so many.
        limit: usize,
    },
}

impl Progress {
    pub(super) fn of(plan: &Plan, course: &Course, step: usize) -> Option<Self> {
        let Parts { done, of, .. } = *course.parts(step)?;
        Some(match plan.steps[step].shape {
            Some(Shape::Repeat { .. }) => Self::Rounds { done, limit: of },
            _ => Self::Items { done, of },
        })
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Items { done, of } => write!(formatter, "{done} of {of} items are done"),
            Self::Rounds { done, limit } => {
                write!(
                    formatter,
                    "round {} of at most {limit}",
                    (done + 1).min(*limit)
                )
            }
        }
    }
}
