//! A process and a part of this program that needs it: started in order, stopped in reverse.
//!
//! ```console
//! $ cargo run --example in_order
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::vocabulary::SERVICE_LIFECYCLE;
use coord_bus::{BoxFuture, BusExt, Failure, LocalBus};
use coord_patterns::pattern::IntegrationPatterns;
use coord_patterns::process::{ProcessRunner, ProcessSpec};
use coord_patterns::service::{Check, Probe, ServiceRunner, ServiceSpec};
use coord_patterns::services::{
    ManagedService, ProcessService, ServiceContext, Services, ServicesConfig,
};

/// Answers requests, in a real program.
struct Api;

impl ManagedService for Api {
    fn run(&self, context: ServiceContext) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            context.ready();
            context.draining().cancelled().await;
            Ok(())
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Arc::new(LocalBus::new());
    let mut states = bus.subscribe(&SERVICE_LIFECYCLE)?;
    let runner = ServiceRunner::new(&*bus, ProcessRunner::new(&*bus)?)?;
    let database = ProcessSpec::shell("database", "sleep 0.2; echo listening; exec sleep 60");
    let database = ServiceSpec::new(database).ready(Probe::new(Check::log("^listening")?));

    let patterns = IntegrationPatterns::new(bus);
    let services = Services::new(ServicesConfig::default())
        .add("database", [], ProcessService::new(runner, database))?
        .add("api", ["database"], Api)?;
    patterns.create_service_lifecycle_pattern(services)?;
    patterns.enable("service-lifecycle").await?;
    let _ = patterns.shutdown(Duration::from_secs(10)).await;

    while let Ok(event) = states.try_recv() {
        println!("{:<10}{:?}", event.service, event.state);
    }
    Ok(())
}
