//! A workflow as data: what a file or another program describes, before anything is checked.

mod hooks;
mod shapes;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::retry::{OnExhausted, OnFailure, Retry};
pub use hooks::HookSpec;
pub use shapes::{ForEachSpec, Items, RepeatSpec, WorkflowSpec};

/// A workflow as data: steps that name their handlers and the steps they need.
///
/// Nothing in it has been checked: [`validate`](crate::validate()) does that.
///
/// ```
/// use coord_workflow::{Spec, StepSpec, validate};
///
/// let spec = Spec::new("build-deploy")
///     .step(StepSpec::new("build", "compile"))
///     .step(StepSpec::new("deploy", "upload").needs(["build"]).optional());
/// let valid = validate(spec, ["compile", "upload"]).expect("a spec without faults");
/// assert_eq!(valid.order(), [0, 1]);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What the workflow is called; see [`is_name`](crate::is_name).
    pub name: String,
    /// The steps, in any order.
    pub steps: Vec<StepSpec>,
    /// How many steps run at once at most; `None` leaves it to who runs the workflow.
    #[serde(default)]
    pub concurrency: Option<NonZeroUsize>,
    /// How long a run takes at most; `None` leaves it to who runs the workflow.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// What becomes of the rest of a run when a step fails that is not optional.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// A hook that is called when a run has come to its end, undoing included, before that counts.
    #[serde(default)]
    pub hook: Option<HookSpec>,
    /// What a run stays for once its steps are over.
    #[serde(default)]
    pub stay: Option<Call>,
}

impl Spec {
    /// A workflow without steps.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            steps: Vec::new(),
            concurrency: None,
            timeout: None,
            on_failure: OnFailure::FailFast,
            hook: None,
            stay: None,
        }
    }

    /// With this for the rest of a run when a step fails.
    #[must_use]
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// With a hook that is called when a run has come to its end, whichever it is.
    #[must_use]
    pub fn hook(mut self, hook: impl Into<HookSpec>) -> Self {
        self.hook = Some(hook.into());
        self
    }

    /// With something that a run stays for when all its steps are over and none has made it fail, such as
    /// servers that run on: a hook of the registry, which is done when that is. By default a run stays for
    /// nothing.
    ///
    /// Until then the run has not ended. It takes a cancellation, of which the call's `token` tells, and
    /// the limit to its time does not count; where it is suspended or its process ends, who resumes it has
    /// the hook called again. It has completed when the hook is done, also after a cancellation, and has
    /// failed when the hook fails; what its steps did is undone in neither case.
    #[must_use]
    pub fn stay(mut self, call: Call) -> Self {
        self.stay = Some(call);
        self
    }

    /// With one more step.
    #[must_use]
    pub fn step(mut self, step: StepSpec) -> Self {
        self.steps.push(step);
        self
    }
}

/// One step of a [`Spec`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    /// What the step is called; unique in its workflow; see [`is_name`](crate::is_name).
    pub id: String,
    /// The name, in the registry, of the handler that does the step's work. None where it waits for a
    /// signal, or sleeps.
    #[serde(default)]
    pub handler: String,
    /// The signal that the step waits for, in place of a handler: its output is what goes with that.
    /// Where no timeout is set, it waits for as long as the run may take.
    #[serde(default)]
    pub signal: Option<String>,
    /// How long the step waits, in place of a handler: counted from when it first began, also while a
    /// durable run is interrupted.
    #[serde(default)]
    pub sleep: Option<Duration>,
    /// The workflow that the step runs, in place of a handler: one that the registry
    /// [knows](crate::Registry::with_workflow), started with `input`; or with each item of `for_each`, one run for
    /// each; or one for each round of `repeat`. Where no timeout is set, it takes as long as it may.
    #[serde(default)]
    pub workflow: Option<WorkflowSpec>,
    /// Calls the handler for each item of a list, or runs the workflow, in place of once; the output is a list, too.
    #[serde(default)]
    pub for_each: Option<ForEachSpec>,
    /// Calls the handler, or runs the workflow, in rounds, in place of once.
    #[serde(default)]
    pub repeat: Option<RepeatSpec>,
    /// What the handler is given, as it is.
    #[serde(default)]
    pub input: Value,
    /// The ids of the steps that end before this one begins.
    #[serde(default, alias = "depends_on")]
    pub needs: Vec<String>,
    /// The ids of steps of which one completes before this one begins, whatever becomes of the others;
    /// the step is skipped when all have ended and none has completed. None: nothing is waited for.
    #[serde(default)]
    pub needs_any: Vec<String>,
    /// A handler that answers `true` or `false`: whether the step runs. `None`: it does.
    #[serde(default)]
    pub when: Option<Call>,
    /// How often the step is tried; `None`: once.
    #[serde(default)]
    pub retry: Option<Retry>,
    /// How long one attempt takes at most; `None` leaves it to who runs the workflow.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// How long all attempts take at most, with the waits between them: see
    /// [`StepBuilder::total_timeout`](crate::StepBuilder::total_timeout). `None`: as long as the run.
    #[serde(default)]
    pub total_timeout: Option<Duration>,
    /// For how long an attempt may give no sign of life: see
    /// [`StepBuilder::heartbeat_timeout`](crate::StepBuilder::heartbeat_timeout). `None`: for ever, as where the step
    /// runs a workflow.
    #[serde(default)]
    pub heartbeat_timeout: Option<Duration>,
    /// What becomes of the run when every attempt has failed: see
    /// [`StepBuilder::on_exhausted`](crate::StepBuilder::on_exhausted).
    #[serde(default)]
    pub on_exhausted: OnExhausted,
    /// Whether the step may fail without harm to the steps that need it or to the run.
    #[serde(default)]
    pub optional: bool,
    /// Whether its failure ends the run at once, also where other branches are to be finished.
    #[serde(default)]
    pub critical: bool,
    /// How many permits the step takes of which resources of the orchestrator: see
    /// [`StepBuilder::resource`](crate::StepBuilder::resource).
    #[serde(default)]
    pub resources: BTreeMap<String, NonZeroU32>,
    /// A handler that undoes the step after it has completed, when the run fails or is cancelled.
    #[serde(default)]
    pub undo: Option<UndoSpec>,
    /// A hook that is called when the step has come to its end, before that counts.
    #[serde(default)]
    pub hook: Option<HookSpec>,
}

impl StepSpec {
    /// A step that needs nothing and is tried once.
    pub fn new(id: impl Into<String>, handler: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            handler: handler.into(),
            signal: None,
            sleep: None,
            workflow: None,
            for_each: None,
            repeat: None,
            input: Value::Null,
            needs: Vec::new(),
            needs_any: Vec::new(),
            when: None,
            retry: None,
            timeout: None,
            total_timeout: None,
            heartbeat_timeout: None,
            on_exhausted: OnExhausted::Fail,
            optional: false,
            critical: false,
            resources: BTreeMap::new(),
            undo: None,
            hook: None,
        }
    }

    /// A step that waits for a signal of this name, which is sent with
    /// [`Command::Signal`](crate::Command::Signal). Of several that wait for the same name, each takes
    /// one.
    pub fn signal(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            signal: Some(name.into()),
            ..Self::new(id, "")
        }
    }

    /// A step that waits for so long.
    pub fn sleep(id: impl Into<String>, wait: Duration) -> Self {
        Self {
            sleep: Some(wait),
            ..Self::new(id, "")
        }
    }

    /// Calls its handler for each item of a list, or runs its workflow.
    #[must_use]
    pub fn for_each(mut self, each: impl Into<ForEachSpec>) -> Self {
        self.for_each = Some(each.into());
        self
    }

    /// Calls its handler in rounds, or runs its workflow.
    #[must_use]
    pub fn repeat(mut self, repeat: RepeatSpec) -> Self {
        self.repeat = Some(repeat);
        self
    }

    /// A step that runs the workflow of this name.
    pub fn workflow(id: impl Into<String>, workflow: impl Into<WorkflowSpec>) -> Self {
        Self {
            workflow: Some(workflow.into()),
            ..Self::new(id, "")
        }
    }

    /// With this for the handler.
    #[must_use]
    pub fn input(mut self, input: impl Into<Value>) -> Self {
        self.input = input.into();
        self
    }

    /// With more steps that end before this one begins.
    #[must_use]
    pub fn needs<I: Into<String>>(mut self, ids: impl IntoIterator<Item = I>) -> Self {
        self.needs.extend(ids.into_iter().map(Into::into));
        self
    }

    /// With more steps of which one completes before this one begins.
    #[must_use]
    pub fn needs_any<I: Into<String>>(mut self, ids: impl IntoIterator<Item = I>) -> Self {
        self.needs_any.extend(ids.into_iter().map(Into::into));
        self
    }

    /// With a handler that answers whether the step runs.
    #[must_use]
    pub fn when(mut self, condition: Call) -> Self {
        self.when = Some(condition);
        self
    }

    /// Tried more than once.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// With a limit to the time of one attempt: of what, is said at
    /// [`StepBuilder::timeout`](crate::StepBuilder::timeout).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// With a limit to the time of all attempts, with the waits between them.
    #[must_use]
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.total_timeout = Some(timeout);
        self
    }

    /// With a limit to how long an attempt gives no sign of life.
    #[must_use]
    pub fn heartbeat_timeout(mut self, timeout: Duration) -> Self {
        self.heartbeat_timeout = Some(timeout);
        self
    }

    /// With this for the run when every attempt has failed.
    #[must_use]
    pub fn on_exhausted(mut self, on_exhausted: OnExhausted) -> Self {
        self.on_exhausted = on_exhausted;
        self
    }

    /// Free to fail.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// With a failure that ends the run at once.
    #[must_use]
    pub fn critical(mut self) -> Self {
        self.critical = true;
        self
    }

    /// With permits of a resource of the orchestrator.
    #[must_use]
    pub fn resource(mut self, name: impl Into<String>, permits: NonZeroU32) -> Self {
        self.resources.insert(name.into(), permits);
        self
    }

    /// With a handler that undoes it: a [`Call`], or a [`UndoSpec`] with its own retry and timeout.
    #[must_use]
    pub fn undo(mut self, undo: impl Into<UndoSpec>) -> Self {
        self.undo = Some(undo.into());
        self
    }

    /// With a hook that is called when it has come to its end, whichever it is.
    #[must_use]
    pub fn hook(mut self, hook: impl Into<HookSpec>) -> Self {
        self.hook = Some(hook.into());
        self
    }
}

/// A handler of the registry with what it is given: a condition, for one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The handler's name in the registry.
    pub handler: String,
    /// What the handler is given, as it is.
    #[serde(default)]
    pub input: Value,
}

impl Call {
    /// A call of this handler.
    pub fn new(handler: impl Into<String>, input: impl Into<Value>) -> Self {
        Self {
            handler: handler.into(),
            input: input.into(),
        }
    }
}

/// What undoes a step: a handler of the registry, and how often and how long that is tried.
///
/// ```
/// use std::time::Duration;
/// use coord_workflow::{Call, Retry, StepSpec, UndoSpec};
///
/// let undo = UndoSpec::from(Call::new("refund", "EUR 20"))
///     .retry(Retry::exponential().max_attempts(10))
///     .timeout(Duration::from_secs(30));
/// let step = StepSpec::new("charge", "charge").undo(undo);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoSpec {
    /// The handler's name in the registry.
    pub handler: String,
    /// What the handler is given, as it is.
    #[serde(default)]
    pub input: Value,
    /// How often undoing the step is tried; `None`: as often as [`Retry::exponential`] says.
    #[serde(default)]
    pub retry: Option<Retry>,
    /// How long one attempt at undoing it takes at most; `None`: as long as an attempt at the step.
    #[serde(default)]
    pub timeout: Option<Duration>,
}

impl UndoSpec {
    /// Tried as this says.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// With a limit to the time of one attempt.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl From<Call> for UndoSpec {
    fn from(call: Call) -> Self {
        Self {
            handler: call.handler,
            input: call.input,
            retry: None,
            timeout: None,
        }
    }
}

impl From<UndoSpec> for Call {
    fn from(undo: UndoSpec) -> Self {
        Self::new(undo.handler, undo.input)
    }
}
