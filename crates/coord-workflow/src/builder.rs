//! The typed builder: steps that take the outputs of earlier steps, checked by the compiler.

mod child;
mod each;
mod failing;
mod repeat;
mod undo;
mod waiting;

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Start;
use crate::handle::{InputPlace, Inputs, Place, Step};
use crate::name::is_name;
use crate::plan::{Output, Plan, PlannedStep, When};
use crate::waits::{self, Wait};
use crate::{
    AttemptError, Durable, Fault, Faults, Keeps, OnFailure, Retry, Signal, StepContext, StepError,
    Volatile, Workflow,
};

pub use each::Each;
pub use repeat::Repeating;
pub use undo::{NoUndo, Undo, UndoWith, Undoing};

/// Builds a [`Workflow`], step by step. Made by [`Workflow::builder`].
///
/// `K` says whether its runs are kept in a journal: [`Volatile`] or [`Durable`].
pub struct WorkflowBuilder<I, K = Volatile> {
    identity: u64,
    name: String,
    steps: Vec<PlannedStep>,
    concurrency: Option<NonZeroUsize>,
    timeout: Option<Duration>,
    on_failure: OnFailure,
    faults: Vec<Fault>,
    types: PhantomData<fn(I, K)>,
}

/// An identity for each builder, so that a handle is not taken for one of another workflow.
static NEXT_IDENTITY: AtomicU64 = AtomicU64::new(1);

pub(crate) fn new_identity() -> u64 {
    NEXT_IDENTITY.fetch_add(1, Ordering::Relaxed)
}

impl<I: Send + Sync + 'static> Workflow<I> {
    /// Begins a workflow of this name. What `I` is follows from what runs are started with.
    pub fn builder(name: impl Into<String>) -> WorkflowBuilder<I> {
        WorkflowBuilder::new(name.into())
    }

    /// Begins a workflow of this name whose runs are kept in a journal, and outlive their process.
    /// What its steps put out is written as JSON.
    ///
    /// That it is durable is in the type of what is built, `Workflow<I, Durable>`, and not to be said where it begins:
    /// where an input is to be named, it is `Workflow::<u64>::durable("order")`.
    ///
    /// They are kept if they are begun with [`start_durable`](crate::WorkflowOrchestrator::start_durable): by
    /// [`start_workflow`](crate::WorkflowOrchestrator::start_workflow) and
    /// [`execute_workflow`](crate::WorkflowOrchestrator::execute_workflow) they are not.
    pub fn durable(name: impl Into<String>) -> WorkflowBuilder<I, Durable> {
        WorkflowBuilder::new(name.into())
    }
}

impl<I: Send + Sync + 'static, K> WorkflowBuilder<I, K> {
    fn new(name: String) -> Self {
        Self {
            identity: new_identity(),
            name,
            steps: Vec::new(),
            concurrency: None,
            timeout: None,
            on_failure: OnFailure::FailFast,
            faults: Vec::new(),
            types: PhantomData,
        }
    }

    /// A handle of what each run is started with, to be taken as input like a step's output.
    pub fn input(&self) -> Step<I> {
        Step {
            place: Place {
                workflow: self.identity,
                step: None,
            },
            output: PhantomData,
        }
    }

    /// With at most this many steps at once; the orchestrator's own limit applies too.
    ///
    /// What only waits takes no place, and begins whatever runs: a step that [sleeps](StepBuilder::sleep), waits for a
    /// [signal](StepBuilder::signal) or an [event](StepBuilder::wait_for), or whose work is a
    /// [run](StepBuilder::workflow), or several. Neither does a step between two attempts; when the wait is over, it
    /// waits for a place again, and goes before later steps.
    #[must_use]
    pub fn concurrency(mut self, steps: NonZeroUsize) -> Self {
        self.concurrency = Some(steps);
        self
    }

    /// With this limit to a run's time. Without, one that is kept has none, and any other
    /// [`DEFAULT_WORKFLOW_TIMEOUT`](crate::DEFAULT_WORKFLOW_TIMEOUT). It counts by the clock on the
    /// wall from the start of the run, also while a durable run is interrupted and nobody drives it, or the machine
    /// that drives it sleeps; not while it, or a run within it, is paused for a step that is [exhausted](crate::OnExhausted::Pause).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Begins a step. It is added by [`run`](StepBuilder::run).
    pub fn step(&mut self, id: impl Into<String>) -> StepBuilder<'_, I, NoInput, NoUndo, K> {
        StepBuilder {
            step: PlannedStep::new(&id.into(), Vec::new()),
            timeout: None,
            workflow: self,
            inputs: NoInput,
            undo: NoUndo,
        }
    }

    /// The workflow, ready to run.
    ///
    /// # Errors
    ///
    /// Every fault at once: names that are none, ids given twice, handles of other workflows.
    pub fn build(self) -> Result<Workflow<I, K>, Faults> {
        let mut faults = Vec::new();
        if !is_name(&self.name) {
            faults.push(Fault::InvalidName {
                name: self.name.clone(),
            });
        }
        if self.steps.is_empty() {
            faults.push(Fault::NoSteps);
        }
        let mut ids = HashMap::with_capacity(self.steps.len());
        for (index, step) in self.steps.iter().enumerate() {
            if !is_name(&step.id) {
                faults.push(Fault::InvalidId {
                    step: index,
                    id: step.id.to_string(),
                });
            }
            let first = *ids.entry(&step.id).or_insert(index);
            if first != index {
                faults.push(Fault::DuplicateId {
                    first,
                    second: index,
                    id: step.id.to_string(),
                });
            }
        }
        faults.extend(self.faults);
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        let name = self.name.into();
        let mut plan = Plan::new(name, self.steps, self.concurrency, self.timeout);
        plan.on_failure = self.on_failure;
        Ok(Workflow {
            plan: Arc::new(plan),
            identity: self.identity,
            types: PhantomData,
        })
    }
}

impl<I, K> fmt::Debug for WorkflowBuilder<I, K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WorkflowBuilder")
            .field("name", &self.name)
            .field("steps", &self.steps.len())
            .finish_non_exhaustive()
    }
}

/// A step without inputs.
#[derive(Debug)]
pub struct NoInput;

/// One step on its way into a workflow. Made by [`WorkflowBuilder::step`].
///
/// What says what the step takes and does ([`input`](Self::input), [`compensate`](Self::compensate),
/// [`for_each`](Self::for_each), [`repeat`](Self::repeat)) makes another type of it. All else leaves it what it is, and so
/// may be said under a condition: `if is_slow { step = step.timeout(HOUR) }`. Where more than that depends on
/// data, so may the whole workflow: see [`Spec`](crate::Spec).
#[must_use = "a step is added by `run`"]
pub struct StepBuilder<'w, I, In, U, K = Volatile> {
    workflow: &'w mut WorkflowBuilder<I, K>,
    step: PlannedStep,
    timeout: Option<Duration>,
    inputs: In,
    undo: U,
}

impl<'w, I, In, U, K> StepBuilder<'w, I, In, U, K> {
    /// After another step has ended, whether or not it did anything: an optional step that
    /// failed, or one that was skipped, is no reason to wait.
    pub fn after<T>(mut self, step: &Step<T>) -> Self {
        self.need(step.place);
        self
    }

    /// As soon as one of these has completed, whatever becomes of the others, which go on; skipped
    /// when all of them have ended and none has completed: they failed, and were optional, or were
    /// skipped. Called again, it adds to these.
    ///
    /// What is named by [`after`](Self::after) or taken as input is waited for as well.
    ///
    /// ```
    /// # use coord_workflow::{StepError, Workflow};
    /// # async fn ask(mirror: &str) -> Result<(), StepError> { Ok(()) }
    /// # async fn unpack() -> Result<(), StepError> { Ok(()) }
    /// let mut workflow = Workflow::<()>::builder("install");
    /// let near = workflow.step("near").optional().run(|| ask("near.example"));
    /// let far = workflow.step("far").optional().run(|| ask("far.example"));
    /// workflow.step("unpack").after_any([&near, &far]).run(unpack);
    /// # workflow.build().unwrap();
    /// ```
    pub fn after_any<'s, T: 's>(mut self, steps: impl IntoIterator<Item = &'s Step<T>>) -> Self {
        for step in steps {
            if let Some(step) = self.own(step.place) {
                insert(&mut self.step.needs_any, step);
            }
        }
        self
    }

    /// Tried again when it fails. Without this, the first failure is the last.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.step.retry = retry;
        self
    }

    /// With another limit to one attempt's time than [`DEFAULT_STEP_TIMEOUT`](crate::DEFAULT_STEP_TIMEOUT).
    /// It begins anew with each attempt; waits between attempts are none of it. What it is the limit of depends
    /// on what the step does:
    ///
    /// | the step | has the limit for | without one, it has |
    /// |---|---|---|
    /// | [runs](Self::run) a function | one attempt | `DEFAULT_STEP_TIMEOUT` |
    /// | runs it [for each](Self::for_each) item of a list | one attempt at all items that are left | the same |
    /// | [repeats](Self::repeat) it, or another workflow | each round: all rounds together have only that of the run | the same; that of the other workflow |
    /// | runs [another workflow](Self::workflow) | the run of that, which is cancelled and undone then | that of the other workflow |
    /// | waits for a [signal](Self::signal), an [event](Self::wait_for) or a [time](Self::sleep) | the wait, which goes on while nobody drives the run | none |
    ///
    /// All of them end with the step's [total timeout](Self::total_timeout), which is that of all attempts, and with the
    /// run's own [timeout](WorkflowBuilder::timeout). An attempt at undoing the step has
    /// the same limit where [`compensation_timeout`](Self::compensation_timeout) sets no other.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Free to fail: its failure harms neither the run nor the steps after it. Those that take
    /// its output as input are skipped.
    pub fn optional(mut self) -> Self {
        (self.step.optional, self.step.critical) = (true, false);
        self
    }

    /// With this many permits of a [resource](crate::OrchestratorBuilder::resource) of the
    /// orchestrator, from before its condition is asked until it has ended, waits between attempts
    /// included. Until there are enough it waits, and those that came first are first; meanwhile other
    /// steps of the run begin. Asked again for the same resource, the later number counts; 0 is none.
    ///
    /// Where the orchestrator has no such resource, or less of it, no run is started.
    pub fn resource(mut self, name: impl Into<String>, permits: u32) -> Self {
        let name = name.into();
        match permits {
            0 => self.step.resources.remove(&name),
            _ => self.step.resources.insert(name, permits),
        };
        self
    }

    fn waits(mut self, wait: Wait) -> Self {
        self.step.wait = Some(wait);
        self.timeout.get_or_insert(Duration::MAX);
        self
    }

    fn need(&mut self, place: Place) -> Option<usize> {
        let step = self.own(place)?;
        insert(&mut self.step.needs, step);
        Some(step)
    }

    /// The step at a place, if it is one of this workflow.
    fn own(&mut self, place: Place) -> Option<usize> {
        if place.workflow != self.workflow.identity {
            self.workflow.faults.push(Fault::ForeignStep {
                step: self.workflow.steps.len(),
                id: self.step.id.to_string(),
            });
            return None;
        }
        place.step
    }

    fn begin<T, E, F, Fut>(mut self, begin: F) -> Step<T>
    where
        U: Undo<T>,
        K: Keeps<T>,
        F: Fn(&Start<'_>) -> Option<Fut> + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + Sync + 'static,
        E: Into<StepError> + 'static,
    {
        self.step.action = Box::new(move |start| Some(Box::pin(erase(begin(start)?))));
        self.add()
    }

    /// Adds the step, whose work is known.
    fn add<T>(mut self) -> Step<T>
    where
        U: Undo<T>,
        K: Keeps<T>,
    {
        self.step.undo = self.undo.erased().action();
        self.step.codec = K::kept().0;
        if let Some(timeout) = self.timeout {
            self.step.timeout = timeout;
        }
        // Only now it is known which of them are waited for in another way.
        for step in &self.step.maybe {
            if !self.step.needs_any.contains(step) {
                insert(&mut self.step.needs, *step);
            }
        }
        let place = Place {
            workflow: self.workflow.identity,
            step: Some(self.workflow.steps.len()),
        };
        self.workflow.steps.push(self.step);
        Step {
            place,
            output: PhantomData,
        }
    }
}

impl<I, In> StepBuilder<'_, I, In, NoUndo, Durable> {
    /// Adds the step: it waits for this [`Signal`], or for one of this name, which is sent with
    /// [`Command::Signal`](crate::Command::Signal), and puts out what goes with it. There is no
    /// limit to its time but the run's, where none is set.
    ///
    /// It takes no place from steps that work, where they are limited. Of several steps that wait for
    /// the same name, each takes a signal of its own. What cannot be
    /// read as a `T` fails the attempt, and is used up: another attempt waits for the next signal.
    pub fn signal<T>(mut self, signal: impl Into<Signal<T>>) -> Step<T>
    where
        T: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let name = Box::from(signal.into().name());
        self.step.action = waits::signal(&name, |name, payload| match T::deserialize(&*payload) {
            Ok(read) => Ok(Arc::new(read)),
            Err(error) => Err(AttemptError::payload::<T>(name, &error).into()),
        });
        self.waits(Wait::Signal(name)).add()
    }

    /// Adds the step: it waits for so long. The time is counted from when it first began, by the
    /// clock on the wall in a durable run, so it goes on while that is interrupted, and while the machine sleeps: it
    /// is over a minute late then at most. There is no limit to it but the run's, and it takes no place from steps
    /// that work.
    pub fn sleep(mut self, wait: Duration) -> Step<()> {
        self.step.action = waits::sleep(wait, || Arc::new(()));
        self.waits(Wait::Sleep(wait)).add()
    }
}

impl<'w, I, U, K> StepBuilder<'w, I, NoInput, U, K> {
    /// After these, and with their outputs: see [`Inputs`]. When one of them has none, because it
    /// was skipped or is optional and failed, this step is skipped too, unless that is
    /// [`maybe`](Step::maybe) there.
    pub fn input<In: Inputs>(mut self, inputs: In) -> StepBuilder<'w, I, In, U, K> {
        let mut places = Vec::new();
        inputs.places(&mut places);
        for InputPlace { place, is_maybe } in places {
            match self.own(place) {
                Some(step) if is_maybe => self.step.maybe.push(step),
                Some(step) => {
                    insert(&mut self.step.needs, step);
                    self.step.inputs.push(step);
                }
                None => {}
            }
        }
        StepBuilder {
            workflow: self.workflow,
            step: self.step,
            timeout: self.timeout,
            inputs,
            undo: self.undo,
        }
    }

    /// Only if this says so, once everything that it needs has ended; else it is skipped.
    pub fn when(mut self, condition: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.step.when = Some(decide(move |_| Some(condition())));
        self
    }

    /// The same, and is told of which run it is a step: by the [id](StepContext::run) of that it may choose some of
    /// all runs, say.
    pub fn when_with(
        mut self,
        condition: impl Fn(StepContext) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.step.when = Some(decide(move |start| Some(condition(start.context()))));
        self
    }

    /// Adds the step: this function is its work.
    pub fn run<T, E, F, Fut>(self, work: F) -> Step<T>
    where
        U: Undo<T>,
        K: Keeps<T>,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + Sync + 'static,
        E: Into<StepError> + 'static,
    {
        self.begin(move |_| Some(work()))
    }

    /// Adds the step: this function is its work, and is told which attempt it is and when to stop.
    pub fn run_with<T, E, F, Fut>(self, work: F) -> Step<T>
    where
        U: Undo<T>,
        K: Keeps<T>,
        F: Fn(StepContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + Sync + 'static,
        E: Into<StepError> + 'static,
    {
        self.begin(move |start| Some(work(start.context())))
    }
}

impl<'w, I, In: Inputs, U, K> StepBuilder<'w, I, In, U, K>
where
    In: Clone,
{
    /// Only if this says so of the inputs; else it is skipped.
    pub fn when(mut self, condition: impl Fn(&In::Values) -> bool + Send + Sync + 'static) -> Self {
        let inputs = self.inputs.clone();
        self.step.when = Some(decide(move |start| {
            Some(condition(&start.values(&inputs)?))
        }));
        self
    }

    /// The same, and is told of which run it is a step.
    pub fn when_with(
        mut self,
        condition: impl Fn(StepContext, &In::Values) -> bool + Send + Sync + 'static,
    ) -> Self {
        let inputs = self.inputs.clone();
        self.step.when = Some(decide(move |start| {
            let values = start.values(&inputs)?;
            Some(condition(start.context(), &values))
        }));
        self
    }

    /// Adds the step: this function of the inputs is its work.
    pub fn run<T, E, F, Fut>(mut self, work: F) -> Step<T>
    where
        U: Undo<T>,
        K: Keeps<T>,
        F: Fn(In::Values) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + Sync + 'static,
        E: Into<StepError> + 'static,
    {
        let inputs = self.inputs.clone();
        self.step.reads_first = true;
        self.begin(move |start| Some(work(start.values(&inputs)?)))
    }

    /// Adds the step: this function of the inputs is its work, and is told which attempt it is
    /// and when to stop.
    pub fn run_with<T, E, F, Fut>(mut self, work: F) -> Step<T>
    where
        U: Undo<T>,
        K: Keeps<T>,
        F: Fn(StepContext, In::Values) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + Sync + 'static,
        E: Into<StepError> + 'static,
    {
        let inputs = self.inputs.clone();
        self.step.reads_first = true;
        self.begin(move |start| {
            let values = start.values(&inputs)?;
            Some(work(start.context(), values))
        })
    }
}

/// Adds to what is ascending, and in it once.
fn insert(steps: &mut Vec<usize>, step: usize) {
    if let Err(at) = steps.binary_search(&step) {
        steps.insert(at, step);
    }
}

async fn erase<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<Output, StepError>
where
    T: Any + Send + Sync,
    E: Into<StepError>,
{
    match work.await {
        Ok(output) => Ok(Arc::new(output)),
        Err(error) => Err(error.into()),
    }
}

fn decide(condition: impl Fn(&Start<'_>) -> Option<bool> + Send + Sync + 'static) -> When {
    Box::new(move |start| {
        let answer = condition(start)?;
        Some(Box::pin(std::future::ready(Ok(answer))))
    })
}
