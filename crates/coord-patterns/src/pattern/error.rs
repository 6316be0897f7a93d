//! What can go wrong with patterns.

use std::panic::Location;
use std::time::Duration;

use coord_bus::BusError;

use super::Claim;

/// A pattern was not registered, enabled, disabled or unregistered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// There is a pattern of this name.
    #[error(
        "pattern `{pattern}`, registered at {place}, cannot be registered: the one registered at \
         {first} has that name; give one of them another"
    )]
    NameTaken {
        /// The name.
        pattern: String,
        /// Where it was to be registered.
        place: &'static Location<'static>,
        /// Where the other was.
        first: &'static Location<'static>,
    },
    /// There are as many patterns as there may be.
    #[error("pattern `{pattern}` was not registered: there are {limit}, the limit")]
    TooMany {
        /// The name.
        pattern: String,
        /// The limit.
        limit: usize,
    },
    /// There is no such pattern.
    #[error("there is no pattern `{pattern}`{}", meant(nearest))]
    Unknown {
        /// The name.
        pattern: String,
        /// The name most like it, if one is.
        nearest: Option<String>,
    },
    /// Another pattern that is enabled claims the same.
    #[error(
        "pattern `{pattern}`, registered at {place}, cannot be enabled: the {claim} belongs to \
         `{owner}`, registered at {owner_place}; disable that first, or configure one of them \
         otherwise"
    )]
    Conflict {
        /// The pattern.
        pattern: String,
        /// Where it was registered.
        place: &'static Location<'static>,
        /// What both claim.
        claim: Claim,
        /// The pattern that is enabled.
        owner: String,
        /// Where that was registered.
        owner_place: &'static Location<'static>,
    },
    /// A bundle wants it enabled.
    #[error("pattern `{pattern}` stays enabled: `{bundle}` has it as a member; disable that")]
    InUse {
        /// The pattern.
        pattern: String,
        /// The bundle.
        bundle: String,
    },
    /// A bundle was to have no members.
    #[error(
        "bundle `{bundle}`, composed at {place}, was not registered: it has no members; name at \
         least one pattern"
    )]
    NoMembers {
        /// The bundle.
        bundle: String,
        /// Where it was composed.
        place: &'static Location<'static>,
    },
    /// What is enabled stays registered.
    #[error("pattern `{pattern}` stays registered: it is enabled; disable it first")]
    StillEnabled {
        /// The pattern.
        pattern: String,
    },
    /// What a bundle needs stays registered.
    #[error(
        "pattern `{pattern}` stays registered: the bundle `{bundle}`, composed at {place}, has it \
         as a member; unregister that first"
    )]
    Needed {
        /// The pattern.
        pattern: String,
        /// The bundle.
        bundle: String,
        /// Where the bundle was composed.
        place: &'static Location<'static>,
    },
    /// It said that it cannot start.
    #[error("pattern `{pattern}` was not started: {reason}")]
    NotStarted {
        /// The pattern.
        pattern: String,
        /// Why, with causes.
        reason: String,
        /// Whether another attempt would fail in the same way.
        permanent: bool,
    },
    /// Others were being enabled or disabled for longer than it was to take.
    #[error(
        "pattern `{pattern}` was not disabled: others were being enabled or disabled for all of the \
         {} s that it had; disable it again",
        waited.as_secs_f64()
    )]
    Busy {
        /// The pattern.
        pattern: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The registry was shut down.
    #[error(
        "pattern `{pattern}` was not enabled: the registry of patterns is shut down, for good; register it \
         in another, or start another module"
    )]
    ShutDown {
        /// The pattern.
        pattern: String,
    },
    /// The bus did not open a topic.
    #[error(transparent)]
    Bus(#[from] BusError),
}

fn meant(nearest: &Option<String>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => "; register it first".to_owned(),
    }
}
