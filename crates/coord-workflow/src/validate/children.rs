//! Steps that run workflows: whether those are there, and what is chosen of their outputs.

use std::collections::BTreeMap;

use coord_bus::text::nearest;

use super::{Fault, Found};
use crate::spec::StepSpec;

pub(super) fn check(steps: &[StepSpec], workflows: &BTreeMap<&str, Vec<&str>>, found: &mut Found) {
    for (step, spec) in steps.iter().enumerate() {
        let Some(child) = &spec.workflow else {
            continue;
        };
        if !spec.resources.is_empty() {
            let id = spec.id.clone();
            found.add(|| Fault::ResourceOfWorkflow { step, id });
        }
        if spec.heartbeat_timeout.is_some() {
            let id = spec.id.clone();
            found.add(|| Fault::HeartbeatOfWorkflow { step, id });
        }
        if spec.for_each.is_some() && !spec.input.is_null() {
            let id = spec.id.clone();
            found.add(|| Fault::InputOfItems { step, id });
        }
        let Some(ids) = workflows.get(&*child.name) else {
            found.add(|| Fault::UnknownWorkflow {
                step,
                id: spec.id.clone(),
                workflow: child.name.clone(),
                nearest: nearest(&child.name, workflows.keys().copied()).map(str::to_owned),
            });
            continue;
        };
        if let Some(output) = &child.output
            && !ids.contains(&&**output)
        {
            found.add(|| Fault::UnknownOutput {
                step,
                id: spec.id.clone(),
                workflow: child.name.clone(),
                output: output.clone(),
                nearest: nearest(output, ids.iter().copied()).map(str::to_owned),
            });
        }
    }
}
