//! What workflows and their steps tell of themselves, counted.

use std::collections::{HashMap, HashSet};

use coord_bus::vocabulary::{Transition, WorkflowEvent};

use crate::durations::Durations;
use crate::{OTHER, StepCounts, StepMetrics, WorkflowMetrics};

/// The most steps that have a row of their own; what comes beyond is counted in the row
/// [`OTHER`].
pub const MAX_STEPS: usize = 1000;

/// The most runs of workflows that are counted as active.
pub const MAX_ACTIVE_RUNS: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Workflows {
    /// Workflow and run. It outlives a reset.
    active: HashSet<(String, String)>,
    counts: Counts,
    steps: HashMap<String, Step>,
}

#[derive(Debug)]
struct Counts {
    completed: u64,
    failed: u64,
    cancelled: u64,
    timed_out: u64,
    steps: StepCounts,
    duration: Durations,
}

#[derive(Debug)]
struct Step {
    attempts: u64,
    failures: u64,
    duration: Durations,
}

impl Workflows {
    pub(crate) fn new() -> Self {
        Self {
            active: HashSet::new(),
            counts: Counts::new(),
            steps: HashMap::new(),
        }
    }

    pub(crate) fn observe(&mut self, event: &WorkflowEvent) {
        match &event.transition {
            Transition::RunStarted { .. } if self.active.len() < MAX_ACTIVE_RUNS => {
                self.active.insert(run(event));
            }
            Transition::RunSuspended => {
                self.active.remove(&run(event));
            }
            Transition::RunFinished { outcome, duration } => {
                self.active.remove(&run(event));
                match outcome.as_str() {
                    "completed" => self.counts.completed += 1,
                    "cancelled" => self.counts.cancelled += 1,
                    "timed-out" => self.counts.timed_out += 1,
                    _ => self.counts.failed += 1,
                }
                self.counts.duration.record(*duration);
            }
            Transition::StepStarted { step, .. } => self.step(event, step).attempts += 1,
            Transition::StepRetrying { step, .. } => {
                self.counts.steps.retried += 1;
                self.step(event, step).failures += 1;
            }
            Transition::StepExhausted { step, .. } => self.step(event, step).failures += 1,
            Transition::StepCompleted { step, duration, .. } => {
                self.counts.steps.completed += 1;
                self.step(event, step).duration.record(*duration);
            }
            Transition::StepFailed { step, duration, .. } => {
                self.counts.steps.failed += 1;
                let step = self.step(event, step);
                step.failures += 1;
                step.duration.record(*duration);
            }
            Transition::StepSkipped { .. } => self.counts.steps.skipped += 1,
            _ => {}
        }
    }

    fn step(&mut self, event: &WorkflowEvent, step: &str) -> &mut Step {
        let mut name = format!("{}/{step}", event.workflow);
        if self.steps.len() >= MAX_STEPS && !self.steps.contains_key(&name) {
            OTHER.clone_into(&mut name);
        }
        self.steps.entry(name).or_insert_with(Step::new)
    }

    pub(crate) fn metrics(&self) -> WorkflowMetrics {
        WorkflowMetrics {
            active: self.active.len(),
            completed: self.counts.completed,
            failed: self.counts.failed,
            cancelled: self.counts.cancelled,
            timed_out: self.counts.timed_out,
            steps: self.counts.steps,
            duration: self.counts.duration.summary(),
        }
    }

    pub(crate) fn steps(&self) -> Vec<StepMetrics> {
        let steps = self.steps.iter().map(|(name, step)| StepMetrics {
            step: name.clone(),
            attempts: step.attempts,
            failures: step.failures,
            duration: step.duration.summary(),
        });
        let mut steps: Vec<_> = steps.collect();
        let mean = |step: &StepMetrics| step.duration.as_ref().map_or(-1.0, |took| took.mean);
        steps.sort_by(|a, b| {
            mean(b)
                .total_cmp(&mean(a))
                .then_with(|| a.step.cmp(&b.step))
        });
        steps
    }

    pub(crate) fn reset(&mut self) {
        self.counts = Counts::new();
        self.steps.clear();
    }
}

fn run(event: &WorkflowEvent) -> (String, String) {
    (event.workflow.clone(), event.run.clone())
}

impl Counts {
    fn new() -> Self {
        Self {
            completed: 0,
            failed: 0,
            cancelled: 0,
            timed_out: 0,
            steps: StepCounts::default(),
            duration: Durations::default(),
        }
    }
}

impl Step {
    fn new() -> Self {
        Self {
            attempts: 0,
            failures: 0,
            duration: Durations::default(),
        }
    }
}
