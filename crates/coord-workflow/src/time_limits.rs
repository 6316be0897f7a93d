//! By when a run and its steps are to be done: what who drives it holds it to, kept so that others can say how much
//! of that is left.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::course::Course;
use crate::plan::Plan;
use crate::{RunView, StepPhase};

/// Limits in nanoseconds, of what has one. They are no part of what a run relies on: who takes it up may have others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimeLimits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<u64>,
    /// Of all attempts at a step together, by its id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    steps: BTreeMap<String, u64>,
}

impl TimeLimits {
    pub(crate) fn of(plan: &Plan, is_durable: bool) -> Self {
        let nanos = |limit: Duration| u64::try_from(limit.as_nanos()).ok();
        let steps = plan.steps.iter().filter_map(|step| {
            let total = step.total_timeout.and_then(nanos)?;
            Some((step.id.to_string(), total))
        });
        Self {
            run: plan.time_limit(is_durable).and_then(nanos),
            steps: steps.collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.run.is_none() && self.steps.is_empty()
    }

    /// Says in a view of a run that has come this far when its time is over, and that of its steps.
    pub(crate) fn tell(&self, view: &mut RunView, course: &Course) {
        let counts = view.ending.is_none() && !course.is_finished();
        if self.is_empty() || !counts {
            return;
        }
        let by = |since: u64, limit: u64| Duration::from_nanos(since.saturating_add(limit));
        if !course.stands_still() && !course.is_up() {
            let since = course.timed_from.unwrap_or_default();
            view.times_out_at = self.run.map(|limit| by(since, limit));
        }
        for (place, step) in view.steps.iter_mut().enumerate() {
            let is_held = step.phase == StepPhase::Exhausted || step.child_is_paused;
            if !is_held
                && !step.phase.is_over()
                && let Some(limit) = self.steps.get(&step.id)
                && let Some(since) = course.tried_since(place)
            {
                step.times_out_at = Some(by(since, *limit));
            }
        }
    }
}
