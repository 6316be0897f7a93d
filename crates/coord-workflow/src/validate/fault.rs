//! What can be wrong with a workflow.

use std::fmt::{self, Display, Formatter};

use crate::name::{Bare, NAME_LENGTH_MAX, Shown};

/// How many steps of a cycle a message names; the others are counted.
const CYCLE_SHOWN_MAX: usize = 12;

/// One thing that is wrong with a [`Spec`](crate::Spec). Steps and needs are named by their
/// indexes from 0; messages count steps from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// There is nothing to do.
    #[error("the workflow has no steps: give it at least one")]
    NoSteps,

    /// The workflow's name is no name.
    #[error("the workflow's name {} is not allowed: {NameRule}", Shown(name))]
    InvalidName {
        /// The name.
        name: String,
    },

    /// A step's id is no name.
    #[error("the id {} of step {} is not allowed: {NameRule}", Shown(id), step + 1)]
    InvalidId {
        /// Which step.
        step: usize,
        /// Its id.
        id: String,
    },

    /// Two steps have the same id.
    #[error("steps {} and {} have the same id {}: rename one", first + 1, second + 1, Shown(id))]
    DuplicateId {
        /// The first step of this id.
        first: usize,
        /// A later one.
        second: usize,
        /// The id.
        id: String,
    },

    /// A step needs what is no step.
    #[error(
        "step {} needs {}, which is no step{}",
        Shown(id),
        Shown(name),
        DidYouMean(nearest)
    )]
    UnknownNeed {
        /// Which step.
        step: usize,
        /// Which of its needs.
        need: usize,
        /// Whether it is among those that it needs any of.
        any: bool,
        /// The step's id.
        id: String,
        /// What it needs.
        name: String,
        /// The id of the step that is probably meant.
        nearest: Option<String>,
    },

    /// A step's handler, condition or undo is not in the registry.
    #[error(
        "step {} names the handler {}, which is not registered{}",
        Shown(id),
        Shown(handler),
        DidYouMean(nearest)
    )]
    UnknownHandler {
        /// Which step.
        step: usize,
        /// The step's id.
        id: String,
        /// The handler it names.
        handler: String,
        /// The handler that is probably meant.
        nearest: Option<String>,
    },

    /// The hook of a step, or of the workflow, is not in the registry.
    #[error(
        "{} names the hook {}, which is not registered{}",
        HookOf(step),
        Shown(hook),
        DidYouMean(nearest)
    )]
    UnknownHook {
        /// The step's id; `None`: it is the workflow's.
        step: Option<String>,
        /// The hook it names.
        hook: String,
        /// The hook that is probably meant.
        nearest: Option<String>,
    },

    /// A step takes the items of its list from what is no step.
    #[error(
        "step {} takes its items from {}, which is no step{}",
        Shown(id),
        Shown(name),
        DidYouMean(nearest)
    )]
    UnknownItems {
        /// Which step.
        step: usize,
        /// The step's id.
        id: String,
        /// Where it takes them from.
        name: String,
        /// The id of the step that is probably meant.
        nearest: Option<String>,
    },

    /// A step that runs a workflow asks for a resource, which that could wait for.
    #[error(
        "step {} runs a workflow, so it takes no permits of a resource: let that workflow's steps",
        Shown(id)
    )]
    ResourceOfWorkflow {
        /// Which step.
        step: usize,
        /// Its id.
        id: String,
    },

    /// A step that runs a workflow has a heartbeat timeout, and nobody who could give signs of life.
    #[error(
        "step {} runs a workflow, which gives no signs of life, so it has no heartbeat timeout: give it a timeout, or \
         the steps of that workflow theirs",
        Shown(id)
    )]
    HeartbeatOfWorkflow {
        /// Which step.
        step: usize,
        /// Its id.
        id: String,
    },

    /// A step runs a workflow for each item of a list, and has an input, too.
    #[error(
        "step {} runs a workflow for each item, which that is started with, so it has no `input`",
        Shown(id)
    )]
    InputOfItems {
        /// Which step.
        step: usize,
        /// Its id.
        id: String,
    },

    /// A step says how its handler is called, or its workflow is run, and has neither.
    #[error(
        "step {} has `{what}`, which is about a handler or a workflow, and has neither",
        Shown(id)
    )]
    WithoutHandler {
        /// Which step.
        step: usize,
        /// The step's id.
        id: String,
        /// What it says.
        what: &'static str,
    },

    /// A step is to be done for each item of a list, and in rounds.
    #[error("step {} has both `for_each` and `repeat`: keep one", Shown(id))]
    TwoShapes {
        /// Which step.
        step: usize,
        /// The step's id.
        id: String,
    },

    /// A step runs a workflow that is not in the registry.
    #[error(
        "step {} runs the workflow {}, which is not registered{}",
        Shown(id),
        Shown(workflow),
        DidYouMean(nearest)
    )]
    UnknownWorkflow {
        /// Which step.
        step: usize,
        /// The step's id.
        id: String,
        /// The workflow that it names.
        workflow: String,
        /// The workflow that is probably meant.
        nearest: Option<String>,
    },

    /// A step takes the output of a step that the workflow which it runs does not have.
    #[error(
        "step {} takes the output of {}, which is no step of the workflow {}{}",
        Shown(id),
        Shown(output),
        Shown(workflow),
        DidYouMean(nearest)
    )]
    UnknownOutput {
        /// Which step.
        step: usize,
        /// The step's id.
        id: String,
        /// The workflow that it runs.
        workflow: String,
        /// The step of that whose output it names.
        output: String,
        /// The step of that which is probably meant.
        nearest: Option<String>,
    },

    /// A step has more than one of a handler, a signal to wait for, a time to sleep and a workflow.
    #[error(
        "step {} has more than one of `handler`, `signal`, `sleep` and `workflow`: keep what it is to \
         do",
        Shown(id)
    )]
    TwoWorks {
        /// Which step.
        step: usize,
        /// The step's id.
        id: String,
    },

    /// A step is both optional and critical.
    #[error(
        "step {} is both `optional` and `critical`: its failure cannot both harm nobody and end the \
         run",
        Shown(id)
    )]
    OptionalAndCritical {
        /// Which step.
        step: usize,
        /// The step's id.
        id: String,
    },

    /// Steps wait for each other. One cycle is named for each group of steps that all wait for
    /// each other: the shortest through its earliest step, which comes first.
    #[error("these steps wait for each other, so none can start: {}", Round(ids))]
    Cycle {
        /// The steps, each needing the next, the last needing the first.
        path: Vec<usize>,
        /// Their ids.
        ids: Vec<String>,
    },

    /// A step was given a handle of a step of another workflow.
    #[error(
        "step {} names a step of another workflow: a handle is good only in the builder that made \
         it",
        Shown(id)
    )]
    ForeignStep {
        /// Which step.
        step: usize,
        /// Its id.
        id: String,
    },

    /// A step asks for a resource that its orchestrator does not have.
    #[error(
        "step {} asks for the resource {}, which the orchestrator does not have{}",
        Shown(id),
        Shown(resource),
        DidYouMean(nearest)
    )]
    UnknownResource {
        /// Which step.
        step: usize,
        /// Its id.
        id: String,
        /// What it asks for.
        resource: String,
        /// The resource that is probably meant.
        nearest: Option<String>,
    },

    /// A step asks for more of a resource than there is, and would wait for ever.
    #[error(
        "step {} asks for {asked} of the resource {}, of which there are {there}: ask for less, or \
         give the orchestrator more",
        Shown(id),
        Shown(resource)
    )]
    TooMuchOfResource {
        /// Which step.
        step: usize,
        /// Its id.
        id: String,
        /// What it asks for.
        resource: String,
        /// How much of it.
        asked: u32,
        /// How much there is.
        there: u32,
    },

    /// There are more faults than are told; always the last one.
    #[error("{count} more, not named here")]
    More {
        /// How many.
        count: usize,
    },
}

/// Everything that is wrong with a workflow; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Display for Faults {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(formatter, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

struct NameRule;

impl Display for NameRule {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "use 1 to {NAME_LENGTH_MAX} of the letters a-z and A-Z, digits, `_`, `.` and `-`, \
             and begin with a letter or digit"
        )
    }
}

struct DidYouMean<'a>(&'a Option<String>);

impl Display for DidYouMean<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(formatter, "; did you mean {}?", Shown(name)),
            None => Ok(()),
        }
    }
}

/// `a → b → a`, with the middle of a long way round left out.
struct Round<'a>(&'a [String]);

impl Display for Round<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let left_out = self.0.len().saturating_sub(CYCLE_SHOWN_MAX);
        let head = (self.0.len() - left_out).div_ceil(2);
        for (index, id) in self.0.iter().enumerate() {
            if left_out > 0 && index == head {
                write!(formatter, "({left_out} more) → ")?;
            }
            if left_out == 0 || index < head || index >= head + left_out {
                write!(formatter, "{} → ", Bare(id))?;
            }
        }
        let first = self.0.first().map_or("", String::as_str);
        write!(formatter, "{}", Bare(first))
    }
}

/// Whose hook it is.
struct HookOf<'o>(&'o Option<String>);

impl Display for HookOf<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(step) => write!(formatter, "step {}", Shown(step)),
            None => formatter.write_str("the workflow"),
        }
    }
}
