//! What an exporter for Prometheus gives to who scrapes it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use coord_bus::vocabulary::Severity;
use coord_bus::{BusExt, LocalBus};
use coord_monitor::PerformanceMonitor;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::errors::detected;
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

#[tokio::test(start_paused = true)]
async fn a_real_exporter_gives_counters_gauges_and_histograms_under_their_names() {
    let at = free_port();
    let exporter = PrometheusBuilder::new()
        .with_http_listener(at)
        .set_buckets(&[0.0105, 0.0505, 0.0995])
        .unwrap();
    let (recorder, serve) = exporter.build().unwrap();
    let serving = tokio::spawn(serve);
    // Of this thread, on which everything here runs.
    let _recorder = metrics::set_default_local_recorder(&recorder);

    let bus = LocalBus::new();
    let stage = Stage::on(bus.clone());
    let monitor = PerformanceMonitor::builder(Arc::new(bus))
        .export(true)
        .build()
        .unwrap();
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
    let of = |name: &str| scraped.value(&format!("{name}{{messaging_destination_name=\"ticks\"}}"));
    assert_eq!(of("messaging_client_sent_messages"), 50.0);
    assert_eq!(of("messaging_client_consumed_messages"), 20.0);
    assert_eq!(of("coord_topic_lag"), 30.0);
    assert_eq!(of("messaging_process_duration_count"), 100.0);
    assert!((of("messaging_process_duration_sum") - 5.05).abs() < 0.05);
    for (most, count) in [
        ("0.0105", 10.0),
        ("0.0505", 50.0),
        ("0.0995", 99.0),
        ("+Inf", 100.0),
    ] {
        let bucket = "messaging_process_duration_bucket{messaging_destination_name=\"ticks\"";
        assert_eq!(scraped.value(&format!("{bucket},le=\"{most}\"}}")), count);
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
    let of = |name: &str| scraped.value(&format!("{name}{{messaging_destination_name=\"ticks\"}}"));
    assert_eq!(of("messaging_client_sent_messages"), 57.0);
    assert_eq!(of("messaging_process_duration_count"), 101.0);
    serving.abort();
}
