//! Taking up a durable run: from its records back to where it was.

use coord_bus::{EventLog, StoredRecord, Timestamp};
use serde_json::value::RawValue;

use crate::course::{Course, Fact};
use crate::plan::Plan;
use crate::records::{self, Entry, Owner, Reader, Started};
use crate::{RecordFault, RunId, WorkflowError, fingerprint};

/// How many records are read at once.
const PAGE: usize = 1_000;

/// A run as its records have it.
pub(crate) struct Kept {
    pub(crate) course: Course,
    pub(crate) input: Box<RawValue>,
    pub(crate) started_at: Timestamp,
    /// Who drives it, or did last.
    pub(crate) owner: Owner,
    /// The version of its stream.
    pub(crate) version: u64,
}

/// Reads a run, which has to be one of this plan. `None`: there is no such run.
pub(crate) async fn read(
    log: &dyn EventLog,
    plan: &Plan,
    run: &RunId,
) -> Result<Option<Kept>, WorkflowError> {
    let stream = records::stream(run.as_str());
    let failed = |error| WorkflowError::journal(run, error);
    let mut page = log.read(&stream, 1, PAGE).await.map_err(failed)?;
    let Some(first) = page.first() else {
        return Ok(None);
    };
    let started = started(run, first)?;
    check(plan, run, &started)?;
    let reader = Reader::new(plan);
    let mut kept = Kept {
        course: Course::new(plan),
        input: started.input,
        started_at: started.started_at,
        owner: started.owner,
        version: first.version,
    };
    page.remove(0);
    loop {
        let is_last = page.len() < PAGE - 1;
        for stored in page {
            kept.follow(plan, &reader, &stored)
                .map_err(|fault| fault_of(run, &stored, fault))?;
            kept.version = stored.version;
        }
        if is_last {
            return Ok(Some(kept));
        }
        let next = log.read(&stream, kept.version + 1, PAGE).await;
        page = next.map_err(failed)?;
    }
}

impl Kept {
    fn follow(
        &mut self,
        plan: &Plan,
        reader: &Reader<'_>,
        stored: &StoredRecord,
    ) -> Result<(), RecordFault> {
        let fact = match reader.read(stored)? {
            Entry::Claimed(owner) => {
                self.owner = owner;
                Fact::Claimed
            }
            Entry::Fact(fact) => fact,
        };
        let admitted = self.course.admits(plan, &fact);
        admitted.map_err(|refused| RecordFault::out_of_order(&refused))?;
        self.course.apply(plan, fact, |_| {});
        Ok(())
    }
}

/// The first record of a run.
pub(crate) fn started(run: &RunId, first: &StoredRecord) -> Result<Started, WorkflowError> {
    let started = match &*first.record.kind {
        records::RUN_STARTED => records::started(&first.record.payload),
        kind => Err(RecordFault::UnknownKind {
            kind: kind.to_owned(),
        }),
    };
    started.map_err(|fault| fault_of(run, first, fault))
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
    let steps = fingerprint::steps(plan);
    let (kept, given) = (fingerprint::of(&started.steps), fingerprint::of(&steps));
    if kept == given {
        return Ok(());
    }
    Err(WorkflowError::Changed {
        run: run.to_string(),
        workflow: plan.name.to_string(),
        kept,
        given,
        differences: fingerprint::differences(&started.steps, &steps),
    })
}

fn fault_of(run: &RunId, stored: &StoredRecord, source: RecordFault) -> WorkflowError {
    WorkflowError::Record {
        run: run.to_string(),
        record: stored.version,
        source,
    }
}
