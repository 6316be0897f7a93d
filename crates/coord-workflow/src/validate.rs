//! From a [`Spec`] to a [`ValidSpec`], or to everything that is wrong with it at once.

mod children;
mod cycle;
mod fault;
mod shapes;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use coord_bus::text::nearest;

use crate::name::is_name;
use crate::spec::{ForEachSpec, Spec, StepSpec};
pub use fault::{Fault, Faults};

/// How many faults are told in full: more than anyone repairs between two runs, and few enough
/// that looking for the nearest right name of each stays quick.
const FAULTS_MAX: usize = 100;

/// A workflow in which names are names, every need is a step, every handler is known, and no step
/// waits for itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidSpec {
    spec: Spec,
    needs: Vec<Vec<usize>>,
    needs_any: Vec<Vec<usize>>,
    order: Vec<usize>,
}

impl ValidSpec {
    /// What was validated.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// For each step, by its index in [`Spec::steps`], the indexes of the steps that it needs:
    /// ascending, each once.
    pub fn needs(&self) -> &[Vec<usize>] {
        &self.needs
    }

    /// The same of the steps that it needs any of.
    pub fn needs_any(&self) -> &[Vec<usize>] {
        &self.needs_any
    }

    /// The indexes of all steps, each after those that it needs, or needs any of; among steps that could come
    /// next, the one that the spec names first.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The spec again.
    pub fn into_spec(self) -> Spec {
        self.spec
    }
}

/// Checks a workflow against the names of the handlers that there are.
///
/// # Errors
///
/// A step that runs a workflow names one that only a registry knows, as does what has a hook: see
/// [`Registry::workflow`](crate::Registry::workflow).
///
/// Every fault at once, in the order of the steps, cycles last. The indexes in a [`Fault`] are
/// those of [`Spec::steps`], so that the caller can point into its own text.
pub fn validate<'a>(
    spec: Spec,
    handlers: impl IntoIterator<Item = &'a str>,
) -> Result<ValidSpec, Faults> {
    check(spec, handlers, &BTreeSet::new(), &BTreeMap::new())
}

/// The same, with the names of the hooks, and the workflows that steps may run, by name, and the ids of
/// their steps.
pub(crate) fn check<'a>(
    spec: Spec,
    handlers: impl IntoIterator<Item = &'a str>,
    hooks: &BTreeSet<&str>,
    workflows: &BTreeMap<&str, Vec<&str>>,
) -> Result<ValidSpec, Faults> {
    let handlers: BTreeSet<&str> = handlers.into_iter().collect();
    let mut found = Found::default();
    if !is_name(&spec.name) {
        found.add(|| Fault::InvalidName {
            name: spec.name.clone(),
        });
    }
    if spec.steps.is_empty() {
        found.add(|| Fault::NoSteps);
    }
    let ids = check_ids(&spec.steps, &mut found);
    check_handlers(&spec.steps, &handlers, &mut found);
    check_hooks(&spec, hooks, &mut found);
    children::check(&spec.steps, workflows, &mut found);
    let mut resolve = |any| resolve_needs(&spec.steps, any, &ids, &mut found);
    let (needs, needs_any) = (resolve(false), resolve(true));
    let mut waits = needs.clone();
    for (waits, any) in waits.iter_mut().zip(&needs_any) {
        waits.extend(any);
        waits.sort_unstable();
        waits.dedup();
    }
    let order = order(&waits);
    if order.len() < spec.steps.len() {
        for start in cycle::starts(&waits) {
            found.add(|| {
                let path = cycle::shortest(&waits, start);
                let ids = path.iter().map(|&step| spec.steps[step].id.clone());
                Fault::Cycle {
                    ids: ids.collect(),
                    path,
                }
            });
        }
    }
    match found.into_faults() {
        None => Ok(ValidSpec {
            spec,
            needs,
            needs_any,
            order,
        }),
        Some(faults) => Err(faults),
    }
}

/// The faults so far: the first [`FAULTS_MAX`] in full, the rest counted.
#[derive(Default)]
struct Found {
    faults: Vec<Fault>,
    left_out: usize,
}

impl Found {
    fn add(&mut self, fault: impl FnOnce() -> Fault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault());
        } else {
            self.left_out += 1;
        }
    }

    fn into_faults(mut self) -> Option<Faults> {
        if self.left_out > 0 {
            self.faults.push(Fault::More {
                count: self.left_out,
            });
        }
        (!self.faults.is_empty()).then_some(Faults(self.faults))
    }
}

/// The index of the first step of each id.
fn check_ids<'s>(steps: &'s [StepSpec], found: &mut Found) -> HashMap<&'s str, usize> {
    let mut ids = HashMap::with_capacity(steps.len());
    for (step, StepSpec { id, .. }) in steps.iter().enumerate() {
        if !is_name(id) {
            let id = id.clone();
            found.add(|| Fault::InvalidId { step, id });
        }
        let first = *ids.entry(id.as_str()).or_insert(step);
        if first != step {
            found.add(|| Fault::DuplicateId {
                first,
                second: step,
                id: id.clone(),
            });
        }
    }
    ids
}

fn check_handlers(steps: &[StepSpec], handlers: &BTreeSet<&str>, found: &mut Found) {
    for (index, step) in steps.iter().enumerate() {
        let when = step.when.as_ref().map(|call| &call.handler);
        let undo = step.undo.as_ref().map(|undo| &undo.handler);
        let waits = [
            step.signal.is_some(),
            step.sleep.is_some(),
            step.workflow.is_some(),
        ];
        let waits = waits.into_iter().filter(|waits| *waits).count();
        let handler = (waits == 0 || !step.handler.is_empty()).then_some(&step.handler);
        if waits + usize::from(handler.is_some()) > 1 {
            let id = step.id.clone();
            found.add(|| Fault::TwoWorks { step: index, id });
        }
        shapes::check(index, step, waits > 0, found);
        if step.optional && step.critical {
            let id = step.id.clone();
            found.add(|| Fault::OptionalAndCritical { step: index, id });
        }
        let until = step.repeat.as_ref().map(|repeat| &repeat.until.handler);
        for name in [handler, when, until, undo].into_iter().flatten() {
            if !handlers.contains(name.as_str()) {
                found.add(|| Fault::UnknownHandler {
                    step: index,
                    id: step.id.clone(),
                    handler: name.clone(),
                    nearest: nearest(name, handlers.iter().copied()).map(str::to_owned),
                });
            }
        }
    }
}

fn check_hooks(spec: &Spec, hooks: &BTreeSet<&str>, found: &mut Found) {
    let steps = spec.steps.iter();
    let of_steps = steps.filter_map(|step| Some((Some(&step.id), step.hook.as_ref()?)));
    let of_steps = of_steps.map(|(step, hook)| (step, &hook.handler));
    let of_run = spec.hook.as_ref().map(|hook| &hook.handler);
    let stays_for = spec.stay.as_ref().map(|stay| &stay.handler);
    let of_run = of_run.into_iter().chain(stays_for).map(|hook| (None, hook));
    for (step, hook) in of_steps.chain(of_run) {
        let name = &**hook;
        if !hooks.contains(name) {
            found.add(|| Fault::UnknownHook {
                step: step.cloned(),
                hook: name.to_owned(),
                nearest: nearest(name, hooks.iter().copied()).map(str::to_owned),
            });
        }
    }
}

/// The needs of each step as indexes, without those that are no step; or what it needs `any` of.
fn resolve_needs(
    steps: &[StepSpec],
    any: bool,
    ids: &HashMap<&str, usize>,
    found: &mut Found,
) -> Vec<Vec<usize>> {
    let resolve = |(step, spec): (usize, &StepSpec)| {
        let names = if any { &spec.needs_any } else { &spec.needs };
        let mut needs = Vec::with_capacity(names.len());
        for (need, name) in names.iter().enumerate() {
            match ids.get(name.as_str()) {
                Some(&index) => needs.push(index),
                None => found.add(|| Fault::UnknownNeed {
                    step,
                    need,
                    any,
                    id: spec.id.clone(),
                    name: name.clone(),
                    nearest: nearest_other(steps, spec, name),
                }),
            }
        }
        if !any && let Some(name) = spec.for_each.as_ref().and_then(ForEachSpec::step) {
            match ids.get(name) {
                Some(&index) => needs.push(index),
                None => found.add(|| Fault::UnknownItems {
                    step,
                    id: spec.id.clone(),
                    name: name.to_owned(),
                    nearest: nearest_other(steps, spec, name),
                }),
            }
        }
        needs.sort_unstable();
        needs.dedup();
        needs
    };
    steps.iter().enumerate().map(resolve).collect()
}

/// The id of another step that is probably meant: none is told to need itself.
fn nearest_other(steps: &[StepSpec], spec: &StepSpec, name: &str) -> Option<String> {
    let others = steps.iter().map(|other| other.id.as_str());
    nearest(name, others.filter(|other| *other != spec.id)).map(str::to_owned)
}

/// Kahn's algorithm; what is on a cycle, or needs what is, is left out.
fn order(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut needed_by = vec![Vec::new(); needs.len()];
    for (step, needs) in needs.iter().enumerate() {
        for &need in needs {
            needed_by[need].push(step);
        }
    }
    let first = (0..needs.len()).filter(|&step| missing[step] == 0);
    let mut ready: BinaryHeap<Reverse<usize>> = first.map(Reverse).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(Reverse(step)) = ready.pop() {
        order.push(step);
        for &next in &needed_by[step] {
            missing[next] -= 1;
            if missing[next] == 0 {
                ready.push(Reverse(next));
            }
        }
    }
    order
}
