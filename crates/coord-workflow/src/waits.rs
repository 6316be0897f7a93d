//! Steps that only wait: for a signal, or for a time.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time;
use serde_json::Value;

use crate::StepError;
use crate::plan::{Action, Output};

/// What a step waits for, if that is all it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wait {
    /// A signal of this name.
    Signal(Box<str>),
    /// So long, counted from its first start.
    Sleep(Duration),
}

impl Wait {
    /// The signal that it is for, if it is for one.
    pub(crate) fn signal(&self) -> Option<&str> {
        match self {
            Self::Signal(name) => Some(name),
            Self::Sleep(_) => None,
        }
    }
}

/// Waits for a signal; `read` makes the step's output of what goes with it.
pub(crate) fn signal(
    name: &str,
    read: impl Fn(Arc<Value>) -> Result<Output, StepError> + Copy + Send + Sync + 'static,
) -> Action {
    let name: Arc<str> = name.into();
    Box::new(move |start| {
        let (signals, name) = (Arc::clone(start.signals), Arc::clone(&name));
        Some(Box::pin(async move { read(signals.next(&name).await) }))
    })
}

/// Waits for so long; `output` is what the step puts out then.
pub(crate) fn sleep(wait: Duration, output: fn() -> Output) -> Action {
    Box::new(move |start| {
        let left = wait.saturating_sub(start.slept);
        Some(Box::pin(async move {
            time::sleep(left).await;
            Ok(output())
        }))
    })
}
