//! Typed events, workflows and real processes for programs with many moving parts.
//!
//! This crate joins the others under one name, each behind a feature; what is not switched on is
//! not compiled.
//!
//! | module | feature | what it gives |
//! |---|---|---|
//! | [`bus`] | always | one typed event bus: topics, lossless subscribers, request to close and drain |
//! | [`workflow`] | `workflows` | steps with dependencies: retries, limits, cancellation, compensation |
//! | [`patterns`] | `integration-patterns` | real processes in groups of their own, their output as events |
//!
//! Both features are on by default; `full` is all there are.
//!
//! ```
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

pub use coord_bus as bus;
#[cfg(feature = "integration-patterns")]
pub use coord_patterns as patterns;
#[cfg(feature = "workflows")]
pub use coord_workflow as workflow;
