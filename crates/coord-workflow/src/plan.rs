//! A workflow that is ready to run: immutable, its steps numbered, its edges in flat arrays.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use coord_bus::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};

use crate::child::Child;
use crate::context::Start;
use crate::durable::{Codec, Decode, decode};
use crate::fingerprint::{self, PRINTS};
use crate::hook::Hook;
use crate::part_error::PartError;
use crate::shape::Shape;
use crate::waits::{Listen, Wait};
use crate::{Durable, OnExhausted, OnFailure, RecordFault, Retry, StepError, Volatile};

/// How long one attempt at a step takes at most where nothing else is said.
pub const DEFAULT_STEP_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How long a run takes at most where nothing else is said and it is not kept: a
/// [durable](Workflow::durable) one may wait for weeks, so it has no limit that it was not given.
pub const DEFAULT_WORKFLOW_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// What a step leaves to those that take it as input.
pub(crate) type Output = Arc<dyn Any + Send + Sync>;
pub(crate) type StepFuture<T> = BoxFuture<'static, Result<T, StepError>>;
/// A step's work. `None`: the output of a step that it takes as input is missing.
pub(crate) type Action = Box<dyn Fn(&Start<'_>) -> Option<StepFuture<Output>> + Send + Sync>;
/// A step's condition. `None`, as for [`Action`].
pub(crate) type When = Box<dyn Fn(&Start<'_>) -> Option<StepFuture<bool>> + Send + Sync>;
/// What undoes a step, given its output.
pub(crate) type UndoAction = Box<dyn Fn(&Start<'_>, Output) -> StepFuture<()> + Send + Sync>;

/// Whether an error is worth another attempt.
pub(crate) type RetryIf = Box<dyn Fn(&StepError) -> bool + Send + Sync>;

/// One step of a plan.
pub(crate) struct PlannedStep {
    pub(crate) id: Box<str>,
    /// The steps that end before this one begins, ascending, each once.
    pub(crate) needs: Vec<usize>,
    /// Steps of which one completes before this one begins, ascending, each once: it is skipped when
    /// none does. Where there are none, it does not wait for any.
    pub(crate) needs_any: Vec<usize>,
    /// Those of `needs` whose output it takes: it is skipped when one has none.
    pub(crate) inputs: Vec<usize>,
    /// Those whose output it takes if they have one.
    pub(crate) maybe: Vec<usize>,
    /// Whether it is given what all have put out that it needs, and what it takes of that is its own business.
    pub(crate) is_given_all: bool,
    pub(crate) action: Action,
    /// Whether that begins by reading the inputs: then who calls it still holds the lock that they are under.
    pub(crate) reads_first: bool,
    pub(crate) when: Option<When>,
    pub(crate) undo: Option<UndoAction>,
    /// How often undoing it is tried.
    pub(crate) undo_retry: Retry,
    /// How long one attempt at undoing it takes at most, where that is not as long as an attempt at
    /// the step.
    pub(crate) undo_timeout: Option<Duration>,
    pub(crate) retry: Retry,
    /// After which errors there is another attempt: where nothing is said, after all that are not
    /// permanent.
    pub(crate) retry_if: Option<RetryIf>,
    pub(crate) timeout: Duration,
    /// How long all attempts take at most, with the waits between them.
    pub(crate) total_timeout: Option<Duration>,
    /// For how long an attempt may give no sign of life.
    pub(crate) heartbeat_timeout: Option<Duration>,
    /// What becomes of the run when every attempt has failed.
    pub(crate) on_exhausted: OnExhausted,
    pub(crate) optional: bool,
    /// Whether its failure ends the run at once, whatever the workflow says.
    pub(crate) critical: bool,
    /// How its output is kept, in a durable workflow.
    pub(crate) codec: Option<Codec>,
    /// What it waits for, if that is its work.
    pub(crate) wait: Option<Wait>,
    /// Listens for the event that it waits for, if that is its work.
    pub(crate) listen: Option<Listen>,
    /// What its work is given beside the outputs of others, where that is data: a part of what is
    /// fingerprinted.
    pub(crate) given: Option<Box<str>>,
    /// How many permits it takes of which resources of its orchestrator.
    pub(crate) resources: BTreeMap<String, u32>,
    /// What its work is made of, where it is more than one.
    pub(crate) shape: Option<Shape>,
    /// The workflow that it runs, if that is its work.
    pub(crate) child: Option<Arc<Child>>,
    /// What is called before its end counts.
    pub(crate) hook: Option<Hook>,
}

impl PlannedStep {
    /// A step that does nothing yet, with the default settings.
    pub(crate) fn new(id: &str, needs: Vec<usize>) -> Self {
        Self {
            id: id.into(),
            needs,
            needs_any: Vec::new(),
            inputs: Vec::new(),
            is_given_all: false,
            maybe: Vec::new(),
            action: Box::new(|_| None),
            reads_first: false,
            when: None,
            undo: None,
            undo_retry: Retry::OF_COMPENSATION,
            undo_timeout: None,
            retry: Retry::none(),
            retry_if: None,
            timeout: DEFAULT_STEP_TIMEOUT,
            total_timeout: None,
            heartbeat_timeout: None,
            on_exhausted: OnExhausted::Fail,
            optional: false,
            critical: false,
            resources: BTreeMap::new(),
            codec: None,
            wait: None,
            listen: None,
            given: None,
            shape: None,
            child: None,
            hook: None,
        }
    }

    /// The output as it is kept, if it is, and as it is read from that.
    ///
    /// # Errors
    ///
    /// As [`Codec::keep`].
    #[inline]
    pub(crate) fn keep(
        &self,
        output: &Output,
        max: usize,
    ) -> Result<Option<(Output, Box<str>)>, StepError> {
        let codec = self.codec.as_ref();
        codec.map(|codec| codec.keep(output, max)).transpose()
    }

    /// Whether it takes one of the places that limits are about: one that only waits does not.
    #[inline]
    pub(crate) fn takes_place(&self) -> bool {
        self.wait.is_none() && !self.runs_workflow()
    }

    /// Whether its work is a run of another workflow, or one for each item of a list, or for each round.
    #[inline]
    pub(crate) fn runs_workflow(&self) -> bool {
        self.shape.as_ref().and_then(Shape::workflow).is_some()
    }

    /// Whether that is one for each item, or for each round.
    pub(crate) fn runs_parts(&self) -> bool {
        self.runs_workflow() && self.has_parts()
    }

    /// Whether its work is more than one, items or rounds.
    pub(crate) fn has_parts(&self) -> bool {
        let shape = self.shape.as_ref();
        shape.is_some_and(|shape| !matches!(shape, Shape::Workflow { .. }))
    }

    /// Whether that is one for each round.
    pub(crate) fn runs_rounds(&self) -> bool {
        self.runs_workflow() && matches!(self.shape, Some(Shape::Repeat { .. }))
    }

    /// The signal that it waits for, if that is its work.
    pub(crate) fn signal(&self) -> Option<&str> {
        self.wait.as_ref()?.signal()
    }

    /// The topic of the event that it waits for, if that is its work.
    pub(crate) fn topic(&self) -> Option<&str> {
        self.wait.as_ref()?.topic()
    }

    /// The error of an attempt, or of an item: permanent, where the step does not want another after it.
    /// What items failed with has been asked of each.
    pub(crate) fn judged(&self, error: StepError) -> StepError {
        let Some(retry_if) = &self.retry_if else {
            return error;
        };
        let is_of_items = matches!(error.downcast_ref(), Some(PartError::ItemsFailed { .. }));
        if error.is_permanent() || is_of_items {
            return error;
        }
        // It is somebody's code, and what it left half done is its own.
        match catch_unwind(AssertUnwindSafe(|| retry_if(&error))) {
            Ok(true) => error,
            Ok(false) => error.permanent(),
            Err(panic) => StepError::panicked(&*panic).permanent(),
        }
    }

    /// Whether there is another attempt after so many, the last of which failed with this.
    pub(crate) fn has_another(&self, attempts: u32, error: &StepError) -> bool {
        !error.is_permanent() && attempts < self.retry.max_attempts.get()
    }
}

/// What the plan is of, beside its steps.
pub(crate) struct Plan {
    pub(crate) name: Box<str>,
    pub(crate) steps: Box<[PlannedStep]>,
    pub(crate) concurrency: Option<NonZeroUsize>,
    /// How long a run takes at most, if that is said.
    pub(crate) timeout: Option<Duration>,
    pub(crate) on_failure: OnFailure,
    /// What is called before the end of a run counts.
    pub(crate) hook: Option<Hook>,
    /// What a run stays for, once its steps are over.
    pub(crate) stay: Option<Hook>,
    /// Whether a step waits for an event.
    pub(crate) listens: bool,
    /// What the first record of a run has of the steps, once a run has been kept.
    kept_steps: OnceLock<Box<RawValue>>,
    /// What each step waits for: the number of steps that it needs, and one more if it needs any of
    /// some.
    needs: Box<[u32]>,
    needed_by: NeededBy,
    any_needed_by: NeededBy,
}

/// The steps that need step `n` are `steps[starts[n]..starts[n + 1]]`.
struct NeededBy {
    starts: Box<[u32]>,
    steps: Box<[u32]>,
}

impl NeededBy {
    fn new<'p>(planned: &'p [PlannedStep], needs: fn(&'p PlannedStep) -> &'p [usize]) -> Self {
        let mut starts = vec![0_u32; planned.len() + 1];
        for need in planned.iter().flat_map(needs) {
            starts[need + 1] += 1;
        }
        for step in 0..planned.len() {
            starts[step + 1] += starts[step];
        }
        let mut next = starts.clone();
        let mut steps = vec![0; starts[planned.len()] as usize];
        for (index, step) in planned.iter().enumerate() {
            for &need in needs(step) {
                steps[next[need] as usize] = index as u32;
                next[need] += 1;
            }
        }
        Self {
            starts: starts.into(),
            steps: steps.into(),
        }
    }

    fn of(&self, step: usize) -> &[u32] {
        &self.steps[self.starts[step] as usize..self.starts[step + 1] as usize]
    }
}

impl PlannedStep {
    /// The steps whose outputs it is given.
    pub(crate) fn givers(&self) -> impl Iterator<Item = usize> {
        let (some, others) = match self.is_given_all {
            true => (&self.needs, &self.needs_any),
            false => (&self.inputs, &self.maybe),
        };
        some.iter().chain(others).copied()
    }
}

impl Plan {
    /// A plan of steps whose needs are known to be steps, none of which waits for itself.
    pub(crate) fn new(
        name: Box<str>,
        steps: Vec<PlannedStep>,
        concurrency: Option<NonZeroUsize>,
        timeout: Option<Duration>,
    ) -> Self {
        let needs = steps
            .iter()
            .map(|step| step.needs.len() as u32 + u32::from(!step.needs_any.is_empty()))
            .collect();
        let needed_by = NeededBy::new(&steps, |step| &step.needs);
        let any_needed_by = NeededBy::new(&steps, |step| &step.needs_any);
        let listens = steps.iter().any(|step| step.listen.is_some());
        Self {
            name,
            steps: steps.into(),
            concurrency,
            timeout,
            on_failure: OnFailure::FailFast,
            hook: None,
            stay: None,
            listens,
            kept_steps: OnceLock::new(),
            needs,
            needed_by,
            any_needed_by,
        }
    }

    /// Whether a run is stopped at once when this step, which is not optional, has failed.
    pub(crate) fn stops_at(&self, step: usize) -> bool {
        self.on_failure.is_fail_fast() || self.steps[step].critical
    }

    /// Its steps, as the first record of a run has them.
    pub(crate) fn kept_steps(&self) -> Result<&RawValue, RecordFault> {
        if let Some(kept) = self.kept_steps.get() {
            return Ok(kept);
        }
        let steps = to_raw_value(&fingerprint::steps(self, PRINTS));
        let steps = steps.map_err(RecordFault::Unwritable)?;
        Ok(self.kept_steps.get_or_init(|| steps))
    }

    /// How long a run of it takes at most: one that is kept has no limit where none was given.
    pub(crate) fn time_limit(&self, is_durable: bool) -> Option<Duration> {
        let default = (!is_durable).then_some(DEFAULT_WORKFLOW_TIMEOUT);
        self.timeout.or(default)
    }

    /// The index of the step of this id.
    pub(crate) fn place(&self, id: &str) -> Option<usize> {
        self.steps.iter().position(|step| *step.id == *id)
    }

    pub(crate) fn needs(&self) -> &[u32] {
        &self.needs
    }

    pub(crate) fn needed_by(&self, step: usize) -> &[u32] {
        self.needed_by.of(step)
    }

    /// Whether some step needs any of others.
    pub(crate) fn has_any(&self) -> bool {
        !self.any_needed_by.steps.is_empty()
    }

    /// The steps that need any of some, this one among them.
    pub(crate) fn any_needed_by(&self, step: usize) -> &[u32] {
        self.any_needed_by.of(step)
    }

    /// All steps, each after those that it needs.
    pub(crate) fn order(&self) -> Vec<usize> {
        let needs = |step: &PlannedStep| step.needs.len() + step.needs_any.len();
        let mut missing: Vec<usize> = self.steps.iter().map(needs).collect();
        let mut order = Vec::with_capacity(self.steps.len());
        order.extend((0..self.steps.len()).filter(|step| missing[*step] == 0));
        let mut next = 0;
        while let Some(&step) = order.get(next) {
            next += 1;
            for &waiting in self.needed_by(step).iter().chain(self.any_needed_by(step)) {
                missing[waiting as usize] -= 1;
                if missing[waiting as usize] == 0 {
                    order.push(waiting as usize);
                }
            }
        }
        order
    }
}

/// A workflow as it is run, whatever it is started with.
#[derive(Clone, Copy)]
pub(crate) struct Definition<'d> {
    pub(crate) plan: &'d Arc<Plan>,
    pub(crate) identity: u64,
    /// How what it is started with is read, in a durable one.
    pub(crate) decode: Option<Decode>,
}

/// A workflow that can be run any number of times, also at once. Cheap to clone.
///
/// `I` is what a run of it is started with.
///
/// Whether its runs are kept in a journal is in its type: `K` is [`Volatile`] or
/// [`Durable`](crate::Durable).
pub struct Workflow<I = (), K = Volatile> {
    pub(crate) plan: Arc<Plan>,
    /// What its step handles carry, so that one of another workflow is told from its own.
    pub(crate) identity: u64,
    pub(crate) types: PhantomData<fn(I, K)>,
}

impl<I, K> Workflow<I, K> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// The ids of its steps, in the order in which they were given.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = &str> {
        self.plan.steps.iter().map(|step| &*step.id)
    }
}

impl<I, K> Workflow<I, K> {
    /// As it is run in memory.
    pub(crate) fn definition(&self) -> Definition<'_> {
        Definition {
            plan: &self.plan,
            identity: self.identity,
            decode: None,
        }
    }
}

impl<I: DeserializeOwned + Send + Sync + 'static> Workflow<I, Durable> {
    /// As it is run with a journal.
    pub(crate) fn durable_definition(&self) -> Definition<'_> {
        Definition {
            decode: Some(decode::<I>),
            ..self.definition()
        }
    }
}

impl<I, K> Clone for Workflow<I, K> {
    fn clone(&self) -> Self {
        Self {
            plan: Arc::clone(&self.plan),
            identity: self.identity,
            types: PhantomData,
        }
    }
}

impl<I, K> fmt::Debug for Workflow<I, K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Workflow")
            .field("name", &self.plan.name)
            .field("steps", &self.plan.steps.len())
            .finish_non_exhaustive()
    }
}
