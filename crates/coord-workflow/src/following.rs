//! A run, followed by its records: what happens in it, in whichever process, as the events that are
//! published where it is driven.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coord_bus::time::{Instant, timeout_at};
use coord_bus::vocabulary::{Transition, WorkflowEvent};
use coord_bus::{EventLogError, StoredRecord, Tail, Timestamp};

use crate::course::Fact;
use crate::outcome::SkipReason;
use crate::plan::Plan;
use crate::records::{self, Entry, Reader};
use crate::resume::{Begun, Checked, Kept, fault_of};
use crate::{RunId, RunJournal, RunView, WorkflowError};

/// How often it is looked whether somebody drives a run of which nothing is heard.
const LOOK: Duration = Duration::from_millis(500);

/// What happens in a run from a moment on, by its records; made by [`RunJournal::follow`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::sync::Arc;
/// # use coord_bus::{LocalBus, MemoryEventLog, MemoryLeases};
/// # use coord_workflow::{
/// #     RunId, RunJournal, StepError, Workflow, WorkflowError, WorkflowOrchestrator,
/// # };
/// # let journal = RunJournal::new(Arc::new(MemoryEventLog::new()), Arc::new(MemoryLeases::new()));
/// # let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new())
/// #     .journal(journal.clone())
/// #     .build()?;
/// # let mut workflow = Workflow::durable("release");
/// # workflow.step("build").run(async || Ok::<_, StepError>(()));
/// # let id = RunId::named("release-7")?;
/// # orchestrator.start_durable(&workflow.build()?, id.clone(), ()).await?;
/// // In any process that opens the journal.
/// let mut following = journal.follow(&id).await?;
/// let watching = tokio::spawn(async move {
///     while let Some(event) = following.next().await? {
///         println!("{} {:?}", event.at, event.transition);
///     }
///     println!("{}", following.view().await?.state);
///     Ok::<_, WorkflowError>(())
/// });
/// # watching.await??;
/// # Ok(())
/// # }
/// ```
///
/// # What is not there
///
/// What nobody writes down: that a run was left as it is by a process that was killed, and that a child
/// began. Who takes up a run begins it anew, with `run-started`; what was under way has not begun, then.
pub struct Following {
    journal: RunJournal,
    run: RunId,
    plan: Plan,
    kept: Kept,
    /// Never locked, and there so that what is followed may be looked at from several threads.
    tail: Mutex<Tail>,
    /// When the attempts that are under way began, from the beginning of the run.
    began: HashMap<usize, u64>,
    told: VecDeque<WorkflowEvent>,
    /// When it is looked whether somebody drives it.
    look_at: Instant,
    /// Whether nobody did when that was looked at last.
    is_left: bool,
}

impl Following {
    pub(crate) fn new(
        journal: RunJournal,
        run: RunId,
        plan: Plan,
        kept: Kept,
    ) -> Result<Self, WorkflowError> {
        let stream = records::stream(run.as_str());
        let tail = journal.log.tail(&stream, kept.version + 1);
        let tail = tail.map_err(|error| WorkflowError::journal(&run, error))?;
        let steps = kept.course.steps().iter().enumerate();
        // Of one that was tried before, that is when it was tried first: nothing better is known.
        let began = steps.map(|(step, record)| (step, record.started));
        Ok(Self {
            began: began.collect(),
            journal,
            run,
            plan,
            kept,
            tail: Mutex::new(tail),
            told: VecDeque::new(),
            look_at: Instant::now() + LOOK,
            is_left: false,
        })
    }

    /// The run, as far as it was followed: it goes on as long as there is more to follow.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::Lease`].
    pub async fn view(&self) -> Result<RunView, WorkflowError> {
        let view = self.journal.view_of(&self.run, &self.plan, &self.kept);
        let (view, _) = view.await?;
        Ok(view)
    }

    /// Whether no step begins until the run is continued.
    pub fn is_paused(&self) -> bool {
        let (told, course) = (&self.kept.told, &self.kept.course);
        course.stopped().is_none() && (told.is_paused || course.is_held())
    }

    /// What happened next. `None`: the run has finished, nobody drives it, or the journal was closed.
    ///
    /// Where somebody takes it up or retries it later, there is more: who waits for that asks again, now and then. Of
    /// a run that has finished, the answer is there at once. One that is started [anew] in its place is another run, and
    /// followed anew.
    ///
    /// [anew]: crate::WorkflowOrchestrator::start_durable_anew
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, nothing is missed.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::Record`], `Journal` or `Lease`.
    pub async fn next(&mut self) -> Result<Option<WorkflowEvent>, WorkflowError> {
        loop {
            if let Some(event) = self.told.pop_front() {
                return Ok(Some(event));
            }
            if self.kept.course.is_finished() {
                if !self.has_more().await? {
                    return Ok(None);
                }
                (self.look_at, self.is_left) = (Instant::now() + LOOK, false);
            }
            let tail = self.tail.get_mut().unwrap_or_else(PoisonError::into_inner);
            let stored = match timeout_at(self.look_at, recorded(tail)).await {
                Ok(stored) => stored,
                Err(_) => {
                    let is_driven = self.journal.driven_by(&self.kept.owner).await?.is_some();
                    self.look_at = Instant::now() + LOOK;
                    // What it wrote before it went is there at the second look.
                    let was_left = std::mem::replace(&mut self.is_left, !is_driven);
                    match was_left && !is_driven {
                        true => return Ok(None),
                        false => continue,
                    }
                }
            };
            (self.look_at, self.is_left) = (Instant::now() + LOOK, false);
            let Some(stored) = stored else {
                return Ok(None);
            };
            let stored = stored.map_err(|error| WorkflowError::journal(&self.run, error))?;
            self.follow(&stored)?;
        }
    }

    /// Whether there are records that were not followed, and are not those of another run in the place of this one.
    async fn has_more(&self) -> Result<bool, WorkflowError> {
        let stream = records::stream(self.run.as_str());
        let log = &*self.journal.log;
        match log.read(&stream, self.kept.version + 1, 1).await {
            Ok(more) if more.is_empty() => Ok(false),
            Ok(_) => {
                let begun = Begun::first(log, &self.run).await?;
                Ok(begun.is_some_and(|begun| self.kept.began_as(&begun)))
            }
            Err(EventLogError::Closed) => Ok(false),
            Err(error) => Err(WorkflowError::journal(&self.run, error)),
        }
    }

    fn follow(&mut self, stored: &StoredRecord) -> Result<(), WorkflowError> {
        let fault = |run: &RunId, fault| fault_of(run, stored.version, fault);
        let entry = Reader::new(&self.plan).read(stored, &self.kept.course);
        let entry = entry.map_err(|unread| fault(&self.run, unread))?;
        let told = match &entry {
            Entry::Command(_) | Entry::Renewed(_) | Entry::Unknown => None,
            Entry::Claimed(_) => Some((None, self.begun())),
            Entry::Fact(fact) => self.transition(fact, stored.at),
        };
        let followed = self.kept.go_on(&self.plan, entry, Checked::No);
        followed.map_err(|refused| fault(&self.run, refused))?;
        self.kept.version = stored.version;
        if let Some((at, transition)) = told {
            let since = at.map(Duration::from_nanos);
            self.told.push_back(WorkflowEvent {
                workflow: self.plan.name.to_string(),
                run: self.run.to_string(),
                at: since.map_or(stored.at, |since| self.kept.started_at + since),
                transition,
            });
        }
        Ok(())
    }

    fn begun(&self) -> Transition {
        Transition::RunStarted {
            steps: self.plan.steps.len(),
        }
    }

    /// What is told of a fact that is about to be applied, and when it happened if it says so.
    // tidy: long, because it is one arm for each fact, and the compiler sees that none is missing.
    fn transition(&mut self, fact: &Fact, now: Timestamp) -> Option<(Option<u64>, Transition)> {
        let id = |step: &usize| self.plan.steps[*step].id.to_string();
        let attempt = |step: &usize| self.kept.course.step(*step).begun();
        let since = |step: &usize, at: u64| {
            let began = self.began.get(step).copied().unwrap_or(at);
            Duration::from_nanos(at.saturating_sub(began))
        };
        Some(match fact {
            Fact::Started { step, attempt, at } => {
                let (step, attempt, at) = (*step, *attempt, *at);
                self.began.insert(step, at);
                let step = self.plan.steps[step].id.to_string();
                (Some(at), Transition::StepStarted { step, attempt })
            }
            Fact::AttemptFailed {
                step, error, until, ..
            } => {
                let until = self.kept.started_at + Duration::from_nanos(*until);
                let wait = until.duration_since(now);
                let retrying = Transition::StepRetrying {
                    step: id(step),
                    attempt: attempt(step),
                    error: error.words.to_string(),
                    wait: wait.try_into().unwrap_or_default(),
                };
                (None, retrying)
            }
            Fact::PartCompleted {
                step, part, of, at, ..
            } => {
                let (step, part, of) = (id(step), *part, *of);
                (Some(*at), Transition::PartCompleted { step, part, of })
            }
            Fact::Completed { step, at, .. } => {
                let completed = Transition::StepCompleted {
                    step: id(step),
                    attempt: attempt(step),
                    duration: since(step, *at),
                };
                (Some(*at), completed)
            }
            Fact::Failed {
                step, error, at, ..
            } => {
                let failed = Transition::StepFailed {
                    step: id(step),
                    attempt: attempt(step),
                    error: error.words.to_string(),
                    duration: since(step, *at),
                    optional: self.plan.steps[*step].optional,
                };
                (Some(*at), failed)
            }
            Fact::Exhausted {
                step, error, at, ..
            } => {
                let exhausted = Transition::StepExhausted {
                    step: id(step),
                    attempt: attempt(step),
                    error: error.words.to_string(),
                    duration: since(step, *at),
                };
                (Some(*at), exhausted)
            }
            Fact::Skipped { step, at, asked } => {
                let reason = match asked {
                    true => Some(SkipReason::Asked),
                    false => self.kept.course.ruled_out(&self.plan, *step),
                };
                let reason = reason.unwrap_or(SkipReason::Condition).to_string();
                let step = id(step);
                (Some(*at), Transition::StepSkipped { step, reason })
            }
            Fact::Cancelled { step, at, .. } => {
                let step = id(step);
                (Some(*at), Transition::StepCancelled { step })
            }
            Fact::UndoStarted { step } => {
                (None, Transition::CompensationStarted { step: id(step) })
            }
            Fact::Undone { step } => (None, Transition::CompensationCompleted { step: id(step) }),
            Fact::UndoFailed { step, error } => {
                let (step, error) = (id(step), error.words.to_string());
                (None, Transition::CompensationFailed { step, error })
            }
            Fact::Up => (None, Transition::RunUp),
            Fact::Finished { at, failed } => {
                let finished = Transition::RunFinished {
                    outcome: self.kept.course.ends_as(failed.as_deref()).to_string(),
                    duration: Duration::from_nanos(*at),
                };
                (Some(*at), finished)
            }
            Fact::Retried { at, .. } => (Some(*at), self.begun()),
            Fact::Suspended => (None, Transition::RunSuspended),
            Fact::Claimed
            | Fact::Continued { .. }
            | Fact::Child { .. }
            | Fact::Stopped { .. }
            | Fact::UndoAttemptFailed { .. } => return None,
        })
    }
}

/// The next record of a stream.
async fn recorded(tail: &mut Tail) -> Option<Result<StoredRecord, EventLogError>> {
    poll_fn(|cx| tail.as_mut().poll_next(cx)).await
}

impl fmt::Debug for Following {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Following")
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}
