//! What most programs name: `use coordination::prelude::*`.
//!
//! It is what is needed to start a module, publish and subscribe, and describe flows, workflows,
//! processes, services and recovery. What is left out is in the module of its part. Of a part whose
//! feature is off there is nothing.
//!
//! ```
//! # #[cfg(all(feature = "event-flows", feature = "workflows"))]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use coordination::prelude::*;
//!
//! const NUMBERS: Topic<u32> = Topic::new("numbers");
//! const WORDS: Topic<String> = Topic::new("words");
//!
//! let bus = Arc::new(LocalBus::new());
//! let module = CoordinationModule::start(bus.clone(), CoordinationConfig::default())?;
//! module.create_event_flow(EventFlow::from(&NUMBERS).map(|number| number.to_string()).to(&WORDS))?;
//! let mut words = bus.subscribe(&WORDS)?;
//! bus.publisher(&NUMBERS)?.publish(7).await?;
//! assert_eq!(*words.recv().await.unwrap(), "7");
//! # Ok(())
//! # }
//! # #[cfg(not(all(feature = "event-flows", feature = "workflows")))]
//! # fn main() {}
//! ```

pub use coord_bus::{
    Backoff, Bus, BusError, BusExt, CancellationToken, Failure, LocalBus, Publisher, Subscriber,
    Topic,
};
#[cfg(feature = "event-flows")]
pub use coord_flow::EventFlow;
#[cfg(feature = "journal")]
pub use coord_journal::Journal;
#[cfg(feature = "optimization")]
pub use coord_optimize::{OptimizeExt, Settings, per_second};
#[cfg(feature = "integration-patterns")]
pub use coord_patterns::pattern::{Pattern, PatternContext};
#[cfg(feature = "integration-patterns")]
pub use coord_patterns::process::{ProcessSpec, Stop};
#[cfg(feature = "integration-patterns")]
pub use coord_patterns::service::{Check, Probe, ServiceSpec};
#[cfg(feature = "error-recovery")]
pub use coord_recovery::{ChildSpec, ErrorPattern, Matched, RecoveryStrategy, Restart};
#[cfg(feature = "workflows")]
pub use coord_workflow::{Outcome, Retry, RunJournal, Status, StepContext, StepError, Workflow};

pub use crate::{
    CoordinationConfig, CoordinationError, CoordinationModule, HealthStatus, ShutdownAccount,
    SystemHealth,
};
