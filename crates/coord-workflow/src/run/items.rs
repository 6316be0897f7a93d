//! A step that does the same for each item of a list: what is left of it, so many at once.

use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use coord_bus::time::timeout;
use coord_bus::vocabulary::Transition;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::task::coop::consume_budget;

use super::Shared;
use super::further::Gate;
use crate::context::Start;
use crate::course::{Fact, Parts};
use crate::durable::as_kept;
use crate::part_error::PartError;
use crate::plan::Output;
use crate::shape::{MAX_ITEMS, Shape};
use crate::{StepContext, StepError};

/// How much of a run may be done and not kept yet: items that are done then wait until it is, and no other begins.
const UNKEPT_MAX: u64 = 1_000;

/// The items of a step's list, in one attempt at the step.
pub(crate) struct Items {
    run: Arc<Shared>,
    context: StepContext,
    step: usize,
    /// How many there are.
    of: usize,
    /// How many of them at once.
    concurrency: usize,
    gate: Gate,
}

impl Items {
    /// So many items of the step that begins, so many at once.
    pub(crate) fn of(start: &Start<'_>, of: usize, concurrency: NonZeroUsize) -> Self {
        Self {
            run: Arc::clone(start.shared),
            context: start.context(),
            step: start.step,
            of,
            concurrency: concurrency.into(),
            gate: Gate::of(start.shared, start.step),
        }
    }

    /// Does what is left to do, and puts all outputs out, in the order of the list. An item that fails,
    /// or panics, leaves the others alone.
    pub(crate) async fn each<Fut>(
        &self,
        work: impl Fn(StepContext, usize) -> Fut,
    ) -> Result<Vec<Output>, StepError>
    where
        Fut: Future<Output = Result<Output, StepError>>,
    {
        let of = self.of;
        if of > MAX_ITEMS {
            return Err(StepError::from(PartError::TooManyItems { count: of }).permanent());
        }
        let going = self.left().into_iter().map(|item| {
            let (context, work) = (&self.context, &work);
            let one = async move {
                if !self.gate.is_open() {
                    // In a box, as it is rare.
                    Box::pin(self.may_begin()).await?;
                }
                work(context.of_part(item), item).await
            };
            // Nothing of it is looked at after a panic.
            let one = AssertUnwindSafe(one).catch_unwind();
            async move {
                let done = one.await;
                let done = match done.unwrap_or_else(|panic| Err(StepError::panicked(&*panic))) {
                    // A part of its own future, so that the others go on while this waits.
                    Ok(output) => self.completed(item, output).await,
                    Err(error) => Err(error),
                };
                (item, done)
            }
        });
        let mut going = stream::iter(going).buffer_unordered(self.concurrency);
        let mut failed = Vec::new();
        while let Some((item, done)) = going.next().await {
            let error = done.err().map(|error| self.judged(error));
            failed.extend(error.map(|error| (item, error)));
            // Items that never wait leave others on this thread their turn.
            consume_budget().await;
        }
        match PartError::items_failed(failed, of) {
            Some(error) => Err(error),
            None => Ok(self.run.outputs_of_parts(self.step)),
        }
    }

    /// Those that are not done.
    fn left(&self) -> Vec<usize> {
        let queue = self.run.queue();
        let parts = queue.course.parts(self.step);
        let is_left = |item: &usize| parts.is_none_or(|parts| !parts.outputs.contains_key(item));
        (0..self.of).filter(is_left).collect()
    }

    /// Waits until one may begin.
    async fn may_begin(&self) -> Result<(), StepError> {
        let token = self.context.own_token();
        self.alive(self.gate.opens(&token)).await
    }

    /// Waits for what is not the work of any item. Meanwhile the step is alive.
    async fn alive<T>(&self, waits: impl Future<Output = T>) -> T {
        let mut waits = pin!(waits);
        self.context.heartbeat();
        let Some(heartbeat) = self.run.plan.steps[self.step].heartbeat_timeout else {
            return waits.await;
        };
        loop {
            let waited = timeout(heartbeat / 2, &mut waits).await;
            self.context.heartbeat();
            if let Ok(over) = waited {
                return over;
            }
        }
    }

    fn judged(&self, error: StepError) -> StepError {
        self.run.plan.steps[self.step].judged(error)
    }

    async fn completed(&self, item: usize, output: Output) -> Result<(), StepError> {
        let (run, step, of) = (&self.run, self.step, self.of);
        // Nobody else could say so for the whole of it.
        self.context.heartbeat();
        // What may have to wait is in a box, as it is large: most items need none of it.
        if run.is_heard() {
            Box::pin(self.alive(run.part_completed(step, item, of, output))).await?;
        } else {
            run.applies(run.completed_part(step, item, of, output)?)?;
        }
        if run.unkept() >= UNKEPT_MAX {
            Box::pin(self.alive(run.settled_or_stopped())).await;
        }
        Ok(())
    }
}

impl Shared {
    /// A part of a step is done: from now on it is not done again.
    ///
    /// # Errors
    ///
    /// It cannot be kept, or the step has come to its end meanwhile.
    pub(super) async fn part_completed(
        &self,
        step: usize,
        part: usize,
        of: usize,
        output: Output,
    ) -> Result<(), StepError> {
        let fact = self.completed_part(step, part, of, output)?;
        let told = || Transition::PartCompleted {
            step: self.step_id(step),
            part,
            of,
        };
        Ok(self.happens(fact, told).await?)
    }

    fn completed_part(
        &self,
        step: usize,
        part: usize,
        of: usize,
        output: Output,
    ) -> Result<Fact, StepError> {
        let codec = self.plan.steps[step].shape.as_ref();
        let codec = codec.and_then(Shape::codec_of_parts);
        let kept = codec.filter(|_| self.is_durable);
        let kept = kept.map(|codec| codec.keep(&output, self.kept_max));
        let (output, kept) = as_kept(output, kept.transpose()?);
        Ok(Fact::PartCompleted {
            step,
            part,
            of,
            output,
            kept,
            print: None,
            at: self.elapsed(),
        })
    }

    /// The outputs of a step's parts, in their order.
    fn outputs_of_parts(&self, step: usize) -> Vec<Output> {
        let queue = self.queue();
        let parts = queue.course.parts(step);
        parts.map_or_else(Vec::new, Parts::outputs)
    }

    /// Waits until all that has happened so far is kept, or else until the run is told to stop, as it
    /// never will be.
    pub(super) async fn settled_or_stopped(&self) {
        if self.settled().await.is_err() {
            self.token.cancelled().await;
        }
    }
}
