//! What can be wrong with a set of services.

use super::MAX_SERVICES;

/// A service was not added, or the set cannot be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServicesError {
    /// There is one of that name.
    #[error("service `{service}` was not added: there is one of that name; use another")]
    NameTaken {
        /// The name.
        service: String,
    },
    /// It needs one that was not added before it.
    #[error(
        "service `{service}` was not added: it needs `{need}`, which is not there{}",
        meant(nearest)
    )]
    UnknownNeed {
        /// The service.
        service: String,
        /// What it needs.
        need: String,
        /// The name most like that, if one is.
        nearest: Option<String>,
    },
    /// Checks would leave no time for anything else.
    #[error("`check_every` of `{pattern}` is 0 s: give it the time from one check to the next")]
    NoTimeBetweenChecks {
        /// The set, by what its pattern is called.
        pattern: String,
    },
    /// There are as many as there may be.
    #[error("service `{service}` was not added: there are {MAX_SERVICES}, the limit")]
    TooMany {
        /// The service.
        service: String,
    },
}

fn meant(nearest: &Option<String>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => "; add that first".to_owned(),
    }
}
