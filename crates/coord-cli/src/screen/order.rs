//! The order between topics: each topic is in order, but what is told of a step or a service comes
//! from several.
//!
//! What causes something is published before it, so it is there by the time that its effect is.
//! It is only a matter of taking it first, or of holding the effect back: each attempt of a step,
//! and each time that a service is started, begins, its process starts, prints and exits, and then
//! it ends.

use std::collections::{HashMap, HashSet};

use coordination::bus::vocabulary::{
    ProcessLifecycle, ProcessOutput, ProcessState, ServiceLifecycle, ServiceState, Transition,
    WorkflowEvent,
};

use crate::job::undo_name;

/// What an attempt, or the time for which a service is up, begins or ends with.
pub(super) enum Turn<'e> {
    Workflow(&'e WorkflowEvent),
    Service(&'e ServiceLifecycle),
}

/// Something to be printed of a process.
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

    fn is_line_of(&self, pid: Option<u32>) -> bool {
        matches!(self, Self::Line(line) if Some(line.pid) == pid)
    }

    fn started(&self) -> Option<u32> {
        match self {
            Self::Lifecycle(event) => started(event),
            Self::Line(_) => None,
        }
    }

    fn is_exit(&self) -> bool {
        matches!(self, Self::Lifecycle(event) if matches!(event.state, ProcessState::Exited(_)))
    }
}

/// The attempts whose beginning has been printed and whose end has not, and what is held back.
pub(super) struct Order {
    /// The services, whose steps do nothing but start them.
    services: HashSet<String>,
    /// By the name of the process: its id, once its start has been printed.
    begun: HashMap<String, Option<u32>>,
    /// In the order in which it came.
    held: Vec<Item>,
}

impl Order {
    pub(super) fn new(services: HashSet<String>) -> Self {
        Self {
            services,
            begun: HashMap::new(),
            held: Vec::new(),
        }
    }

    /// What may be printed now that a line has come. It may have to wait.
    pub(super) fn line(&mut self, line: &ProcessOutput) -> bool {
        let now = self.begun.get(&line.process) == Some(&Some(line.pid));
        if !now {
            self.held.push(Item::Line(line.clone()));
        }
        now
    }

    /// What may be printed now that a process has changed its state.
    pub(super) fn lifecycle(&mut self, event: &ProcessLifecycle) -> Vec<Item> {
        let item = Item::Lifecycle(event.clone());
        match (self.begun.get_mut(&event.process), started(event)) {
            (Some(begun @ None), Some(pid)) => {
                *begun = Some(pid);
                let mut items = vec![item];
                items.extend(self.take(&event.process, |item| item.is_line_of(Some(pid))));
                items
            }
            (Some(Some(_)), None) if !item.is_exit() => vec![item],
            _ => {
                self.held.push(item);
                Vec::new()
            }
        }
    }

    /// Whether something waits for a beginning, which has been published by now.
    pub(super) fn waits(&self) -> bool {
        let begun = |item: &Item| self.begun.contains_key(item.process());
        self.held.iter().any(|item| !begun(item))
    }

    /// What is to be printed before a turn: all that is left of what it ends.
    pub(super) fn before(&mut self, turn: &Turn<'_>) -> Vec<Item> {
        let Some(process) = self.ended_by(turn) else {
            return Vec::new();
        };
        let Some(pid) = self.begun.remove(&process) else {
            return Vec::new();
        };
        let mut items = self.take(&process, |item| item.is_line_of(pid));
        items.extend(self.take_first(&process, Item::is_exit));
        items
    }

    /// What is to be printed after a turn: all that waited for what it begins.
    pub(super) fn after(&mut self, turn: &Turn<'_>) -> Vec<Item> {
        let Some(process) = self.begun_by(turn) else {
            return Vec::new();
        };
        let start = self.take_first(&process, |item| item.started().is_some());
        let pid = start.as_ref().and_then(Item::started);
        let mut items: Vec<Item> = start.into_iter().collect();
        items.extend(self.take(&process, |item| item.is_line_of(pid)));
        self.begun.insert(process, pid);
        items
    }

    fn begun_by(&self, turn: &Turn<'_>) -> Option<String> {
        let transition = match turn {
            Turn::Workflow(event) => &event.transition,
            Turn::Service(event) => {
                let begins = matches!(event.state, ServiceState::Starting);
                return begins.then(|| event.service.clone());
            }
        };
        match transition {
            Transition::StepStarted { step, .. } => self.of_step(step),
            Transition::CompensationStarted { step } => Some(undo_name(step)),
            _ => None,
        }
    }

    fn ended_by(&self, turn: &Turn<'_>) -> Option<String> {
        let transition = match turn {
            Turn::Workflow(event) => &event.transition,
            Turn::Service(event) => {
                let ends = matches!(event.state, ServiceState::Ended { .. });
                return ends.then(|| event.service.clone());
            }
        };
        match transition {
            Transition::StepRetrying { step, .. }
            | Transition::StepCompleted { step, .. }
            | Transition::StepFailed { step, .. }
            | Transition::StepCancelled { step } => self.of_step(step),
            Transition::CompensationCompleted { step }
            | Transition::CompensationFailed { step, .. } => Some(undo_name(step)),
            _ => None,
        }
    }

    fn of_step(&self, step: &str) -> Option<String> {
        (!self.services.contains(step)).then(|| step.to_owned())
    }

    fn take(&mut self, process: &str, wanted: impl Fn(&Item) -> bool) -> Vec<Item> {
        let held = std::mem::take(&mut self.held).into_iter();
        let (taken, kept) = held.partition(|item| item.process() == process && wanted(item));
        self.held = kept;
        taken
    }

    fn take_first(&mut self, process: &str, wanted: impl Fn(&Item) -> bool) -> Option<Item> {
        let mut held = self.held.iter();
        let first = held.position(|item| item.process() == process && wanted(item))?;
        Some(self.held.remove(first))
    }
}

fn started(event: &ProcessLifecycle) -> Option<u32> {
    match event.state {
        ProcessState::Started { pid } => Some(pid),
        _ => None,
    }
}
