//! A step that repeats: round after round, until one is the last.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{NoInput, StepBuilder, Undo};
use crate::context::Start;
use crate::handle::{Inputs, Step};
use crate::plan::Output;
use crate::repeat::{Repeat, Round};
use crate::run::Rounds;
use crate::shape::Shape;
use crate::{Keeps, StepContext, StepError};

/// A step that repeats. Made by [`StepBuilder::repeat`].
#[derive(Debug)]
pub struct Repeating<In> {
    pub(super) inputs: In,
    pub(super) repeat: Repeat,
}

impl<'w, I, In, U, K> StepBuilder<'w, I, In, U, K> {
    /// Round after round, until one says that it was the last: the step's function is given what the
    /// round before [left](Round::last), and says [`ControlFlow::Continue`] with what it leaves, or
    /// [`ControlFlow::Break`] with the step's output. Inputs and a condition come before this.
    ///
    /// - There are at most as many rounds as the [`Repeat`] says; after those the step fails with
    ///   [`PartError::RoundsExhausted`](crate::PartError::RoundsExhausted).
    /// - What a round leaves is kept before the next begins. So a loop goes on after its last round: in
    ///   another [attempt](StepBuilder::retry), after a crash, and where a run that has failed is
    ///   retried and goes on with this step. A round that was under way begins again, with the same
    ///   [idempotency key](crate::StepContext::idempotency_key).
    /// - Waits between rounds go on while a run is interrupted. The step keeps its place and its permits
    ///   meanwhile.
    /// - The step's [timeout](StepBuilder::timeout) is that of one round.
    /// - While the run is [paused](crate::Command::Pause) no further round begins.
    /// - A round that has several steps, or waits for somebody, is a run of another [workflow](StepBuilder::workflow).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # use coord_bus::LocalBus;
    /// use std::ops::ControlFlow::{Break, Continue};
    ///
    /// use coord_workflow::{Repeat, Round, StepError, Workflow, WorkflowOrchestrator};
    ///
    /// let mut workflow = Workflow::builder("halve");
    /// let halvings = workflow
    ///     .step("halve")
    ///     .repeat(Repeat::at_most(20))
    ///     .run(|round: Round<u32>| async move {
    ///         let left = round.last.as_deref().map_or(1_000, |last| *last) / 2;
    ///         Ok::<_, StepError>(match left {
    ///             0 => Break(round.number()),
    ///             _ => Continue(left),
    ///         })
    ///     });
    /// let workflow = workflow.build()?;
    ///
    /// let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
    /// let outcome = orchestrator.execute_workflow(&workflow, ()).await?;
    /// assert_eq!(*outcome.output(&halvings).unwrap(), 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn repeat(self, repeat: Repeat) -> StepBuilder<'w, I, Repeating<In>, U, K> {
        let StepBuilder {
            workflow,
            step,
            timeout,
            inputs,
            undo,
        } = self;
        StepBuilder {
            workflow,
            step,
            timeout,
            inputs: Repeating { inputs, repeat },
            undo,
        }
    }
}

impl<I, U, K> StepBuilder<'_, I, Repeating<NoInput>, U, K> {
    /// Adds the step: this function is one round of its work.
    pub fn run<T, S, E, F, Fut>(self, work: F) -> Step<T>
    where
        U: Undo<T>,
        K: Keeps<T> + Keeps<S>,
        F: Fn(Round<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<ControlFlow<T, S>, E>> + Send + 'static,
        T: Send + Sync + 'static,
        S: Send + Sync + 'static,
        E: Into<StepError> + 'static,
    {
        self.rounds(|_| Some(()), move |round, ()| work(round))
    }

    /// The same, and the function is told beside the round what is in it, too: which
    /// [run](crate::StepContext::run) and [attempt](crate::StepContext::attempt) it is, and when to stop.
    pub fn run_with<T, S, E, F, Fut>(self, work: F) -> Step<T>
    where
        U: Undo<T>,
        K: Keeps<T> + Keeps<S>,
        F: Fn(StepContext, Round<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<ControlFlow<T, S>, E>> + Send + 'static,
        T: Send + Sync + 'static,
        S: Send + Sync + 'static,
        E: Into<StepError> + 'static,
    {
        self.run(move |round| work(round.context.clone(), round))
    }
}

impl<I, In: Inputs, U, K> StepBuilder<'_, I, Repeating<In>, U, K>
where
    In: Clone,
{
    /// Adds the step: this function is one round of its work, and is given the inputs in each.
    pub fn run<T, S, E, F, Fut>(self, work: F) -> Step<T>
    where
        U: Undo<T>,
        K: Keeps<T> + Keeps<S>,
        F: Fn(Round<S>, In::Values) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<ControlFlow<T, S>, E>> + Send + 'static,
        T: Send + Sync + 'static,
        S: Send + Sync + 'static,
        E: Into<StepError> + 'static,
    {
        let inputs = self.inputs.inputs.clone();
        self.rounds(move |start| start.values(&inputs), work)
    }

    /// The same, and the function is told beside the round what is in it, too: which
    /// [run](crate::StepContext::run) and [attempt](crate::StepContext::attempt) it is, and when to stop.
    pub fn run_with<T, S, E, F, Fut>(self, work: F) -> Step<T>
    where
        U: Undo<T>,
        K: Keeps<T> + Keeps<S>,
        F: Fn(StepContext, Round<S>, In::Values) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<ControlFlow<T, S>, E>> + Send + 'static,
        T: Send + Sync + 'static,
        S: Send + Sync + 'static,
        E: Into<StepError> + 'static,
    {
        self.run(move |round, values| work(round.context.clone(), round, values))
    }
}

impl<I, In, U, K> StepBuilder<'_, I, Repeating<In>, U, K> {
    fn rounds<T, S, E, V, F, Fut>(
        mut self,
        values: impl Fn(&Start<'_>) -> Option<V> + Send + Sync + 'static,
        work: F,
    ) -> Step<T>
    where
        U: Undo<T>,
        K: Keeps<T> + Keeps<S>,
        F: Fn(Round<S>, V) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<ControlFlow<T, S>, E>> + Send + 'static,
        T: Send + Sync + 'static,
        S: Send + Sync + 'static,
        E: Into<StepError> + 'static,
        V: 'static,
    {
        let codec = <K as Keeps<S>>::kept().0;
        self.step.shape = Some(Shape::Repeat {
            codec,
            workflow: None,
        });
        let repeat = self.inputs.repeat;
        let round = Arc::new(move |context, last: Option<Output>, values| {
            let last = last.and_then(|last| last.downcast().ok());
            work(Round { context, last }, values)
        });
        let values = Arc::new(values);
        self.step.action = Box::new(move |start| {
            let rounds = Rounds::of(start, repeat);
            let (round, values) = (Arc::clone(&round), Arc::clone(&values));
            Some(Box::pin(async move {
                let begin = |start: &Start<'_>, last| {
                    let done = round(start.context(), last, values(start)?);
                    Some(Box::pin(async move {
                        match done.await {
                            Ok(ControlFlow::Break(output)) => {
                                Ok(ControlFlow::Break(Arc::new(output) as Output))
                            }
                            Ok(ControlFlow::Continue(left)) => {
                                Ok(ControlFlow::Continue(Arc::new(left) as Output))
                            }
                            Err(error) => Err(error.into()),
                        }
                    }) as _)
                };
                rounds.until_done(begin).await
            }))
        });
        self.add()
    }
}
