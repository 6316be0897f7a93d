//! Workflows by name, for steps that run one.

use std::any::TypeId;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::child::{Child, Chosen};
use crate::durable::Codec;
use crate::plan::{Action, Output, Plan};
use crate::run::ChildRun;
use crate::spec::WorkflowSpec;
use crate::{Durable, StepError, Workflow};

/// A workflow that steps may run.
#[derive(Clone)]
pub(super) struct KnownWorkflow {
    plan: Arc<Plan>,
    identity: u64,
    input: Codec,
    /// Whether it is started with nothing.
    takes_nothing: bool,
}

/// A workflow that a step runs.
pub(super) struct Ran {
    pub(super) child: Arc<Child>,
    input: Codec,
    takes_nothing: bool,
}

impl KnownWorkflow {
    pub(super) fn of<I>(workflow: &Workflow<I, Durable>) -> Self
    where
        I: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        Self {
            plan: Arc::clone(&workflow.plan),
            identity: workflow.identity,
            input: Codec::of::<I>(),
            takes_nothing: TypeId::of::<I>() == TypeId::of::<()>(),
        }
    }

    pub(super) fn steps(&self) -> Vec<&str> {
        self.plan.steps.iter().map(|step| &*step.id).collect()
    }

    pub(super) fn ran(&self, spec: &WorkflowSpec) -> Ran {
        let output = match &spec.output {
            None => Chosen::Values,
            // Validation has found it.
            Some(output) => {
                let mut steps = self.plan.steps.iter();
                let step = steps.position(|step| *step.id == **output);
                Chosen::Value(step.unwrap_or_default())
            }
        };
        let child = Child {
            plan: Arc::clone(&self.plan),
            identity: self.identity,
            input: Some(self.input),
            output,
        };
        Ran {
            child: Arc::new(child),
            input: self.input,
            takes_nothing: self.takes_nothing,
        }
    }
}

impl Ran {
    /// What it is started with, where that is written like this.
    pub(super) fn input(&self, written: &str) -> Result<Output, StepError> {
        let input = (self.input.decode)(written);
        input.map_err(|misread| StepError::from(misread.source).permanent())
    }

    /// The same, where the run before put this out.
    pub(super) fn input_after(&self, last: &Value) -> Result<Output, StepError> {
        match self.takes_nothing {
            true => Ok(Arc::new(())),
            false => self.input(&last.to_string()),
        }
    }

    /// Runs it, started with this.
    pub(super) fn action(self, input: &Value) -> Action {
        let input = input.to_string();
        Box::new(move |start| {
            Some(match self.input(&input) {
                Ok(input) => Box::pin(ChildRun::of(start, &self.child).ended_with(input)),
                Err(error) => Box::pin(std::future::ready(Err(error))),
            })
        })
    }
}
