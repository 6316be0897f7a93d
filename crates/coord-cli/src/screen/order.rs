//! The order between topics: each topic is in order, but a line and the state of the step that
//! printed it come from two.
//!
//! What causes something is published before it, so it is there when its effect is; it is only a
//! matter of taking it first, or of holding the effect back. Thus, for each process: its step
//! begins, it starts, it prints, it exits, its step ends.

use std::collections::HashSet;

use coordination::bus::vocabulary::{ProcessLifecycle, ProcessOutput, ProcessState, Transition};

use crate::job::undo_name;

/// Something to be printed.
pub(super) enum Item {
    Lifecycle(ProcessLifecycle),
    Line(ProcessOutput),
}

impl Item {
    fn process(&self) -> &str {
        match self {
            Self::Lifecycle(event) => &event.process,
            Self::Line(line) => &line.process,
        }
    }
}

#[derive(Default)]
pub(super) struct Order {
    /// The processes whose beginning has been printed and whose end has not.
    begun: HashSet<String>,
    /// What came before the beginning that it belongs to, and exits before the end of their steps.
    held: Vec<Item>,
}

impl Order {
    /// Whether a line may be printed now. If not, it is kept.
    pub(super) fn admits_line(&mut self, line: &ProcessOutput) -> bool {
        let admitted = self.begun.contains(&line.process);
        if !admitted {
            self.held.push(Item::Line(line.clone()));
        }
        admitted
    }

    /// Whether a change of a process may be printed now. If not, it is kept.
    pub(super) fn admits_lifecycle(&mut self, event: &ProcessLifecycle) -> bool {
        let exit = matches!(event.state, ProcessState::Exited(_));
        let admitted = self.begun.contains(&event.process) && !exit;
        if !admitted {
            self.held.push(Item::Lifecycle(event.clone()));
        }
        admitted
    }

    /// Whether something waits for a beginning, which has been published by now.
    pub(super) fn waits(&self) -> bool {
        self.held
            .iter()
            .any(|item| !self.begun.contains(item.process()))
    }

    /// What is to be printed before a transition.
    pub(super) fn before(&mut self, transition: &Transition) -> Vec<Item> {
        match process_ended_by(transition) {
            Some(process) => {
                self.begun.remove(&process);
                self.take(&process, |_| true)
            }
            None => Vec::new(),
        }
    }

    /// What is to be printed after a transition.
    pub(super) fn after(&mut self, transition: &Transition) -> Vec<Item> {
        let Some(process) = process_begun_by(transition) else {
            return Vec::new();
        };
        let exit = |item: &Item| matches!(item, Item::Lifecycle(event) if matches!(event.state, ProcessState::Exited(_)));
        let mut items = self.take(&process, |item| !exit(item));
        // A process starts before it prints.
        items.sort_by_key(|item| matches!(item, Item::Line(_)));
        self.begun.insert(process);
        items
    }

    fn take(&mut self, process: &str, wanted: impl Fn(&Item) -> bool) -> Vec<Item> {
        let held = std::mem::take(&mut self.held).into_iter();
        let (taken, kept) = held.partition(|item| item.process() == process && wanted(item));
        self.held = kept;
        taken
    }
}

fn process_begun_by(transition: &Transition) -> Option<String> {
    match transition {
        Transition::StepStarted { step, .. } => Some(step.clone()),
        Transition::CompensationStarted { step } => Some(undo_name(step)),
        _ => None,
    }
}

fn process_ended_by(transition: &Transition) -> Option<String> {
    match transition {
        Transition::StepRetrying { step, .. }
        | Transition::StepCompleted { step, .. }
        | Transition::StepFailed { step, .. }
        | Transition::StepCancelled { step } => Some(step.clone()),
        Transition::CompensationCompleted { step }
        | Transition::CompensationFailed { step, .. } => Some(undo_name(step)),
        _ => None,
    }
}
