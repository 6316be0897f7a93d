//! What a workflow is, in a few bytes: so that a run is not taken up by another workflow than its own.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::OnFailure;
use crate::child::Child;
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

/// The workflow of a run as it was.
pub(crate) struct Was<'w> {
    pub(crate) steps: &'w [KeptStep],
    pub(crate) prints: u32,
    pub(crate) on_failure: OnFailure,
}

/// What differs between the workflow of a run as it was and as it is, step by step, in words.
pub(crate) fn differences(plan: &Plan, was: &Was<'_>) -> Vec<String> {
    let mut differences = Vec::new();
    if plan.on_failure != was.on_failure {
        let [before, now] = [was.on_failure, plan.on_failure].map(OnFailure::name);
        differences.push(format!("`on_failure` was `{before}` and is `{now}`"));
    }
    for step in &plan.steps {
        let id = &step.id;
        let Some(kept) = was.steps.iter().find(|kept| kept.id == **id) else {
            differences.push(format!("`{id}` is new"));
            continue;
        };
        let changed = Looked::of(plan, step).changed(kept, was);
        if !changed.is_empty() {
            let properties = changed.join(", ");
            differences.push(format!("`{id}` has changed ({properties})"));
        }
    }
    let is_gone = |kept: &&KeptStep| !plan.steps.iter().any(|step| *step.id == kept.id);
    let gone = was.steps.iter().filter(is_gone);
    differences.extend(gone.map(|step| format!("`{}` is gone", step.id)));
    differences
}

fn print(plan: &Plan, step: &PlannedStep, prints: u32) -> u64 {
    Looked::of(plan, step).print(prints)
}

/// What is looked at of a step. How often it is tried, how long it may take and how many run at once is left out:
/// that may be changed while a run is interrupted.
#[derive(Clone)]
struct Looked<'p> {
    id: &'p str,
    needs: BTreeSet<&'p str>,
    needs_any: BTreeSet<&'p str>,
    /// In their order.
    inputs: Vec<&'p str>,
    maybe: Vec<&'p str>,
    has_condition: bool,
    has_undo: bool,
    is_optional: bool,
    is_critical: bool,
    sleeps: bool,
    signal: Option<&'p str>,
    topic: Option<&'p str>,
    shape: Option<KeptShape>,
    given: Option<&'p str>,
    /// The step of its child whose output it puts out.
    chosen: Option<&'p str>,
    on_failure: OnFailure,
}

impl<'p> Looked<'p> {
    fn of(plan: &'p Plan, step: &'p PlannedStep) -> Self {
        let id = |step: &usize| &*plan.steps[*step].id;
        Self {
            id: &step.id,
            needs: step.needs.iter().map(id).collect(),
            needs_any: step.needs_any.iter().map(id).collect(),
            inputs: step.inputs.iter().map(id).collect(),
            maybe: step.maybe.iter().map(id).collect(),
            has_condition: step.when.is_some(),
            has_undo: step.undo.is_some(),
            is_optional: step.optional,
            is_critical: step.critical,
            sleeps: matches!(step.wait, Some(Wait::Sleep(_))),
            signal: step.signal(),
            topic: step.topic(),
            shape: step.shape.as_ref().map(Shape::kept),
            given: step.given.as_deref(),
            chosen: step.child.as_deref().map(Child::chosen),
            on_failure: plan.on_failure,
        }
    }

    /// Which properties are others than in a run that was started with this; none, where it is the same.
    fn changed(self, kept: &'p KeptStep, run: &Was<'p>) -> Vec<&'static str> {
        let is = Self {
            on_failure: run.on_failure,
            ..self
        };
        let was_so = |looked: &Self| format!("{:016x}", looked.print(run.prints)) == kept.print;
        if was_so(&is) {
            return Vec::new();
        }
        let ids = |steps: &[usize]| -> BTreeSet<&'p str> {
            let steps = steps.iter().filter_map(|step| run.steps.get(*step));
            steps.map(|step| &*step.id).collect()
        };
        let was = Self {
            needs: ids(&kept.needs),
            needs_any: ids(&kept.needs_any),
            is_optional: kept.optional,
            is_critical: kept.critical,
            sleeps: kept.sleeps,
            signal: kept.signal.as_deref(),
            topic: kept.event.as_deref(),
            shape: kept.shape.clone(),
            ..is.clone()
        };
        let shape = |looked: &Self| match looked.shape {
            Some(KeptShape::ForEach | KeptShape::ForEachWorkflow(_)) => "`for_each`",
            Some(KeptShape::Repeat | KeptShape::RepeatWorkflow(_)) => "`repeat`",
            Some(KeptShape::Workflow(_)) => "`workflow`",
            None => "",
        };
        let shape = [shape(&was), shape(&is)];
        let shape = shape.into_iter().find(|shape| !shape.is_empty());
        let looked_at = [
            ("`needs`", was.needs != is.needs),
            ("`needs_any`", was.needs_any != is.needs_any),
            ("`optional`", was.is_optional != is.is_optional),
            ("`critical`", was.is_critical != is.is_critical),
            ("`sleep`", was.sleeps != is.sleeps),
            ("`signal`", was.signal != is.signal),
            ("`wait_for`", was.topic != is.topic),
            (shape.unwrap_or_default(), was.shape != is.shape),
        ];
        let looked_at = looked_at.into_iter().filter(|(_, differs)| *differs);
        let mut changed: Vec<_> = looked_at.map(|(property, _)| property).collect();
        // Of these only the fingerprint says whether they are the same.
        for (when, undo) in [(false, false), (true, false), (false, true), (true, true)] {
            let tried = Self {
                has_condition: is.has_condition ^ when,
                has_undo: is.has_undo ^ undo,
                ..was.clone()
            };
            if was_so(&tried) {
                changed.extend(when.then_some("`when`"));
                changed.extend(undo.then_some("`undo`"));
                return changed;
            }
        }
        if changed.is_empty() {
            changed.push(match is.given {
                Some(_) => "its handler, `input`, `when`, `undo`, `for_each` or `repeat`",
                None => "`input`",
            });
        }
        changed
    }

    fn print(&self, prints: u32) -> u64 {
        let mut hash = Hash::default();
        hash.text(self.id);
        let inputs = self.inputs.iter().copied().collect();
        for ids in [&self.needs, &self.needs_any, &inputs] {
            hash.number(ids.len());
            ids.iter().for_each(|id| hash.text(id));
        }
        let has = [self.has_condition, self.has_undo, self.is_optional];
        has.into_iter().for_each(|has| hash.number(has.into()));
        hash.text(self.signal.unwrap_or_default());
        hash.text(self.given.unwrap_or_default());
        // What was not there before is left out where it is not used: a run goes on with its definition.
        if let Some(shape) = &self.shape {
            hash.text(&Shape::of_kept(shape).to_string());
        }
        if let Some(chosen) = self.chosen {
            hash.text(chosen);
        }
        if let Some(topic) = self.topic {
            hash.text("event");
            hash.text(topic);
        }
        if self.is_critical {
            hash.text("critical");
        }
        for id in &self.maybe {
            hash.text("maybe");
            hash.text(id);
        }
        if prints > 0 {
            if self.sleeps {
                hash.text("sleep");
            }
            // What is given to its function at which place.
            if self.inputs.len() > 1 {
                self.inputs.iter().for_each(|id| hash.text(id));
            }
        }
        if !self.on_failure.is_fail_fast() {
            hash.text(self.on_failure.name());
        }
        hash.0
    }
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
