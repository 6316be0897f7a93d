//! The runs that are the work of a step at the items of its list, or in its rounds.

use std::fmt;

use serde::Serialize;

use super::{Progress, RunView, StepView};
use crate::RunId;
use crate::plan::Plan;

/// How many of the runs that a step waits for are named; the others are counted.
const NAMED_MAX: usize = 8;

/// The run of another workflow that is the work of a step at an item of its list, in a
/// [`StepView`](crate::StepView).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ItemRun {
    /// The place of the item in the list, from 0.
    pub item: usize,
    /// The run.
    pub run: RunId,
    /// Whether it is paused for a step that is [exhausted](crate::OnExhausted::Pause), of its own or of a run within
    /// it: it is one to be continued.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_paused: bool,
}

impl ItemRun {
    pub(crate) fn new(item: usize, run: RunId) -> Self {
        Self {
            item,
            run,
            is_paused: false,
        }
    }
}

/// The runs at items of its list that a step waits for: the first few, and how many more there are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Children {
    /// At most eight, in the order of the items.
    pub first: Vec<ItemRun>,
    /// How many more.
    pub more: usize,
    /// How many items are done, once one is.
    pub progress: Option<Progress>,
}

impl Children {
    /// Those of a step that go on, or else those of them that are paused, if some are: with whether they are.
    pub(super) fn of(step: &StepView) -> Option<(Self, bool)> {
        let are_paused = step.children.iter().any(|child| child.is_paused);
        let children = step.children.iter();
        let mut children = children.filter(|child| child.is_paused == are_paused);
        let first: Vec<_> = children.by_ref().take(NAMED_MAX).cloned().collect();
        let children = Self {
            more: children.count(),
            first,
            progress: step.progress,
        };
        (!children.first.is_empty()).then_some((children, are_paused))
    }
}

impl fmt::Display for Children {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, ItemRun { item, run, .. }) in self.first.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(formatter, "{comma}[{item}] `{run}`")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(formatter, " and {more} more"),
        }
    }
}

impl RunView {
    /// The steps that may have runs at items of their lists, or in their rounds, that go on, by their places.
    pub(crate) fn with_part_runs(&self, plan: &Plan) -> Vec<usize> {
        let steps = self.steps.iter().zip(&plan.steps).enumerate();
        let may_have = steps.filter(|(_, (step, planned))| {
            planned.runs_parts() && step.attempts > 0 && !step.phase.is_over()
        });
        may_have.map(|(place, _)| place).collect()
    }

    /// One of those goes on, if that is not known.
    pub(crate) fn add_part_run(&mut self, plan: &Plan, place: usize, run: ItemRun) {
        let step = &mut self.steps[place];
        if plan.steps[place].runs_rounds() {
            step.child = Some(run.run);
            return;
        }
        let children = &mut step.children;
        if let Err(place) = children.binary_search_by_key(&run.item, |run| run.item) {
            children.insert(place, run);
        }
    }
}

impl StepView {
    /// All the runs that are its work.
    pub(crate) fn into_runs(self) -> impl Iterator<Item = RunId> {
        let children = self.children.into_iter().map(|child| child.run);
        self.child.into_iter().chain(children)
    }
}
