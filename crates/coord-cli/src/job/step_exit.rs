//! What the end of a process means for its step.

use coordination::bus::vocabulary::Exit;
use coordination::patterns::process::Stop;
use coordination::workflow::StepError;

/// A process of a step ended, and not well.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{0}")]
pub(crate) struct StepExit(pub(crate) Exit);

/// A process was told to stop, and did so in good order: what it was to do is not done for that.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("it was stopped before it was through")]
struct StoppedHalfWay;

/// The end of a process that was to do its work, unless it was told to stop.
///
/// # Errors
///
/// It has not done it, also where it exited with 0: most programs do when they are told to end. One that came to
/// its end in the very moment counts as told, too.
pub(super) fn well(exit: Exit, stop: &Stop) -> Result<Exit, StepError> {
    match exit.is_success() {
        true if stop.is_requested() => Err(StoppedHalfWay.into()),
        true => Ok(exit),
        false => Err(StepExit(exit).into()),
    }
}

/// The codes with which a shell says that a program cannot be started, or is not there: it will not be there
/// at the next attempt.
const NO_PROGRAM: [i32; 2] = [126, 127];

/// Why a process failed, for good where it exited with another code than those that are worth another
/// attempt; with none said, all are but those by which there is no program.
pub(super) fn judged(codes: &[i32], error: StepError) -> StepError {
    let code = error
        .downcast_ref::<StepExit>()
        .and_then(|exit| exit.0.code);
    match code {
        Some(code) if codes.is_empty() && NO_PROGRAM.contains(&code) => error.permanent(),
        Some(code) if !codes.is_empty() && !codes.contains(&code) => error.permanent(),
        _ => error,
    }
}
