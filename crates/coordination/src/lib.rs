//! Typed events, workflows and real processes for programs with many moving parts.
//!
//! This crate joins the others under one name, each behind a feature; what is not switched on is
//! not compiled.
//!
//! | module | feature | what it gives |
//! |---|---|---|
//! | [`bus`] | always | one typed event bus: topics, lossless subscribers, and clocks, timers, owners of tasks |
//! | `flow` | `event-flows` | typed flows between topics |
//! | `workflow` | `workflows` | steps with dependencies: retries, limits, cancellation, compensation |
//! | `optimize` | `optimization` | streams batched, throttled, debounced, merged and more |
//! | `monitor` | `performance-monitoring` | throughput, durations, memory and processor time |
//! | `recovery` | `error-recovery` | supervisors, and patterns that recognise errors |
//! | `patterns` | `integration-patterns` | real processes and services, their output and health as events |
//! | `journal` | `journal` | an event log that lasts, with leases |
//!
//! All of these are on by default; that is `full`. The feature `tracing` adds `bus::LogForwarder`,
//! which forwards the log events of all parts to `tracing`, and spans for runs and steps; `metrics`
//! gives what is monitored to the recorder of the crate `metrics`; `config-file` reads the configuration
//! from a TOML file and the environment. What most programs name is in the [`prelude`]. Each part can be
//! used by itself, as its own page says. A [`CoordinationModule`] starts all of them on one bus, as its [`CoordinationConfig`]
//! says, tells [how they are](CoordinationModule::system_health), and shuts them down in order; with it
//! come `Services`: processes under supervision.
//!
//! ```
//! # #[cfg(feature = "workflows")]
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! use std::sync::Arc;
//!
//! use coordination::bus::vocabulary::WORKFLOW_EVENTS;
//! use coordination::bus::{BusExt, LocalBus};
//! use coordination::workflow::{StepError, Workflow, WorkflowOrchestrator};
//!
//! let bus = LocalBus::new();
//! let mut events = bus.subscribe(&WORKFLOW_EVENTS)?;
//! let orchestrator = WorkflowOrchestrator::new(&bus)?;
//!
//! let mut workflow = Workflow::builder("greeting");
//! let name = workflow.input();
//! let greeting = workflow
//!     .step("greet")
//!     .input(name)
//!     .run(|name: Arc<String>| async move { Ok::<_, StepError>(format!("hello {name}")) });
//! let workflow = workflow.build()?;
//!
//! let outcome = orchestrator.execute_workflow(&workflow, "world".to_owned()).await?;
//! assert_eq!(*outcome.output(&greeting).unwrap(), "hello world");
//! assert_eq!(events.recv().await.unwrap().workflow, "greeting");
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

pub mod prelude;
mod config;
mod module;
#[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
mod services;
#[cfg(all(
    feature = "event-flows",
    any(
        all(feature = "integration-patterns", feature = "error-recovery"),
        all(feature = "optimization", feature = "_pattern-streams")
    )
))]
mod bundle;
#[cfg(all(
    feature = "event-flows",
    feature = "optimization",
    feature = "_pattern-streams"
))]
mod streams;
#[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
mod supervised;
mod health;
mod watch;
mod shutdown;
mod error;

pub use config::CoordinationConfig;
#[cfg(feature = "optimization")]
pub use config::StreamSettings;
#[cfg(feature = "config-file")]
pub use config::{ConfigFault, ConfigFaults};
pub use coord_bus as bus;
#[cfg(feature = "event-flows")]
pub use coord_flow as flow;
#[cfg(feature = "journal")]
pub use coord_journal as journal;
#[cfg(feature = "performance-monitoring")]
pub use coord_monitor as monitor;
#[cfg(feature = "optimization")]
pub use coord_optimize as optimize;
#[cfg(feature = "integration-patterns")]
pub use coord_patterns as patterns;
#[cfg(feature = "error-recovery")]
pub use coord_recovery as recovery;
#[cfg(feature = "workflows")]
pub use coord_workflow as workflow;
pub use error::CoordinationError;
pub use health::{HealthStatus, MAX_REASONS, SystemHealth};
pub use module::CoordinationModule;
#[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
pub use services::{ServiceExit, Services};
pub use shutdown::ShutdownAccount;
#[cfg(all(feature = "integration-patterns", feature = "error-recovery"))]
pub use supervised::SupervisedService;
pub use watch::{HealthChange, HealthOptions, HealthWatch};

#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../README.md")]
struct Readme;
