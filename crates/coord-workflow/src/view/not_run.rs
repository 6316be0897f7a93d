//! Why a step did not run.

use crate::Status;
use crate::course::{Course, Phase};
use crate::plan::Plan;

/// Why it was skipped, or never began, in words; if either is so.
pub(super) fn reason(plan: &Plan, course: &Course, step: usize) -> Option<String> {
    let record = course.step(step);
    match record.phase {
        Phase::Skipped => Some(match course.ruled_out(plan, step) {
            Some(reason) => reason.to_string(),
            None => by_condition(plan, course, step),
        }),
        Phase::Cancelled if record.is_blocked => Some(by_needs(plan, course, step)),
        Phase::Cancelled if record.begun() == 0 => {
            let failed = course.failed_step().map(|step| &plan.steps[step].id);
            Some(match (course.status(), failed) {
                (Status::Failed, Some(step)) => format!("`{step}` failed before it began"),
                (Status::Failed, None) => "the run failed before it began".to_owned(),
                (Status::TimedOut, _) => "the time of the run was over before it began".to_owned(),
                (Status::Cancelled | Status::Completed, _) => {
                    "the run was cancelled before it began".to_owned()
                }
            })
        }
        _ => None,
    }
}

/// That something that it needs has failed, or did not run for such a reason itself.
fn by_needs(plan: &Plan, course: &Course, step: usize) -> String {
    let planned = &plan.steps[step];
    let needs = || planned.needs.iter().chain(&planned.needs_any);
    let is_failed =
        |need: &&usize| course.step(**need).phase == Phase::Failed && !plan.steps[**need].optional;
    let is_blocked = |need: &&usize| course.step(**need).is_blocked;
    let id = |need: &usize| &plan.steps[*need].id;
    match (needs().find(is_failed), needs().find(is_blocked)) {
        (Some(need), _) => format!("`{}`, which it needs, has failed", id(need)),
        (None, Some(need)) => format!("`{}`, which it needs, did not run", id(need)),
        (None, None) => "what it needs has failed".to_owned(),
    }
}

/// That it was its condition; or perhaps what it takes, where the records of the run do not have which outputs that is.
fn by_condition(plan: &Plan, course: &Course, step: usize) -> String {
    let planned = &plan.steps[step];
    let mut needs = planned.needs.iter();
    let lacking = needs.find(|need| course.step(**need).phase != Phase::Completed);
    match lacking.filter(|_| planned.when.is_none()) {
        Some(need) => format!(
            "its condition is false, or it takes the output of `{}`, which has none",
            plan.steps[*need].id
        ),
        None => "its condition is false".to_owned(),
    }
}
