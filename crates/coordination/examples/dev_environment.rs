//! Before the tests can run, the database has to be up, and migrated. It may crash meanwhile: then
//! it should come back, and whoever needs it should wait. And in the end nothing should be left.
//!
//! ```console
//! $ cargo run -p coordination --example dev_environment
//! ```
//!
//! The database here is a shell, which crashes the first time, while it is migrated.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::vocabulary::{NOTIFICATION, PROCESS_OUTPUT, SERVICE_LIFECYCLE};
use coordination::bus::{Backoff, Bus, BusExt, LocalBus, TaskScope};
use coordination::patterns::process::{ProcessRunner, ProcessSpec, Stop};
use coordination::patterns::service::{Check, Probe, ServiceSpec};
use coordination::recovery::{Child, ChildSpec};
use coordination::workflow::{StepContext, StepError, Workflow};
use coordination::{CoordinationConfig, CoordinationModule};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Arc::new(LocalBus::new());
    let screen = TaskScope::new("screen");
    show(&bus, &screen)?;
    let module = CoordinationModule::start(bus.clone(), CoordinationConfig::default())?;

    let child = ChildSpec::new("database")
        .backoff(Backoff::constant(Duration::from_millis(500)))
        .intensity(5, Duration::from_secs(60));
    let probe = Probe::new(Check::log("^listening")?);
    let database = module.services()?.start_with(child, move |incarnation| {
        let life = match incarnation {
            1 => "sleep 0.3; echo out of memory; exit 1",
            _ => "exec sleep 1000",
        };
        let process = ProcessSpec::shell("database", format!("echo listening; {life}"));
        ServiceSpec::new(process).ready(probe.clone())
    })?;

    let runner = module.processes()?;
    let step = |line| {
        let (database, runner) = (database.clone(), runner.clone());
        move |context| run(context, database.clone(), runner.clone(), line)
    };
    let mut workflow = Workflow::builder("tests");
    let migrate = step("sleep 0.5; echo 3 tables");
    let migrate = workflow.step("migrate").run_with(migrate);
    let test = step("echo 12 tests passed");
    workflow.step("test").after(&migrate).run_with(test);
    let workflow = workflow.build()?;
    let outcome = module
        .orchestrator()?
        .execute_workflow(&workflow, ())
        .await?;

    println!("the tests: {}", outcome.status);
    println!("restarts of the database: {}", database.restarts());
    println!("the environment: {}", module.system_health());
    println!(
        "its end: {}",
        module.shutdown(Duration::from_secs(20)).await
    );
    // The screen ends when it has shown everything.
    bus.close();
    let _ = screen.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// A step that runs a shell once this service is ready, and stops it when it is told to stop.
async fn run(
    context: StepContext,
    service: Child,
    runner: ProcessRunner,
    line: &str,
) -> Result<(), StepError> {
    service.ready().await?;
    let stop = Stop {
        graceful: context.token(),
        ..Stop::default()
    };
    let process = ProcessSpec::shell(context.step(), line);
    match runner.run(&process, &stop).await? {
        exit if exit.is_success() => Ok(()),
        exit => Err(StepError::message(exit.to_string())),
    }
}

/// Prints what happens, until the bus is closed.
fn show(bus: &LocalBus, screen: &TaskScope) -> Result<(), Box<dyn Error>> {
    let mut output = bus.subscribe(&PROCESS_OUTPUT)?;
    let mut services = bus.subscribe(&SERVICE_LIFECYCLE)?;
    let mut notifications = bus.subscribe(&NOTIFICATION)?;
    screen.spawn("show", async move {
        loop {
            tokio::select! {
                biased;
                Some(event) = output.recv() => println!("{:>8} | {}", event.process, event.line),
                Some(event) = notifications.recv() => println!("{} ({})", event.title, event.message),
                Some(event) = services.recv() => println!("{:>8} · {:?}", event.service, event.state),
                else => break,
            }
        }
    });
    Ok(())
}
