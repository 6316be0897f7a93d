//! What undoes a step.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::StepBuilder;
use crate::plan::{Output, StepFuture, UndoAction};
use crate::{Retry, StepContext, StepError};

/// A step that nothing undoes.
#[derive(Debug)]
pub struct NoUndo;

/// A step that a function of its output undoes: with a `C` that is [`StepContext`], one that is told that, too.
#[derive(Debug)]
pub struct UndoWith<F, C = ()>(F, PhantomData<fn(C)>);

/// What undoes a step whose output is `T`: nothing, or a function of it.
pub trait Undo<T>: Sized {
    #[doc(hidden)]
    fn erased(self) -> Undoing;
}

/// What undoes a step, whatever its output is. Opaque: for the implementations of [`Undo`].
#[doc(hidden)]
pub struct Undoing(Option<UndoAction>);

impl Undoing {
    pub(super) fn action(self) -> Option<UndoAction> {
        self.0
    }
}

impl<T> Undo<T> for NoUndo {
    fn erased(self) -> Undoing {
        Undoing(None)
    }
}

impl<T, F, Fut, E> Undo<T> for UndoWith<F>
where
    T: Send + Sync + 'static,
    F: Fn(Arc<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<StepError>,
{
    fn erased(self) -> Undoing {
        Undoing(Some(Box::new(move |_, output| {
            of_output(output, |output| self.0(output))
        })))
    }
}

impl<T, F, Fut, E> Undo<T> for UndoWith<F, StepContext>
where
    T: Send + Sync + 'static,
    F: Fn(StepContext, Arc<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<StepError>,
{
    fn erased(self) -> Undoing {
        Undoing(Some(Box::new(move |start, output| {
            of_output(output, |output| self.0(start.context_of_undo(), output))
        })))
    }
}

fn of_output<T, Fut, E>(output: Output, undo: impl FnOnce(Arc<T>) -> Fut) -> StepFuture<()>
where
    T: Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<StepError>,
{
    let undoing = output.downcast().ok().map(undo);
    Box::pin(async move {
        match undoing {
            Some(undoing) => undoing.await.map_err(Into::into),
            None => Ok(()),
        }
    })
}

impl<'w, I, In, K> StepBuilder<'w, I, In, NoUndo, K> {
    /// Undone, after it has completed, when the run fails, is cancelled or times out: by this
    /// function of its output, after everything that completed later.
    ///
    /// It is tried as often as [`Retry::exponential`] says, each time for at most as long as an
    /// attempt at the step may take, where
    /// [`compensation_retry`](StepBuilder::compensation_retry) and
    /// [`compensation_timeout`](StepBuilder::compensation_timeout) say nothing else. If it fails for
    /// good, that is told, in an event and in the [`Outcome`](crate::Outcome), and the steps before
    /// it are undone all the same.
    ///
    /// In a durable run, an attempt that was under way when the process ended is made again by who takes
    /// the run up: for what tells one from another, there is [`compensate_with`](Self::compensate_with).
    pub fn compensate<F>(self, undo: F) -> StepBuilder<'w, I, In, UndoWith<F>, K> {
        self.undone(UndoWith(undo, PhantomData))
    }

    /// The same, and the function is told which run it is about, which attempt at undoing the step this is
    /// (counted from 1 in each process), and when to stop: the [token](StepContext::token) is cancelled when
    /// the attempt's time is up, or that of [undoing all
    /// steps](crate::OrchestratorBuilder::compensation_timeout), and when the run may be somebody else's. Who
    /// has asked for it has the orchestrator's grace then.
    ///
    /// The [idempotency key](StepContext::idempotency_key) is that of the step, a slash and `undo`, in every
    /// attempt at undoing what the step did, also after a crash.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use coord_workflow::{StepContext, StepError, Workflow};
    /// # async fn charge(_key: String) -> Result<u64, StepError> { Ok(20) }
    /// # async fn pay_back(_key: String, _amount: u64) -> Result<(), StepError> { Ok(()) }
    /// let mut workflow = Workflow::<()>::durable("order");
    /// workflow
    ///     .step("charge")
    ///     // `order-1042-7f3a09k2xd/charge/undo`, say: a bank that knows it has paid back already.
    ///     .compensate_with(|context: StepContext, amount: Arc<u64>| {
    ///         pay_back(context.idempotency_key(), *amount)
    ///     })
    ///     // `order-1042-7f3a09k2xd/charge`.
    ///     .run_with(|context| charge(context.idempotency_key()));
    /// # workflow.build().unwrap();
    /// ```
    pub fn compensate_with<F>(
        self,
        undo: F,
    ) -> StepBuilder<'w, I, In, UndoWith<F, StepContext>, K> {
        self.undone(UndoWith(undo, PhantomData))
    }

    fn undone<U>(self, undo: U) -> StepBuilder<'w, I, In, U, K> {
        StepBuilder {
            workflow: self.workflow,
            step: self.step,
            timeout: self.timeout,
            inputs: self.inputs,
            undo,
        }
    }
}

impl<I, In, F, C, K> StepBuilder<'_, I, In, UndoWith<F, C>, K> {
    /// Undoing it is tried again as this says, in place of [`Retry::exponential`].
    pub fn compensation_retry(mut self, retry: Retry) -> Self {
        self.step.undo_retry = retry;
        self
    }

    /// With another limit to the time of one attempt at undoing it than the step's own. What undoing
    /// all steps may take is up to the orchestrator:
    /// [`compensation_timeout`](crate::OrchestratorBuilder::compensation_timeout).
    pub fn compensation_timeout(mut self, timeout: Duration) -> Self {
        self.step.undo_timeout = Some(timeout);
        self
    }
}
