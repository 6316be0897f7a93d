//! A process as a service beside those of this program.

use coord_bus::{BoxFuture, Failure};

use super::{ManagedService, ServiceContext};
use crate::process::Stop;
use crate::service::{ServiceRunner, ServiceSpec};

/// A process as a [`ManagedService`]. Draining asks it to stop, with its grace; after that it is
/// killed.
#[derive(Debug, Clone)]
pub struct ProcessService {
    runner: ServiceRunner,
    spec: ServiceSpec,
}

impl ProcessService {
    /// A service that this runner runs.
    pub fn new(runner: ServiceRunner, spec: ServiceSpec) -> Self {
        Self { runner, spec }
    }
}

impl ManagedService for ProcessService {
    fn run(&self, context: ServiceContext) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let stop = Stop {
                graceful: context.draining(),
                immediate: context.stopping(),
            };
            let run = self.runner.run(&self.spec, &stop, || context.ready());
            match run.await {
                _ if stop.is_requested() => Ok(()),
                Ok(exit) if exit.is_success() => Ok(()),
                Ok(exit) => Err(Failure::message(exit.to_string())),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn keeps_itself(&self) -> bool {
        true
    }
}
