//! coordination

pub use coord_bus as bus;
#[cfg(feature = "integration-patterns")]
pub use coord_patterns as patterns;
#[cfg(feature = "workflows")]
pub use coord_workflow as workflow;
