//! How long services may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long services may take, and how often they are checked. Times are written as `"500ms"` or
/// `"2m"`; a number is one of seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ServicesConfig {
    /// What the pattern is called; `service-lifecycle` by default.
    pub name: String,
    /// How long a service may take to become ready; `"30s"` by default. A process has its probe for
    /// that. It is also how long a service that has not started yet waits for one that it needs and that has
    /// been ready and is not well.
    #[serde(with = "coord_bus::duration")]
    pub ready_within: Duration,
    /// How long it may drain before it is told to stop; `"10s"` by default. A process has its grace for
    /// that. Where the set is not enabled because one of it cannot be, what goes on for 5 s after that is
    /// aborted.
    #[serde(with = "coord_bus::duration")]
    pub drain_within: Duration,
    /// From one check to the next; `"10s"` by default. With zero, the set does not start.
    #[serde(with = "coord_bus::duration")]
    pub check_every: Duration,
    /// How long a check may take; `"1s"` by default. One that takes longer has failed.
    #[serde(with = "coord_bus::duration")]
    pub check_within: Duration,
    /// After how many checks in a row that failed a service is not well; 3 by default.
    pub failure_threshold: u32,
}

impl Default for ServicesConfig {
    fn default() -> Self {
        Self {
            name: "service-lifecycle".to_owned(),
            ready_within: Duration::from_secs(30),
            drain_within: Duration::from_secs(10),
            check_every: Duration::from_secs(10),
            check_within: Duration::from_secs(1),
            failure_threshold: 3,
        }
    }
}
