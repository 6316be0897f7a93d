//! Why an incarnation of a child failed.

use coord_bus::Failure;

/// Why a child failed: any error of its own, or a [`ChildFailure`], or a
/// [`Panicked`](coord_bus::Panicked).
///
/// A child returns any error that is `Send + Sync + 'static`; `?` turns it into this. One that is
/// [permanent](Failure::permanent) is not worth a restart: the child is given up at once.
pub type ChildError = Failure;

/// What a supervisor itself finds wrong with an incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChildFailure {
    /// It ended well, although it is there to stay.
    #[error("it ended, although it is there to stay")]
    Ended,
    /// Something that it is there for has failed, and it was to be restarted for that: see
    /// [`RecoveryStrategy::restart`](crate::RecoveryStrategy::restart).
    #[error("what it is there for was reported to have failed")]
    Reported,
}
