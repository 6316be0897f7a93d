//! The lifecycle of services that need each other: started in order, checked, drained and stopped
//! in reverse.
//!
//! [`Services`] is a [`Pattern`](crate::pattern::Pattern) of several [`ManagedService`]s, each a
//! part of this program or a [process](ProcessService). A service starts when all that it needs is
//! ready, those that need nothing of each other at once; enabling the pattern is done when all are
//! ready. Disabling it drains each service when all that need it have ended.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use coord_bus::{BoxFuture, Failure, LocalBus};
//! use coord_patterns::pattern::IntegrationPatterns;
//! use coord_patterns::process::{ProcessRunner, ProcessSpec};
//! use coord_patterns::service::{Check, Probe, ServiceRunner, ServiceSpec};
//! use coord_patterns::services::{
//!     ManagedService, ProcessService, ServiceContext, Services, ServicesConfig,
//! };
//!
//! struct Api;
//!
//! impl ManagedService for Api {
//!     fn run(&self, context: ServiceContext) -> BoxFuture<'_, Result<(), Failure>> {
//!         Box::pin(async move {
//!             // … open the door …
//!             context.ready();
//!             context.draining().cancelled().await;
//!             // … close it, and finish what has come in …
//!             Ok(())
//!         })
//!     }
//! }
//!
//! let bus = Arc::new(LocalBus::new());
//! let runner = ServiceRunner::new(&*bus, ProcessRunner::new(&*bus)?)?;
//! let database = ProcessSpec::shell("database", "echo listening; exec sleep 1000");
//! let database = ServiceSpec::new(database).ready(Probe::new(Check::log("^listening")?));
//!
//! let services = Services::new(ServicesConfig::default())
//!     .add("database", [], ProcessService::new(runner, database))?
//!     .add("api", ["database"], Api)?;
//! let patterns = IntegrationPatterns::new(bus);
//! patterns.register(services)?;
//! patterns.enable("service-lifecycle").await?; // both are ready
//! let report = patterns.disable("service-lifecycle", Duration::from_secs(20)).await?;
//! assert!(report.is_complete()); // first the API, then the database
//! # Ok(())
//! # }
//! ```
//!
//! # States
//!
//! They are told in [`service-lifecycle`](coord_bus::vocabulary::SERVICE_LIFECYCLE). Where a topic
//! is full for longer than a second, a state is not told, and counted as `untold`.
//!
//! # Dependents
//!
//! When a service fails, ends unasked or is not well, those that need it are told: by
//! [`DependencyLost`](coord_bus::vocabulary::ServiceState::DependencyLost), and through their
//! [`ServiceContext::lost`]. What they do about it is theirs to know: they run on. The pattern is
//! `degraded` until all is well again.
//!
//! # What is not done here
//!
//! Nothing is restarted: that is for a supervisor, of which `coord-recovery` has one. `Services` of
//! `coordination` joins the two for processes.

mod config;
mod managed;
mod set;
mod course;
mod process;
mod error;

pub use config::ServicesConfig;
pub use error::ServicesError;
pub use managed::{ManagedService, ServiceContext};
pub use process::ProcessService;
pub use set::{MAX_SERVICES, Services};
