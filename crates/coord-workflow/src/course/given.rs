//! What a step was given, in a run that is retried: one that is given something else than before does something else,
//! and is to be told from what it did.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::Course;
use crate::plan::Plan;
use crate::same_json::print;
use crate::shape::Shape;

impl Course {
    /// How often a step is another doing than the first, as its idempotency key says.
    pub(crate) fn round(&self, plan: &Plan, step: usize) -> u32 {
        let record = &self.steps[step];
        let before = self.given.get(&step);
        let is_other = before.is_some_and(|before| *before != self.given_to(plan, step));
        record.round + u32::from(is_other)
    }

    /// A few bytes of what a step is given by others, as far as that was there when it began.
    fn given_to(&self, plan: &Plan, step: usize) -> u64 {
        if let Some(given) = self.begun_with.get(&step) {
            return *given;
        }
        let mut hasher = DefaultHasher::new();
        for giver in plan.steps[step].givers() {
            if self.outputs[giver].is_some() {
                (giver, self.prints.get(&giver)).hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// What it is to be compared with once this step is done again, of which those are done again, too, that are
    /// said to be; `None`: it is given the same.
    pub(super) fn given_before(&self, plan: &Plan, step: usize, again: &[bool]) -> Option<u64> {
        let mut givers = plan.steps[step].givers();
        if !again[step] || !givers.any(|giver| again[giver]) {
            return None;
        }
        match self.steps[step].has_begun() {
            true => Some(self.given_to(plan, step)),
            // What it was given when it last began.
            false => self.given.get(&step).copied(),
        }
    }

    /// A step begins for which any of some is enough: others of them may put out something later, and of what it is
    /// given that is no part, so that it is the same in each of its attempts.
    pub(super) fn begins_with(&mut self, plan: &Plan, step: usize) {
        if !plan.steps[step].needs_any.is_empty() {
            let given = self.given_to(plan, step);
            self.begun_with.insert(step, given);
        }
    }

    /// Notes what was put out: where it was read, or somebody is given it again.
    #[inline]
    pub(super) fn note(&mut self, plan: &Plan, step: usize, kept: Option<&str>, read: Option<u64>) {
        let Some(print) = self.print_of(kept, read) else {
            return;
        };
        let print = match plan.steps[step].shape {
            // It is kept item by item.
            Some(Shape::ForEach { .. }) => self.parts.get(&step).map_or(0, |parts| parts.print),
            _ => print,
        };
        self.prints.insert(step, print);
    }

    /// A few bytes of it, or of a part.
    pub(super) fn print_of(&self, kept: Option<&str>, read: Option<u64>) -> Option<u64> {
        read.or_else(|| (!self.given.is_empty()).then(|| print(kept.unwrap_or("null"))))
    }
}
