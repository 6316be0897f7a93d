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
    /// Its index, if it is a step of this workflow.
    pub(crate) fn index_in(&self, workflow: u64) -> Option<usize> {
        self.place.step.filter(|_| self.place.workflow == workflow)
    }
}

/// What a step takes from others: a handle, a tuple of these (up to eight, which may be tuples
/// again), or a `Vec` of them.
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
pub struct InputPlace(pub(crate) Place);

/// The outputs of a run so far, by step, and its own input. Opaque: for the implementations of [`Inputs`].
#[doc(hidden)]
pub struct Outputs<'a> {
    pub(crate) input: &'a Output,
    pub(crate) of_steps: &'a [Option<Output>],
}

impl<T: Send + Sync + 'static> Inputs for Step<T> {
    type Values = Arc<T>;

    fn places(&self, found: &mut Vec<InputPlace>) {
        found.push(InputPlace(self.place));
    }

    fn values(&self, outputs: &Outputs<'_>) -> Option<Arc<T>> {
        let output = match self.place.step {
            Some(step) => outputs.of_steps.get(step)?.as_ref()?,
            None => outputs.input,
        };
        Arc::clone(output).downcast().ok()
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
