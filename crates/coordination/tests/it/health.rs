//! What a module says of how it is, and why.

use std::sync::Arc;
use std::time::Duration;

use coordination::bus::time::ManualClock;
use coordination::bus::{Bus, BusExt, Timestamp, Topic};
use coordination::flow::EventFlow;
use coordination::workflow::{StepError, Workflow};
use coordination::{HealthStatus, SystemHealth};

use crate::stage::{Stage, seconds};

const NUMBERS: Topic<u32> = Topic::new("numbers");
const NARROW: Topic<u32> = Topic::new("narrow").capacity(1);

fn is(health: &SystemHealth, status: HealthStatus, reasons: &[&str]) {
    assert_eq!(
        (health.status, &health.reasons[..]),
        (status, &owned(reasons)[..])
    );
}

fn owned(reasons: &[&str]) -> Vec<String> {
    reasons.iter().map(|reason| (*reason).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_module_is_healthy_when_it_has_started() {
    let stage = Stage::new();
    let health = stage.module.system_health();
    is(&health, HealthStatus::Healthy, &[]);
    assert_eq!(health.to_string(), "healthy");
    assert_eq!(
        (
            health.active_flows,
            health.active_workflows,
            health.active_services
        ),
        (2, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn runs_that_go_on_are_counted() {
    let stage = Stage::new();
    let mut workflow = Workflow::builder("endless");
    workflow
        .step("only")
        .run(std::future::pending::<Result<(), StepError>>);
    let workflow = workflow.build().unwrap();
    let orchestrator = stage.module.orchestrator().unwrap();
    let runs = [(); 3].map(|()| orchestrator.start_workflow(&workflow, ()).unwrap());
    assert_eq!(stage.module.system_health().active_workflows, 3);
    runs[0].cancel();
    runs[0].outcome().await.unwrap();
    assert_eq!(stage.module.system_health().active_workflows, 2);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_full_degrades_it_until_there_is_room() {
    let stage = Stage::new();
    let mut reader = stage.subscribe(&NARROW);
    let publisher = stage.bus.publisher(&NARROW).unwrap();
    publisher.publish(1).await.unwrap();
    is(&stage.module.system_health(), HealthStatus::Healthy, &[]);
    let waiting = [2, 3].map(|number| {
        let publisher = publisher.clone();
        tokio::spawn(async move { publisher.publish(number).await.is_ok() })
    });
    tokio::task::yield_now().await;
    let health = stage.module.system_health();
    let reason = "topic `narrow` is full: 2 publishers wait for its slowest subscriber";
    is(&health, HealthStatus::Degraded, &[reason]);
    assert_eq!(health.to_string(), format!("degraded: {reason}"));

    for expected in 1..=3 {
        assert_eq!(*reader.recv().await.unwrap(), expected);
    }
    for task in waiting {
        assert!(task.await.unwrap());
    }
    is(&stage.module.system_health(), HealthStatus::Healthy, &[]);
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_was_aborted_is_unhealthy() {
    let stage = Stage::new();
    let _never_read = stage.subscribe(&NARROW);
    let choreographer = stage.module.choreographer().unwrap();
    let flow = EventFlow::from(&NUMBERS).to(&NARROW).named("carry");
    choreographer.add_event_flow(flow).unwrap();
    let numbers = stage.bus.publisher(&NUMBERS).unwrap();
    for number in 0..5 {
        numbers.publish(number).await.unwrap();
    }
    let report = choreographer.shutdown(seconds(1)).await;
    assert!(!report.is_complete());
    let health = stage.module.system_health();
    let reason = "flow `carry` has ended: aborted";
    is(&health, HealthStatus::Unhealthy, &[reason]);
    assert_eq!(health.active_flows, 0);
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_is_closed_is_unhealthy_and_so_is_a_flow_that_could_not_publish() {
    let stage = Stage::new();
    let choreographer = stage.module.choreographer().unwrap();
    let flow = EventFlow::from(&NUMBERS).to(&NARROW).named("carry");
    choreographer.add_event_flow(flow).unwrap();
    stage
        .bus
        .publisher(&NUMBERS)
        .unwrap()
        .publish(1)
        .await
        .unwrap();
    stage.bus.close();
    coordination::bus::time::sleep(Duration::from_secs(1)).await;
    let reasons = ["the bus is closed", "flow `carry` has ended: sink closed"];
    is(
        &stage.module.system_health(),
        HealthStatus::Unhealthy,
        &reasons,
    );
}

#[tokio::test(start_paused = true)]
async fn a_module_that_is_shut_down_is_unhealthy() {
    let stage = Stage::new();
    assert!(stage.module.shutdown(seconds(1)).await.is_complete());
    let reason = "the module is shut down";
    is(
        &stage.module.system_health(),
        HealthStatus::Unhealthy,
        &[reason],
    );
}

#[tokio::test(start_paused = true)]
async fn the_worst_status_counts_and_every_reason_is_given() {
    let stage = Stage::new();
    let _never_read = stage.subscribe(&NARROW);
    let publisher = stage.bus.publisher(&NARROW).unwrap();
    publisher.publish(1).await.unwrap();
    tokio::spawn(async move { publisher.publish(2).await.is_ok() });
    assert!(stage.module.shutdown(seconds(1)).await.is_complete());
    let reasons = [
        "the module is shut down",
        "topic `narrow` is full: 1 publisher waits for its slowest subscriber",
    ];
    let health = stage.module.system_health();
    is(&health, HealthStatus::Unhealthy, &reasons);
    assert_eq!(
        health.to_string(),
        format!("unhealthy: {}", reasons.join("; "))
    );
}

#[tokio::test(start_paused = true)]
async fn it_is_json() {
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let stage = Stage::with(|config| config.clock = clock);
    let health = serde_json::to_value(stage.module.system_health()).unwrap();
    assert_eq!(health["timestamp"], "1970-01-01T00:00:00Z");
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["reasons"], serde_json::json!([]));
    assert_eq!(health["active_flows"], 2);
    assert_eq!(health["active_workflows"], 0);
    assert_eq!(health["active_services"], 0);
    assert!(health["performance"]["process"]["memory_bytes"].as_u64() > Some(0));
    assert_eq!(health["errors"]["total"], 0);

    let stage = Stage::with(|config| {
        config.performance_monitoring = false;
        config.error_recovery = false;
    });
    let health = serde_json::to_value(stage.module.system_health()).unwrap();
    assert!(health["performance"].is_null() && health["errors"].is_null());
}
