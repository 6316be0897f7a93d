//! What may happen in a run.

use std::sync::Arc;

use crate::outcome::Status;
use crate::plan::Output;
use crate::reason::Reason;
use crate::signals::SignalNumber;

/// By which a run is retried: a step that is given something else than before has another idempotency key, and one that
/// could not be undone is done again. By the first, 0, neither.
pub(crate) const RULES: u32 = 1;

/// Something that happened in a run. Steps are named by their indexes in the plan, times count in
/// nanoseconds from the beginning of the run.
#[derive(Debug, Clone)]
pub(crate) enum Fact {
    /// An attempt at a step began; the first is 1.
    Started { step: usize, attempt: u32, at: u64 },
    /// It failed, and there will be another, not before this time.
    AttemptFailed {
        step: usize,
        error: Reason,
        /// What came with its last sign of life.
        heartbeat: Option<Arc<str>>,
        /// The signal that it took, if that is what it waited for.
        signal: Option<SignalNumber>,
        until: u64,
    },
    /// A step is done.
    Completed {
        step: usize,
        output: Output,
        /// The output as it is kept, in a run that is.
        kept: Option<Box<str>>,
        /// A few bytes of it, where it was read.
        print: Option<u64>,
        /// The signal that it took, if that is what it waited for.
        signal: Option<SignalNumber>,
        at: u64,
    },
    /// A part of a step is done, of so many: it is not done again by another attempt.
    PartCompleted {
        step: usize,
        part: usize,
        of: usize,
        output: Output,
        /// The output as it is kept, in a run that is.
        kept: Option<Box<str>>,
        /// A few bytes of it, where it was read.
        print: Option<u64>,
        at: u64,
    },
    /// A step failed for good, in its last attempt or in its condition. Unless it is optional, the
    /// run is stopped thereby.
    Failed {
        step: usize,
        error: Reason,
        /// The signal that it took, if that is what it waited for.
        signal: Option<SignalNumber>,
        at: u64,
    },
    /// The last attempt there is at a step failed, and the run is to wait for somebody to see to it.
    Exhausted {
        step: usize,
        error: Reason,
        /// What came with its last sign of life.
        heartbeat: Option<Arc<str>>,
        /// The signal that it took, if that is what it waited for.
        signal: Option<SignalNumber>,
        at: u64,
    },
    /// Somebody has: what is exhausted has all its attempts again.
    Continued { at: u64 },
    /// The run that is the work of a step, or at an item of its list, or in a round, is paused for a step of its own, or
    /// for one of a run within it; or not any more. Meanwhile the time of this one does not count.
    Child {
        step: usize,
        part: Option<usize>,
        is_paused: bool,
        at: u64,
    },
    /// A step is not to run, or not again: its condition says so, or an input is missing, or somebody
    /// `asked` for that.
    Skipped { step: usize, at: u64, asked: bool },
    /// A step was stopped, or never began, because the run was.
    Cancelled {
        step: usize,
        /// The signal that it had taken, if that is what it waited for.
        signal: Option<SignalNumber>,
        at: u64,
    },
    /// No further step begins; the run has `failed`, or was cancelled, for another reason than a step, if one is
    /// given.
    Stopped {
        status: Status,
        failed: Option<Arc<str>>,
    },
    /// A completed step is being undone.
    UndoStarted { step: usize },
    /// An attempt at that failed, and there will be another.
    UndoAttemptFailed { step: usize, error: Reason },
    /// It is undone.
    Undone { step: usize },
    /// It could not be undone.
    UndoFailed { step: usize, error: Reason },
    /// Who drove the run has left it as it is, in order: what is under way was stopped for that.
    Suspended,
    /// Somebody took up the run from who had it: what was under way is as if it had not begun.
    Claimed,
    /// All is done, and the run stays up for something.
    Up,
    /// The run has come to its end; it has `failed` for another reason than a step, if one is given.
    Finished { at: u64, failed: Option<Arc<str>> },
    /// It goes on after all: what failed, was stopped or undone is to be done, and so is this step,
    /// if one is given, and whatever comes after any of these.
    Retried {
        from: Option<usize>,
        at: u64,
        /// What is done again, and asks for what by which idempotency key: [`RULES`], or those of an earlier version,
        /// which has retried it.
        rules: u32,
    },
}

impl Fact {
    /// When it happened, where that is said.
    pub(crate) fn at(&self) -> Option<u64> {
        match self {
            Self::Started { at, .. }
            | Self::Completed { at, .. }
            | Self::PartCompleted { at, .. }
            | Self::Failed { at, .. }
            | Self::Exhausted { at, .. }
            | Self::Continued { at }
            | Self::Child { at, .. }
            | Self::Skipped { at, .. }
            | Self::Cancelled { at, .. }
            | Self::Finished { at, .. }
            | Self::Retried { at, .. } => Some(*at),
            _ => None,
        }
    }

    /// The step that has come to the end of an attempt thereby, and the signal that this took.
    pub(crate) fn took(&self) -> Option<(usize, Option<SignalNumber>)> {
        match self {
            Self::AttemptFailed { step, signal, .. }
            | Self::Completed { step, signal, .. }
            | Self::Failed { step, signal, .. }
            | Self::Exhausted { step, signal, .. }
            | Self::Cancelled { step, signal, .. } => Some((*step, *signal)),
            _ => None,
        }
    }
}
