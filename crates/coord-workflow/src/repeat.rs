//! How often a step is done, one round after another, and the wait in between.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::Backoff;
use serde::{Deserialize, Serialize};

use crate::StepContext;

/// How many rounds a step has at most, and the wait between one and the next.
///
/// The default is 100 rounds, without a wait.
///
/// ```
/// use std::time::Duration;
/// use coord_workflow::Repeat;
///
/// let repeat = Repeat::at_most(10).every(Duration::from_secs(30));
/// assert_eq!(repeat.backoff.delay(3), Duration::from_secs(30));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// How many rounds there are at most.
    #[serde(default = "Repeat::default_limit")]
    pub limit: NonZeroU32,
    /// The wait between the end of a round and the next.
    #[serde(default = "Repeat::no_wait")]
    pub backoff: Backoff,
}

impl Default for Repeat {
    fn default() -> Self {
        Self::at_most(Self::DEFAULT_LIMIT)
    }
}

impl Repeat {
    /// How many rounds there are at most where nothing else is said.
    pub const DEFAULT_LIMIT: u32 = 100;

    /// So many rounds at most, without a wait; 0 counts as 1.
    pub const fn at_most(rounds: u32) -> Self {
        Self {
            limit: match NonZeroU32::new(rounds) {
                Some(limit) => limit,
                None => NonZeroU32::MIN,
            },
            backoff: Self::no_wait(),
        }
    }

    /// With the same wait between rounds each time.
    #[must_use]
    pub const fn every(self, wait: Duration) -> Self {
        self.backoff(Backoff::constant(wait))
    }

    /// With waits between rounds that grow like this.
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    fn default_limit() -> NonZeroU32 {
        Self::default().limit
    }

    const fn no_wait() -> Backoff {
        Backoff::constant(Duration::ZERO)
    }
}

/// One round of a step that [repeats](crate::StepBuilder::repeat) a function.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Round<S> {
    /// Which attempt and round it is, and when to stop.
    pub context: StepContext,
    /// What the round before left; `None` in the first.
    pub last: Option<Arc<S>>,
}

impl<S> Round<S> {
    /// Which round it is, from 1.
    pub fn number(&self) -> usize {
        self.context.part().unwrap_or_default() + 1
    }
}

/// One round of a step that [repeats](crate::StepBuilder::repeat) a workflow, once its run has completed.
#[derive(Debug)]
#[non_exhaustive]
pub struct RoundRun<C, T> {
    /// Which run it is a round of, and which round.
    pub context: StepContext,
    /// What its run was started with.
    pub given: Arc<C>,
    /// What its run put out.
    pub output: Arc<T>,
}

impl<C, T> RoundRun<C, T> {
    /// Which round it is, from 1.
    pub fn number(&self) -> usize {
        self.context.part().unwrap_or_default() + 1
    }
}
