//! A workflow as the work of a step of another one.

use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::durable::Codec;
use crate::part_error::PartError;
use crate::plan::{Definition, Output, Plan};
use crate::{AttemptError, Outcome, Status, StepError, StepState};

/// A workflow that a step of another one runs, and which of its outputs the step puts out.
pub(crate) struct Child {
    pub(crate) plan: Arc<Plan>,
    pub(crate) identity: u64,
    /// How what it is started with is kept, in a durable one.
    pub(crate) input: Option<Codec>,
    pub(crate) output: Chosen,
}

/// What the output of the step is.
#[derive(Clone, Copy)]
pub(crate) enum Chosen {
    /// That of this step of the child.
    Step(usize),
    /// The same, as JSON.
    Value(usize),
    /// Those of all its steps, as JSON, by their ids.
    Values,
}

impl Child {
    pub(crate) fn definition(&self) -> Definition<'_> {
        Definition {
            plan: &self.plan,
            identity: self.identity,
            decode: self.input.map(|codec| codec.decode),
        }
    }

    /// The step whose output it is about, if it is about one.
    pub(crate) fn chosen(&self) -> &str {
        match self.output {
            Chosen::Step(step) | Chosen::Value(step) => &self.plan.steps[step].id,
            Chosen::Values => "",
        }
    }

    /// What it is started with, as it is kept, and as it is read from that.
    pub(crate) fn written(&self, input: &Output) -> Result<(Output, Box<RawValue>), StepError> {
        let unwritable = |error| StepError::from(AttemptError::unwritable(error)).permanent();
        // How large the record is that it will be in is seen once that is written. Only a durable workflow has a durable one within it.
        let written = self
            .input
            .map(|codec| codec.keep(input, usize::MAX))
            .transpose()?;
        let (read, written) = written.unwrap_or_else(|| (Arc::clone(input), "null".into()));
        let written = RawValue::from_string(written.into()).map_err(unwritable)?;
        Ok((read, written))
    }

    /// What is chosen of the outputs of a run.
    pub(crate) fn output_of(&self, outcome: &Outcome) -> Result<Output, StepError> {
        let (run, workflow) = (outcome.run.to_string(), outcome.workflow.clone());
        match (outcome.status, outcome.failures().next()) {
            (Status::Completed, _) => {}
            (Status::Failed, Some((step, error))) => {
                let failed = StepError::from(PartError::ChildFailed {
                    run,
                    workflow,
                    step: step.id.to_owned(),
                    source: error.clone().into_cause(),
                });
                return Err(match error.is_permanent() {
                    true => failed.permanent(),
                    false => failed,
                });
            }
            (status, _) => {
                return Err(PartError::ChildEnded {
                    run,
                    workflow,
                    status,
                }
                .into());
            }
        }
        let output = match self.output {
            Chosen::Step(step) => outcome.erased_output(step),
            Chosen::Value(step) => self.value(outcome, step)?.map(|value| Arc::new(value) as _),
            Chosen::Values => return self.values(outcome),
        };
        output.ok_or_else(|| {
            let (Chosen::Step(step) | Chosen::Value(step)) = self.output else {
                return StepError::message("it has no output");
            };
            let step = self.plan.steps[step].id.to_string();
            StepError::from(PartError::NoOutput { run, step }).permanent()
        })
    }

    fn value(&self, outcome: &Outcome, step: usize) -> Result<Option<Value>, StepError> {
        let Some(output) = outcome.erased_output(step) else {
            return Ok(None);
        };
        if let Some(value) = output.downcast_ref::<Value>() {
            return Ok(Some(value.clone()));
        }
        let Some(codec) = self.plan.steps[step].codec else {
            return Ok(None);
        };
        let json = (codec.encode)(&output).map_err(AttemptError::unwritable)?;
        Ok(serde_json::from_str(&json).map(Some)?)
    }

    fn values(&self, outcome: &Outcome) -> Result<Output, StepError> {
        let mut values = serde_json::Map::new();
        for (step, planned) in self.plan.steps.iter().enumerate() {
            let report = outcome.place_of(step).map(|place| outcome.report(place));
            if let Some(StepState::Completed) = report.map(|report| report.state)
                && let Some(value) = self.value(outcome, step)?
            {
                values.insert(planned.id.to_string(), value);
            }
        }
        Ok(Arc::new(Value::Object(values)))
    }
}
