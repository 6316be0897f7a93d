//! The records of a durable run: its facts as they are written, and read.
//!
//! A run is a stream of the journal, `run.` and its id. What is written is JSON, and names steps by
//! their ids; [`VERSION`] says by which rules. Whoever drives the run appends its facts; anybody may
//! append a [`Command`](Entry::Command), which is no fact: that it was followed is one.

mod bounds;
mod kept_error;
mod payloads;

use std::collections::HashMap;
use std::sync::Arc;

use coord_bus::{Record, StoredRecord, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::course::{Course, Fact};
use crate::durable::Codec;
use crate::fingerprint::KeptStep;
use crate::plan::{Output, Plan};
use crate::reason::Reason;
use crate::same_json::print;
use crate::shape::Shape;
use crate::summary::{Finished, KeptSummary};
use crate::time_limits::TimeLimits;
use crate::{Command, OnFailure, Parent, RecordFault, RunId};
pub(crate) use bounds::{check, kept_max};
use kept_error::KeptError;
pub(crate) use kept_error::cut;
use payloads::{
    Attempt, AttemptFailed, Completed, Continued, Exhausted, Failed, ItemsCompleted, OfStep,
    PartCompleted, Retried, Stopped,
};

/// The version of the records.
pub(crate) const VERSION: u32 = 1;

pub(crate) const RUN_STARTED: &str = "run-started";
pub(crate) const RUN_CLAIMED: &str = "run-claimed";
pub(crate) const OWNER_RENEWED: &str = "owner-renewed";
pub(crate) const RUN_SUSPENDED: &str = "run-suspended";
pub(crate) const RUN_STOPPED: &str = "run-stopped";
pub(crate) const RUN_UP: &str = "run-up";
pub(crate) const RUN_FINISHED: &str = "run-finished";
pub(crate) const RUN_RETRIED: &str = "run-retried";
pub(crate) const STEP_STARTED: &str = "step-started";
pub(crate) const ATTEMPT_FAILED: &str = "attempt-failed";
pub(crate) const PART_COMPLETED: &str = "part-completed";
pub(crate) const STEP_COMPLETED: &str = "step-completed";
pub(crate) const ITEMS_COMPLETED: &str = "items-completed";
pub(crate) const STEP_FAILED: &str = "step-failed";
pub(crate) const STEP_EXHAUSTED: &str = "step-exhausted";
pub(crate) const RUN_CONTINUED: &str = "run-continued";
pub(crate) const CHILD_PAUSED: &str = "child-paused";
pub(crate) const CHILD_CONTINUED: &str = "child-continued";
pub(crate) const STEP_SKIPPED: &str = "step-skipped";
pub(crate) const STEP_CANCELLED: &str = "step-cancelled";
pub(crate) const UNDO_STARTED: &str = "compensation-started";
pub(crate) const UNDO_ATTEMPT_FAILED: &str = "compensation-attempt-failed";
pub(crate) const UNDONE: &str = "compensation-completed";
pub(crate) const UNDO_FAILED: &str = "compensation-failed";
pub(crate) const COMMAND: &str = "command";

/// The stream of a run.
pub(crate) fn stream(run: &str) -> String {
    format!("{STREAMS}{run}")
}

/// The run of a stream, if it is one's.
pub(crate) fn run_of(stream: &str) -> Option<RunId> {
    RunId::named(stream.strip_prefix(STREAMS)?).ok()
}

/// The stream of ids of runs that have news for who drives them.
pub(crate) fn bell(lease: &str) -> String {
    format!("{BELLS}{lease}")
}

/// What the streams of such ids begin with.
pub(crate) const BELLS: &str = "bell.";

/// What the streams of runs begin with.
pub(crate) const STREAMS: &str = "run.";

/// The first record of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) version: u32,
    pub(crate) workflow: String,
    pub(crate) started_at: Timestamp,
    pub(crate) input: Box<RawValue>,
    /// Read only where they are not those of the plan, to the letter: a run is taken up for less so.
    pub(crate) steps: Box<RawValue>,
    /// What their fingerprints look at; missing in records of earlier versions.
    #[serde(default)]
    pub(crate) prints: u32,
    #[serde(default, skip_serializing_if = "OnFailure::is_fail_fast")]
    pub(crate) on_failure: OnFailure,
    pub(crate) owner: Owner,
    /// What tells the runs within this one, and what its steps ask for, from those of an earlier one of its id; missing
    /// in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<u64>,
    /// Whether the idempotency keys of its steps have it: missing in records of earlier versions, in which only the
    /// ids of the runs within it have.
    #[serde(default, rename = "marked", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_marked: bool,
    /// The step that the run is the work of, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<Parent>,
    /// Missing in records of earlier versions.
    #[serde(default, skip_serializing_if = "TimeLimits::is_empty")]
    pub(crate) limits: TimeLimits,
}

impl Started {
    pub(crate) fn steps(&self) -> Result<Vec<KeptStep>, RecordFault> {
        parse(self.steps.get().as_bytes())
    }
}

/// Who takes up a run, and what it holds it to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claimed {
    #[serde(flatten)]
    pub(crate) owner: Owner,
    /// Missing in records of earlier versions.
    #[serde(default, skip_serializing_if = "TimeLimits::is_empty")]
    pub(crate) limits: TimeLimits,
}

/// Who drives a run: as long as this grant of a lease holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) lease: String,
    pub(crate) token: u64,
    /// For people.
    pub(crate) holder: String,
}

/// A fact, as it is written, in a run that has come this far and began then, which the last of them says.
// tidy: long, because it is one arm for each fact, and the compiler sees that none is missing.
pub(crate) fn write(
    plan: &Plan,
    fact: &Fact,
    course: &Course,
    started_at: Timestamp,
) -> Result<Record, RecordFault> {
    let id = |step: &usize| &*plan.steps[*step].id;
    let of_step = |step, at, error: Option<&Reason>| OfStep {
        step: id(step),
        at,
        part: None,
        error: error.map(KeptError::of),
        asked: false,
        signal: None,
    };
    match fact {
        Fact::Started { step, attempt, at } => {
            let (step, attempt, at) = (id(step), *attempt, *at);
            record(STEP_STARTED, &Attempt { step, attempt, at })
        }
        Fact::AttemptFailed {
            step,
            error,
            heartbeat,
            signal,
            until,
        } => {
            let failed = AttemptFailed {
                step: id(step),
                error: KeptError::of(error),
                heartbeat: written(heartbeat.as_deref())?,
                signal: *signal,
                until: *until,
            };
            record(ATTEMPT_FAILED, &failed)
        }
        Fact::Completed { step, at, .. }
            if matches!(plan.steps[*step].shape, Some(Shape::ForEach { .. })) =>
        {
            let parts = course.parts(*step);
            let completed = ItemsCompleted {
                step: id(step),
                at: *at,
                items: parts.map_or(0, |parts| parts.of),
            };
            record(ITEMS_COMPLETED, &completed)
        }
        Fact::Completed {
            step,
            kept,
            signal,
            at,
            ..
        } => {
            let kept = kept.as_deref().unwrap_or("null");
            let output = serde_json::from_str(kept).map_err(RecordFault::Unwritable)?;
            let completed = Completed {
                step: id(step),
                at: *at,
                signal: *signal,
                output,
            };
            record(STEP_COMPLETED, &completed)
        }
        Fact::PartCompleted {
            step,
            part,
            of,
            kept,
            at,
            ..
        } => {
            let kept = kept.as_deref().unwrap_or("null");
            let completed = PartCompleted {
                step: id(step),
                part: *part,
                of: *of,
                at: *at,
                output: serde_json::from_str(kept).map_err(RecordFault::Unwritable)?,
            };
            record(PART_COMPLETED, &completed)
        }
        Fact::Failed {
            step,
            error,
            signal,
            at,
        } => {
            let failed = Failed {
                step: id(step),
                error: KeptError::of(error),
                signal: *signal,
                at: *at,
            };
            record(STEP_FAILED, &failed)
        }
        Fact::Exhausted {
            step,
            error,
            heartbeat,
            signal,
            at,
        } => {
            let exhausted = Exhausted {
                step: id(step),
                error: KeptError::of(error),
                heartbeat: written(heartbeat.as_deref())?,
                signal: *signal,
                at: *at,
            };
            record(STEP_EXHAUSTED, &exhausted)
        }
        Fact::Continued { at } => record(RUN_CONTINUED, &Continued { at: *at }),
        Fact::Child {
            step,
            part,
            is_paused,
            at,
        } => {
            let kind = match is_paused {
                true => CHILD_PAUSED,
                false => CHILD_CONTINUED,
            };
            let child = OfStep {
                part: *part,
                ..of_step(step, Some(*at), None)
            };
            record(kind, &child)
        }
        Fact::Skipped { step, at, asked } => {
            let skipped = OfStep {
                asked: *asked,
                ..of_step(step, Some(*at), None)
            };
            record(STEP_SKIPPED, &skipped)
        }
        Fact::Cancelled { step, signal, at } => {
            let cancelled = OfStep {
                signal: *signal,
                ..of_step(step, Some(*at), None)
            };
            record(STEP_CANCELLED, &cancelled)
        }
        Fact::Stopped { status, failed } => {
            let (status, failed) = (*status, failed.as_deref().map(cut));
            record(RUN_STOPPED, &Stopped { status, failed })
        }
        Fact::UndoStarted { step } => record(UNDO_STARTED, &of_step(step, None, None)),
        Fact::UndoAttemptFailed { step, error } => {
            record(UNDO_ATTEMPT_FAILED, &of_step(step, None, Some(error)))
        }
        Fact::Undone { step } => record(UNDONE, &of_step(step, None, None)),
        Fact::UndoFailed { step, error } => record(UNDO_FAILED, &of_step(step, None, Some(error))),
        Fact::Suspended => Ok(Record::new(RUN_SUSPENDED, "{}")),
        Fact::Claimed => Ok(Record::new(RUN_CLAIMED, "")),
        Fact::Up => Ok(Record::new(RUN_UP, "{}")),
        Fact::Finished { at, failed } => {
            let (at, failed) = (*at, failed.as_deref().map(cut));
            let finished = Finished {
                status: course.ends_as(failed.as_deref()),
                at,
                failed,
                summary: Some(KeptSummary::of(&plan.name, started_at, course)),
            };
            record(RUN_FINISHED, &finished)
        }
        Fact::Retried { from, at, rules } => {
            let (from, at, rules) = (from.as_ref().map(id), *at, *rules);
            record(RUN_RETRIED, &Retried { from, at, rules })
        }
    }
}

/// What was written as JSON before.
fn written(json: Option<&str>) -> Result<Option<&RawValue>, RecordFault> {
    let json = json.map(serde_json::from_str).transpose();
    json.map_err(RecordFault::Unwritable)
}

/// Any part of a run, as it is written.
pub(crate) fn record(kind: &str, payload: &impl Serialize) -> Result<Record, RecordFault> {
    let payload = serde_json::to_vec(payload).map_err(RecordFault::Unwritable)?;
    Ok(Record::new(kind, payload))
}

/// What a record says.
pub(crate) enum Entry {
    Claimed(Claimed),
    /// Who drives the run holds its lease under another grant by now: nothing that is under way has ended.
    Renewed(Owner),
    Command(Command),
    /// A command that is not known here. It is of a later version, and meant for that: who drives the run
    /// ignores it as well.
    Unknown,
    Fact(Fact),
}

/// Reads the records of runs of one plan.
pub(crate) struct Reader<'p> {
    plan: &'p Plan,
    places: HashMap<&'p str, usize>,
}

impl<'p> Reader<'p> {
    pub(crate) fn new(plan: &'p Plan) -> Self {
        let steps = plan.steps.iter().enumerate();
        Self {
            plan,
            places: steps.map(|(place, step)| (&*step.id, place)).collect(),
        }
    }

    fn place(&self, id: &str) -> Result<usize, RecordFault> {
        let place = self.places.get(id).copied();
        place.ok_or_else(|| RecordFault::UnknownStep {
            step: id.to_owned(),
        })
    }

    /// What a record says, in a run that has come this far.
    pub(crate) fn read(
        &self,
        stored: &StoredRecord,
        course: &Course,
    ) -> Result<Entry, RecordFault> {
        let payload = &*stored.record.payload;
        let fact = match &*stored.record.kind {
            RUN_STARTED => return Err(RecordFault::out_of_order("the run has begun")),
            RUN_CLAIMED => return parse(payload).map(Entry::Claimed),
            OWNER_RENEWED => return parse(payload).map(Entry::Renewed),
            COMMAND => return Ok(command(payload).map_or(Entry::Unknown, Entry::Command)),
            STEP_STARTED => {
                let Attempt { step, attempt, at } = parse(payload)?;
                let step = self.place(step)?;
                Fact::Started { step, attempt, at }
            }
            ATTEMPT_FAILED => {
                let failed: AttemptFailed = parse(payload)?;
                Fact::AttemptFailed {
                    step: self.place(failed.step)?,
                    error: failed.error.into_reason(),
                    heartbeat: failed.heartbeat.map(|said| said.get().into()),
                    signal: failed.signal,
                    until: failed.until,
                }
            }
            STEP_COMPLETED => self.completed(payload)?,
            ITEMS_COMPLETED => self.items_completed(payload, course)?,
            PART_COMPLETED => self.part_completed(payload)?,
            STEP_FAILED => {
                let failed: Failed = parse(payload)?;
                Fact::Failed {
                    step: self.place(failed.step)?,
                    error: failed.error.into_reason(),
                    signal: failed.signal,
                    at: failed.at,
                }
            }
            STEP_EXHAUSTED => {
                let exhausted: Exhausted = parse(payload)?;
                Fact::Exhausted {
                    step: self.place(exhausted.step)?,
                    error: exhausted.error.into_reason(),
                    heartbeat: exhausted.heartbeat.map(|said| said.get().into()),
                    signal: exhausted.signal,
                    at: exhausted.at,
                }
            }
            RUN_CONTINUED => {
                let Continued { at } = parse(payload)?;
                Fact::Continued { at }
            }
            RUN_SUSPENDED => Fact::Suspended,
            RUN_UP => Fact::Up,
            RUN_STOPPED => {
                let Stopped { status, failed } = parse(payload)?;
                let failed = failed.map(Arc::from);
                Fact::Stopped { status, failed }
            }
            RUN_RETRIED => {
                let Retried { from, at, rules } = parse(payload)?;
                let from = from.map(|from| self.place(from)).transpose()?;
                Fact::Retried { from, at, rules }
            }
            RUN_FINISHED => {
                let Finished { at, failed, .. } = parse(payload)?;
                let failed = failed.map(Arc::from);
                Fact::Finished { at, failed }
            }
            kind => self.of_step(kind, parse(payload)?)?,
        };
        Ok(Entry::Fact(fact))
    }

    fn completed(&self, payload: &[u8]) -> Result<Fact, RecordFault> {
        let completed: Completed = parse(payload)?;
        let step = self.place(completed.step)?;
        let output = self.output(step, self.plan.steps[step].codec, completed.output)?;
        Ok(Fact::Completed {
            step,
            output,
            kept: None,
            print: Some(print(completed.output.get())),
            signal: completed.signal,
            at: completed.at,
        })
    }

    fn items_completed(&self, payload: &[u8], course: &Course) -> Result<Fact, RecordFault> {
        let ItemsCompleted { step, at, items } = parse(payload)?;
        let step = self.place(step)?;
        let output = course.output_of_items(self.plan, step, items);
        Ok(Fact::Completed {
            step,
            output: output.map_err(|refused| RecordFault::out_of_order(&refused))?,
            kept: None,
            // That of its items, which is known by then.
            print: Some(0),
            signal: None,
            at,
        })
    }

    fn part_completed(&self, payload: &[u8]) -> Result<Fact, RecordFault> {
        let completed: PartCompleted = parse(payload)?;
        let step = self.place(completed.step)?;
        let shape = self.plan.steps[step].shape.as_ref();
        let codec = shape.and_then(Shape::codec_of_parts);
        Ok(Fact::PartCompleted {
            step,
            part: completed.part,
            of: completed.of,
            output: self.output(step, codec, completed.output)?,
            kept: None,
            print: Some(print(completed.output.get())),
            at: completed.at,
        })
    }

    fn output(
        &self,
        step: usize,
        codec: Option<Codec>,
        output: &RawValue,
    ) -> Result<Output, RecordFault> {
        let codec = codec.ok_or(RecordFault::NotDurable)?;
        (codec.decode)(output.get()).map_err(|misread| RecordFault::Output {
            step: self.plan.steps[step].id.to_string(),
            type_name: misread.type_name,
            source: misread.source,
        })
    }

    fn of_step(&self, kind: &str, said: OfStep<'_>) -> Result<Fact, RecordFault> {
        let step = self.place(said.step)?;
        let at = said.at.unwrap_or_default();
        Ok(match (kind, said.error) {
            (STEP_SKIPPED, _) => {
                let asked = said.asked;
                Fact::Skipped { step, at, asked }
            }
            (CHILD_PAUSED | CHILD_CONTINUED, _) => {
                let is_paused = kind == CHILD_PAUSED;
                Fact::Child {
                    step,
                    part: said.part,
                    is_paused,
                    at,
                }
            }
            (STEP_CANCELLED, _) => {
                let signal = said.signal;
                Fact::Cancelled { step, signal, at }
            }
            (UNDO_STARTED, _) => Fact::UndoStarted { step },
            (UNDO_ATTEMPT_FAILED, Some(error)) => {
                let error = error.into_reason();
                Fact::UndoAttemptFailed { step, error }
            }
            (UNDONE, _) => Fact::Undone { step },
            (UNDO_FAILED, Some(error)) => {
                let error = error.into_reason();
                Fact::UndoFailed { step, error }
            }
            _ => {
                let kind = kind.to_owned();
                return Err(RecordFault::UnknownKind { kind });
            }
        })
    }
}

/// The first record of a run.
pub(crate) fn started(payload: &[u8]) -> Result<Started, RecordFault> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let started: Result<Started, _> = parse(payload);
    match started {
        Ok(started) if started.version == VERSION => Ok(started),
        // Of another version is said of what else it may be, too.
        started => match parse(payload)? {
            Version { version: VERSION } => started,
            Version { version } => Err(RecordFault::Version { version }),
        },
    }
}

/// What a run is told.
pub(crate) fn command(payload: &[u8]) -> Result<Command, RecordFault> {
    parse(payload)
}

pub(crate) fn parse<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, RecordFault> {
    serde_json::from_slice(payload).map_err(RecordFault::Unreadable)
}
