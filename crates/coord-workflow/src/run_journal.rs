//! Where durable runs are kept, and what can be asked and said of them without their definitions.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{Clock, SystemClock};
use coord_bus::{AppendTo, EventLog, EventLogError, ExpectedVersion, Lease};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::course::{Fact, RULES};
use crate::durable::{Codec, read};
use crate::fingerprint::KeptStep;
use crate::following::Following;
use crate::plan::{Plan, PlannedStep};
use crate::records::{self, Owner, Started};
use crate::resume::{Begun, Checked, Kept, PAGE, check_retry, fault_of};
use crate::shape::Shape;
use crate::waits::Wait;
use crate::{
    Command, Parent, RecordFault, RunId, RunQuery, RunState, RunView, StepView, Why, WorkflowError,
    bell,
};

/// How many of the runs that have not finished are looked at for who has what a step waits for.
const LOOKED_AT_MAX: usize = 1_000;

/// By how much an attempt is late that waits for a place.
const LATE: Duration = Duration::from_secs(1);

/// A journal of runs: the log that their records are in, and the leases by which those who drive
/// them know of each other. Cheap to clone.
///
/// Any process may look at the runs, and tell them something, also those that others drive.
#[derive(Clone)]
pub struct RunJournal {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) leases: Arc<dyn Lease>,
}

impl RunJournal {
    /// What the names of the streams begin with that runs are kept in, one a run: to forget those that have
    /// finished, in a journal that other things are kept in, too.
    ///
    /// A run that is the work of a step of another one may finish long before that does. It is
    /// [needed](coord_bus::AppendTo::needed_by) until then, and not forgotten.
    pub const RUNS: &'static str = records::STREAMS;

    /// What the names of the streams begin with by which those who drive runs are told to look at what others
    /// want of them, one for each who was told. What is in one is of use only as long as that one lives; it is closed while all of
    /// it has been heard, so it can be forgotten.
    pub const BELLS: &'static str = records::BELLS;

    /// Of an event log and a keeper of leases.
    pub fn new(log: Arc<dyn EventLog>, leases: Arc<dyn Lease>) -> Self {
        Self { log, leases }
    }

    /// Of something that is both, as the journal of `coord-journal` is.
    pub fn of<J: EventLog + Lease + 'static>(journal: Arc<J>) -> Self {
        Self::new(Arc::clone(&journal) as Arc<dyn EventLog>, journal)
    }

    /// A run, as its records have it.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NoSuchRun`], `Record`, `Journal` or `Lease`.
    pub async fn view(&self, run: &RunId) -> Result<RunView, WorkflowError> {
        loop {
            let (plan, kept) = self.read(run).await?;
            let (view, has_gone_on) = self.view_of(run, &plan, &kept).await?;
            if !has_gone_on {
                return Ok(view);
            }
        }
    }

    /// A run as it will be once it is [retried](crate::WorkflowOrchestrator::retry_run) from this step on, if one
    /// is named: what is not to be done again is over. It is not retried for that.
    ///
    /// # Errors
    ///
    /// Those of a retry and of a view.
    pub async fn view_retried(
        &self,
        run: &RunId,
        from: Option<&str>,
    ) -> Result<RunView, WorkflowError> {
        let (plan, mut kept) = self.read(run).await?;
        let named = || run.to_string();
        let place = |step: &str| {
            let ids = plan.steps.iter().map(|planned| &*planned.id);
            let place = ids.clone().position(|id| id == step);
            place.ok_or_else(|| WorkflowError::no_step(run, step, ids))
        };
        let from = from.map(place).transpose()?;
        if !kept.course.is_finished() {
            return Err(WorkflowError::NotFinished { run: named() });
        }
        check_retry(&*self.log, run, kept.child_of.as_ref()).await?;
        let at = kept.course.duration();
        let retried = Fact::Retried {
            from,
            at,
            rules: RULES,
        };
        if kept.course.admits(&plan, &retried).is_err() {
            return Err(WorkflowError::NothingToRetry { run: named() });
        }
        kept.course.apply(&plan, retried, |_| {});
        let (view, _) = self.view_of(run, &plan, &kept).await?;
        Ok(RunView {
            state: RunState::Interrupted,
            driven_by: None,
            ..view
        })
    }

    /// What a step of a run waits for, or else what it does, as far as the records of runs have it.
    /// `None`: there is no such step.
    ///
    /// What steps have of an orchestrator's resources is told of the runs that the same one drives, among
    /// the newest 1,000 that have not finished. A step that has what it takes and has not begun, and one
    /// in a run that is not durable, is in no record: [`Run::why`](crate::Run::why) knows of those. By when a step and
    /// its run are to be done is in a [view](crate::StepView::times_out_at).
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NoSuchRun`], `Record` (of this run: one of others that cannot be followed is left
    /// out), `Journal` or `Lease`.
    pub async fn why(&self, run: &RunId, step: &str) -> Result<Option<Why>, WorkflowError> {
        let view = self.view(run).await?;
        let why = match (view.why(step), view.step(step)) {
            (Some(Why::Retry { at }), Some(step)) if is_late(&view, step, at) => {
                Some(view.place(view.holding()))
            }
            (why, _) => why,
        };
        let (Some(step), Some(Why::Permits { .. } | Why::Place { .. })) = (view.step(step), &why)
        else {
            return Ok(why);
        };
        let others = self.driven_with(run).await?;
        let all = others.iter().flat_map(RunView::holding);
        let all = view.holding().chain(all);
        Ok(Some(match why {
            Some(Why::Permits { .. }) => view.permits(step, all),
            // Where no step of the run has a place, all share them with other runs.
            Some(Why::Place { ref held_by }) if held_by.is_empty() => view.place(all),
            why => return Ok(why),
        }))
    }

    /// The other runs that are driven by who drives this one.
    async fn driven_with(&self, run: &RunId) -> Result<Vec<RunView>, WorkflowError> {
        let owner = self.read(run).await?.1.owner;
        let unfinished = RunQuery::newest().unfinished().limit(LOOKED_AT_MAX);
        let mut found = Vec::new();
        for other in self.runs(&unfinished).await? {
            let Ok((plan, kept)) = self.read(&other).await else {
                continue;
            };
            if other != *run && kept.owner == owner && !kept.course.is_finished() {
                found.push(self.view_of(&other, &plan, &kept).await?.0);
            }
        }
        Ok(found)
    }

    /// A run as it is now, and then what happens in it, wherever it is driven.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NoSuchRun`], `Record` or `Journal`.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time enabled, once it is asked for what happens.
    pub async fn follow(&self, run: &RunId) -> Result<Following, WorkflowError> {
        let (plan, kept) = self.read(run).await?;
        Following::new(self.clone(), run.clone(), plan, kept)
    }

    /// The run as it was when this was kept of it; and whether nobody drives it any more who did then,
    /// and it has gone on all the same: to its end, or under somebody else.
    pub(crate) async fn view_of(
        &self,
        run: &RunId,
        plan: &Plan,
        kept: &Kept,
    ) -> Result<(RunView, bool), WorkflowError> {
        let is_finished = kept.course.is_finished();
        let (driven_by, has_gone_on) = match is_finished {
            true => (None, false),
            false => self.driver(run, &kept.owner, kept.version).await?,
        };
        let state = match &driven_by {
            _ if is_finished => RunState::Finished(kept.course.status()),
            Some(_) => RunState::Running,
            None => RunState::Interrupted,
        };
        let duration = Duration::from_nanos(kept.course.duration());
        let paused_by = match state {
            RunState::Finished(_) => None,
            _ => {
                let parent = kept.child_of.clone();
                self.paused_by(run, kept.told.is_paused, parent).await
            }
        };
        let ending = kept.course.stopped().filter(|_| !is_finished);
        let is_paused = paused_by.is_some() || kept.course.is_held();
        let mut view = RunView {
            run: run.clone(),
            workflow: plan.name.to_string(),
            started_at: kept.started_at,
            state,
            duration: is_finished.then_some(duration),
            timed_from: kept.course.timed_from.map(Duration::from_nanos),
            ending,
            is_paused: is_paused && ending.is_none(),
            paused_by,
            is_up: kept.course.is_up(),
            error: kept.course.error().map(ToString::to_string),
            failed_step: kept.course.failed_step(),
            driven_by,
            parent: kept.child_of.clone(),
            steps: RunView::steps_of(run, plan, &kept.course),
            times_out_at: None,
        };
        kept.limits.tell(&mut view, &kept.course);
        let told = self.tell_part_runs(&mut view, plan, &kept.course);
        told.await?;
        Ok((view, has_gone_on))
    }

    /// Which run was told to pause, and with it this one: itself, if it `is_told`, or the nearest that it is
    /// within. What cannot be read is none.
    pub(crate) async fn paused_by(
        &self,
        run: &RunId,
        is_told: bool,
        mut parent: Option<Parent>,
    ) -> Option<RunId> {
        if is_told {
            return Some(run.clone());
        }
        while let Some(Parent { run, .. }) = parent {
            let run = RunId::named(run).ok()?;
            let (is_told, around) = self.is_told_to_pause(&run).await.ok()?;
            if is_told {
                return Some(run);
            }
            parent = around;
        }
        None
    }

    /// What a run was started with.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NoSuchRun`], `Journal`, or `Record` where it is not of this type.
    pub async fn input<I: DeserializeOwned>(&self, run: &RunId) -> Result<I, WorkflowError> {
        let started = Begun::first(&*self.log, run).await?;
        let started = started.ok_or_else(|| WorkflowError::NoSuchRun {
            run: run.to_string(),
        })?;
        read(started.input.get()).map_err(|misread| fault_of(run, 1, misread.into()))
    }

    /// Tells a run something. It is kept when this returns: who drives the run does it at once, and
    /// where nobody does, who resumes it. A signal whose [id](crate::Signal::with_id) has come before is kept already,
    /// also where the run has finished since; with another payload it is refused.
    ///
    /// It reads all records of the run, each time: of one of many thousand steps that takes longer than to tell it. Who
    /// drives the run tells it by [`Run::tell`](crate::Run::tell), which reads nothing.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, the run may have been told: a signal with an id may be sent again.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NoSuchRun`], `RunFinished`, `OtherSignal`, `TooManySignals`, `TooLarge`, `NoSuchStep`,
    /// `NoSuchSignal`, `NotSkipped`, `NotDriven`, `Record`, `Journal` or `Lease`.
    pub async fn tell(&self, run: &RunId, command: Command) -> Result<(), WorkflowError> {
        let record = records::record(records::COMMAND, &command);
        let record = record.map_err(|fault| fault_of(run, 0, fault))?;
        records::check(&*self.log, run, &record)?;
        let stream = records::stream(run.as_str());
        let (mut plan, mut kept) = self.read(run).await?;
        loop {
            if kept.told.signals.is_again(&command, run)? {
                // Once is enough, but it may not have been heard.
                return self.ring(run, &kept.owner).await;
            }
            if kept.course.is_finished() {
                return Err(WorkflowError::RunFinished {
                    run: run.to_string(),
                });
            }
            if matches!(command, Command::Cancel { .. }) && kept.told.is_cancelled {
                // Once is enough, but it may not have been heard.
                return self.ring(run, &kept.owner).await;
            }
            if command.is_checked() {
                self.view_of(run, &plan, &kept).await?.0.check(&command)?;
            }
            if let Some(name) = command.signal() {
                plan.check_signal(run, name)?;
                if !kept.told.signals.has_room(name, 0) {
                    return Err(WorkflowError::TooManySignals {
                        run: run.to_string(),
                    });
                }
            }
            let told = AppendTo::stream(&stream)
                .expecting(ExpectedVersion::Exactly(kept.version))
                .record(record.clone());
            match self.log.append(told).await {
                Ok(_) => return self.ring(run, &kept.owner).await,
                // It has gone on meanwhile, and may have finished. Only what is new is read, as it goes on.
                Err(EventLogError::WrongVersion { actual, .. }) if actual > kept.version => {
                    let read = kept.read_on(&*self.log, run, &plan, Checked::No);
                    read.await?;
                }
                // It was forgotten meanwhile, and may have begun anew.
                Err(EventLogError::WrongVersion { .. }) => (plan, kept) = self.read(run).await?,
                Err(error) => return Err(WorkflowError::journal(run, error)),
            }
        }
    }

    /// Whether a run was sent a signal of this name and [id](crate::Signal::with_id), whatever has become of it; not
    /// where a retry has done the step anew that took it. It reads all records of the run, as [`tell`](Self::tell) does.
    ///
    /// # Errors
    ///
    /// [`WorkflowError::NoSuchRun`], `Record` or `Journal`.
    pub async fn has_signal(
        &self,
        run: &RunId,
        name: &str,
        id: &str,
    ) -> Result<bool, WorkflowError> {
        let (_, kept) = self.read(run).await?;
        Ok(kept.told.signals.has_come(name, id))
    }

    /// Lets who drives a run know that it was told something.
    async fn ring(&self, run: &RunId, owner: &Owner) -> Result<(), WorkflowError> {
        if self.driven_by(owner).await?.is_none() {
            return Ok(());
        }
        let rung = bell::ring(&*self.log, &owner.lease, run).await;
        rung.map_err(|error| WorkflowError::journal(run, error))
    }

    /// Who drives a run that had this owner at this version of its stream; and whether nobody does any more who did
    /// then, and it has gone on all the same: to its end, or under somebody else.
    pub(crate) async fn driver(
        &self,
        run: &RunId,
        owner: &Owner,
        version: u64,
    ) -> Result<(Option<String>, bool), WorkflowError> {
        if let Some(holder) = self.driven_by(owner).await? {
            return Ok((Some(holder), false));
        }
        let stream = records::stream(run.as_str());
        let next = self.log.read(&stream, version + 1, 1).await;
        let next = next.map_err(|error| WorkflowError::journal(run, error))?;
        let has_gone_on = !next.is_empty();
        Ok((has_gone_on.then(|| owner.holder.clone()), has_gone_on))
    }

    /// Who drives a run that is kept under this owner, if somebody does.
    pub(crate) async fn driven_by(&self, owner: &Owner) -> Result<Option<String>, WorkflowError> {
        let held = self.leases.current(&owner.lease).await?;
        let is_held = held.is_some_and(|held| held.token == owner.token);
        Ok(is_held.then(|| owner.holder.clone()))
    }

    pub(crate) async fn read(&self, run: &RunId) -> Result<(Plan, Kept), WorkflowError> {
        let begun = Begun::read(&*self.log, run, PAGE).await?;
        let begun = begun.ok_or_else(|| WorkflowError::NoSuchRun {
            run: run.to_string(),
        })?;
        let plan = plan_of(&begun.started).map_err(|fault| fault_of(run, 1, fault))?;
        let kept = begun.follow(&*self.log, &plan, Checked::No).await?;
        Ok((plan, kept))
    }
}

/// A plan of the steps of a run, which do nothing: to read its records by.
fn plan_of(started: &Started) -> Result<Plan, RecordFault> {
    let steps = started.steps()?;
    let steps = steps.iter().map(|step| PlannedStep {
        codec: Some(Codec::of::<Value>()),
        wait: wait_of(step),
        resources: step.resources.clone(),
        optional: step.optional,
        critical: step.critical,
        needs_any: step.needs_any.clone(),
        shape: step.shape.as_ref().map(Shape::of_kept),
        ..PlannedStep::new(&step.id, step.needs.clone())
    });
    let name = (&*started.workflow).into();
    let mut plan = Plan::new(name, steps.collect(), None, None);
    plan.on_failure = started.on_failure;
    Ok(plan)
}

fn wait_of(step: &KeptStep) -> Option<Wait> {
    let signal = step.signal.as_deref().map(|name| Wait::Signal(name.into()));
    let event = step.event.as_deref();
    let sleep = step.sleeps;
    let sleep = sleep.then(|| Wait::Sleep(Duration::from_nanos(step.sleeps_for)));
    signal
        .or_else(|| event.map(|topic| Wait::Event(topic.into())))
        .or(sleep)
}

/// Whether another attempt at a step was to be made at this time, and was not: by the clock here, so that it may only
/// not have been kept yet.
fn is_late(view: &RunView, step: &StepView, at: Duration) -> bool {
    let late = Duration::try_from(SystemClock.now().duration_since(view.started_at + at));
    step.takes_place && late.is_ok_and(|late| late > LATE)
}

/// That the journal could not be asked for runs.
pub(crate) fn any_run(source: EventLogError) -> WorkflowError {
    let source = Arc::new(source);
    let run = "*".to_owned();
    WorkflowError::Journal { run, source }
}

impl fmt::Debug for RunJournal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RunJournal").finish_non_exhaustive()
    }
}
