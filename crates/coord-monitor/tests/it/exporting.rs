//! What an exporter for Prometheus gives to who scrapes it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(target_os = "linux")]
use coord_bus::Timestamp;
#[cfg(target_os = "linux")]
use coord_bus::vocabulary::{Exit, PROCESS_LIFECYCLE, ProcessLifecycle, ProcessState};
use coord_bus::vocabulary::{Recovery, Severity, Transition};
use coord_bus::{BusExt, Overflow, SubscribeOptions};
use coord_monitor::{PerformanceMonitor, Reading};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::errors::{detected, recovery};
use crate::stage::{Stage, TICKS, completed, finished, millis, pass, seconds, started};

/// The samples of one scrape, by name and labels, and the types by name.
struct Scraped {
    samples: BTreeMap<String, f64>,
    types: BTreeMap<String, String>,
}

impl Scraped {
    /// Each line is a comment of a known kind, or a name with labels and a number.
    fn parse(body: &str) -> Self {
        let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
        for line in body.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                match (words.next(), words.next(), words.next()) {
                    (Some("TYPE"), Some(name), Some(kind)) => {
                        let before = types.insert(name.to_owned(), kind.to_owned());
                        assert_eq!(before, None, "{name} has one type");
                    }
                    (Some("HELP"), Some(_), Some(_)) => {}
                    _ => panic!("not a comment that there is: {line}"),
                }
                continue;
            }
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            let plain = name.split('{').next().expect("there is a first part");
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            assert!(plain.chars().all(is_name), "{line}");
            samples.insert(name.to_owned(), value.parse().expect("a number"));
        }
        Self { samples, types }
    }

    fn value(&self, sample: &str) -> f64 {
        let value = self.samples.get(sample);
        *value.unwrap_or_else(|| panic!("{sample}: {:#?}", self.samples))
    }
}

async fn scrape(at: SocketAddr) -> Scraped {
    let mut stream = TcpStream::connect(at).await.expect("it listens");
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("it takes a request");
    let mut response = String::new();
    stream
        .read_to_string(&mut response)
        .await
        .expect("it is text");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    Scraped::parse(body)
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it has one")
}

/// The labels that OpenTelemetry asks for.
fn messaging(name: &str, operation: &str) -> String {
    format!(
        "{name}{{messaging_destination_name=\"ticks\",messaging_system=\"coord\",\
         messaging_operation_name=\"{operation}\"}}"
    )
}

fn serve() -> (SocketAddr, PrometheusRecorder, JoinHandle<Result<(), ()>>) {
    let at = free_port();
    let exporter = PrometheusBuilder::new()
        .with_http_listener(at)
        .set_buckets(&[0.0105, 0.0505, 0.0995])
        .expect("there are some");
    let (recorder, serve) = exporter.build().expect("the port is free");
    let serving = tokio::spawn(async move { serve.await.map_err(|_| ()) });
    (at, recorder, serving)
}

fn exporting(stage: &Stage) -> PerformanceMonitor {
    PerformanceMonitor::builder(Arc::new(stage.bus.clone()))
        .export(true)
        .build()
        .expect("it is sound")
}

#[tokio::test(start_paused = true)]
async fn a_real_exporter_gives_counters_gauges_and_histograms_under_their_names() {
    let (at, recorder, serving) = serve();
    // Of this thread, on which everything here runs.
    let _recorder = metrics::set_default_local_recorder(&recorder);

    let stage = Stage::new();
    let monitor = exporting(&stage);
    let mut reader = stage.bus.subscribe(&TICKS).unwrap();
    stage.publish(&TICKS, 50);
    for _ in 0..20 {
        reader.recv().await.unwrap();
    }
    let latency = monitor.latency("ticks");
    for handled in 1..=100 {
        latency.record(millis(5), millis(handled));
    }
    stage.tell(started("test")).await;
    stage.tell(completed("test", seconds(2))).await;
    stage.tell(finished("failed", seconds(3))).await;
    detected(&stage, "panic", Severity::Critical);
    pass(millis(1500)).await;

    let scraped = scrape(at).await;
    let of = |name: &str, operation: &str| scraped.value(&messaging(name, operation));
    assert_eq!(of("messaging_client_sent_messages", "publish"), 50.0);
    assert_eq!(of("messaging_client_consumed_messages", "receive"), 20.0);
    let lag = scraped.value("coord_topic_lag{messaging_destination_name=\"ticks\"}");
    assert_eq!(lag, 30.0);
    assert_eq!(of("messaging_process_duration_count", "process"), 100.0);
    assert!((of("messaging_process_duration_sum", "process") - 5.05).abs() < 0.05);
    for (most, count) in [
        ("0.0105", 10.0),
        ("0.0505", 50.0),
        ("0.0995", 99.0),
        ("+Inf", 100.0),
    ] {
        let all = messaging("messaging_process_duration_bucket", "process");
        let bucket = all.replace('}', &format!(",le=\"{most}\"}}"));
        assert_eq!(scraped.value(&bucket), count);
    }
    assert_eq!(
        scraped.value("coord_workflow_runs{outcome=\"failed\"}"),
        1.0
    );
    assert_eq!(
        scraped.value("coord_step_attempts{step=\"build/test\"}"),
        1.0
    );
    assert_eq!(scraped.value("coord_errors{severity=\"critical\"}"), 1.0);
    assert!(scraped.value("process_memory_usage") > 1e6);
    for (name, kind) in [
        ("messaging_client_sent_messages", "counter"),
        ("coord_topic_lag", "gauge"),
        ("messaging_process_duration", "histogram"),
    ] {
        assert_eq!(scraped.types[name], kind);
    }

    // Counters go on where they were, also after a reset.
    monitor.reset();
    stage.publish(&TICKS, 7);
    latency.record(millis(5), millis(1));
    pass(seconds(1)).await;
    let scraped = scrape(at).await;
    let of = |name: &str, operation: &str| scraped.value(&messaging(name, operation));
    assert_eq!(of("messaging_client_sent_messages", "publish"), 57.0);
    assert_eq!(of("messaging_process_duration_count", "process"), 101.0);
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn subscribers_readings_recoveries_and_what_the_monitor_lost_are_exported_too() {
    let (at, recorder, serving) = serve();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let stage = Stage::new();
    let monitor = exporting(&stage);
    let lossy = SubscribeOptions::new().named("lossy");
    let lossy = lossy.overflow(Overflow::DropOldest);
    let behind = stage.bus.subscribe_with(&TICKS, lossy).unwrap();
    stage.publish(&TICKS, 1030);
    let hits = || vec![Reading::new("cache", "hits", 7)];
    monitor.add_source(hits).unwrap();
    monitor.add_source(|| panic!("it is poisoned")).unwrap();
    stage.tell(completed("test", seconds(2))).await;
    stage
        .tell(Transition::StepSkipped {
            step: "deploy".to_owned(),
            reason: "not asked for".to_owned(),
        })
        .await;
    detected(&stage, "io", Severity::Error);
    let recovered = Recovery::Recovered {
        attempt: 2,
        duration: millis(50),
    };
    recovery(&stage, recovered);
    pass(millis(1500)).await;

    let scraped = scrape(at).await;
    let subscriber = "{messaging_destination_name=\"ticks\",subscriber=\"lossy\"}";
    let of_subscriber = |name: &str| scraped.value(&format!("coord_subscriber_{name}{subscriber}"));
    assert_eq!(
        (of_subscriber("lag"), of_subscriber("dropped")),
        (1024.0, 6.0)
    );
    let reading = "coord_reading{subject=\"cache\",figure=\"hits\"}";
    assert_eq!(scraped.value(reading), 7.0);
    for (sample, value) in [
        ("coord_workflow_steps{outcome=\"completed\"}", 1.0),
        ("coord_workflow_steps{outcome=\"skipped\"}", 1.0),
        ("coord_error_types{error_type=\"io\"}", 1.0),
        ("coord_recoveries{outcome=\"recovered\"}", 1.0),
        ("coord_recovery_duration_count", 1.0),
        ("coord_monitor_missed", 0.0),
        ("coord_monitor_unlogged", 0.0),
        ("coord_monitor_unwatched", 0.0),
        ("coord_monitor_unread", 0.0),
    ] {
        assert_eq!(scraped.value(sample), value, "{sample}");
    }
    assert!(scraped.value("coord_monitor_panicked") >= 1.0);

    // Who is gone is not behind any more.
    drop(behind);
    pass(seconds(1)).await;
    let scraped = scrape(at).await;
    assert_eq!(
        scraped.value(&format!("coord_subscriber_lag{subscriber}")),
        0.0
    );
    assert_eq!(
        scraped.value(&format!("coord_subscriber_dropped{subscriber}")),
        6.0
    );
    serving.abort();
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn processes_are_exported_by_name_and_are_nothing_once_they_have_ended() {
    let (at, recorder, serving) = serve();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let stage = Stage::new();
    let _monitor = exporting(&stage);
    let told = stage.bus.publisher(&PROCESS_LIFECYCLE).unwrap();
    let tell = |state| ProcessLifecycle {
        process: "worker".to_owned(),
        state,
        at: Timestamp::UNIX_EPOCH,
    };
    let pid = std::process::id();
    told.publish(tell(ProcessState::Started { pid }))
        .await
        .unwrap();
    pass(millis(2500)).await;
    let scraped = scrape(at).await;
    let memory = "coord_process_memory_usage{process=\"worker\"}";
    let own = scraped.value("process_memory_usage");
    assert!((scraped.value(memory) / own - 1.0).abs() < 0.5);
    assert!(scraped.value("coord_process_count{process=\"worker\"}") >= 1.0);
    told.publish(tell(ProcessState::Exited(Exit::code(0))))
        .await
        .unwrap();
    pass(millis(1500)).await;
    assert_eq!(scrape(at).await.value(memory), 0.0);
    serving.abort();
}

/// A recorder that fails at first.
#[derive(Default)]
struct Failing(AtomicU64);

impl Recorder for Failing {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        let calls = self.0.fetch_add(1, Ordering::Relaxed);
        assert!(calls > 0, "it is not ready");
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_panics_is_asked_again() {
    let recorder = Failing::default();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let stage = Stage::new();
    let monitor = exporting(&stage);
    pass(millis(1500)).await;
    assert_eq!(monitor.performance_metrics().panicked, 1);
    assert!(recorder.0.load(Ordering::Relaxed) > 10);
}
