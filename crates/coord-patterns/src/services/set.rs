//! The pattern: services, with what each needs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use coord_bus::vocabulary::SERVICE_LIFECYCLE;
use coord_bus::{BoxFuture, BusExt, CancellationToken, Failure, text::nearest};
use tokio::sync::watch;

use super::course::{Course, Stage, Table};
use super::{ManagedService, ServicesConfig, ServicesError};
use crate::pattern::{Claim, Pattern, PatternContext};

/// How many services a set has at most.
pub const MAX_SERVICES: usize = 256;

/// Services that need each other: see the [module](super).
#[derive(Clone)]
pub struct Services {
    config: Arc<ServicesConfig>,
    members: Vec<Member>,
}

#[derive(Clone)]
pub(super) struct Member {
    pub(super) name: Arc<str>,
    pub(super) needs: Arc<[String]>,
    pub(super) service: Arc<dyn ManagedService>,
}

impl Services {
    /// Without any service.
    pub fn new(config: ServicesConfig) -> Self {
        Self {
            config: Arc::new(config),
            members: Vec::new(),
        }
    }

    /// With one more service, which needs these; they were added before it, so that there is no
    /// ring of needs. A process is best called what its spec calls it.
    ///
    /// # Errors
    ///
    /// [`ServicesError`].
    pub fn add<const N: usize>(
        mut self,
        name: &str,
        needs: [&str; N],
        service: impl ManagedService,
    ) -> Result<Self, ServicesError> {
        let names = || self.members.iter().map(|member| &*member.name);
        let service_name = name.to_owned();
        if names().any(|other| other == name) {
            let service = service_name;
            return Err(ServicesError::NameTaken { service });
        }
        if self.members.len() >= MAX_SERVICES {
            let service = service_name;
            return Err(ServicesError::TooMany { service });
        }
        if let Some(need) = needs
            .iter()
            .find(|need| names().all(|other| other != **need))
        {
            return Err(ServicesError::UnknownNeed {
                service: service_name,
                need: (*need).to_owned(),
                nearest: nearest(need, names()).map(str::to_owned),
            });
        }
        self.members.push(Member {
            name: name.into(),
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            service: Arc::new(service),
        });
        Ok(self)
    }

    /// Who needs a service.
    fn dependents(&self, name: &str) -> Vec<Arc<str>> {
        let dependents = self
            .members
            .iter()
            .filter(|member| member.needs.iter().any(|need| need == name));
        dependents.map(|member| Arc::clone(&member.name)).collect()
    }
}

impl Pattern for Services {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn claims(&self) -> Vec<Claim> {
        let names = self.members.iter().map(|member| &*member.name);
        names.map(|name| Claim::new("service", name)).collect()
    }

    fn start(&self, context: PatternContext) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            if self.config.check_every.is_zero() {
                let pattern = self.config.name.clone();
                let fault = ServicesError::NoTimeBetweenChecks { pattern };
                return Err(Failure::from(fault).permanent());
            }
            let states = context.bus().publisher(&SERVICE_LIFECYCLE)?;
            let waiting = self.members.iter();
            let waiting = waiting.map(|member| (Arc::clone(&member.name), Stage::Waiting));
            let table: Arc<watch::Sender<Table>> =
                Arc::new(watch::Sender::new(waiting.collect::<BTreeMap<_, _>>()));
            let closing = context.token().child_token();
            for member in &self.members {
                let course = Course {
                    member: member.clone(),
                    dependents: self.dependents(&member.name),
                    config: Arc::clone(&self.config),
                    table: Arc::clone(&table),
                    closing: closing.clone(),
                    states: states.clone(),
                    untold: context.counter("untold"),
                    context: context.clone(),
                };
                context.spawn(&*member.name, course.run());
            }
            all_ready(&table, &closing).await
        })
    }
}

/// Waits until all have become ready, though some may not be well by then; if one cannot be, until all
/// have stopped.
async fn all_ready(
    table: &watch::Sender<Table>,
    closing: &CancellationToken,
) -> Result<(), Failure> {
    let mut seen = table.subscribe();
    loop {
        let failed = {
            let table = seen.borrow_and_update();
            if table.values().all(Stage::has_started) {
                return Ok(());
            }
            let mut stages = table.iter();
            stages.find_map(|(name, stage)| Some(format!("service `{name}`: {}", stage.over()?)))
        };
        let Some(failed) = failed else {
            // The sender is there.
            let _ = seen.changed().await;
            continue;
        };
        closing.cancel();
        let over = |table: &Table| table.values().all(|stage| stage.over().is_some());
        let _ = seen.wait_for(over).await;
        return Err(Failure::message(failed));
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.members.iter().map(|member| &member.name);
        formatter
            .debug_struct("Services")
            .field("config", &self.config)
            .field("services", &names.collect::<Vec<_>>())
            .finish()
    }
}
