//! The module on a bus that carries bytes, as one between processes does.

use std::sync::Arc;

use coordination::bus::vocabulary::{ERROR_DETECTED, NOTIFICATION, PROCESS_OUTPUT};
use coordination::bus::{BusExt, ByteBus};
use coordination::recovery::ChildSpec;
use coordination::workflow::{StepError, Workflow};
use coordination::{CoordinationConfig, CoordinationModule, HealthStatus};

use crate::stage::{IGNORE, next, seconds, service, within};

#[tokio::test]
async fn everything_works_on_a_bus_of_bytes() {
    let bus = Arc::new(ByteBus::new());
    let module = CoordinationModule::start(bus.clone(), CoordinationConfig::default()).unwrap();
    let mut output = bus.subscribe(&PROCESS_OUTPUT).unwrap();
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let mut notifications = bus.subscribe(&NOTIFICATION).unwrap();

    let services = module.services().unwrap();
    let once = ChildSpec::new("api").intensity(0, seconds(5));
    let crash = "read -r _ </dev/null; exit 3";
    services.start(once, service("api", crash)).unwrap();
    assert!(next(&mut output).await.line.parse::<u32>().is_ok());
    assert_eq!(within(services.gave_up()).await.child, "api");
    assert_eq!(next(&mut notifications).await.title, "api crashed");
    assert_eq!(next(&mut errors).await.message, "exit code 3");
    assert_eq!(module.system_health().status, HealthStatus::Unhealthy);
    let mut spec = service("api", IGNORE);
    spec.process.grace = seconds(0);
    let api = services.start(ChildSpec::new("api"), spec).unwrap();
    within(api.ready()).await.unwrap();
    assert_eq!(module.system_health().to_string(), "healthy");

    let mut workflow = Workflow::builder("release");
    workflow
        .step("build")
        .run(async || Err::<(), _>(StepError::message("no compiler")));
    let workflow = workflow.build().unwrap();
    let orchestrator = module.orchestrator().unwrap();
    within(orchestrator.execute_workflow(&workflow, ()))
        .await
        .unwrap();
    assert_eq!(next(&mut errors).await.source, "release/build");

    let account = within(module.shutdown(seconds(30))).await;
    assert!(account.is_complete(), "{account}");
}
