//! Handles of steps, and what a step takes from others through them.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::plan::Output;

/// A handle of a step, by which later steps name it. `T` is its output.
///
/// There is no handle of a later step, so a cycle cannot be written.
pub struct Step<T> {
    pub(crate) place: Place,
    pub(crate) output: PhantomData<fn() -> T>,
}

/// Which step of which workflow; the run's own input is a step before the first.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) workflow: u64,
    pub(crate) step: Option<usize>,
}

impl<T> Clone for Step<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Step<T> {}

impl<T> fmt::Debug for Step<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.step {
            Some(step) => write!(formatter, "Step({step})"),
            None => formatter.write_str("Step(input)"),
        }
    }
}

impl<T> Step<T> {
    /// As an [input](crate::StepBuilder::input) that need not be there: its function is given an `Option`, which
    /// is `None` where this step was skipped, or is optional and failed. It is waited for, unless it is one of
    /// those that [any](crate::StepBuilder::after_any) is enough of: then each attempt is given what there is when it
    /// begins.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # use std::sync::Arc;
    /// # use coord_bus::LocalBus;
    /// # use coord_workflow::{StepError, Workflow, WorkflowOrchestrator};
    /// # async fn ask(mirror: &str) -> Result<String, StepError> {
    /// #     match mirror { "near.example" => Err(StepError::message("not there")), _ => Ok(mirror.into()) }
    /// # }
    /// let mut workflow = Workflow::<()>::builder("install");
    /// let near = workflow.step("near").optional().run(|| ask("near.example"));
    /// let far = workflow.step("far").optional().run(|| ask("far.example"));
    /// let unpack = workflow
    ///     .step("unpack")
    ///     .after_any([&near, &far])
    ///     .input((near.maybe(), far.maybe()))
    ///     .run(|(near, far): (Option<Arc<String>>, Option<Arc<String>>)| async move {
    ///         near.or(far).ok_or_else(|| StepError::message("there is no mirror"))
    ///     });
    /// let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
    /// let outcome = orchestrator.execute_workflow(&workflow.build()?, ()).await?;
    /// assert_eq!(outcome.output(&unpack).unwrap().as_str(), "far.example");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn maybe(self) -> Maybe<T> {
        Maybe(self)
    }

    /// Its index, if it is a step of this workflow.
    pub(crate) fn index_in(&self, workflow: u64) -> Option<usize> {
        self.place.step.filter(|_| self.place.workflow == workflow)
    }
}

/// The output of a step for who goes on without it, too: made by [`Step::maybe`].
pub struct Maybe<T>(Step<T>);

impl<T> Clone for Maybe<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Maybe<T> {}

impl<T> fmt::Debug for Maybe<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Maybe({:?})", self.0)
    }
}

/// What a step takes from others: a handle, one that is [`maybe`](Step::maybe), a tuple of these (up to eight,
/// which may be tuples again), or a `Vec` of them.
pub trait Inputs: Send + Sync + 'static {
    /// What the step's function is given: an `Arc` of each output, in the same shape.
    type Values: Send + 'static;

    #[doc(hidden)]
    fn places(&self, found: &mut Vec<InputPlace>);
    #[doc(hidden)]
    fn values(&self, outputs: &Outputs<'_>) -> Option<Self::Values>;
}

/// A place that an input names. Opaque: for the implementations of [`Inputs`].
#[doc(hidden)]
pub struct InputPlace {
    pub(crate) place: Place,
    /// Whether it may be without an output.
    pub(crate) is_maybe: bool,
}

/// The outputs of a run so far, by step, and its own input. Opaque: for the implementations of [`Inputs`].
#[doc(hidden)]
pub struct Outputs<'a> {
    pub(crate) input: &'a Output,
    pub(crate) of_steps: &'a [Option<Output>],
}

impl<T: Send + Sync + 'static> Inputs for Step<T> {
    type Values = Arc<T>;

    fn places(&self, found: &mut Vec<InputPlace>) {
        let (place, is_maybe) = (self.place, false);
        found.push(InputPlace { place, is_maybe });
    }

    fn values(&self, outputs: &Outputs<'_>) -> Option<Arc<T>> {
        let output = match self.place.step {
            Some(step) => outputs.of_steps.get(step)?.as_ref()?,
            None => outputs.input,
        };
        Arc::clone(output).downcast().ok()
    }
}

impl<T: Send + Sync + 'static> Inputs for Maybe<T> {
    type Values = Option<Arc<T>>;

    fn places(&self, found: &mut Vec<InputPlace>) {
        let (place, is_maybe) = (self.0.place, true);
        found.push(InputPlace { place, is_maybe });
    }

    fn values(&self, outputs: &Outputs<'_>) -> Option<Self::Values> {
        Some(self.0.values(outputs))
    }
}

impl<S: Inputs> Inputs for Vec<S> {
    type Values = Vec<S::Values>;

    fn places(&self, found: &mut Vec<InputPlace>) {
        self.iter().for_each(|input| input.places(found));
    }

    fn values(&self, outputs: &Outputs<'_>) -> Option<Self::Values> {
        self.iter().map(|input| input.values(outputs)).collect()
    }
}

macro_rules! inputs_of_tuples {
    ($($input:ident),+) => {
        impl<$($input: Inputs),+> Inputs for ($($input,)+) {
            type Values = ($($input::Values,)+);

            #[expect(non_snake_case, reason = "a variable for each type parameter")]
            fn places(&self, found: &mut Vec<InputPlace>) {
                let ($($input,)+) = self;
                $($input.places(found);)+
            }

            #[expect(non_snake_case, reason = "a variable for each type parameter")]
            fn values(&self, outputs: &Outputs<'_>) -> Option<Self::Values> {
                let ($($input,)+) = self;
                Some(($($input.values(outputs)?,)+))
            }
        }
    };
}

inputs_of_tuples!(A);
inputs_of_tuples!(A, B);
inputs_of_tuples!(A, B, C);
inputs_of_tuples!(A, B, C, D);
inputs_of_tuples!(A, B, C, D, E);
inputs_of_tuples!(A, B, C, D, E, F);
inputs_of_tuples!(A, B, C, D, E, F, G);
inputs_of_tuples!(A, B, C, D, E, F, G, H);
