//! What a module says of its services, and why.

use coordination::HealthStatus;
use coordination::bus::Backoff;
use coordination::recovery::{ChildSpec, Restart};

use crate::stage::{STAY, Stage, seconds, service, until, within};

/// Waits for a status, and checks the reasons for it.
async fn becomes(stage: &Stage, status: HealthStatus, reasons: &[&str]) {
    until(|| stage.module.system_health().status == status).await;
    assert_eq!(stage.module.system_health().reasons, reasons);
}

fn patient(name: &str) -> ChildSpec {
    ChildSpec::new(name).backoff(Backoff::constant(seconds(1000)))
}

#[tokio::test]
async fn a_service_degrades_it_until_it_is_ready() {
    let stage = Stage::new();
    let services = stage.module.services().unwrap();
    let child = services
        .start(ChildSpec::new("api"), service("api", STAY))
        .unwrap();
    let health = stage.module.system_health();
    assert_eq!(health.to_string(), "degraded: service `api` is not ready");
    assert_eq!(health.active_services, 1);
    within(child.ready()).await.unwrap();
    becomes(&stage, HealthStatus::Healthy, &[]).await;
}

#[tokio::test]
async fn a_service_that_is_to_be_restarted_degrades_it() {
    let stage = Stage::new();
    let services = stage.module.services().unwrap();
    let child = services
        .start_with(patient("api"), |incarnation| match incarnation {
            1 => service("api", "exit 1"),
            _ => service("api", STAY),
        })
        .unwrap();
    let reasons = ["service `api` has failed, and will be restarted"];
    until(|| stage.module.system_health().reasons == reasons).await;
    let health = stage.module.system_health();
    assert_eq!(
        (health.status, health.active_services),
        (HealthStatus::Degraded, 0)
    );
    child.restart();
    within(child.ready()).await.unwrap();
    becomes(&stage, HealthStatus::Healthy, &[]).await;
}

#[tokio::test]
async fn a_service_that_was_given_up_is_unhealthy_until_another_takes_its_name() {
    let stage = Stage::new();
    let services = stage.module.services().unwrap();
    let once = ChildSpec::new("api").intensity(0, seconds(5));
    services.start(once, service("api", "exit 1")).unwrap();
    let reason = "service `api` was given up: restarted 0 times within 5s: exit code 1";
    becomes(&stage, HealthStatus::Unhealthy, &[reason]).await;
    let another = services.start(ChildSpec::new("api"), service("api", STAY));
    within(another.unwrap().ready()).await.unwrap();
    becomes(&stage, HealthStatus::Healthy, &[]).await;
}

#[tokio::test]
async fn a_service_that_failed_and_is_never_restarted_is_unhealthy() {
    let stage = Stage::new();
    let services = stage.module.services().unwrap();
    let never = ChildSpec::new("api").restart(Restart::Temporary);
    services.start(never, service("api", "exit 7")).unwrap();
    let reason = "service `api` has failed: exit code 7";
    becomes(&stage, HealthStatus::Unhealthy, &[reason]).await;
}

#[tokio::test]
async fn a_service_that_was_stopped_by_hand_or_has_done_its_work_is_healthy() {
    let stage = Stage::new();
    let services = stage.module.services().unwrap();
    let stopped = services
        .start(ChildSpec::new("api"), service("api", STAY))
        .unwrap();
    within(stopped.ready()).await.unwrap();
    within(stopped.stop()).await;
    let work = ChildSpec::new("work").restart(Restart::Transient);
    let done = services.start(work, service("work", "exit 0")).unwrap();
    within(done.ended()).await;
    becomes(&stage, HealthStatus::Healthy, &[]).await;
}
