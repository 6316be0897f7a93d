//! A developer wants one command that brings up the environment of a project: a database that is
//! ready before anything uses it, a migration that needs it, a server that is started again when it
//! crashes, and tests that need both. A shell script starts them all at once, and sleeps for a while in between; when one
//! of them dies, nobody notices.
//!
//! Here a step waits for the service that it needs, a supervisor restarts what crashes, what happens
//! is seen as it happens, and at the end the environment says how it is.
//!
//! Run it with `cargo run -p coordination --example dev_environment`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::vocabulary::LOG_EVENTS;
use coordination::bus::{Backoff, Bus, BusExt, Failure, LocalBus};
use coordination::patterns::process::{ProcessSpec, Stop};
use coordination::patterns::service::{Check, Probe, ServiceSpec};
use coordination::recovery::{Child, ChildSpec};
use coordination::workflow::{StepContext, StepError, Workflow};
use coordination::{CoordinationConfig, CoordinationModule};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Arc::new(LocalBus::new());
    // Whatever processes do becomes an entry of the log: a flow that is there from the start.
    let mut log = bus.subscribe(&LOG_EVENTS)?;
    let config = CoordinationConfig::default();
    let module = CoordinationModule::start(Arc::clone(&bus) as Arc<dyn Bus>, config)?;

    let screen = async {
        while let Some(entry) = log.recv().await {
            println!("{:>8} | {}", entry.source, entry.message);
        }
    };
    let work = async {
        let ended = bring_up(&module).await;
        println!("         | {}", module.system_health());
        let account = module.shutdown(Duration::from_secs(20)).await;
        // Nothing more will come: the screen ends once it has shown everything.
        bus.close();
        ended.map(|()| account)
    };
    let ((), account) = tokio::join!(screen, work);
    println!("         | {}", account?);
    Ok(())
}

async fn bring_up(module: &CoordinationModule) -> Result<(), Box<dyn Error>> {
    let services = module.services()?;
    let database = ProcessSpec::shell("database", "sleep 0.2; echo listening; exec sleep 1000");
    let database = ServiceSpec::new(database).ready(Probe::new(Check::log("^listening")?));
    let database = services.start(ChildSpec::new("database"), database)?;

    // It crashes the first time that it is started, and comes back.
    let at_once = Backoff::constant(Duration::from_millis(50));
    let server = ChildSpec::new("server").backoff(at_once);
    let server = services.start_with(server, |start| {
        let line = match start {
            1 => "sleep 0.1; exit 3",
            _ => "echo serving; exec sleep 1000",
        };
        let serving = Check::log("^serving").expect("the expression is sound");
        ServiceSpec::new(ProcessSpec::shell("server", line)).ready(Probe::new(serving))
    })?;

    let runs = |line: &'static str| {
        let runner = module.processes()?.clone();
        Ok::<_, Box<dyn Error>>(move |context: StepContext| {
            let runner = runner.clone();
            async move {
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
        })
    };
    let ready = |service: Child| {
        move || {
            let service = service.clone();
            async move { Ok::<_, Failure>(service.ready().await?) }
        }
    };
    let mut workflow = Workflow::builder("check");
    let database = workflow.step("database").run(ready(database));
    let server = workflow.step("server").run(ready(server));
    let migrate = workflow
        .step("migrate")
        .after(&database)
        .run_with(runs("echo 3 migrations")?);
    workflow
        .step("test")
        .after(&migrate)
        .after(&server)
        .run_with(runs("echo 12 tests passed")?);
    let workflow = workflow.build()?;
    let outcome = module
        .orchestrator()?
        .execute_workflow(&workflow, ())
        .await?;
    println!("         | {} has {}", outcome.workflow, outcome.status);
    Ok(())
}
