//! Taking up a durable run: from its records back to where it was.

use std::time::Duration;

use coord_bus::{EventLog, StoredRecord, Timestamp};
use serde_json::value::RawValue;

use crate::course::{Course, Fact};
use crate::fingerprint::{PRINTS, Was};
use crate::plan::Plan;
use crate::records::{self, Entry, Owner, Reader, Started};
use crate::run::{LONGEST, Told};
use crate::time_limits::TimeLimits;
use crate::{Command, Parent, RecordFault, RunId, WorkflowError, fingerprint, streams};

/// How many records are read at once.
pub(crate) const PAGE: usize = 1_000;

/// A run, of which the first record has been read.
pub(crate) struct Begun<'r> {
    run: &'r RunId,
    pub(crate) started: Started,
    /// What has been read with it.
    page: Vec<StoredRecord>,
    /// Whether it is all that there is.
    is_all: bool,
}

/// A run as its records have it.
pub(crate) struct Kept {
    pub(crate) course: Course,
    pub(crate) input: Box<RawValue>,
    pub(crate) started_at: Timestamp,
    /// What it was told.
    pub(crate) told: Told,
    /// Who drives it, or did last.
    pub(crate) owner: Owner,
    /// What that holds it to.
    pub(crate) limits: TimeLimits,
    /// The step that it is the work of, if it is.
    pub(crate) child_of: Option<Parent>,
    /// How often in a row it was taken up without that anything is known to have happened.
    in_vain: u32,
    /// The latest time of what is known to have happened, in nanoseconds from its beginning.
    latest: u64,
    /// The version of its stream.
    pub(crate) version: u64,
}

/// Whether each fact is to be one that could happen then: where the plan is that of the run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    Yes,
    No,
}

/// Reads a run, which has to be one of this plan. `None`: there is no such run.
pub(crate) async fn read(
    log: &dyn EventLog,
    plan: &Plan,
    run: &RunId,
) -> Result<Option<Kept>, WorkflowError> {
    match Begun::read(log, run, PAGE).await? {
        Some(begun) => begun.kept(log, plan).await.map(Some),
        None => Ok(None),
    }
}

/// Whether there is a run that has not finished: its stream is closed with its last record.
pub(crate) async fn is_unfinished(log: &dyn EventLog, run: &RunId) -> Result<bool, WorkflowError> {
    let found = streams::find(log, &records::stream(run.as_str())).await;
    let found = found.map_err(|error| WorkflowError::journal(run, error))?;
    Ok(found.is_some_and(|stream| !stream.is_closed))
}

/// Whether a run may be retried by itself: not where one that it is within has not finished.
pub(crate) async fn check_retry(
    log: &dyn EventLog,
    run: &RunId,
    parent: Option<&Parent>,
) -> Result<(), WorkflowError> {
    let mut around = parent.cloned();
    while let Some(parent) = around {
        let id = RunId::named(&parent.run)?;
        if is_unfinished(log, &id).await? {
            return Err(WorkflowError::WithinUnfinished {
                run: run.to_string(),
                parent: parent.run,
                step: parent.step,
            });
        }
        let started = Begun::first(log, &id).await?;
        around = started.and_then(|started| started.parent);
    }
    Ok(())
}

impl<'r> Begun<'r> {
    /// Where no more than the first record is of interest.
    pub(crate) async fn first(
        log: &dyn EventLog,
        run: &'r RunId,
    ) -> Result<Option<Started>, WorkflowError> {
        let begun = Self::read(log, run, 1).await?;
        Ok(begun.map(|begun| begun.started))
    }

    /// Reads so many records, if there are.
    pub(crate) async fn read(
        log: &dyn EventLog,
        run: &'r RunId,
        limit: usize,
    ) -> Result<Option<Self>, WorkflowError> {
        let stream = records::stream(run.as_str());
        let page = log.read(&stream, 1, limit).await;
        let page = page.map_err(|error| WorkflowError::journal(run, error))?;
        let Some(first) = page.first() else {
            return Ok(None);
        };
        Ok(Some(Self {
            run,
            started: started(run, first)?,
            is_all: page.len() < limit,
            page,
        }))
    }

    /// Reads the rest, which has to be of this plan.
    pub(crate) async fn kept(self, log: &dyn EventLog, plan: &Plan) -> Result<Kept, WorkflowError> {
        check(plan, self.run, &self.started)?;
        self.follow(log, plan, Checked::Yes).await
    }

    /// Reads the rest, by this plan.
    pub(crate) async fn follow(
        self,
        log: &dyn EventLog,
        plan: &Plan,
        checked: Checked,
    ) -> Result<Kept, WorkflowError> {
        let Self {
            run,
            started,
            page,
            is_all,
        } = self;
        let mut course = Course::new(plan);
        (course.nonce, course.is_marked) = (started.nonce, started.is_marked);
        let mut kept = Kept {
            course,
            input: started.input,
            started_at: started.started_at,
            told: Told::default(),
            owner: started.owner,
            limits: started.limits,
            child_of: started.parent,
            in_vain: 0,
            latest: 0,
            version: 1,
        };
        let rest = page.get(1..).unwrap_or_default();
        kept.follow_all(run, plan, rest, checked)?;
        if !is_all {
            kept.read_on(log, run, plan, checked).await?;
        }
        Ok(kept)
    }
}

impl Kept {
    /// Whether its processes seem to end as soon as they take it up: perhaps before it is kept what
    /// they had begun, as that waits for company.
    pub(crate) fn seems_to_kill(&self) -> bool {
        self.in_vain > 0 || self.course.cut_off().any(|(_, times)| times > 1)
    }

    /// Whether this is how it was started, and not another run of its id.
    pub(crate) fn began_as(&self, started: &Started) -> bool {
        self.course.nonce == started.nonce && self.started_at == started.started_at
    }

    /// For how long the run has gone on at this time: not for less than its records say, as a clock may have
    /// been set back.
    pub(crate) fn gone_on(&self, now: Timestamp) -> Duration {
        let since = Duration::try_from(now.duration_since(self.started_at)).unwrap_or_default();
        let since = since.max(Duration::from_nanos(self.latest));
        since.min(LONGEST)
    }

    /// Reads what has been appended since, up to the end of the stream.
    pub(crate) async fn read_on(
        &mut self,
        log: &dyn EventLog,
        run: &RunId,
        plan: &Plan,
        checked: Checked,
    ) -> Result<(), WorkflowError> {
        let stream = records::stream(run.as_str());
        loop {
            let page = log.read(&stream, self.version + 1, PAGE).await;
            let page = page.map_err(|error| WorkflowError::journal(run, error))?;
            self.follow_all(run, plan, &page, checked)?;
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }

    fn follow_all(
        &mut self,
        run: &RunId,
        plan: &Plan,
        page: &[StoredRecord],
        checked: Checked,
    ) -> Result<(), WorkflowError> {
        let reader = Reader::new(plan);
        for stored in page {
            let entry = reader.read(stored, &self.course);
            let followed = entry.and_then(|entry| self.go_on(plan, entry, checked));
            followed.map_err(|fault| fault_of(run, stored.version, fault))?;
            self.version = stored.version;
        }
        Ok(())
    }

    /// One record further.
    pub(crate) fn go_on(
        &mut self,
        plan: &Plan,
        entry: Entry,
        checked: Checked,
    ) -> Result<(), RecordFault> {
        let fact = match entry {
            Entry::Command(command) => {
                // That it was followed is a fact.
                if command == Command::Continue {
                    self.told.is_continued |= self.course.is_held();
                }
                self.told.follow(plan, command);
                return Ok(());
            }
            Entry::Unknown => return Ok(()),
            Entry::Renewed(owner) => {
                self.owner = owner;
                return Ok(());
            }
            Entry::Claimed(claimed) => {
                (self.owner, self.limits) = (claimed.owner, claimed.limits);
                Fact::Claimed
            }
            Entry::Fact(fact) => fact,
        };
        self.latest = self.latest.max(fact.at().unwrap_or_default());
        self.in_vain = match fact {
            Fact::Claimed => self.in_vain + 1,
            _ => 0,
        };
        if let Fact::Continued { .. } = fact {
            self.told.is_continued = false;
        }
        if checked == Checked::Yes {
            let admitted = self.course.admits(plan, &fact);
            admitted.map_err(|refused| RecordFault::out_of_order(&refused))?;
        }
        if let Some((step, taken)) = fact.took()
            && let Some(signal) = plan.steps[step].signal()
        {
            match taken {
                Some(number) => self.told.signals.forget(signal, number, step),
                // A record of an earlier version says only that there was one.
                None if matches!(fact, Fact::Completed { .. }) => {
                    self.told.signals.forget_first(signal);
                }
                None => {}
            }
        }
        let is_retried = matches!(fact, Fact::Retried { .. });
        self.course.apply(plan, fact, |_| {});
        if is_retried {
            self.told.begin_anew(plan, &self.course);
        }
        Ok(())
    }
}

/// The first record of a run.
fn started(run: &RunId, first: &StoredRecord) -> Result<Started, WorkflowError> {
    let started = match &*first.record.kind {
        records::RUN_STARTED => records::started(&first.record.payload),
        kind => Err(RecordFault::UnknownKind {
            kind: kind.to_owned(),
        }),
    };
    started.map_err(|fault| fault_of(run, first.version, fault))
}

/// Whether a run is one of this plan, as it is now.
fn check(plan: &Plan, run: &RunId, started: &Started) -> Result<(), WorkflowError> {
    if started.workflow != *plan.name {
        return Err(WorkflowError::OtherWorkflow {
            run: run.to_string(),
            kept: started.workflow.clone(),
            workflow: plan.name.to_string(),
        });
    }
    let fault = |source| fault_of(run, 1, source);
    if started.prints == PRINTS {
        let is = plan.kept_steps().map_err(fault)?;
        if started.steps.get() == is.get() {
            return Ok(());
        }
    }
    let was = started.steps().map_err(fault)?;
    let is = fingerprint::steps(plan, started.prints);
    let (kept, given) = (fingerprint::of(&was), fingerprint::of(&is));
    if kept == given {
        return Ok(());
    }
    let was = Was {
        steps: &was,
        prints: started.prints,
        on_failure: started.on_failure,
    };
    Err(WorkflowError::Changed {
        run: run.to_string(),
        workflow: plan.name.to_string(),
        kept,
        given,
        differences: fingerprint::differences(plan, &was),
    })
}

/// That a record makes no sense.
pub(crate) fn fault_of(run: &RunId, record: u64, source: RecordFault) -> WorkflowError {
    WorkflowError::Record {
        run: run.to_string(),
        record,
        source,
    }
}
