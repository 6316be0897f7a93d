//! How the module says that it is, and why.

use std::time::Duration;

use coordination::bus::time::{Instant, sleep};
use coordination::bus::{Backoff, Bus, BusExt, Publisher, Subscriber, Topic};
use coordination::flow::{EventFlow, OnFailure};
use coordination::patterns::process::ProcessSpec;
use coordination::patterns::service::{Check, Probe, ServiceSpec};
use coordination::recovery::ChildSpec;
use coordination::{HealthOptions, HealthStatus, MAX_REASONS};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::stage::{Stage, until, within};

const IN: Topic<u32> = Topic::new("in");
const OUT: Topic<u32> = Topic::new("out").capacity(1);

impl Stage {
    fn health(&self) -> (HealthStatus, Vec<String>) {
        let health = self.module.system_health();
        (health.status, health.reasons)
    }

    /// Waits until something is said of it; then its status, and the one reason.
    async fn told(&self) -> (HealthStatus, String) {
        until(|| !self.health().1.is_empty()).await;
        let (status, mut reasons) = self.health();
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        (status, reasons.remove(0))
    }

    /// A flow that waits for room in its sink, and who does not read that.
    async fn stuck_flow(&self) -> Subscriber<u32> {
        let slow = self.bus.subscribe(&OUT).expect("the bus is open");
        let choreographer = self.module.choreographer().expect("it is switched on");
        let flow = EventFlow::from(&IN).map(|number| *number).to(&OUT);
        choreographer
            .add_event_flow(flow.named("numbers"))
            .expect("the name is free");
        let numbers = self.bus.publisher(&IN).expect("the bus is open");
        for number in 0..3 {
            numbers.publish(number).await.expect("the bus is open");
        }
        until(|| self.health().0 == HealthStatus::Degraded).await;
        slow
    }
}

/// Publishes two events where there is room for one.
fn overfill(publisher: Publisher<u32>) -> JoinHandle<()> {
    tokio::spawn(async move {
        publisher.publish(1).await.expect("the bus is open");
        publisher.publish(2).await.expect("the bus is open");
    })
}

#[tokio::test(start_paused = true)]
async fn a_module_that_does_nothing_is_healthy() {
    let stage = Stage::new();
    assert_eq!(stage.health(), (HealthStatus::Healthy, Vec::new()));
    assert_eq!(stage.module.system_health().to_string(), "healthy");
    assert_eq!(stage.module.system_health().active_flows, 2);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_makes_publishers_wait_degrades_it_until_it_is_read() {
    let stage = Stage::new();
    let mut slow = stage.bus.subscribe(&OUT).unwrap();
    let first = overfill(stage.bus.publisher(&OUT).unwrap());
    let (status, reason) = stage.told().await;
    assert_eq!(status, HealthStatus::Degraded);
    assert_eq!(
        reason,
        "topic `out` is full: a publisher waits for its slowest subscriber"
    );
    let second = overfill(stage.bus.publisher(&OUT).unwrap());
    let plural = "topic `out` is full: 2 publishers wait for its slowest subscriber";
    until(|| stage.health().1 == [plural]).await;
    for _ in 0..4 {
        within(slow.recv()).await.unwrap();
    }
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(stage.health().0, HealthStatus::Healthy);
}

#[tokio::test]
async fn a_service_that_is_not_ready_degrades_it() {
    let stage = Stage::new();
    let process = ProcessSpec::shell("db", "exec sleep 1000");
    let service = ServiceSpec::new(process).ready(Probe::new(Check::exec("exit 1")));
    let child = stage.start(service, ChildSpec::new("db"));
    let expected = (
        HealthStatus::Degraded,
        "service `db` is not ready yet".to_owned(),
    );
    assert_eq!(stage.told().await, expected);
    assert_eq!(stage.module.system_health().active_services, 1);
    within(child.stop()).await;
    // It was asked to stop: that is as it should be.
    assert_eq!(stage.health(), (HealthStatus::Healthy, Vec::new()));
    assert_eq!(stage.module.system_health().active_services, 0);
}

#[tokio::test]
async fn a_service_that_waits_to_be_restarted_degrades_it() {
    let stage = Stage::new();
    let long = Backoff::constant(Duration::from_secs(1000));
    let service = ServiceSpec::new(ProcessSpec::shell("db", "exit 4"));
    stage.start(service, ChildSpec::new("db").backoff(long));
    let reason = "service `db` failed 1 time in a row, and is to be restarted".to_owned();
    until(|| stage.health().1 == [&*reason]).await;
    assert_eq!(stage.health().0, HealthStatus::Degraded);
}

#[tokio::test]
async fn a_service_that_is_killed_degrades_it_until_it_is_back() {
    let mut stage = Stage::new();
    let process = ProcessSpec::shell("db", "echo $$; exec sleep 1000");
    let backoff = Backoff::constant(Duration::from_millis(300));
    let service = ServiceSpec::new(process).ready(Probe::new(Check::exec("exit 0")));
    let child = stage.start(service, ChildSpec::new("db").backoff(backoff));
    within(child.ready()).await.unwrap();
    assert_eq!(stage.health(), (HealthStatus::Healthy, Vec::new()));
    let first = stage.pid().await;
    let pid = rustix::process::Pid::from_raw(first).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let (status, reason) = stage.told().await;
    assert_eq!(status, HealthStatus::Degraded);
    assert!(reason.contains("`db` failed 1 time in a row"), "{reason}");
    // It is back, as another process.
    assert_ne!(stage.pid().await, first);
    until(|| stage.health().0 == HealthStatus::Healthy).await;
    let errors = stage.module.system_health().errors.unwrap();
    assert_eq!((errors.total, errors.recovered), (1, 1));
}

#[tokio::test]
async fn a_service_that_was_given_up_makes_it_unhealthy() {
    let stage = Stage::new();
    let service = ServiceSpec::new(ProcessSpec::shell("db", "exit 4"));
    stage.start(
        service,
        ChildSpec::new("db").intensity(0, Duration::from_secs(5)),
    );
    within(stage.services().gave_up()).await;
    let (status, reason) = stage.told().await;
    assert_eq!(status, HealthStatus::Unhealthy);
    let expected = "service `db` was given up: it is not to be restarted: exit code 4";
    assert_eq!(reason, expected);
    let service = ServiceSpec::new(ProcessSpec::shell("db", "exec sleep 1000"));
    within(stage.start(service, ChildSpec::new("db")).ready())
        .await
        .unwrap();
    assert_eq!(stage.health(), (HealthStatus::Healthy, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_is_closed_makes_it_unhealthy_and_so_does_a_flow_whose_sink_was() {
    let stage = Stage::new();
    let _slow = stage.stuck_flow().await;
    assert_eq!(stage.module.system_health().active_flows, 3);
    stage.bus.close();
    let (status, reasons) = stage.health();
    assert_eq!(status, HealthStatus::Unhealthy);
    assert_eq!(reasons, ["the bus is closed"]);
    let both = ["the bus is closed", "flow `numbers` has ended: sink closed"];
    until(|| stage.health().1 == both).await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_has_ended_says_nothing_of_its_health() {
    let stage = Stage::new();
    let ends = coordination::bus::Topic::<u32>::new("ends");
    let publisher = stage.bus.publisher(&ends).unwrap();
    publisher.publish(1).await.unwrap();
    publisher.close();
    assert_eq!(stage.health(), (HealthStatus::Healthy, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_was_aborted_makes_it_unhealthy() {
    let stage = Stage::new();
    let slow = stage.stuck_flow().await;
    let choreographer = stage.module.choreographer().unwrap();
    let left = choreographer.shutdown(Duration::from_secs(1)).await;
    assert!(!left.is_complete());
    drop(slow);
    assert_eq!(stage.told().await.1, "flow `numbers` has ended: aborted");
    assert_eq!(stage.health().0, HealthStatus::Unhealthy);
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_stops_at_what_fails_makes_it_unhealthy_until_it_is_removed() {
    let stage = Stage::new();
    let choreographer = stage.module.choreographer().unwrap();
    let flow = EventFlow::from(&IN).map(|number| 100 / *number).to(&OUT);
    let flow = flow.named("numbers").on_failure(OnFailure::Stop);
    choreographer.add_event_flow(flow).unwrap();
    assert_eq!(stage.module.system_health().active_flows, 3);
    let numbers = stage.bus.publisher(&IN).unwrap();
    numbers.publish(0).await.unwrap();
    assert_eq!(stage.told().await.1, "flow `numbers` has ended: failed");
    assert_eq!(stage.health().0, HealthStatus::Unhealthy);
    assert_eq!(stage.module.system_health().active_flows, 2);
    let removed = choreographer.remove_event_flow("numbers", Duration::from_secs(1));
    removed.await.unwrap();
    assert_eq!(stage.health(), (HealthStatus::Healthy, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn the_worst_comes_first_and_there_is_an_end_to_the_reasons() {
    let stage = Stage::new();
    let mut slow = Vec::new();
    for number in 0..MAX_REASONS + 20 {
        let topic = OUT.with_name(format!("out-{number:03}"));
        slow.push(stage.bus.subscribe(&topic).unwrap());
        overfill(stage.bus.publisher(&topic).unwrap());
    }
    until(|| stage.health().1.len() == MAX_REASONS).await;
    let _ = stage.module.shutdown(Duration::ZERO).await;
    until(|| stage.health().1.last().unwrap() == "and 22 more").await;
    let (status, reasons) = stage.health();
    assert_eq!(status, HealthStatus::Unhealthy);
    assert_eq!(reasons[0], "the module is shut down");
    assert_eq!(reasons.len(), MAX_REASONS);
}

#[tokio::test(start_paused = true)]
async fn as_json_it_says_the_same() {
    let stage = Stage::new();
    let _slow = stage.stuck_flow().await;
    let health = stage.module.system_health();
    let json: Value = serde_json::from_str(&serde_json::to_string(&health).unwrap()).unwrap();
    assert_eq!(json["status"], "degraded");
    let reason = "topic `out` is full: a publisher waits for its slowest subscriber";
    assert_eq!(json["reasons"], json!([reason]));
    assert_eq!(json["active_flows"], 3);
    assert_eq!(json["active_workflows"], 0);
    assert_eq!(json["errors"]["total"], 0);
    assert!(json["throughput"].is_number());
    assert!(json["performance"]["process"]["memory_bytes"].as_u64() > Some(0));
    assert_eq!(health.to_string(), format!("degraded: {reason}"));
}

#[tokio::test(start_paused = true)]
async fn a_status_counts_when_it_has_held_for_three_looks() {
    let stage = Stage::new();
    let mut health = stage.module.watch_health(HealthOptions::default());
    let begun = Instant::now();
    // Full for less than three looks, time and again: nothing is told.
    let flapping = async {
        let mut slow = stage.bus.subscribe(&OUT).unwrap();
        let numbers = stage.bus.publisher(&OUT).unwrap();
        for _ in 0..5 {
            let full = overfill(numbers.clone());
            sleep(Duration::from_millis(2100)).await;
            assert_eq!(stage.health().0, HealthStatus::Degraded);
            slow.recv().await.unwrap();
            slow.recv().await.unwrap();
            full.await.unwrap();
            sleep(Duration::from_millis(1900)).await;
        }
    };
    let told = tokio::select! {
        told = health.changed() => Some(told),
        () = flapping => None,
    };
    assert!(told.is_none(), "{told:?}");
    assert_eq!(begun.elapsed().as_secs(), 20);
    assert_eq!(health.status(), HealthStatus::Healthy);

    // Full and not read: told at the third look, and not told to be well before the third.
    let mut slow = stage.bus.subscribe(&OUT).unwrap();
    let full = overfill(stage.bus.publisher(&OUT).unwrap());
    let begun = Instant::now();
    let change = health.changed().await;
    assert_eq!(
        (change.from, change.to),
        (HealthStatus::Healthy, HealthStatus::Degraded)
    );
    assert!(change.health.reasons[0].contains("`out` is full"));
    assert!((2..=3).contains(&begun.elapsed().as_secs()));
    slow.recv().await.unwrap();
    slow.recv().await.unwrap();
    full.await.unwrap();
    let begun = Instant::now();
    assert_eq!(health.changed().await.to, HealthStatus::Healthy);
    assert!((2..=3).contains(&begun.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn what_is_published_is_in_the_throughput() {
    let stage = Stage::new();
    let numbers = stage.bus.publisher(&IN).unwrap();
    let mut reader = stage.bus.subscribe(&IN).unwrap();
    for _ in 0..100 {
        for number in 0..50 {
            numbers.publish(number).await.unwrap();
            reader.recv().await.unwrap();
        }
        sleep(Duration::from_millis(200)).await;
    }
    let throughput = stage.module.system_health().throughput.unwrap();
    assert!((200.0..300.0).contains(&throughput), "{throughput}");
}
