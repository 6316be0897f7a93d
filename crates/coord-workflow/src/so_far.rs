//! How far a run has come, in a few words at the end of what is appended to it: so one that goes on is listed
//! without its records being read, however many it has.
//!
//! Whoever drives a run says it with the last record of each append. After that record there are only commands,
//! which anybody may append, or it was an earlier version that drove the run: then all records are read, as they
//! are of a run that has few.

use coord_bus::{EventLog, Record, StoredRecord, StreamInfo};
use serde::{Deserialize, Serialize};

use crate::course::Course;
use crate::outcome::Status;
use crate::records::{self, Owner, Started, cut};
use crate::resume::{Begun, fault_of};
use crate::{Command, Parent, RunId, RunJournal, RunState, RunSummary, WorkflowError};

/// How many records are read rather than that it is said how far a run has come: they come with the first one.
const FEW: u64 = 100;

/// How many of the last records are read at first: there may be commands among them.
const TAIL: u64 = 8;

/// Where a run is, beside what its first record says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SoFar {
    /// The record that says who drives it.
    owner: u64,
    #[serde(default, skip_serializing_if = "is_none")]
    done: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ending: Option<Status>,
    /// Whether it is paused for a step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_held: bool,
    /// Whether it was told to pause.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_paused: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_up: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Box<str>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "so serde calls it")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

/// What says it in the payload of a record, beside what happened.
#[derive(Deserialize)]
struct Said {
    so_far: SoFar,
}

/// Who drives a run, and whether it was told to pause, as far as its stream is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// The version of the stream.
    pub(crate) version: u64,
    /// The record that says who drives the run.
    pub(crate) owner: u64,
    pub(crate) is_paused: bool,
}

impl Standing {
    /// What is known once these come after it, which are not appended yet.
    pub(crate) fn after(mut self, records: &[Record]) -> Self {
        for record in records {
            self.version += 1;
            match &*record.kind {
                records::COMMAND => self.hear(records::command(&record.payload).ok().as_ref()),
                records::RUN_CLAIMED | records::OWNER_RENEWED => self.owner = self.version,
                _ => {}
            }
        }
        self
    }

    /// What a run is told that is kept with the record of this version.
    pub(crate) fn hear(&mut self, command: Option<&Command>) {
        match command {
            Some(Command::Pause) => self.is_paused = true,
            Some(Command::Continue) => self.is_paused = false,
            _ => {}
        }
    }
}

impl SoFar {
    pub(crate) fn of(course: &Course) -> Self {
        Self {
            done: course.done(),
            ending: course.stopped(),
            is_held: course.is_held(),
            is_up: course.is_up(),
            error: course.error().map(|error| cut(error)),
            ..Self::default()
        }
    }

    /// Says how far a run has come with the last of these records that is no command, where there are more than a
    /// few with them: they are appended to a stream of which this is known.
    pub(crate) fn say(mut self, records: &mut [Record], before: Standing, log: &dyn EventLog) {
        let after = before.after(records);
        let is_fact = |record: &&mut Record| record.kind != records::COMMAND;
        let Some(last) = records.iter_mut().rfind(is_fact) else {
            return;
        };
        if after.version <= FEW || last.payload.pop_if(|end| *end == b'}').is_none() {
            return;
        }
        (self.owner, self.is_paused) = (after.owner, after.is_paused);
        let whole = last.payload.len();
        let comma = if last.payload.ends_with(b"{") {
            ""
        } else {
            ","
        };
        last.payload.extend_from_slice(comma.as_bytes());
        last.payload.extend_from_slice(br#""so_far":"#);
        let written = serde_json::to_writer(&mut last.payload, &self);
        let max = log.max_record_bytes().unwrap_or(usize::MAX);
        if written.is_err() || last.kind.len() + last.payload.len() >= max {
            last.payload.truncate(whole);
        }
        last.payload.push(b'}');
    }

    /// What these records say, the last of a run: `Err`, they are all commands; `Ok(None)`, the last that is none
    /// does not say it.
    fn said(tail: &[StoredRecord]) -> Result<Option<Self>, ()> {
        let is_fact = |stored: &StoredRecord| stored.record.kind != records::COMMAND;
        let place = tail.iter().rposition(is_fact).ok_or(())?;
        let Ok(Said { so_far }) = records::parse(&tail[place].record.payload) else {
            return Ok(None);
        };
        let mut standing = Standing {
            version: tail[place].version,
            owner: so_far.owner,
            is_paused: so_far.is_paused,
        };
        for stored in &tail[place + 1..] {
            standing.hear(records::command(&stored.record.payload).ok().as_ref());
        }
        let is_paused = standing.is_paused;
        Ok(Some(Self {
            is_paused,
            ..so_far
        }))
    }
}

/// A run that has not finished, by the first of its records and the last.
struct Far {
    started: Started,
    so_far: SoFar,
    /// The last record.
    version: u64,
}

impl RunJournal {
    /// A run that has not finished, if its last records say how far it has come.
    pub(crate) async fn summary_so_far(
        &self,
        run: &RunId,
        stream: &StreamInfo,
    ) -> Result<Option<RunSummary>, WorkflowError> {
        let Some(far) = self.far(run, stream).await? else {
            return Ok(None);
        };
        let Some(owner) = self.owner_at(run, &far).await? else {
            return Ok(None);
        };
        let (driven_by, has_gone_on) = self.driver(run, &owner, far.version).await?;
        if has_gone_on {
            return Ok(None);
        }
        let Far {
            started, so_far, ..
        } = far;
        let steps = started.steps().map_err(|fault| fault_of(run, 1, fault))?;
        let paused_by = self.paused_by(run, so_far.is_paused, started.parent).await;
        let is_paused = paused_by.is_some() || so_far.is_held;
        Ok(Some(RunSummary {
            run: run.clone(),
            workflow: started.workflow,
            state: match driven_by {
                Some(_) => RunState::Running,
                None => RunState::Interrupted,
            },
            ending: so_far.ending,
            is_paused: is_paused && so_far.ending.is_none(),
            is_up: so_far.is_up,
            started_at: started.started_at,
            duration: None,
            error: so_far.error.map(String::from),
            done: so_far.done,
            steps: steps.len(),
            driven_by,
            parent: None,
        }))
    }

    /// Whether a run was told to pause, and the step that it is the work of, if it is.
    pub(crate) async fn is_told_to_pause(
        &self,
        run: &RunId,
    ) -> Result<(bool, Option<Parent>), WorkflowError> {
        if let Some(stream) = self.stream_of(run).await?
            && let Some(far) = self.far(run, &stream).await?
        {
            return Ok((far.so_far.is_paused, far.started.parent));
        }
        let (_, kept) = self.read(run).await?;
        Ok((kept.told.is_paused, kept.child_of))
    }

    async fn far(&self, run: &RunId, stream: &StreamInfo) -> Result<Option<Far>, WorkflowError> {
        if stream.is_closed || stream.version <= FEW {
            return Ok(None);
        }
        let mut count = TAIL;
        while count < stream.version {
            let from = stream.version - count + 1;
            // With what has come since; it is as it was by the last of them.
            let tail = self.log.read(&stream.name, from, (count + FEW) as usize);
            let tail = tail.await;
            let tail = tail.map_err(|error| WorkflowError::journal(run, error))?;
            match (SoFar::said(&tail), tail.last()) {
                (Err(()), Some(_)) => count *= TAIL,
                (Ok(Some(so_far)), Some(last)) => {
                    let started = Begun::first(&*self.log, run).await?;
                    return Ok(started.map(|started| Far {
                        started,
                        so_far,
                        version: last.version,
                    }));
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    async fn owner_at(&self, run: &RunId, far: &Far) -> Result<Option<Owner>, WorkflowError> {
        let at = far.so_far.owner;
        if at == 1 {
            return Ok(Some(far.started.owner.clone()));
        }
        let stream = records::stream(run.as_str());
        let stored = self.log.read(&stream, at, 1).await;
        let stored = stored.map_err(|error| WorkflowError::journal(run, error))?;
        let owner = stored
            .first()
            .map(|said| records::parse(&said.record.payload));
        owner.transpose().map_err(|fault| fault_of(run, at, fault))
    }
}
