//! Hooks: what is called when a step or a run has come to its end, whichever it is.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::{BoxFuture, CancellationToken};
use serde_json::Value;

use crate::{RunId, Status, StepError};

/// What a hook is called with: how a step, or a run, has come to its end.
///
/// The hook is called before that counts, and its own failure changes nothing of it: that is told as
/// [`Transition::HookFailed`](coord_bus::vocabulary::Transition::HookFailed). In a durable run the hook of
/// a step is called once, unless the process ends meanwhile: then the step is in flight still, and
/// attempt and hook are made again. That of a run likewise. It is called only while the run is known to be this
/// process's: one that stood still for longer than its [lease](crate::DEFAULT_LEASE_TTL) lasts finds out first. Where
/// it is stopped in the middle of a hook, whoever takes the run up meanwhile makes attempt and hook again, and the
/// first may go on with its own once it is continued: what a hook asks for has to bear being asked for twice, or
/// refuses the smaller [token](Self::fencing_token). A step of which no attempt has begun has no
/// end to be told of; one that is [exhausted](crate::OnExhausted::Pause) has not come to its end.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HookCall {
    /// What the spec says the hook is given.
    pub input: Value,
    /// The run.
    pub run: RunId,
    /// The run's [fencing token](crate::StepContext::fencing_token): larger each time that somebody takes the run up.
    pub fencing_token: u64,
    /// The step; `None`: it is the run that has come to its end, undoing included.
    pub step: Option<String>,
    /// How. A step never timed out: it failed. One that was skipped after it had begun was cancelled; but for one that is
    /// skipped while its hook is told that it failed.
    pub status: Status,
    /// Which attempt at the step was the last; of a run 0.
    pub attempt: u32,
    /// What the step put out, if it is done.
    pub output: Option<Arc<Value>>,
    /// What failed, and why: the step itself; of a run, the steps whose failure made it fail.
    pub failures: Vec<(String, StepError)>,
    /// Cancelled when the hook's time is up, and it is given the orchestrator's grace; for what a run
    /// [stays](crate::Spec::stay) for, when the run is to end.
    pub token: CancellationToken,
}

pub(crate) type HookHandler =
    Arc<dyn Fn(HookCall) -> BoxFuture<'static, Result<(), StepError>> + Send + Sync>;

/// A hook of a plan.
pub(crate) struct Hook {
    pub(crate) handler: HookHandler,
    pub(crate) input: Value,
    pub(crate) timeout: Duration,
}
