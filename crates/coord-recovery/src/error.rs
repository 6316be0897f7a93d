//! What can go wrong in making policies, starting children and registering patterns.

use coord_bus::BusError;

/// Something was not made, not started or not registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// There is a child of this name that has not ended.
    #[error(
        "supervisor `{supervisor}` has a child `{child}` that has not ended: stop it first, or use \
         another name"
    )]
    ChildExists {
        /// The supervisor.
        supervisor: String,
        /// The child.
        child: String,
    },
    /// The supervisor has as many children as it may have.
    #[error(
        "supervisor `{supervisor}` cannot start `{child}`: it has {limit} children that have not \
         ended, its limit; use another supervisor"
    )]
    TooManyChildren {
        /// The supervisor.
        supervisor: String,
        /// The child.
        child: String,
        /// The limit.
        limit: usize,
    },
    /// There is a pattern of this name.
    #[error("an error pattern `{pattern}` is registered already: use another name")]
    PatternExists {
        /// The pattern.
        pattern: String,
    },
    /// There are as many patterns or strategies as there may be.
    #[error("`{name}` was not registered: there are {limit} {what}, the limit")]
    TooMany {
        /// Error patterns, or recovery strategies.
        what: &'static str,
        /// What was to be registered.
        name: String,
        /// The limit.
        limit: usize,
    },
    /// A part of a policy was told something that cannot work.
    #[error("{what} cannot work: {fault}")]
    Setting {
        /// The part.
        what: String,
        /// Why, and what would.
        fault: String,
    },
    /// The parts of a policy cannot work together in this order.
    #[error("policy `{policy}`, which is {order}, cannot work: {fault}")]
    Composition {
        /// The policy.
        policy: String,
        /// Its parts, the outermost first.
        order: String,
        /// Why, and what would.
        fault: String,
    },
    /// It was shut down before.
    #[error("{what} is shut down and takes nothing more")]
    ShutDown {
        /// What was shut down.
        what: String,
    },
    /// A topic could not be opened.
    #[error("a topic of error recovery could not be opened")]
    Bus(#[from] BusError),
}

impl RecoveryError {
    pub(crate) fn setting(what: impl Into<String>, fault: impl Into<String>) -> Self {
        Self::Setting {
            what: what.into(),
            fault: fault.into(),
        }
    }
}
