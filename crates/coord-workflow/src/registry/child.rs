//! Workflows by name, for steps that run one.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::each;
use crate::child::{Child, Chosen};
use crate::durable::{Codec, Misread};
use crate::plan::{Action, Plan};
use crate::run::ChildRun;
use crate::shape::Shape;
use crate::spec::WorkflowSpec;
use crate::{Durable, StepError, Workflow};

/// A workflow that steps may run.
#[derive(Clone)]
pub(super) struct KnownWorkflow {
    plan: Arc<Plan>,
    identity: u64,
    input: Codec,
}

/// A workflow that a step runs.
pub(super) struct Ran(pub(super) Arc<Child>, pub(super) Codec);

impl KnownWorkflow {
    pub(super) fn of<I>(workflow: &Workflow<I, Durable>) -> Self
    where
        I: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        Self {
            plan: Arc::clone(&workflow.plan),
            identity: workflow.identity,
            input: Codec::of::<I>(),
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
        Ran(Arc::new(child), self.input)
    }
}

impl Ran {
    pub(super) fn shape(&self, for_each: bool) -> Shape {
        let name = self.0.plan.name.clone();
        match for_each {
            true => each::shape(Some(&name)),
            false => Shape::Workflow { name },
        }
    }

    pub(super) fn child(&self) -> Arc<Child> {
        Arc::clone(&self.0)
    }

    /// Runs it, started with this.
    pub(super) fn action(self, input: &Value) -> Action {
        let Self(child, codec) = self;
        let input = input.to_string();
        Box::new(move |start| {
            Some(match (codec.decode)(&input) {
                Ok(input) => Box::pin(ChildRun::of(start, &child).ended_with(input)),
                Err(Misread { source, .. }) => {
                    Box::pin(std::future::ready(Err(StepError::from(source).permanent())))
                }
            })
        })
    }
}
