//! How a durable run becomes an orchestrator's own: begun, or taken up where it was, and by one at a time.

use std::sync::{Arc, Weak};
use std::time::Duration;

use coord_bus::time::Instant;
use coord_bus::{
    AppendTo, BoxFuture, CancellationToken, Durability, EventLogError, ExpectedVersion,
};
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::course::{Course, Fact};
use crate::fingerprint::PRINTS;
use crate::orchestrator::Run;
use crate::outcome::Outcome;
use crate::ownership::Keeping;
use crate::plan::{Definition, Output, Plan};
use crate::records::{self, Claimed, RUN_CLAIMED, RUN_STARTED, Started, VERSION};
use crate::resume::{self, Begun, Kept, fault_of};
use crate::run::{Beginning, End, Pauses, Settings, Shared, Told, write};
use crate::same_json::is_same;
use crate::so_far::{SoFar, Standing};
use crate::time_limits::TimeLimits;
use crate::{AttemptError, Parent, RecordFault, RunId, RunJournal, StepError, WorkflowError};

/// A run that is to be started.
pub(crate) struct New<'n> {
    pub(crate) id: RunId,
    pub(crate) input: Output,
    /// The same, as it is kept.
    pub(crate) written: Box<RawValue>,
    pub(crate) parent: Option<Within<'n>>,
    /// Whether it is in place of one of this id that has finished.
    pub(crate) replaces: bool,
}

/// That a run is the work of a step.
#[derive(Clone, Copy)]
pub(crate) struct Within<'p> {
    pub(crate) parent: &'p Parent,
    /// What suspends it with the run of that step.
    pub(crate) suspend: &'p CancellationToken,
    /// What pauses that, and it.
    pub(crate) pauses: &'p Arc<Pauses>,
}

/// What is known of a run that is to be taken up by who asks for that.
#[derive(Default)]
pub(crate) struct Asked<'a> {
    /// What it was started with.
    pub(crate) input: Option<&'a RawValue>,
    pub(crate) parent: Option<Within<'a>>,
    /// What has been read of it.
    pub(crate) begun: Option<Begun<'a>>,
}

/// How a run is made this orchestrator's own.
pub(crate) struct Claim<'c> {
    /// Retried, if that is to happen first.
    pub(crate) retried: Option<Fact>,
    /// What it is within, if that is to suspend it, beside what suspends all.
    pub(crate) parent: Option<Within<'c>>,
}

impl Settings {
    /// Starts a run that is kept, or has the one of this id.
    pub(crate) async fn start_kept(
        self: &Arc<Self>,
        definition: Definition<'_>,
        new: New<'_>,
    ) -> Result<Run, WorkflowError> {
        let keeping = self.keeping(definition)?;
        let limits = self.limits(definition)?;
        let steps = definition.plan.kept_steps();
        let New {
            id,
            input,
            written,
            parent,
            replaces,
        } = new;
        let steps = steps.map_err(|source| fault_of(&id, 1, source))?;
        let _entry = keeping.runs.enter(&id).await;
        let held = keeping.held(&definition.plan.name).await?;
        let suspend = parent.map_or(&held.lost, |within| within.suspend).clone();
        // What it takes to write it down is time of the run, for whoever reads its records, too.
        let began = Instant::now();
        let started = Started {
            version: VERSION,
            workflow: definition.plan.name.to_string(),
            started_at: self.clock.now(),
            input: written,
            steps: steps.to_owned(),
            prints: PRINTS,
            on_failure: definition.plan.on_failure,
            owner: held.owner.clone(),
            nonce: Some(fastrand::u64(..)),
            is_marked: true,
            parent: parent.map(|within| within.parent.clone()),
            limits: TimeLimits::of(definition.plan, true),
        };
        let record = records::record(RUN_STARTED, &started);
        let record = record.map_err(|source| fault_of(&id, 1, source))?;
        records::check(&*keeping.journal.log, &id, &record)?;
        let mut beginning = AppendTo::stream(records::stream(id.as_str()))
            .expecting(ExpectedVersion::Empty)
            .record(record);
        beginning.replaces = replaces;
        if let Some(within) = parent {
            // Who takes up a step that is not known to have ended has to find what its child has done.
            beginning = beginning.needed_by(records::stream(&within.parent.run));
        }
        let begun = loop {
            let begun = beginning.clone();
            match keeping.journal.log.append(begun).await {
                Ok(begun) => break begun,
                Err(EventLogError::WrongVersion { .. }) => {}
                Err(error) => return Err(WorkflowError::journal(&id, error)),
            }
            let asked = Asked {
                // What a step starts follows from what its run has put out, which need not be written in the
                // same order again: a set is not. So that it is this step's says it all.
                input: parent.is_none().then_some(&*started.input),
                parent,
                begun: None,
            };
            match self.take_up(keeping, definition, &id, asked).await {
                // It has been forgotten since.
                Err(WorkflowError::NoSuchRun { .. }) => {}
                taken_up => return taken_up,
            }
        };
        if replaces {
            keeping.journal.forget_within(&id).await;
        }
        let mut course = Course::new(definition.plan);
        (course.nonce, course.is_marked) = (started.nonce, started.is_marked);
        let beginning = Beginning {
            id,
            course,
            input,
            started_at: started.started_at,
            before: began.elapsed(),
            fence: begun.version,
            parent: CancellationToken::new(),
            kept: Some((suspend, Arc::clone(&held.known))),
            told: Told::default(),
            is_careful: false,
            limits,
            child_of: started.parent,
            around: parent.map(|within| Arc::clone(within.pauses)),
        };
        let from = Standing {
            version: begun.version,
            owner: begun.version,
            is_paused: false,
        };
        let run = self.keep(keeping, definition, beginning, from);
        keeping.has_begun(&run, &held).await;
        Ok(run)
    }

    /// Goes on with the run that is the work of a step, if there is one.
    pub(crate) async fn go_on_with_child(
        self: &Arc<Self>,
        definition: Definition<'_>,
        id: &RunId,
        parent: Within<'_>,
    ) -> Result<Run, WorkflowError> {
        let keeping = self.keeping(definition)?;
        let _entry = keeping.runs.enter(id).await;
        let asked = Asked {
            parent: Some(parent),
            ..Asked::default()
        };
        self.take_up(keeping, definition, id, asked).await
    }

    /// Goes on with a run, if it is one of this workflow and does not go on here, nor will it go on with
    /// another run whose step it is the work of.
    pub(crate) async fn resume_if_free(
        self: &Arc<Self>,
        keeping: &Keeping,
        definition: Definition<'_>,
        id: &RunId,
    ) -> Result<Option<Run>, WorkflowError> {
        let _entry = keeping.runs.enter(id).await;
        if keeping.runs.find(id).is_some_and(|run| run.goes_on()) {
            return Ok(None);
        }
        // Of what is not to go on here no more than the first record is read, however many there are.
        let log = &*keeping.journal.log;
        let begun = Begun::read(log, id, 1).await?;
        if let Some(Begun { started, .. }) = &begun {
            if started.workflow != *definition.plan.name {
                return Ok(None);
            }
            if let Some(parent) = &started.parent
                && resume::is_unfinished(log, &RunId::named(&parent.run)?).await?
            {
                return Ok(None);
            }
        }
        let asked = Asked {
            begun,
            ..Asked::default()
        };
        let taken_up = self.take_up(keeping, definition, id, asked).await;
        match taken_up {
            Ok(run) => Ok(Some(run)),
            Err(WorkflowError::OtherWorkflow { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn keeping(&self, definition: Definition<'_>) -> Result<&Keeping, WorkflowError> {
        self.check_open(definition)?;
        self.keeping
            .as_ref()
            .ok_or_else(|| WorkflowError::NoJournal {
                workflow: definition.plan.name.to_string(),
            })
    }

    /// A run that is in the journal, from where it is on.
    pub(crate) async fn take_up(
        self: &Arc<Self>,
        keeping: &Keeping,
        definition: Definition<'_>,
        id: &RunId,
        mut asked: Asked<'_>,
    ) -> Result<Run, WorkflowError> {
        loop {
            let kept = match asked.begun.take() {
                Some(begun) => begun.kept(&*keeping.journal.log, definition.plan).await?,
                None => read(keeping, definition, id).await?,
            };
            if let Some(Within { parent, .. }) = asked.parent
                && kept.child_of.as_ref() != Some(parent)
            {
                return Err(WorkflowError::OtherParent {
                    run: id.to_string(),
                    parent: parent.run.clone(),
                    step: parent.step.clone(),
                });
            }
            if asked
                .input
                .is_some_and(|input| !is_same(input, &kept.input))
            {
                let run = id.to_string();
                return Err(WorkflowError::OtherInput { run });
            }
            if kept.course.is_finished() {
                return Ok(finished(definition, id.clone(), kept));
            }
            if let Some(run) = keeping.runs.find(id).filter(Run::goes_on) {
                if let (Some(within), Some(shared)) = (asked.parent, run.shared.upgrade()) {
                    shared.is_within(within.pauses);
                }
                return Ok(run.asked_for_by(definition));
            }
            // Where it is this orchestrator's own and does not go on, nobody drives it: its start was
            // not waited for, or the journal had failed.
            let is_own = keeping.is_own(&kept.owner).await;
            let driven_by = keeping.journal.driven_by(&kept.owner).await?;
            if driven_by.is_some() && !is_own {
                return Err(keeping.driven_elsewhere(id, &kept.owner));
            }
            check_children(&keeping.journal, definition.plan, id, &kept.course).await?;
            let claim = Claim {
                retried: None,
                parent: asked.parent,
            };
            if let Some(run) = self.claim(keeping, definition, id, kept, claim).await? {
                return Ok(run);
            }
        }
    }

    /// Makes a run this orchestrator's own, and drives it. `None`: something has happened to it
    /// meanwhile, perhaps that somebody else has claimed it.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        keeping: &Keeping,
        definition: Definition<'_>,
        id: &RunId,
        kept: Kept,
        claim: Claim<'_>,
    ) -> Result<Option<Run>, WorkflowError> {
        let plan = definition.plan;
        // Before anything is kept: a run that cannot go on here is left to who can.
        let limits = self.limits(definition)?;
        let fault = |record, source| fault_of(id, record, source);
        let decode = definition.decode.ok_or(RecordFault::NotDurable);
        let input = decode
            .and_then(|decode| decode(kept.input.get()).map_err(RecordFault::from))
            .map_err(|source| fault(1, source))?;
        let held = keeping.held(&definition.plan.name).await?;
        let suspend = claim.parent.map_or(&held.lost, |within| within.suspend);
        let suspend = suspend.clone();
        let mut claiming = AppendTo::stream(records::stream(id.as_str()))
            .expecting(ExpectedVersion::Exactly(kept.version));
        let is_careful = kept.seems_to_kill();
        let before = kept.gone_on(self.clock.now());
        let mut course = kept.course;
        let mut told = kept.told;
        // If a loss of power undoes a claim, nobody drives the run: then it is to be claimed again anyway.
        // That it is retried is to be kept when this returns.
        claiming = claiming.durably(match &claim.retried {
            None => Durability::Process,
            Some(_) => Durability::Disk,
        });
        let mut records = Vec::new();
        if let Some(retried) = claim.retried {
            let record = records::write(plan, &retried, &course, kept.started_at);
            records.push(record.map_err(|source| fault(kept.version + 1, source))?);
            course.apply(plan, retried, |_| {});
            told.begin_anew(plan, &course);
        }
        let from = Standing {
            version: kept.version,
            owner: kept.version,
            is_paused: told.is_paused,
        };
        let claimed = Claimed {
            owner: held.owner.clone(),
            limits: TimeLimits::of(plan, true),
        };
        let claimed = records::record(RUN_CLAIMED, &claimed);
        records.push(claimed.map_err(|source| fault(kept.version + 1, source))?);
        course.apply(plan, Fact::Claimed, |_| {});
        for fact in self.cut_off_too_often(&course, before) {
            let record = records::write(plan, &fact, &course, kept.started_at);
            records.push(record.map_err(|source| fault(kept.version + 1, source))?);
            course.apply(plan, fact, |_| {});
        }
        let is_driven = from.after(&records);
        SoFar::of(&course).say(&mut records, from, &*keeping.journal.log);
        claiming = claiming.records(records);
        match keeping.journal.log.append(claiming).await {
            Ok(_) => {}
            Err(EventLogError::WrongVersion { .. }) => return Ok(None),
            Err(error) => return Err(WorkflowError::journal(id, error)),
        }
        let beginning = Beginning {
            id: id.clone(),
            course,
            input,
            started_at: kept.started_at,
            before,
            fence: is_driven.owner,
            parent: CancellationToken::new(),
            kept: Some((suspend, Arc::clone(&held.known))),
            told,
            is_careful,
            limits,
            child_of: kept.child_of,
            around: claim.parent.map(|within| Arc::clone(within.pauses)),
        };
        let run = self.keep(keeping, definition, beginning, is_driven);
        keeping.has_begun(&run, &held).await;
        Ok(Some(run))
    }

    /// That the run is paused for the steps that may be what ends its processes.
    fn cut_off_too_often(&self, course: &Course, before: Duration) -> Vec<Fact> {
        let max = self.max_recovery_attempts;
        let cut_off = course.cut_off().filter(|(_, times)| *times > max);
        let exhausted = cut_off.map(|(step, times)| Fact::Exhausted {
            step,
            error: StepError::from(AttemptError::CutOff { times }).into(),
            heartbeat: None,
            signal: None,
            at: before.as_nanos() as u64,
        });
        exhausted.collect()
    }

    /// Drives a run of whose stream this is known.
    fn keep(
        self: &Arc<Self>,
        keeping: &Keeping,
        definition: Definition<'_>,
        beginning: Beginning,
        from: Standing,
    ) -> Run {
        let shared = Shared::new(definition, beginning, self);
        let writing = write(Arc::clone(&shared), Arc::clone(&keeping.journal.log), from);
        self.tasks
            .spawn(format!("records of run {}", shared.id), writing);
        self.drive(shared, Some(&keeping.runs))
    }
}

/// That the runs which its steps have begun can be gone on with here as well: who takes up a run takes up those,
/// and where one of them is of another definition by now, all of it is for who has that.
fn check_children<'a>(
    journal: &'a RunJournal,
    plan: &'a Plan,
    id: &'a RunId,
    course: &'a Course,
) -> BoxFuture<'a, Result<(), WorkflowError>> {
    Box::pin(async move {
        if plan.steps.iter().all(|step| step.child.is_none()) {
            return Ok(());
        }
        // As it will be: what was under way is to be begun again then.
        let mut course = course.clone();
        course.apply(plan, Fact::Claimed, |_| {});
        for (step, planned) in plan.steps.iter().enumerate() {
            let record = course.step(step);
            let Some(child) = planned.child.as_ref().filter(|_| record.has_begun()) else {
                continue;
            };
            let attempt = record.attempts + 1;
            let run_at = |part| course.child(plan, id, (step, part), attempt);
            let begun = match planned.runs_parts() {
                true => {
                    let open = journal.open_parts(id, &planned.id, |part| run_at(Some(part)));
                    open.await?.into_iter().map(|open| open.run).collect()
                }
                false => vec![run_at(None)],
            };
            for run in begun {
                let checked = match resume::read(&*journal.log, &child.plan, &run).await {
                    Ok(Some(kept)) if !kept.course.is_finished() => {
                        check_children(journal, &child.plan, &run, &kept.course).await
                    }
                    read => read.map(drop),
                };
                match checked {
                    Err(error @ WorkflowError::Journal { .. }) => return Err(error),
                    Err(error) => {
                        return Err(WorkflowError::Child {
                            run: id.to_string(),
                            step: planned.id.to_string(),
                            child: run.to_string(),
                            source: Arc::new(error),
                        });
                    }
                    Ok(()) => {}
                }
            }
        }
        Ok(())
    })
}

/// A run that has finished, as a handle.
fn finished(definition: Definition<'_>, id: RunId, kept: Kept) -> Run {
    let (run, started_at) = (id.clone(), kept.started_at);
    let outcome = Outcome::of(definition, run, started_at, kept.child_of, kept.course);
    let (_, outcome) = watch::channel(Some(End::Finished(Arc::new(outcome))));
    Run {
        id,
        token: CancellationToken::new(),
        outcome,
        shared: Weak::new(),
        asked_by: None,
    }
}

pub(crate) async fn read(
    keeping: &Keeping,
    definition: Definition<'_>,
    id: &RunId,
) -> Result<Kept, WorkflowError> {
    let kept = resume::read(&*keeping.journal.log, definition.plan, id).await?;
    kept.ok_or_else(|| WorkflowError::NoSuchRun {
        run: id.to_string(),
    })
}
