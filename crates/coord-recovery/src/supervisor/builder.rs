//! What a supervisor is told when it is made.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::Bus;
use coord_bus::time::Clock;

use super::group::Rules;
use super::{AutoShutdown, Strategy, Supervisor};
use crate::RecoveryError;

/// Builds a [`Supervisor`]: see [`Supervisor::builder`].
#[derive(Debug)]
#[must_use = "it does nothing before it is built"]
pub struct SupervisorBuilder {
    name: Box<str>,
    rules: Rules,
}

impl SupervisorBuilder {
    pub(super) fn new(name: Box<str>) -> Self {
        let rules = Rules::default();
        Self { name, rules }
    }

    /// Who is restarted when a child is; [`Strategy::OneForOne`] by default. With the others,
    /// restarts are [counted together](Self::intensity), by default 1 in 5 s, as in OTP.
    ///
    /// Unlike in OTP, a child that has ended well stays ended when the others are restarted.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.rules.strategy = strategy;
        self
    }

    /// How many restarts there may be within this period, those of all children together, as in OTP;
    /// a restart of several is one. Where there would be more, the child is given up, and the
    /// supervisor stops all others and is [closed](Supervisor::closed). At most
    /// [`MAX_RESTARTS`](super::MAX_RESTARTS). The time in which any of them waits to be restarted is no
    /// part of the period, as [for one child](super::ChildSpec::intensity).
    ///
    /// Where nothing is said, and each child is restarted for itself, each has
    /// [its own](super::ChildSpec::intensity).
    pub fn intensity(mut self, max_restarts: u32, within: Duration) -> Self {
        self.rules.intensity = Some((max_restarts, within));
        self
    }

    /// Whether it stops all children when significant ones have ended; [`AutoShutdown::Never`] by
    /// default.
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.rules.auto_shutdown = auto_shutdown;
        self
    }

    /// The supervisor, without children: see [`Supervisor::new`].
    ///
    /// # Errors
    ///
    /// [`RecoveryError::Bus`] when a topic cannot be opened.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn build(
        self,
        bus: &(impl Bus + ?Sized),
        clock: Arc<dyn Clock>,
    ) -> Result<Supervisor, RecoveryError> {
        Supervisor::with(self.name, bus, clock, self.rules)
    }
}
