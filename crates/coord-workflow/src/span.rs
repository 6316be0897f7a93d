//! When each step of a run that is over could begin, began and ended, and what it had waited for.

use crate::course::{Course, Phase};
use crate::plan::{Plan, PlannedStep};

/// The time of one step, in nanoseconds from the beginning of the run: `freed <= ready <= started <= ended`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// When nothing that it needs kept it from beginning any more.
    pub(crate) freed: u64,
    /// The same, or when the run was retried after that, and the step was to be done again.
    pub(crate) ready: u64,
    /// When its first attempt began; for one that was ruled out, when that was found.
    pub(crate) started: u64,
    pub(crate) ended: u64,
    /// The step whose end made it ready.
    pub(crate) freed_by: Option<usize>,
}

/// The times of all steps of a run.
pub(crate) struct Spans {
    /// By step; `None`: it had not begun when the run was stopped.
    pub(crate) of: Vec<Option<Span>>,
    /// All steps, each after those that it needs.
    pub(crate) order: Vec<usize>,
}

impl Spans {
    pub(crate) fn new(plan: &Plan, course: &Course) -> Self {
        let order = plan.order();
        let mut of: Vec<Option<Span>> = vec![None; order.len()];
        for &step in &order {
            let record = course.step(step);
            if record.phase == Phase::Cancelled && record.begun() == 0 {
                continue;
            }
            let freed_by = last_of(&of, holders(plan, course, step).into_iter());
            let freed = freed_by.and_then(|need| of[need]);
            let freed = freed.map_or(0, |need| need.ended);
            let ready = course.retried(step).map_or(freed, |at| at.max(freed));
            // What several threads read from the clock can be a little out of order.
            let ended = record.ended.max(ready);
            let started = match record.begun() {
                0 => ended,
                _ => record.started.clamp(ready, ended),
            };
            of[step] = Some(Span {
                freed,
                ready,
                started,
                ended,
                freed_by,
            });
        }
        Self { of, order }
    }
}

/// The step that ended last; of those that ended at the same time, the one that took longest.
fn last_of(of: &[Option<Span>], steps: impl Iterator<Item = usize>) -> Option<usize> {
    let key = |step: &usize| of[*step].map(|span| (span.ended, span.ended - span.started));
    steps.max_by_key(key)
}

/// The steps without whose end a step would not have been ready when it was: all that it needs, and of
/// those that it needs any of, the first to complete, or all if none did.
pub(crate) fn holders(plan: &Plan, course: &Course, step: usize) -> Vec<usize> {
    let PlannedStep {
        needs, needs_any, ..
    } = &plan.steps[step];
    let completed = needs_any
        .iter()
        .copied()
        .filter(|need| course.is_completed(*need));
    let mut holders = needs.clone();
    match completed.min_by_key(|need| course.step(*need).ended) {
        Some(first) => holders.push(first),
        None => holders.extend(needs_any),
    }
    holders
}
