//! Whether what is said of how a handler is called goes together.

use super::{Fault, Found};
use crate::spec::StepSpec;

pub(super) fn check(index: usize, step: &StepSpec, lacks_handler: bool, found: &mut Found) {
    let said = [
        ("for_each", step.for_each.is_some()),
        ("repeat", step.repeat.is_some()),
    ];
    let said = || said.iter().filter(|(_, is_said)| *is_said);
    if said().count() > 1 {
        let id = step.id.clone();
        found.add(|| Fault::TwoShapes { step: index, id });
    }
    // A workflow can be run like that, too.
    let lacks = lacks_handler && step.workflow.is_none();
    for (what, _) in said().filter(|_| lacks) {
        let id = step.id.clone();
        found.add(|| Fault::WithoutHandler {
            step: index,
            id,
            what,
        });
    }
}
