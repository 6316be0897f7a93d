//! A step that does the same for each item of a list that is known only when the run has come to it.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::{NoInput, StepBuilder, Undo, decide};
use crate::durable::Item;
use crate::handle::Step;
use crate::run::Items;
use crate::shape::{DEFAULT_ITEM_CONCURRENCY, Shape};
use crate::{Keeps, StepContext, StepError};

/// A step that does the same for each item of a list. Made by [`StepBuilder::for_each`].
#[derive(Debug)]
pub struct Each<T> {
    pub(super) list: Step<Vec<T>>,
    pub(super) concurrency: NonZeroUsize,
}

impl<'w, I, U, K> StepBuilder<'w, I, NoInput, U, K> {
    /// After this step, and for each item of the list that it puts out: the step's function is called
    /// with a clone of each, and the outputs are a list in the same order. The list may also be what
    /// the run is started with. It has at most [`MAX_ITEMS`](crate::MAX_ITEMS) items; of an empty one,
    /// the output is empty.
    ///
    /// - [`DEFAULT_ITEM_CONCURRENCY`] items are worked at at once, or as
    ///   [`concurrency`](StepBuilder::concurrency) says. They are within the step: it takes one of the
    ///   places that steps share, and its permits once. They are polled by the thread that polls the
    ///   step: what burns processor time belongs on one of its own.
    /// - An item that fails, or panics, leaves the others alone. When all have ended, the attempt
    ///   fails with [`PartError::ItemsFailed`](crate::PartError::ItemsFailed); the next, if the step is
    ///   [retried](StepBuilder::retry), is at those that are not done.
    /// - An item that is done is not done again: not by another attempt, nor after a crash, nor where
    ///   a run that has failed is retried and goes on with this step. One that was under way has the
    ///   same [idempotency key](StepContext::idempotency_key) again.
    /// - The step's [timeout](StepBuilder::timeout) is that of an attempt, at all that is left.
    /// - An item that is done has its place until that is told and, where many are done that are not kept yet, kept.
    ///   Those that run go on meanwhile.
    /// - While the run is [paused](crate::Command::Pause) no further item begins; the time of the attempt goes on.
    /// - What [undoes](StepBuilder::compensate) the step is called with all outputs, once all are
    ///   there. As in any step that fails halfway, what it had done by then is not undone: of four items of
    ///   which three are done and one fails, none is. Where they are to be, let no item fail: the output
    ///   of each is what became of it, and a step that takes them fails where one did not go well. By then
    ///   this one has completed, and is undone.
    /// - The work at an item is a function, or a run of another [workflow](StepBuilder::workflow); not
    ///   [rounds](StepBuilder::repeat), which such a run may have.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # use coord_bus::LocalBus;
    /// use coord_workflow::{StepError, Workflow, WorkflowOrchestrator};
    ///
    /// let mut workflow = Workflow::builder("thumbnails");
    /// let names = workflow.input();
    /// let sizes = workflow
    ///     .step("measure")
    ///     .for_each(names)
    ///     .run(|name: String| async move { Ok::<_, StepError>(name.len()) });
    /// let workflow = workflow.build()?;
    ///
    /// let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
    /// let names = vec!["a.png".to_owned(), "bcd.png".to_owned()];
    /// let outcome = orchestrator.execute_workflow(&workflow, names).await?;
    /// assert_eq!(*outcome.output(&sizes).unwrap(), [5, 7]);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// All or none:
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # use std::sync::Arc;
    /// # use coord_bus::LocalBus;
    /// # use coord_workflow::{Compensation, StepError, Workflow, WorkflowOrchestrator};
    /// # async fn reserve(seat: u32) -> Result<u32, String> {
    /// #     if seat < 3 { Ok(seat) } else { Err(format!("seat {seat} is taken")) }
    /// # }
    /// # async fn set_free(seats: Vec<u32>) -> Result<(), StepError> { assert_eq!(seats, [1, 2]); Ok(()) }
    /// let mut workflow = Workflow::builder("seats");
    /// let seats = workflow.input();
    /// let tried = workflow
    ///     .step("reserve")
    ///     .compensate(|tried: Arc<Vec<Result<u32, String>>>| {
    ///         set_free(tried.iter().flatten().copied().collect())
    ///     })
    ///     .for_each(seats)
    ///     .run(|seat: u32| async move { Ok::<_, StepError>(reserve(seat).await) });
    /// workflow
    ///     .step("have-all")
    ///     .input(tried)
    ///     .run(|tried: Arc<Vec<Result<u32, String>>>| async move {
    ///         match tried.iter().find_map(|tried| tried.as_ref().err()) {
    ///             None => Ok(()),
    ///             Some(why) => Err(StepError::message(why.clone())),
    ///         }
    ///     });
    /// # let workflow = workflow.build()?;
    /// # let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
    /// # let outcome = orchestrator.execute_workflow(&workflow, vec![1, 2, 3]).await?;
    /// # let undone = outcome.step("reserve").unwrap().compensation;
    /// # assert!(matches!(undone, Some(Compensation::Completed)));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn for_each<T>(self, list: Step<Vec<T>>) -> StepBuilder<'w, I, Each<T>, U, K>
    where
        T: Send + Sync + 'static,
    {
        let StepBuilder {
            workflow,
            step,
            timeout,
            inputs: _,
            undo,
        } = self.input(list);
        let concurrency = DEFAULT_ITEM_CONCURRENCY;
        StepBuilder {
            workflow,
            step,
            timeout,
            inputs: Each { list, concurrency },
            undo,
        }
    }
}

impl<I, T, U, K> StepBuilder<'_, I, Each<T>, U, K>
where
    T: Clone + Send + Sync + 'static,
{
    /// With at most so many items at once, instead of [`DEFAULT_ITEM_CONCURRENCY`].
    pub fn concurrency(mut self, items: NonZeroUsize) -> Self {
        self.inputs.concurrency = items;
        self
    }

    /// Only if this says so of the list; else the step is skipped.
    pub fn when(mut self, condition: impl Fn(&[T]) -> bool + Send + Sync + 'static) -> Self {
        let list = self.inputs.list;
        self.step.when = Some(decide(move |start| Some(condition(&start.values(&list)?))));
        self
    }

    /// The same, and is told of which run it is a step.
    pub fn when_with(
        mut self,
        condition: impl Fn(StepContext, &[T]) -> bool + Send + Sync + 'static,
    ) -> Self {
        let list = self.inputs.list;
        self.step.when = Some(decide(move |start| {
            let list = start.values(&list)?;
            Some(condition(start.context(), &list))
        }));
        self
    }

    /// Adds the step: this function is its work at one item.
    pub fn run<O, E, F, Fut>(self, work: F) -> Step<Vec<O>>
    where
        U: Undo<Vec<O>>,
        K: Keeps<Vec<O>> + Keeps<O>,
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
        O: Send + Sync + 'static,
        E: Into<StepError> + 'static,
    {
        self.run_with(move |_, item| work(item))
    }

    /// Adds the step: this function is its work at one item, and is told
    /// [which](StepContext::part) it is, and when to stop.
    pub fn run_with<O, E, F, Fut>(mut self, work: F) -> Step<Vec<O>>
    where
        U: Undo<Vec<O>>,
        K: Keeps<Vec<O>> + Keeps<O>,
        F: Fn(StepContext, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
        O: Send + Sync + 'static,
        E: Into<StepError> + 'static,
    {
        let codec = <K as Keeps<O>>::kept_item().0;
        self.step.shape = Some(Shape::ForEach {
            codec,
            join: |items| Arc::new(Item::<O>::all(items)),
            workflow: None,
        });
        let Each { list, concurrency } = self.inputs;
        let work = Arc::new(work);
        self.begin(move |start| {
            let list = start.values(&list)?;
            let items = Items::of(start, list.len(), concurrency);
            let work = Arc::clone(&work);
            Some(async move {
                let one = |context, item: usize| {
                    let done = work(context, T::clone(&list[item]));
                    async move {
                        let done = done.await;
                        done.map(Item::output).map_err(Into::into)
                    }
                };
                let outputs = items.each(one).await?;
                Ok::<Vec<O>, StepError>(Item::all(&outputs))
            })
        })
    }
}
