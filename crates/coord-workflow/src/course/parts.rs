//! Parts of steps: what is done of a step whose work is more than one, before all of it is.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Course, Refused};
use crate::plan::{Output, Plan};
use crate::shape::{MAX_ITEMS, Shape};

/// What is done of a step that has parts.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// How many there are, or may be.
    pub(crate) of: usize,
    /// How many are done.
    pub(crate) done: usize,
    /// The outputs of those; of rounds, that of the last.
    pub(crate) outputs: BTreeMap<usize, Output>,
    /// A few bytes of all that was put out, in whichever order that was.
    pub(crate) print: u64,
    /// When the last of them was done.
    pub(crate) at: u64,
}

impl Parts {
    /// Those of all that are done, in their order.
    pub(crate) fn outputs(&self) -> Vec<Output> {
        self.outputs.values().cloned().collect()
    }
}

impl Course {
    /// What is done of a step that has parts; `None`, where nothing is, or all.
    pub(crate) fn parts(&self, step: usize) -> Option<&Parts> {
        self.parts.get(&step)
    }

    /// The output of a step that has so many items, of which all are done.
    pub(crate) fn output_of_items(
        &self,
        plan: &Plan,
        step: usize,
        items: usize,
    ) -> Result<Output, Refused> {
        let Some(Shape::ForEach { join, .. }) = plan.steps[step].shape else {
            return Err(Refused::NoParts { step });
        };
        let parts = self.parts(step);
        let outputs = parts.map_or_else(Vec::new, Parts::outputs);
        match outputs.len() {
            done if done == items => Ok(join(&outputs)),
            done => Err(Refused::PartsLeft { step, items, done }),
        }
    }

    pub(super) fn admits_part(
        &self,
        plan: &Plan,
        step: usize,
        part: usize,
        of: usize,
    ) -> Result<(), Refused> {
        let parts = self.parts(step);
        let is_next = match plan.steps[step].shape {
            Some(Shape::ForEach { .. }) => {
                let is_new = |parts: &Parts| parts.of == of && !parts.outputs.contains_key(&part);
                of <= MAX_ITEMS && parts.is_none_or(is_new)
            }
            // How many rounds there may be is not asked here: that may be decided anew while a run is
            // interrupted.
            Some(Shape::Repeat { .. }) => part == parts.map_or(0, |parts| parts.done),
            Some(Shape::Workflow { .. }) | None => return Err(Refused::NoParts { step }),
        };
        match part < of && is_next {
            true => Ok(()),
            false => Err(Refused::NoSuchPart { step, part, of }),
        }
    }

    pub(super) fn apply_part(
        &mut self,
        plan: &Plan,
        (step, part, of): (usize, usize, usize),
        (output, print): (Output, Option<u64>),
        at: u64,
    ) {
        let parts = self.parts.entry(step).or_insert_with(|| Parts {
            of,
            done: 0,
            outputs: BTreeMap::new(),
            print: 0,
            at,
        });
        (parts.of, parts.at) = (of, at);
        parts.done += 1;
        if let Some(Shape::Repeat { .. }) = plan.steps[step].shape {
            parts.outputs.clear();
        }
        parts.outputs.insert(part, output);
        if let Some(print) = print {
            let mut hasher = DefaultHasher::new();
            (part, print).hash(&mut hasher);
            parts.print = parts.print.wrapping_add(hasher.finish());
        }
        // It gets on, however often it is cut off.
        self.cut_off.remove(&step);
    }
}

/// The parts that are still done in a run that is retried, and the steps that lose theirs. A step that
/// goes on where it was keeps them; what is done again in any case, or because of something before
/// it, may have another list by then.
pub(super) fn after_retry(
    parts: BTreeMap<usize, Parts>,
    plan: &Plan,
    again: &[bool],
    from: Option<usize>,
) -> (BTreeMap<usize, Parts>, BTreeSet<usize>) {
    let is_anew = |step: usize| {
        let planned = &plan.steps[step];
        let mut before = planned.needs.iter().chain(&planned.needs_any);
        from == Some(step) || before.any(|need| again[*need])
    };
    let (anew, kept): (BTreeMap<_, _>, _) = parts.into_iter().partition(|(step, _)| is_anew(*step));
    (kept, anew.into_keys().collect())
}
