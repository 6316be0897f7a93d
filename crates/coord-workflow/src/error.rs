//! What can go wrong with a step, and with asking for a run.

use std::any::type_name;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::{BusError, EventLogError, Failure, LeaseError, text::nearest};

use crate::durable::Misread;
use crate::{Faults, RunId, Status, Why};

/// Why a step failed: any error of the step's own, or an [`AttemptError`], or a
/// [`Panicked`](coord_bus::Panicked).
///
/// A step's function returns any error that is `Send + Sync + 'static`; `?` turns it into this. One
/// that is [permanent](Failure::permanent) is not retried; one that says
/// [how long to wait](Failure::retry_after) is retried after that, whatever the backoff.
pub type StepError = Failure;

/// What the orchestrator itself finds wrong with an attempt at a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// It took too long.
    #[error("it was not done after {0:?}, its timeout")]
    TimedOut(Duration),
    /// All attempts together, with the waits between them, took too long.
    #[error("it was not done after {0:?}, its total timeout")]
    AllTimedOut(Duration),
    /// It gave no sign of life for too long.
    #[error(
        "it gave no sign of life for {timeout:?}, its heartbeat timeout: {}",
        match last {
            Some(last) => format!("the last came {last:.1?} after the attempt began"),
            None => "there was none since the attempt began".to_owned(),
        }
    )]
    NoHeartbeat {
        /// How long that is.
        timeout: Duration,
        /// When it last did, counted from the beginning of the attempt.
        last: Option<Duration>,
    },
    /// The run was cancelled while it was going on.
    #[error("it was cancelled")]
    Cancelled,
    /// It, or what undoes it, was under way each time when the process that drove its run ended.
    #[error(
        "it was under way {times} times in a row when its process ended, so it may be what ended it \
         (`max_recovery_attempts`)"
    )]
    CutOff {
        /// How often in a row.
        times: u32,
    },
    /// A signal came for it, and what came with that is not what it puts out.
    #[error("what came with the signal `{signal}` is no `{type_name}`: {why}")]
    Payload {
        /// The signal.
        signal: String,
        /// What it was to be.
        type_name: &'static str,
        /// Why it is not.
        why: String,
    },
    /// The topic of the event that it waited for was closed before one came.
    #[error("the topic `{topic}` was closed before the event came that it waited for")]
    TopicClosed {
        /// The topic.
        topic: String,
    },
    /// It succeeded, but its output cannot be kept in the journal.
    #[error("its output cannot be written as JSON: {0}")]
    Unwritable(String),
    /// It succeeded, but what is kept of its output could not be read again.
    #[error(
        "its output is written as JSON, and cannot be read from that ({0}): a number that is none, or \
         infinite, is written as `null`, some types are written and not read (`skip_serializing`), and 100 \
         levels are the most; put out what is read, such as an `Option`, or a text, instead"
    )]
    Unreadable(String),
    /// It succeeded, but its output is larger than what the journal takes.
    #[error(
        "its output takes {bytes} bytes as JSON, and {limit} are the most that the journal takes: keep it in a \
         file, and put out where that is"
    )]
    TooLarge {
        /// How many it takes.
        bytes: usize,
        /// How many it may.
        limit: usize,
    },
    /// A condition answered neither true nor false.
    #[error("its condition answered {0}, which is neither true nor false")]
    NotABoolean(String),
}

impl AttemptError {
    pub(crate) fn payload<T>(signal: &str, error: &serde_json::Error) -> Self {
        Self::Payload {
            signal: signal.to_owned(),
            type_name: type_name::<T>(),
            why: error.to_string(),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(crate) fn unwritable(error: serde_json::Error) -> Self {
        Self::Unwritable(error.to_string())
    }

    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(crate) fn unreadable(error: serde_json::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// A run could not be started, or did not come to an end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkflowError {
    /// The orchestrator was shut down before.
    #[error("workflow `{workflow}` was not started: the orchestrator is shut down")]
    ShutDown {
        /// The workflow.
        workflow: String,
    },
    /// The workflow asks for resources that the orchestrator does not have.
    #[error("workflow `{workflow}` was not started: {faults}")]
    Resources {
        /// The workflow.
        workflow: String,
        /// Each of them.
        faults: Faults,
    },
    /// The orchestrator, or its runtime, went away while the run was going on. A durable one can be resumed.
    #[error(
        "run `{run}` was aborted: its orchestrator was dropped, or the runtime that drove it; keep both, or use \
         `shutdown`, to let runs end; a durable run can be resumed"
    )]
    Aborted {
        /// The run.
        run: String,
    },
    /// What drives the run panicked, beside the functions of its steps, whose panics are their failures. So it is
    /// left as it was: a durable one for anybody to resume, of any other nothing is undone. What the panic said is
    /// an event of the topic `error-detected`.
    #[error(
        "run `{run}` is left as it was: what drives it panicked, and said why where panics are told of \
         (standard error, and the topic `error-detected`); a durable run can be resumed"
    )]
    Panicked {
        /// The run.
        run: String,
    },
    /// The topic of workflow events could not be opened.
    #[error("the orchestrator cannot tell of its runs")]
    Bus(#[from] BusError),
    /// A durable run needs a journal.
    #[error(
        "workflow `{workflow}` was not started: the orchestrator has no journal to keep its run \
         in; give it one with `WorkflowOrchestrator::builder(..).journal(..)`"
    )]
    NoJournal {
        /// The workflow.
        workflow: String,
    },
    /// The id is not one that a run can have.
    #[error(
        "`{id}` cannot be a run's id: ids are 1 to {max} letters, digits, `-`, `_` and `.`, the \
         first of them a letter or a digit, such as `order-1042`",
        max = crate::RUN_ID_LENGTH_MAX
    )]
    InvalidRunId {
        /// The id.
        id: String,
    },
    /// What the run is to be started with cannot be kept.
    #[error("run `{run}` was not started: its input cannot be written as JSON")]
    UnwritableInput {
        /// The run.
        run: String,
        /// Why not.
        source: serde_json::Error,
    },
    /// What the run is to be started with could not be read again.
    #[error(
        "run `{run}` was not started: its input is written as JSON, and cannot be read from that; a number \
         that is none, or infinite, is written as `null`, some types are written and not read \
         (`skip_serializing`), and 100 levels are the most: start it with what is read, such as an `Option`, \
         or a text, instead"
    )]
    UnreadableInput {
        /// The run.
        run: String,
        /// Why not.
        source: serde_json::Error,
    },
    /// What the run is to be started with, or is told, is larger than what the journal takes.
    #[error(
        "run `{run}` was not started, or not told: what it was to be given takes {bytes} bytes in the journal, \
         and {limit} are the most; keep it in a file, and give the run the name of that"
    )]
    TooLarge {
        /// The run.
        run: String,
        /// How many bytes it takes.
        bytes: usize,
        /// How many it may.
        limit: usize,
    },
    /// There is no run of this id in the journal.
    #[error("there is no run `{run}` in the journal: is the id right, and the journal?")]
    NoSuchRun {
        /// The run.
        run: String,
    },
    /// The run of this id is one of another workflow.
    #[error("run `{run}` is one of workflow `{kept}`, not of `{workflow}`: choose another id")]
    OtherWorkflow {
        /// The run.
        run: String,
        /// Whose run it is.
        kept: String,
        /// The workflow that was given.
        workflow: String,
    },
    /// A run of this id was started before, with something else. Inputs are compared as they are kept, as JSON,
    /// whatever the order of keys: a `HashSet` is written in another order each time, a `BTreeSet` is not.
    #[error(
        "run `{run}` was started before, with another input: choose another id, or resume that run (an \
         input that holds a set is the same only if that has an order, as a `BTreeSet` has)"
    )]
    OtherInput {
        /// The run.
        run: String,
    },
    /// The workflow is not the one that the run was started with.
    #[error(
        "run `{run}` was started with another definition of `{workflow}` (fingerprint {kept}) than \
         this one ({given}): {differences}; go on with the one that it was started with, or end it with \
         `WorkflowOrchestrator::terminate_run`, which undoes nothing, and start a new run",
        differences = differences.join(", ")
    )]
    Changed {
        /// The run.
        run: String,
        /// The workflow.
        workflow: String,
        /// The fingerprint of the definition that the run was started with.
        kept: String,
        /// The fingerprint of the definition that was given.
        given: String,
        /// What differs, step by step, with the properties that have changed.
        differences: Vec<String>,
    },
    /// Another process, or another orchestrator, drives the run.
    #[error(
        "run `{run}` is driven by {holder}: wait for its end, with `RunJournal::ended` or `outcome`, or stop that \
         first"
    )]
    DrivenElsewhere {
        /// The run.
        run: String,
        /// By whom: which process, or another orchestrator of this one.
        holder: String,
    },
    /// A record of the run makes no sense, or has an output or the input in a type that the workflow has no
    /// more.
    #[error("record {record} of run `{run}` cannot be followed{}", source.wanted())]
    Record {
        /// The run.
        run: String,
        /// The number of the record.
        record: u64,
        /// Why.
        source: RecordFault,
    },
    /// The journal did not do what it was asked for. What the run had done by then is kept as far
    /// as the journal has it.
    #[error("the journal failed for run `{run}`: once it is well again, resume the run")]
    Journal {
        /// The run.
        run: String,
        /// Why.
        source: Arc<EventLogError>,
    },
    /// The orchestrator could not make itself known in the journal as who drives runs.
    #[error("the orchestrator cannot say in the journal that it is there")]
    Lease(#[from] LeaseError),
    /// The orchestrator was shut down, and the run is kept as it was.
    #[error(
        "run `{run}` is suspended: its orchestrator was shut down; resume it whenever you like"
    )]
    Suspended {
        /// The run.
        run: String,
    },
    /// The run has finished, or is done but for its hook, so it can be told nothing any more.
    #[error("run `{run}` has finished: there is nobody to tell it")]
    RunFinished {
        /// The run.
        run: String,
    },
    /// The run is coming to its end: no step of it begins any more, so there is nothing to pause.
    #[error(
        "run `{run}` was not paused: it ends as {status}, no step of it begins any more, and what it did is \
         undone to the end"
    )]
    Ending {
        /// The run.
        run: String,
        /// How it ends.
        status: Status,
    },
    /// A run that goes on is not retried.
    #[error("run `{run}` has not finished, so it is not to be retried: resume it")]
    NotFinished {
        /// The run.
        run: String,
    },
    /// A run within another that goes on is not retried: what comes of that, its step would not hear of.
    #[error(
        "run `{run}` is not to be retried, as it is within step `{step}` of run `{parent}`, which has not finished and \
         would not take what comes of it: another attempt at that step has a run of its own. Where `{parent}` is paused \
         for the step, continue it; else let it finish, or cancel it, and retry that"
    )]
    WithinUnfinished {
        /// The run.
        run: String,
        /// The run that it is within.
        parent: String,
        /// The step of that.
        step: String,
    },
    /// Nothing in the run is to be done again.
    #[error(
        "there is nothing to retry in run `{run}`: every step is done; name the step to begin from"
    )]
    NothingToRetry {
        /// The run.
        run: String,
    },
    /// The run has no such step.
    #[error(
        "there is no step `{step}` in run `{run}`{}",
        match nearest {
            Some(nearest) => format!("; did you mean `{nearest}`?"),
            None => ": see its steps for the right id".to_owned(),
        }
    )]
    NoSuchStep {
        /// The run.
        run: String,
        /// The step.
        step: String,
        /// The id of the step that is probably meant.
        nearest: Option<String>,
    },
    /// No step of the run waits for a signal of this name.
    #[error(
        "run `{run}` was not sent the signal `{signal}`, as no step of it waits for that{}",
        match (nearest, &**awaited) {
            (Some(nearest), _) => format!("; did you mean `{nearest}`?"),
            (None, []) => ", or for any other".to_owned(),
            (None, awaited) => format!("; they wait for `{}`", awaited.join("`, `")),
        }
    )]
    NoSuchSignal {
        /// The run.
        run: String,
        /// The signal.
        signal: String,
        /// The signal that is probably meant.
        nearest: Option<String>,
        /// Those that its steps wait for.
        awaited: Vec<String>,
    },
    /// The step has come to its end, or does not begin anyway.
    #[error(
        "step `{step}` of run `{run}` was not skipped: {why}; retry the run, once it has finished, to do \
         it again"
    )]
    NotSkipped {
        /// The run.
        run: String,
        /// The step.
        step: String,
        /// Where it is.
        why: Why,
    },
    /// Nobody drives the run, so nothing of it is under way with which something could be done.
    #[error(
        "nobody drives run `{run}`, so nothing of it is under way; resume it, and what was begins again"
    )]
    NotDriven {
        /// The run.
        run: String,
    },
    /// As many signals of this name wait for the steps of a run as may.
    #[error(
        "run `{run}` was not sent the signal: as many of its name as may ({max}) wait already",
        max = crate::MAX_SIGNALS
    )]
    TooManySignals {
        /// The run.
        run: String,
    },
    /// The run has had a signal of this name and [id](crate::Signal::with_id), with another payload.
    #[error(
        "run `{run}` was not sent the signal `{signal}`: it has had another one with the id `{id}`; what is \
         another message has another id"
    )]
    OtherSignal {
        /// The run.
        run: String,
        /// The signal.
        signal: String,
        /// Its id.
        id: String,
    },
    /// A step runs another workflow, and that run cannot be started or gone on with here: it belongs to
    /// another definition, say. So the run is left as it is, and is not taken up where that is known by then: it is for
    /// who can.
    #[error(
        "run `{run}` is left as it is, as its step `{step}` waits for run `{child}`, which cannot be gone \
         on with: once it can, resume run `{run}`"
    )]
    Child {
        /// The run.
        run: String,
        /// Its step.
        step: String,
        /// The run that is the step's work.
        child: String,
        /// Why it cannot.
        source: Arc<WorkflowError>,
    },
    /// There is a run of the id that the work of a step was to have, and it is not that.
    #[error("run `{run}` is not the work of step `{step}` of run `{parent}`: forget it, to go on")]
    OtherParent {
        /// The run.
        run: String,
        /// The run that it was to be within.
        parent: String,
        /// The step.
        step: String,
    },
    /// The orchestrator has no lease any more under which it drives runs: it ran out, since the journal
    /// could not be reached in time to renew it, say, and could not be acquired anew. So the run is left as
    /// it is, for anybody to resume.
    #[error(
        "run `{run}` is suspended: its orchestrator could not renew its lease in the journal, so somebody \
         else may go on with the run; see to the journal, and resume the run"
    )]
    LeaseLost {
        /// The run.
        run: String,
    },
    /// Somebody else has taken the run up meanwhile.
    #[error(
        "run `{run}` was taken up by somebody else: this process seemed to be gone, perhaps \
         because it was suspended"
    )]
    TakenOver {
        /// The run.
        run: String,
    },
}

impl WorkflowError {
    /// That a run of which these are the steps has no such step.
    pub(crate) fn no_step<'s>(
        run: &RunId,
        step: &str,
        steps: impl IntoIterator<Item = &'s str>,
    ) -> Self {
        Self::NoSuchStep {
            run: run.to_string(),
            step: step.to_owned(),
            nearest: nearest(step, steps).map(str::to_owned),
        }
    }

    pub(crate) fn journal(run: &RunId, source: EventLogError) -> Self {
        Self::Journal {
            run: run.to_string(),
            source: Arc::new(source),
        }
    }
}

impl RecordFault {
    pub(crate) fn out_of_order(why: &(impl ToString + ?Sized)) -> Self {
        Self::OutOfOrder {
            why: why.to_string(),
        }
    }
}

/// What is wrong with a record of a durable run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// It is not written as such a record is.
    #[error("it is not written as a record of its kind is")]
    Unreadable(#[source] serde_json::Error),
    /// It could not be written.
    #[error("it cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
    /// It was written by a later version.
    #[error("it is of version {version}, which this version does not know: use a later one")]
    Version {
        /// Its version.
        version: u32,
    },
    /// It is of no kind that is known.
    #[error("its kind `{kind}` is not known: was it written by a later version?")]
    UnknownKind {
        /// The kind.
        kind: String,
    },
    /// It is about a step that the workflow does not have.
    #[error("there is no step `{step}` in the workflow")]
    UnknownStep {
        /// The step.
        step: String,
    },
    /// The output in it is not what the step puts out now.
    #[error("the output of step `{step}` in it is not of the type that the step has now")]
    Output {
        /// The step.
        step: String,
        /// The type that it puts out now, as [`std::any::type_name`] has it.
        type_name: &'static str,
        /// Why not.
        source: serde_json::Error,
    },
    /// The input in it is not what the workflow is started with now.
    #[error("the input in it is not of the type that the workflow is started with now")]
    Input {
        /// The type that it is started with now, as [`std::any::type_name`] has it.
        type_name: &'static str,
        /// Why not.
        source: serde_json::Error,
    },
    /// Its step's output is not kept, as the workflow is not durable.
    #[error("the workflow is not durable")]
    NotDurable,
    /// It says what could not happen then.
    #[error("{why}")]
    OutOfOrder {
        /// Why it could not.
        why: String,
    },
}

impl RecordFault {
    /// What there should be in its place, to go on with the message of who has it.
    fn wanted(&self) -> String {
        match self {
            Self::Output {
                step, type_name, ..
            } => format!(": step `{step}` puts out `{type_name}` now, and this output is none"),
            Self::Input { type_name, .. } => {
                format!(": the workflow is started with `{type_name}` now, and this input is none")
            }
            _ => String::new(),
        }
    }
}

/// That of an input.
impl From<Misread> for RecordFault {
    fn from(misread: Misread) -> Self {
        let Misread { type_name, source } = misread;
        Self::Input { type_name, source }
    }
}
