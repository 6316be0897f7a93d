//! A workflow and a flow, by a program that has two features of the facade.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::vocabulary::WORKFLOW_EVENTS;
use coordination::prelude::*;

const RUNS: Topic<String> = Topic::new("runs");

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        let bus = Arc::new(LocalBus::new());
        let module = CoordinationModule::start(bus.clone(), CoordinationConfig::default())?;
        module.create_event_flow(
            EventFlow::from(&WORKFLOW_EVENTS)
                .map(|event| event.workflow.clone())
                .to(&RUNS),
        )?;
        let mut runs = bus.subscribe(&RUNS)?;
        let mut workflow = Workflow::builder("release");
        workflow.step("build").run(async || Ok::<_, StepError>(()));
        let run = module.create_workflow(&workflow.build()?, ())?;
        assert_eq!(run.outcome().await?.status, Status::Completed);
        assert_eq!(*runs.recv().await.ok_or("the bus is closed")?, "release");
        assert!(module.shutdown(Duration::from_secs(5)).await.is_complete());
        Ok(())
    })
}
