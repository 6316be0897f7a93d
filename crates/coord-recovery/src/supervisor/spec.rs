//! What a child is: its name, when it is restarted, how soon and how often, how it stops.

use std::time::Duration;

use coord_bus::Backoff;
use serde::{Deserialize, Serialize};

/// How many restarts there may be within [`DEFAULT_WITHIN`] where nothing else is said: OTP's.
pub const DEFAULT_MAX_RESTARTS: u32 = 1;

/// The period in which restarts are counted where nothing else is said: OTP's.
pub const DEFAULT_WITHIN: Duration = Duration::from_secs(5);

/// How long a child may take to stop where nothing else is said: OTP's.
pub const DEFAULT_SHUTDOWN: Duration = Duration::from_secs(5);

/// How long a child waits to be restarted where nothing else is said: 1 s, doubled after each
/// further failure, at most 60 s. What process runners give; OTP waits not at all.
pub const DEFAULT_BACKOFF: Backoff = Backoff::exponential(Duration::from_secs(1));

/// The largest number of restarts that can be counted, since the time of each is kept. A larger
/// one is taken for this.
pub const MAX_RESTARTS: u32 = 1000;

/// When a child is restarted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Always: it is there to stay. The default, as in OTP.
    #[default]
    Permanent,
    /// After a failure, which is an error or a panic; not after it has ended well.
    Transient,
    /// Never by itself, but where somebody asks for it: [`Child::restart`](super::Child::restart), or a
    /// [strategy](crate::RecoveryStrategy::restart) that restarts it.
    Temporary,
}

/// A child to be kept alive.
///
/// ```
/// use std::time::Duration;
/// use coord_bus::Backoff;
/// use coord_recovery::{ChildSpec, Restart};
///
/// let api = ChildSpec::new("api")
///     .restart(Restart::Transient)
///     .backoff(Backoff::exponential(Duration::from_millis(500)).max(Duration::from_secs(10)))
///     .intensity(5, Duration::from_secs(60))
///     .shutdown(Duration::from_secs(30));
/// ```
#[derive(Debug, Clone)]
pub struct ChildSpec {
    name: Box<str>,
    pub(super) restart: Restart,
    pub(super) backoff: Backoff,
    /// `None` for any number.
    pub(super) max_restarts: Option<u32>,
    pub(super) within: Duration,
    /// `None` where nothing is said.
    pub(super) shutdown: Option<Duration>,
    pub(super) significant: bool,
}

impl ChildSpec {
    /// A child of this name, with the defaults.
    pub fn new(name: impl Into<Box<str>>) -> Self {
        Self {
            name: name.into(),
            restart: Restart::default(),
            backoff: DEFAULT_BACKOFF,
            max_restarts: Some(DEFAULT_MAX_RESTARTS),
            within: DEFAULT_WITHIN,
            shutdown: None,
            significant: false,
        }
    }

    /// The child's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When it is restarted; [`Restart::Permanent`] by default.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How long it waits after a failure; [`DEFAULT_BACKOFF`] by default.
    ///
    /// Failures in a row are counted until an incarnation has run for longer than the period of
    /// [`intensity`](Self::intensity), or the child was restarted by hand.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How often it may be restarted: when more than `max_restarts` would be needed within this
    /// period, it is given up. [`DEFAULT_MAX_RESTARTS`] within [`DEFAULT_WITHIN`] by default; at
    /// most [`MAX_RESTARTS`].
    ///
    /// The time in which it waits to be restarted is no part of the period, so that whatever the
    /// [backoff](Self::backoff), an intensity means what it means in OTP, where nothing waits: with 3
    /// restarts within 5 s, what fails at once is given up at its fourth failure, though with the default
    /// backoff that comes after 7 s.
    ///
    /// Where the supervisor [counts for all children together](super::SupervisorBuilder::intensity),
    /// this says only when failures in a row are over.
    ///
    /// A restart counts from the failure that it follows, and still counts when exactly the period
    /// has passed. Restarts by hand do not count.
    #[must_use]
    pub fn intensity(mut self, max_restarts: u32, within: Duration) -> Self {
        self.max_restarts = Some(max_restarts.min(MAX_RESTARTS));
        self.within = within;
        self
    }

    /// It is restarted however often it fails, and never given up but for a
    /// [permanent](super::ChildError::permanent) error.
    #[must_use]
    pub fn unlimited_restarts(mut self) -> Self {
        self.max_restarts = None;
        self
    }

    /// That it ends by itself may end its supervisor: see
    /// [`AutoShutdown`](super::AutoShutdown). Not of a [permanent](Restart::Permanent) child, which
    /// does not end by itself.
    #[must_use]
    pub fn significant(mut self) -> Self {
        self.significant = true;
        self
    }

    /// How long it may take to stop after it was asked to; then it is aborted.
    /// [`DEFAULT_SHUTDOWN`] by default; for one that is a
    /// [supervisor](super::ChildContext::supervise) itself, as long as its children may take, and
    /// that time for what it does besides.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Duration) -> Self {
        self.shutdown = Some(shutdown);
        self
    }
}
