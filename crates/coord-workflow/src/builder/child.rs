//! A step whose work is a run of another workflow, or one for each item of a list, or for each round.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::each::Each;
use super::repeat::Repeating;
use super::{NoInput, StepBuilder, Undo};
use crate::child::{Child, Chosen};
use crate::context::Start;
use crate::durable::Item;
use crate::handle::Step;
use crate::plan::{Output, StepFuture};
use crate::run::{ChildRun, ItemRuns, Items, Rounds};
use crate::shape::Shape;
use crate::{Fault, Keeps, RoundRun, StepError, Workflow};

impl<I, U, K> StepBuilder<'_, I, NoInput, U, K> {
    /// Adds the step: its work is a run of another workflow, and its output that of a step of that one.
    ///
    /// The other run, the child, is a run of its own, of the same orchestrator, with its own limits to
    /// its time and its own events. It is in the same journal where this run is in one, under an id that
    /// begins with this run's. It is started with nothing, or with the output of the one step that is its
    /// [input](StepBuilder::input): several outputs are made into one by a step between.
    ///
    /// - When the child fails, so does the attempt: with
    ///   [`PartError::ChildFailed`](crate::PartError::ChildFailed), whose source is the child's error.
    ///   By then the child has been undone. Another attempt is another run.
    /// - When the attempt is to end, because this run is cancelled, has failed elsewhere or has timed
    ///   out, or because of the step's own timeout, the child is cancelled and undone. The step ends
    ///   after that, however long it takes.
    /// - A run that is suspended or interrupted is so with its children, and goes on with them: after a
    ///   crash the step has the run that it had. Where that cannot be gone on with, as its definition
    ///   has changed for one, this run does not fail, but is left as it is, with
    ///   [`WorkflowError::Child`](crate::WorkflowError::Child).
    /// - A child that has completed is undone by what [undoes](StepBuilder::compensate) this step, if
    ///   anything does.
    /// - The step takes none of the places that steps share, and may not ask for a
    ///   [resource](StepBuilder::resource): the child's steps do. There is no limit to its time but the
    ///   runs', where none is set.
    /// - While this run is [told to pause](crate::Command::Pause), or one that it is within, no step of the child begins:
    ///   it goes on with that one. Only where the child was resumed by its own id, it does not hear of that before
    ///   this run is resumed by the same orchestrator; a child that another process drives never does.
    /// - While the child is paused for a step of its own ([`OnExhausted::Pause`](crate::OnExhausted::Pause)), or for
    ///   one of a run within it, neither the step's timeout nor that of this run counts; once it goes on, each begins
    ///   anew. It is the child that is to be continued, which [`Why::ChildPaused`](crate::Why::ChildPaused) names;
    ///   what else there is in this run goes on.
    /// - A child that has finished is needed until this run has, and is [not forgotten](coord_bus::AppendTo::needed_by)
    ///   before.
    /// - Where a run is retried and the step done again, it is with a new child.
    /// - At most [`MAX_DEPTH`](crate::MAX_DEPTH) runs are within each other.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # use std::sync::Arc;
    /// # use coord_bus::LocalBus;
    /// use coord_workflow::{StepError, Workflow, WorkflowOrchestrator};
    ///
    /// let mut build = Workflow::builder("build");
    /// let target = build.input();
    /// let binary = build
    ///     .step("compile")
    ///     .input(target)
    ///     .run(|target: Arc<&'static str>| async move { Ok::<_, StepError>(format!("app-{target}")) });
    /// let build = build.build()?;
    ///
    /// let mut release = Workflow::builder("release");
    /// let target = release.step("target").run(async || Ok::<_, StepError>("arm64"));
    /// let binary = release.step("build").input(target).workflow(&build, binary);
    /// let release = release.build()?;
    ///
    /// let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
    /// let outcome = orchestrator.execute_workflow(&release, ()).await?;
    /// assert_eq!(*outcome.output(&binary).unwrap(), "app-arm64");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn workflow<T>(self, child: &Workflow<(), K>, output: Step<T>) -> Step<T>
    where
        U: Undo<T>,
        K: Keeps<T> + Keeps<()>,
        T: Send + Sync + 'static,
    {
        self.of_child(child, output, |_| Some(Arc::new(())))
    }
}

impl<I, C, U, K> StepBuilder<'_, I, Step<C>, U, K> {
    /// Adds the step: its work is a run of another workflow, which is started with the input. See
    /// [`workflow`](StepBuilder::workflow) of a step without one.
    pub fn workflow<T>(self, child: &Workflow<C, K>, output: Step<T>) -> Step<T>
    where
        U: Undo<T>,
        K: Keeps<T> + Keeps<C>,
        T: Send + Sync + 'static,
        C: Send + Sync + 'static,
    {
        let input = self.inputs;
        self.of_child(child, output, move |start| {
            Some(start.values(&input)? as Output)
        })
    }
}

impl<I, C, U, K> StepBuilder<'_, I, Each<C>, U, K>
where
    C: Clone + Send + Sync + 'static,
{
    /// Adds the step: its work at each item is a run of another workflow, which is started with a clone of it. Its
    /// output is the list of what a step of that workflow puts out, in the order of the items.
    ///
    /// What holds of a step [for each](StepBuilder::for_each) item of a list holds of this one, and of each run what
    /// holds of the one of a step that [runs a workflow](StepBuilder::workflow). So:
    ///
    /// - As many runs go on at once as the [`concurrency`](StepBuilder::concurrency) says. The step takes no place
    ///   and no [resource](StepBuilder::resource); their steps do. There is no limit to its time but the runs', where
    ///   none is set.
    /// - The id of each has the item's place in it: `order-1042.ship.3-…`, and so has its
    ///   [`parent`](crate::RunView::parent).
    /// - A run that fails is undone, and fails its item: the others go on. When all have ended, the attempt fails;
    ///   the next is at those that are not done, and runs each anew, under another id.
    /// - When the attempt is to end, all runs that go on are cancelled and undone, and the step ends after that. What
    ///   is done by then is not undone, as with any step that fails halfway.
    /// - After a crash, and where this run was suspended, each item that is not done has the run that it had, and
    ///   the outcome of that where it has ended. Where this run is retried and goes on with this step, those that are
    ///   not done are run anew.
    /// - While one of them is paused for a step of its own, neither the step's timeout nor that of this run counts.
    ///   Which one is to be continued is in [`Why::ChildrenPaused`](crate::Why::ChildrenPaused), and which go on is
    ///   in [`StepView::children`](crate::StepView::children).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # use std::sync::Arc;
    /// # use coord_bus::LocalBus;
    /// use coord_workflow::{StepError, Workflow, WorkflowOrchestrator};
    ///
    /// let mut build = Workflow::builder("build");
    /// let target = build.input();
    /// let binary = build
    ///     .step("compile")
    ///     .input(target)
    ///     .run(|target: Arc<&'static str>| async move { Ok::<_, StepError>(format!("app-{target}")) });
    /// let build = build.build()?;
    ///
    /// let mut release = Workflow::builder("release");
    /// let targets = release
    ///     .step("targets")
    ///     .run(async || Ok::<_, StepError>(vec!["arm64", "x86-64"]));
    /// let binaries = release.step("build").for_each(targets).workflow(&build, binary);
    /// let release = release.build()?;
    ///
    /// let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
    /// let outcome = orchestrator.execute_workflow(&release, ()).await?;
    /// assert_eq!(*outcome.output(&binaries).unwrap(), ["app-arm64", "app-x86-64"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn workflow<T>(mut self, child: &Workflow<C, K>, output: Step<T>) -> Step<Vec<T>>
    where
        U: Undo<Vec<T>>,
        K: Keeps<Vec<T>> + Keeps<T> + Keeps<C>,
        T: Clone + Send + Sync + 'static,
    {
        let child = self.runs(child, output);
        self.step.shape = Some(Shape::ForEach {
            codec: <K as Keeps<T>>::kept_item().0,
            join: |items| Arc::new(Item::<T>::all(items)),
            workflow: Some(child.plan.name.clone()),
        });
        let Each { list, concurrency } = self.inputs;
        self.step.action = Box::new(move |start| {
            let list = start.values(&list)?;
            let items = Items::of(start, list.len(), concurrency);
            let runs = ItemRuns::of(start, &child);
            Some(Box::pin(async move {
                let input = |item: usize| Ok(Arc::new(C::clone(&list[item])) as Output);
                let output = |output: &Output| {
                    let output = output.downcast_ref::<T>()?;
                    Some(Item::output(output.clone()))
                };
                let outputs = runs.each(&items, input, output).await?;
                Ok(Arc::new(Item::<T>::all(&outputs)) as Output)
            }))
        });
        self.add()
    }
}

impl<I, C, U, K> StepBuilder<'_, I, Repeating<Step<C>>, U, K>
where
    C: Send + Sync + 'static,
{
    /// Adds the step: each round of its work is a run of another workflow. The first is started with the step's input;
    /// after each, this function of what its run was started with and put out says either
    /// [`ControlFlow::Continue`] with what the next is started with, or [`ControlFlow::Break`] with the step's output.
    ///
    /// What holds of a step that [repeats](StepBuilder::repeat) holds of this one, and of each run what holds of the
    /// one of a step that [runs a workflow](StepBuilder::workflow). So:
    ///
    /// - What the next run is started with is kept before it begins. After a crash, and where this run was suspended, the
    ///   round under way has the run that it had, and the outcome of that where it has ended. The function may be asked
    ///   of that again, and is to say the same. Where it panics there is no other attempt, as the round is done.
    /// - The id of each run has the round's place in it, from 0: `order-1042.approve.2-…`, and so has its
    ///   [`parent`](crate::RunView::parent). That of the round under way is the [`child`](crate::StepView::child) of the
    ///   step, to which signals go. What is sent to a run that has not taken it when it ends is gone with that: so have
    ///   each round take what may come in it, or let who sends wait for an answer before it sends the next.
    /// - A run that fails is undone, and fails the attempt. The next goes on with that round, in another run, which is
    ///   started with the same. So it is where this run is retried and goes on with this step.
    /// - When the attempt is to end, the run of the round under way is cancelled and undone, and the step ends after
    ///   that. What the rounds before have done is not undone, as with any step that fails halfway, nor is it where
    ///   there are no more rounds: have the last one break with an output that says so, and a step after this one fail.
    ///   By then this one has completed, and is undone by what [undoes](StepBuilder::compensate) it.
    /// - The step's [timeout](StepBuilder::timeout) is that of the run of one round: none, where none is set. Neither it
    ///   nor that of this run counts while that run is paused for a step of its own.
    /// - The step takes no place and no [resource](StepBuilder::resource), nor does a wait between rounds.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # use std::sync::Arc;
    /// # use coord_bus::LocalBus;
    /// use std::ops::ControlFlow::{Break, Continue};
    ///
    /// use coord_workflow::{Repeat, StepError, Workflow, WorkflowOrchestrator};
    ///
    /// let mut halving = Workflow::builder("halving");
    /// let number = halving.input();
    /// let half = halving
    ///     .step("halve")
    ///     .input(number)
    ///     .run(|number: Arc<u32>| async move { Ok::<_, StepError>(*number / 2) });
    /// let halving = halving.build()?;
    ///
    /// let mut workflow = Workflow::builder("count");
    /// let number = workflow.input();
    /// let halvings = workflow
    ///     .step("halvings")
    ///     .input(number)
    ///     .repeat(Repeat::at_most(20))
    ///     .workflow(&halving, half, |round| match *round.output {
    ///         0 => Break(round.number()),
    ///         left => Continue(left),
    ///     });
    /// let workflow = workflow.build()?;
    ///
    /// let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
    /// let outcome = orchestrator.execute_workflow(&workflow, 1_000).await?;
    /// assert_eq!(*outcome.output(&halvings).unwrap(), 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn workflow<T, O, F>(self, child: &Workflow<C, K>, output: Step<T>, next: F) -> Step<O>
    where
        U: Undo<O>,
        K: Keeps<O> + Keeps<C>,
        F: Fn(&RoundRun<C, T>) -> ControlFlow<O, C> + Send + Sync + 'static,
        T: Send + Sync + 'static,
        O: Send + Sync + 'static,
    {
        let input = self.inputs.inputs;
        let first = move |start: &Start<'_>| Some(start.values(&input)? as Output);
        self.of_rounds(child, output, first, next)
    }
}

impl<I, U, K> StepBuilder<'_, I, Repeating<NoInput>, U, K> {
    /// Adds the step: each round of its work is a run of another workflow, which is started with nothing. See
    /// [`workflow`](StepBuilder::workflow) of a step with an input, which repeats one that is started with that.
    pub fn workflow<T, O, F>(self, child: &Workflow<(), K>, output: Step<T>, next: F) -> Step<O>
    where
        U: Undo<O>,
        K: Keeps<O> + Keeps<()>,
        F: Fn(&RoundRun<(), T>) -> ControlFlow<O> + Send + Sync + 'static,
        T: Send + Sync + 'static,
        O: Send + Sync + 'static,
    {
        self.of_rounds(child, output, |_| Some(Arc::new(())), next)
    }
}

impl<I, In, U, K> StepBuilder<'_, I, Repeating<In>, U, K> {
    fn of_rounds<C, T, O, F>(
        mut self,
        child: &Workflow<C, K>,
        output: Step<T>,
        first: impl Fn(&Start<'_>) -> Option<Output> + Send + Sync + 'static,
        next: F,
    ) -> Step<O>
    where
        U: Undo<O>,
        K: Keeps<O> + Keeps<C>,
        F: Fn(&RoundRun<C, T>) -> ControlFlow<O, C> + Send + Sync + 'static,
        C: Send + Sync + 'static,
        T: Send + Sync + 'static,
        O: Send + Sync + 'static,
    {
        let child = self.runs(child, output);
        self.step.shape = Some(Shape::Repeat {
            codec: <K as Keeps<C>>::kept().0,
            workflow: Some(child.plan.name.clone()),
        });
        let (repeat, asked) = (self.inputs.repeat, Arc::new((first, next)));
        self.step.action = Box::new(move |start| {
            let rounds = Rounds::of(start, repeat);
            let (child, asked) = (Arc::clone(&child), Arc::clone(&asked));
            Some(Box::pin(async move {
                let begin = |start: &Start<'_>, last: Option<Output>| {
                    let given = match last {
                        Some(left) => left,
                        None => (asked.0)(start)?,
                    };
                    let (run, context) = (ChildRun::of(start, &child), start.context());
                    let asked = Arc::clone(&asked);
                    Some(Box::pin(async move {
                        let output = run.ended_with(Arc::clone(&given)).await?;
                        let is_other =
                            |_| StepError::message("what its run has is of another type");
                        let ended = RoundRun {
                            context,
                            given: given.downcast().map_err(is_other)?,
                            output: output.downcast().map_err(is_other)?,
                        };
                        // The round is done: another attempt would do it again, in another run.
                        let said = catch_unwind(AssertUnwindSafe(|| (asked.1)(&ended)));
                        let said =
                            said.map_err(|panic| StepError::panicked(&*panic).permanent())?;
                        Ok(match said {
                            ControlFlow::Break(output) => {
                                ControlFlow::Break(Arc::new(output) as Output)
                            }
                            ControlFlow::Continue(next) => {
                                ControlFlow::Continue(Arc::new(next) as Output)
                            }
                        })
                    }) as StepFuture<_>)
                };
                rounds.until_done(begin).await
            }))
        });
        self.add()
    }
}

impl<I, In, U, K> StepBuilder<'_, I, In, U, K> {
    fn of_child<C, T>(
        mut self,
        child: &Workflow<C, K>,
        output: Step<T>,
        input: impl Fn(&Start<'_>) -> Option<Output> + Send + Sync + 'static,
    ) -> Step<T>
    where
        U: Undo<T>,
        K: Keeps<T> + Keeps<C>,
        T: Send + Sync + 'static,
    {
        let child = self.runs(child, output);
        self.step.shape = Some(Shape::Workflow {
            name: child.plan.name.clone(),
        });
        self.step.action = Box::new(move |start| {
            let input = input(start)?;
            Some(Box::pin(ChildRun::of(start, &child).ended_with(input)))
        });
        self.add()
    }

    /// Says of the step that it runs this workflow, and puts out what that step of it does.
    fn runs<C, T>(&mut self, child: &Workflow<C, K>, output: Step<T>) -> Arc<Child>
    where
        K: Keeps<C>,
    {
        let (step, id) = (self.workflow.steps.len(), self.step.id.to_string());
        let chosen = output.index_in(child.identity);
        if chosen.is_none() {
            let id = id.clone();
            self.workflow.faults.push(Fault::ForeignStep { step, id });
        }
        if self.step.heartbeat_timeout.is_some() {
            let id = id.clone();
            let fault = Fault::HeartbeatOfWorkflow { step, id };
            self.workflow.faults.push(fault);
        }
        if !self.step.resources.is_empty() {
            self.workflow
                .faults
                .push(Fault::ResourceOfWorkflow { step, id });
        }
        let child = Arc::new(Child {
            plan: Arc::clone(&child.plan),
            identity: child.identity,
            input: <K as Keeps<C>>::kept().0,
            output: Chosen::Step(chosen.unwrap_or_default()),
        });
        self.timeout.get_or_insert(Duration::MAX);
        self.step.child = Some(Arc::clone(&child));
        child
    }
}
