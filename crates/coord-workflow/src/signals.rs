//! What a run is told from outside: signals, which steps wait for, and commands.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coord_bus::text::nearest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

use crate::course::Course;
use crate::plan::Plan;
use crate::{RunId, WorkflowError};

/// How many signals of a run may wait for a step to take them, of each name.
pub const MAX_SIGNALS: usize = 1_000;

/// A signal, and what goes with it: said once, so that who sends it and the step that waits for it mean the same.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use std::sync::Arc;
/// # use coord_bus::{LocalBus, MemoryEventLog, MemoryLeases};
/// # use coord_workflow::{RunId, RunJournal, Signal, Workflow, WorkflowOrchestrator};
/// # let journal = RunJournal::new(Arc::new(MemoryEventLog::new()), Arc::new(MemoryLeases::new()));
/// # let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new()).journal(journal.clone()).build()?;
/// const APPROVED: Signal<String> = Signal::new("approved");
///
/// let mut workflow = Workflow::durable("expense");
/// let approval = workflow.step("approval").signal(&APPROVED);
/// let workflow = workflow.build()?;
/// let id = RunId::named("expense-4")?;
/// let run = orchestrator.start_durable(&workflow, id.clone(), ()).await?;
///
/// journal.tell(&id, APPROVED.with("ada".to_owned())?).await?;
/// assert_eq!(*run.outcome().await?.output(&approval).unwrap(), "ada");
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct Signal<T> {
    name: Cow<'static, str>,
    payload: PhantomData<fn(T) -> T>,
}

impl<T> Signal<T> {
    /// The one of this name.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            payload: PhantomData,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The command that sends it with this.
    ///
    /// # Errors
    ///
    /// Where that cannot be written as JSON, or not be read again as a `T`: the step would fail that takes it.
    pub fn with(&self, payload: T) -> Result<Command, serde_json::Error>
    where
        T: Serialize + DeserializeOwned,
    {
        let payload = serde_json::to_value(payload)?;
        T::deserialize(&payload)?;
        Ok(Command::Signal {
            name: self.name().to_owned(),
            payload,
            id: None,
        })
    }

    /// The same, for who may have to send it again: of those with one id the run has only the first.
    ///
    /// # Errors
    ///
    /// As for [`with`](Self::with).
    pub fn with_id(&self, id: impl Into<String>, payload: T) -> Result<Command, serde_json::Error>
    where
        T: Serialize + DeserializeOwned,
    {
        let mut command = self.with(payload)?;
        if let Command::Signal { id: of_command, .. } = &mut command {
            *of_command = Some(id.into());
        }
        Ok(command)
    }
}

impl<T> From<&Signal<T>> for Signal<T> {
    fn from(signal: &Self) -> Self {
        let name = signal.name.clone();
        let payload = PhantomData;
        Self { name, payload }
    }
}

impl<T> From<&str> for Signal<T> {
    fn from(name: &str) -> Self {
        name.to_owned().into()
    }
}

impl<T> From<String> for Signal<T> {
    fn from(name: String) -> Self {
        let name = Cow::Owned(name);
        let payload = PhantomData;
        Self { name, payload }
    }
}

impl<T> fmt::Debug for Signal<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Signal").field(&self.name).finish()
    }
}

/// What a run is told, by whoever knows its id.
///
/// A command to a durable run is a record of the run: it is followed by who drives the run, in
/// whichever process that is, or when the run is resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Command {
    /// Nothing further begins, what runs is stopped, and what had completed is undone. A run that is done but for its
    /// hook completes all the same; who tells it in the process that drives it is refused.
    Cancel {
        /// Why, for whoever looks at the run later: it is its [error](crate::RunView::error). Where it was cancelled
        /// before, that stays as it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// No step begins any more, also of the runs that are [within](crate::StepBuilder::workflow) this one; what
    /// runs goes on, its retries too. Of a step that runs, no further [item](crate::StepBuilder::for_each) of its list
    /// begins, and no further [round](crate::StepBuilder::repeat), also not in another attempt: those that run go on.
    /// The run's timeout goes on, and so do theirs, and those of attempts.
    Pause,
    /// Steps begin again, also of the runs within this one that were not told to pause themselves; and steps of
    /// this run that are exhausted have all their attempts again.
    Continue,
    /// A step counts as skipped, as if its condition had said no: what needs it goes on, and what takes
    /// its output is skipped, too. That is so at once where it has not begun, waits for its next attempt,
    /// for a signal, an event or a time, or where every attempt at it has failed and the run is paused
    /// for it. An attempt that is under way is not stopped: what it completes is completed, and if it
    /// fails, the step is skipped, also where its hook is just being told so. One that was under way when its process ended, or its orchestrator was shut down, is
    /// not made again: a run that was its work is cancelled, and undone, first.
    Skip {
        /// Its id.
        step: String,
    },
    /// Here is what a step waits for. A signal whose step has not begun yet is kept until it does, within
    /// [`MAX_SIGNALS`]; one that no step of the run waits for is refused. It is taken by one attempt, and used up also
    /// where that cannot read its payload.
    Signal {
        /// Which.
        name: String,
        /// What goes with it.
        #[serde(default)]
        payload: Value,
        /// What tells it from another of its name, if who sends it may have to send it again, not knowing whether it
        /// was kept: that of a message, say. Of those with one id the run has only the first; another payload under
        /// it is refused ([`OtherSignal`](WorkflowError::OtherSignal)). A [retry](crate::WorkflowOrchestrator::retry_run)
        /// that does the step anew which took it forgets the id: the message may be delivered again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
    /// The program that drives the run is to do something with a step: it is
    /// [told](crate::Run::next_action), and nothing else follows from it.
    Act(StepAction),
}

impl Command {
    /// The name of the signal that it is, if it is one.
    pub(crate) fn signal(&self) -> Option<&str> {
        match self {
            Self::Signal { name, .. } => Some(name),
            _ => None,
        }
    }

    /// The same, with its id, if it has one, and what goes with it.
    pub(crate) fn identified(&self) -> Option<Identified<'_>> {
        match self {
            Self::Signal {
                name,
                payload,
                id: Some(id),
            } => Some(Identified { name, id, payload }),
            _ => None,
        }
    }

    /// Whether it is refused in some runs that have not finished, which are looked at before they are told.
    pub(crate) fn is_checked(&self) -> bool {
        matches!(self, Self::Skip { .. } | Self::Act(_) | Self::Pause)
    }
}

/// A signal with an id.
#[derive(Clone, Copy)]
pub(crate) struct Identified<'a> {
    pub(crate) name: &'a str,
    id: &'a str,
    payload: &'a Value,
}

impl Identified<'_> {
    /// Whether this one is the other, sent again: `false` of another one.
    pub(crate) fn is_again(self, other: Self, run: &RunId) -> Result<bool, WorkflowError> {
        if (self.name, self.id) != (other.name, other.id) {
            return Ok(false);
        }
        if self.payload == other.payload {
            return Ok(true);
        }
        Err(WorkflowError::OtherSignal {
            run: run.to_string(),
            signal: self.name.to_owned(),
            id: self.id.to_owned(),
        })
    }
}

/// What the program that drives a run is to do with a step, which the workflow engine knows nothing of: to
/// end its process and begin it again, say.
///
/// It is about what is under way. So a run that nobody drives is told of none
/// ([`WorkflowError::NotDriven`](crate::WorkflowError::NotDriven)), and who takes up a run learns of none that
/// came before: what they were about has ended with the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StepAction {
    /// The id of the step.
    pub step: String,
    /// What is to be done, in the words of that program. One that it does not know it should ignore: it may
    /// be of a later version.
    pub action: String,
}

impl StepAction {
    /// To do this with that step.
    pub fn new(step: impl Into<String>, action: impl Into<String>) -> Self {
        Self {
            step: step.into(),
            action: action.into(),
        }
    }
}

impl Plan {
    /// That a step of a run of it waits for this signal, now or later.
    pub(crate) fn check_signal(&self, run: &RunId, name: &str) -> Result<(), WorkflowError> {
        let mut awaited: Vec<_> = self.steps.iter().filter_map(|step| step.signal()).collect();
        if awaited.contains(&name) {
            return Ok(());
        }
        awaited.sort_unstable();
        awaited.dedup();
        Err(WorkflowError::NoSuchSignal {
            run: run.to_string(),
            signal: name.to_owned(),
            nearest: nearest(name, awaited.iter().copied()).map(str::to_owned),
            awaited: awaited.into_iter().map(str::to_owned).collect(),
        })
    }
}

/// Which of the signals of its name one is, from 1 on, in the order in which they are kept: so who
/// resumes a run counts them alike.
pub(crate) type SignalNumber = NonZeroU64;

/// The signals of a run that no step has taken: each is taken by one step, the earlier ones first.
#[derive(Default)]
pub(crate) struct Signals {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    by_name: HashMap<String, Named>,
    /// Which signal the attempt at a step has taken that has not ended yet.
    taken: BTreeMap<usize, SignalNumber>,
    /// Which ones each step had taken before the run was interrupted.
    used: BTreeMap<usize, Vec<SignalNumber>>,
}

/// The signals of a name.
#[derive(Default)]
struct Named {
    /// How many have come.
    came: u64,
    /// Those that had an id, by it.
    identified: HashMap<String, (SignalNumber, Arc<Value>)>,
    waiting: VecDeque<(SignalNumber, Arc<Value>)>,
}

impl Signals {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A signal has come. One whose id has come before is none.
    pub(crate) fn arrive(&self, name: String, payload: Value, id: Option<String>) {
        let mut state = self.state();
        let named = state.by_name.entry(name).or_default();
        if id
            .as_ref()
            .is_some_and(|id| named.identified.contains_key(id))
        {
            return;
        }
        let number = SignalNumber::MIN.saturating_add(named.came);
        named.came += 1;
        let came = (number, Arc::new(payload));
        named.identified.extend(id.map(|id| (id, came.clone())));
        named.waiting.push_back(came);
        drop(state);
        self.arrived.notify_waiters();
    }

    /// Whether one of this name and id has come.
    pub(crate) fn has_come(&self, name: &str, id: &str) -> bool {
        let state = self.state();
        let named = state.by_name.get(name);
        named.is_some_and(|named| named.identified.contains_key(id))
    }

    /// Whether this command is a signal that has come, sent again: another one of its id is refused.
    pub(crate) fn is_again(&self, command: &Command, run: &RunId) -> Result<bool, WorkflowError> {
        let Some(sent) = command.identified() else {
            return Ok(false);
        };
        let state = self.state();
        let named = state.by_name.get(sent.name);
        let came = named.and_then(|named| named.identified.get(sent.id));
        came.map_or(Ok(false), |(_, payload)| {
            sent.is_again(Identified { payload, ..sent }, run)
        })
    }

    /// Whether there may be one more of this name, beside so many that are on their way: who sends one is to
    /// ask.
    pub(crate) fn has_room(&self, name: &str, coming: usize) -> bool {
        let state = self.state();
        let waiting = state.by_name.get(name);
        waiting.map_or(0, |named| named.waiting.len()) + coming < MAX_SIGNALS
    }

    /// Forgets one that was taken by a step before the run was interrupted.
    pub(crate) fn forget(&self, name: &str, number: SignalNumber, step: usize) {
        let mut state = self.state();
        state.used.entry(step).or_default().push(number);
        if let Some(named) = state.by_name.get_mut(name) {
            named.waiting.retain(|(waiting, _)| *waiting != number);
        }
    }

    /// The same, of one that was taken before it was kept which it was.
    pub(crate) fn forget_first(&self, name: &str) {
        if let Some(named) = self.state().by_name.get_mut(name) {
            named.waiting.pop_front();
        }
    }

    /// The run is retried: what was taken by steps that are not over any more may be sent again, with its ids.
    pub(crate) fn begin_anew(&self, plan: &Plan, course: &Course) {
        let State { by_name, used, .. } = &mut *self.state();
        used.retain(|step, numbers| {
            let is_over = course.steps()[*step].phase.is_over();
            if let Some(name) = plan.steps[*step].signal()
                && let Some(named) = by_name.get_mut(name).filter(|_| !is_over)
            {
                let identified = &mut named.identified;
                identified.retain(|_, (number, _)| !numbers.contains(number));
            }
            is_over
        });
    }

    /// Which one an attempt at this step has taken, at its end.
    pub(crate) fn taken(&self, step: usize) -> Option<SignalNumber> {
        self.state().taken.remove(&step)
    }

    fn take(&self, name: &str, step: usize) -> Option<Arc<Value>> {
        let mut state = self.state();
        let (number, payload) = state.by_name.get_mut(name)?.waiting.pop_front()?;
        state.taken.insert(step, number);
        Some(payload)
    }

    /// Waits for one, for a step.
    pub(crate) async fn next(&self, name: &str, step: usize) -> Arc<Value> {
        loop {
            let arrived = self.arrived.notified();
            if let Some(payload) = self.take(name, step) {
                return payload;
            }
            arrived.await;
        }
    }
}
