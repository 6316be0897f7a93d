//! What is checked once all steps and services are known: ids, needs and cycles.

use coordination::workflow::{Fault, Shown, Spec, StepSpec, validate};
use miette::LabeledSpan;

use super::fault::FileFault;
use super::unit::Draft;
use super::walk::{Walk, Words};

/// How many steps of a cycle are shown in the file; its message names more.
const CYCLE_LABELS_MAX: usize = 8;

/// Every step and service of a file is a process.
const HANDLER: &str = "process";

/// Checks the names, and how they depend on each other.
pub(super) fn check(walk: &mut Walk<'_>, name: &Words<'_>, drafts: &[Draft]) {
    let mut spec = Spec::new(*name.get_ref());
    for Draft { unit, .. } in drafts {
        let step = StepSpec::new(&unit.id, HANDLER).needs(&unit.needs);
        spec = spec.step(step.needs_any(&unit.needs_any));
    }
    let faults = validate(spec, [HANDLER]).err();
    for fault in faults.into_iter().flat_map(|faults| faults.0) {
        let fault = match fault {
            Fault::InvalidName { name: wrong } => FileFault::Name {
                name: wrong,
                at: walk.at(&name.span()),
            },
            Fault::InvalidId { step, id } => FileFault::Name {
                name: id,
                at: walk.at(&drafts[step].unit.id_at),
            },
            Fault::DuplicateId { first, second, id } => FileFault::DuplicateId {
                id,
                first: walk.at(&drafts[first].unit.id_at),
                second: walk.at(&drafts[second].unit.id_at),
            },
            Fault::UnknownNeed {
                step,
                need,
                any,
                id,
                name,
                nearest,
            } => FileFault::UnknownNeed {
                id,
                need: name,
                at: walk.at(match any {
                    true => &drafts[step].needs_any_at[need],
                    false => &drafts[step].needs_at[need],
                }),
                help: nearest.map(|meant| format!("did you mean {}?", Shown(&meant))),
            },
            Fault::Cycle { ref path, .. } => FileFault::Cycle {
                message: fault.to_string(),
                needs: round(walk, path, drafts),
            },
            Fault::More { count } => {
                walk.leave_out(count);
                continue;
            }
            // Told where the steps are read.
            Fault::NoSteps => continue,
            other => FileFault::Workflow {
                message: other.to_string(),
            },
        };
        walk.add(fault);
    }
}

/// A label for each need on the way round.
fn round(walk: &Walk<'_>, path: &[usize], drafts: &[Draft]) -> Vec<LabeledSpan> {
    let next = path.iter().cycle().skip(1);
    let ways = path.iter().zip(next).take(CYCLE_LABELS_MAX);
    let labels = ways.filter_map(|(&from, &to)| {
        let (from, to) = (&drafts[from], &drafts[to].unit.id);
        let need = from.unit.waits_for().position(|need| need == to)?;
        let mut places = from.needs_at.iter().chain(&from.needs_any_at);
        let label = format!("{} waits for {}", Shown(&from.unit.id), Shown(to));
        Some(LabeledSpan::new_with_span(
            Some(label),
            walk.at(places.nth(need)?),
        ))
    });
    labels.collect()
}
