//! Parts of steps: what is done of a step whose work is more than one, before all of it is.

use std::collections::{BTreeMap, BTreeSet};

use super::{Course, Refused};
use crate::plan::{Output, Plan};
use crate::shape::MAX_ITEMS;

/// What is done of a step that has parts.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// How many there are.
    pub(crate) of: usize,
    /// The outputs of those that are done.
    pub(crate) outputs: BTreeMap<usize, Output>,
}

impl Course {
    /// What is done of a step that has parts; `None`, where nothing is, or all.
    pub(crate) fn parts(&self, step: usize) -> Option<&Parts> {
        self.parts.get(&step)
    }

    pub(super) fn admits_part(
        &self,
        plan: &Plan,
        step: usize,
        part: usize,
        of: usize,
    ) -> Result<(), Refused> {
        let shape = plan.steps[step].shape.as_ref();
        if shape.is_none_or(|shape| !shape.has_parts()) {
            return Err(Refused::NoParts { step });
        }
        let is_possible = part < of && of <= MAX_ITEMS;
        let is_new = self
            .parts(step)
            .is_none_or(|parts| parts.of == of && !parts.outputs.contains_key(&part));
        match is_possible && is_new {
            true => Ok(()),
            false => Err(Refused::NoSuchPart { step, part, of }),
        }
    }

    pub(super) fn apply_part(&mut self, step: usize, part: usize, of: usize, output: Output) {
        let parts = self.parts.entry(step).or_insert_with(|| Parts {
            of,
            outputs: BTreeMap::new(),
        });
        parts.outputs.insert(part, output);
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
