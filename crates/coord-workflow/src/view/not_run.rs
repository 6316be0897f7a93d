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
        Phase::Cancelled if record.is_blocked => Some("what it needs has failed".to_owned()),
        Phase::Cancelled if record.begun() == 0 => {
            let why = match course.status() {
                Status::Failed => "the run failed",
                Status::TimedOut => "the time of the run was over",
                Status::Cancelled | Status::Completed => "the run was cancelled",
            };
            Some(format!("{why} before it began"))
        }
        _ => None,
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
