//! A service that is started in order with others, and restarted by a supervisor.

use std::sync::Weak;

use coord_bus::{BoxFuture, Failure};
use coord_patterns::service::ServiceSpec;
use coord_patterns::services::{ManagedService, ServiceContext};
use coord_recovery::{Child, ChildEnd, ChildSpec, ChildState};

use crate::Services;

/// A process under supervision as a service among others that need it:
/// [`CoordinationModule::supervised_service`](crate::CoordinationModule::supervised_service).
///
/// `coord-patterns` starts and stops services in the order of their needs and restarts none;
/// [`Services`] restarts them and knows no needs. This is both: it is ready when its first incarnation
/// is, and has failed when it was given up. From when an incarnation ends until the next one is ready, those
/// that need it have lost it: they are told so, and that it is back, as of any other service.
pub struct SupervisedService {
    pub(crate) services: Weak<Services>,
    pub(crate) child: ChildSpec,
    pub(crate) service: ServiceSpec,
}

impl std::fmt::Debug for SupervisedService {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SupervisedService")
            .field("child", &self.child)
            .finish_non_exhaustive()
    }
}

/// Asks the child to stop where its run is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ask_to_stop();
    }
}

impl ManagedService for SupervisedService {
    fn run(&self, context: ServiceContext) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let services = self.services.upgrade();
            let services = services.ok_or_else(|| Failure::message("its module is dropped"))?;
            let child = services.start(self.child.clone(), self.service.clone())?;
            drop(services);
            let running = Running(child);
            let draining = context.draining();
            let ended = draining
                .run_until_cancelled(keep(&running.0, &context))
                .await;
            if let Some(end) = ended {
                return match end {
                    ChildEnd::Completed | ChildEnd::Stopped => Ok(()),
                    end => Err(end.into()),
                };
            }
            // Its process has its grace, and is killed then.
            running.0.stop().await;
            Ok(())
        })
    }

    fn keeps_itself(&self) -> bool {
        true
    }
}

/// Says of each incarnation that it is ready, and that it is not any more, until the child ends for good.
async fn keep(child: &Child, context: &ServiceContext) -> ChildEnd {
    loop {
        if let Err(end) = child.ready().await {
            return end;
        }
        context.ready();
        match child.not_ready().await {
            ChildState::Ended(end) => return end,
            state => context.not_ready(format!("being restarted ({state})")),
        }
    }
}
