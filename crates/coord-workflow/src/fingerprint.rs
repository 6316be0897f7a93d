//! What a workflow is, in a few bytes: so that a run is not taken up by another workflow than its own.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::OnFailure;
use crate::plan::{Plan, PlannedStep};
use crate::shape::{KeptShape, Shape};
use crate::waits::Wait;

/// A step as a run's first record has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptStep {
    pub(crate) id: String,
    /// The steps that it needs, by their places in the list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) needs: Vec<usize>,
    /// Those of which it needs any, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) needs_any: Vec<usize>,
    /// The signal that it waits for, if that is its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signal: Option<String>,
    /// The topic of the event that it waits for, if that is its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<String>,
    /// Whether it only sleeps, and takes no place for that: to be told of, as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) sleeps: bool,
    /// How long, in nanoseconds, from its first start: to be told of, as well. Nothing in what was kept before
    /// that was.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub(crate) sleeps_for: u64,
    /// How many permits of which resources it takes: to be told of, as it is no part of what a run
    /// relies on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) resources: BTreeMap<String, u32>,
    /// Whether it may fail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) optional: bool,
    /// What its work is made of, where it is more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shape: Option<KeptShape>,
    /// Whether its failure ends the run at once, whatever the workflow says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) critical: bool,
    /// Everything about it that a run relies on.
    pub(crate) print: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "so serde calls it")]
fn is_nothing(nanos: &u64) -> bool {
    *nanos == 0
}

/// What is looked at in a fingerprint now. A run goes on by what was when it was started, so that its definition
/// is its own for later versions, too: in 0, which says nothing of it in a run's first record, neither whether a step
/// sleeps nor the order of its inputs was looked at.
pub(crate) const PRINTS: u32 = 1;

/// The steps of a plan, as they are kept by who looks at this much.
pub(crate) fn steps(plan: &Plan, prints: u32) -> Vec<KeptStep> {
    let steps = plan.steps.iter();
    let kept = steps.map(|step| KeptStep {
        id: step.id.to_string(),
        needs: step.needs.clone(),
        needs_any: step.needs_any.clone(),
        signal: step.signal().map(str::to_owned),
        event: step.topic().map(str::to_owned),
        sleeps: matches!(step.wait, Some(Wait::Sleep(_))),
        sleeps_for: match step.wait {
            Some(Wait::Sleep(wait)) => u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX),
            _ => 0,
        },
        resources: step.resources.clone(),
        optional: step.optional,
        shape: step.shape.as_ref().map(Shape::kept),
        critical: step.critical,
        print: format!("{:016x}", print(plan, step, prints)),
    });
    kept.collect()
}

/// The fingerprint of all of them.
pub(crate) fn of(steps: &[KeptStep]) -> String {
    let mut hash = Hash::default();
    // Their order is not looked at.
    let sorted: BTreeSet<_> = steps.iter().map(|step| (&step.id, &step.print)).collect();
    for (id, print) in sorted {
        hash.text(id);
        hash.text(print);
    }
    format!("{:016x}", hash.0)
}

/// What differs between a workflow as it was and as it is, step by step, in words.
pub(crate) fn differences(was: &[KeptStep], is: &[KeptStep]) -> Vec<String> {
    let find = |among: &[KeptStep], id: &str| among.iter().position(|step| step.id == id);
    let mut differences = Vec::new();
    for step in is {
        match find(was, &step.id) {
            None => differences.push(format!("`{}` is new", step.id)),
            Some(at) if was[at].print != step.print => {
                differences.push(format!("`{}` has changed", step.id));
            }
            Some(_) => {}
        }
    }
    let gone = was.iter().filter(|step| find(is, &step.id).is_none());
    differences.extend(gone.map(|step| format!("`{}` is gone", step.id)));
    differences
}

/// How often a step is tried, how long it may take and how many run at once is left out: that may
/// be changed while a run is interrupted.
fn print(plan: &Plan, step: &PlannedStep, prints: u32) -> u64 {
    let mut hash = Hash::default();
    hash.text(&step.id);
    for steps in [&step.needs, &step.needs_any, &step.inputs] {
        let ids: BTreeSet<_> = steps.iter().map(|step| &plan.steps[*step].id).collect();
        hash.number(ids.len());
        ids.into_iter().for_each(|id| hash.text(id));
    }
    let has = [step.when.is_some(), step.undo.is_some(), step.optional];
    has.into_iter().for_each(|has| hash.number(has.into()));
    hash.text(step.signal().unwrap_or_default());
    hash.text(step.given.as_deref().unwrap_or_default());
    // What was not there before is left out where it is not used: a run goes on with its definition.
    if let Some(shape) = &step.shape {
        hash.text(&shape.to_string());
    }
    if let Some(child) = &step.child {
        hash.text(child.chosen());
    }
    if let Some(topic) = step.topic() {
        hash.text("event");
        hash.text(topic);
    }
    if step.critical {
        hash.text("critical");
    }
    for step in &step.maybe {
        hash.text("maybe");
        hash.text(&plan.steps[*step].id);
    }
    if prints > 0 {
        if let Some(Wait::Sleep(_)) = step.wait {
            hash.text("sleep");
        }
        // What is given to its function at which place.
        if step.inputs.len() > 1 {
            let inputs = step.inputs.iter().map(|step| &plan.steps[*step].id);
            inputs.for_each(|id| hash.text(id));
        }
    }
    if !plan.on_failure.is_fail_fast() {
        hash.text(match plan.on_failure {
            OnFailure::FinishAll => "finish-all",
            _ => "finish-branches",
        });
    }
    hash.0
}

/// FNV-1a: the same in every version and on every machine. It need not withstand anybody.
pub(crate) struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    pub(crate) fn value(&self) -> u64 {
        self.0
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.number(text.len());
        self.bytes(text.as_bytes());
    }

    pub(crate) fn number(&mut self, number: usize) {
        self.bytes(&(number as u64).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
