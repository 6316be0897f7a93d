//! Hooks as data: what is called when a step or a run has come to its end.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Call;

/// A hook of the registry with what it is given, and how long it may take.
///
/// ```
/// use std::time::Duration;
/// use coord_workflow::{Call, HookSpec, Spec, StepSpec};
///
/// let tell = HookSpec::from(Call::new("notify", "#builds")).timeout(Duration::from_secs(10));
/// let spec = Spec::new("nightly").step(StepSpec::new("build", "compile")).hook(tell);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookSpec {
    /// The hook's name in the registry: see [`Registry::hook`](crate::Registry::hook).
    pub handler: String,
    /// What the hook is given, as it is.
    #[serde(default)]
    pub input: Value,
    /// How long it takes at most; `None`: [`DEFAULT_STEP_TIMEOUT`](crate::DEFAULT_STEP_TIMEOUT).
    #[serde(default)]
    pub timeout: Option<Duration>,
}

impl HookSpec {
    /// With a limit to its time.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl From<Call> for HookSpec {
    fn from(call: Call) -> Self {
        Self {
            handler: call.handler,
            input: call.input,
            timeout: None,
        }
    }
}
