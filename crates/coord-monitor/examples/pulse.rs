//! How fast is this program, and what does it cost? A line of numbers each second, and a report.
//!
//! Something publishes at a rate that rises and falls like a pulse, a reader does some work for
//! each event, and a monitor looks on. After six seconds the program ends by itself, with a report
//! as text; with a path, it writes it there as a page of HTML.
//!
//! ```console
//! $ cargo run --release -p coord-monitor --example pulse -- pulse.html
//! ```

#![expect(clippy::print_stdout, reason = "it shows a person what it does")]

use std::f64::consts::TAU;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{Instant, sleep};
use coord_bus::{Bus, BusExt, LocalBus, Publisher, SubscribeOptions, Topic};
use coord_monitor::{LatencyProbe, PerformanceMetrics, PerformanceMonitor};

const BEATS: Topic<u64> = Topic::new("beats");
const SECONDS: u64 = 6;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bus = LocalBus::new();
    let monitor = PerformanceMonitor::builder(Arc::new(bus.clone()))
        .interval(Duration::from_millis(200))
        .build()?;

    let latency = monitor.latency("beats");
    let mut beats = bus.subscribe_with(&BEATS, SubscribeOptions::new().named("reader"))?;
    let probe = latency.clone();
    let reading = tokio::spawn(async move {
        while let Some(beat) = beats.recv().await {
            let handling = probe.begin(beat.meta());
            black_box((0..*beat % 2000).map(f64::from_bits).sum::<f64>());
            handling.done();
        }
    });
    let publishing = tokio::spawn(pulse(bus.publisher(&BEATS)?, latency));

    println!("    published/s      peak      lag   memory     cpu");
    for _ in 0..SECONDS {
        sleep(Duration::from_secs(1)).await;
        line(&monitor.performance_metrics());
    }
    publishing.await?;
    bus.close();
    reading.await?;

    let report = monitor.generate_report();
    match std::env::args_os().nth(1) {
        Some(path) => std::fs::write(path, report.to_html("A pulse"))?,
        None => println!("\n{report}"),
    }
    Ok(())
}

/// Publishes for some seconds, from none to many events a millisecond and back again.
async fn pulse(beats: Publisher<u64>, latency: LatencyProbe) {
    let began = Instant::now();
    let mut beat = 0;
    while began.elapsed() < Duration::from_secs(SECONDS) {
        let phase = began.elapsed().as_secs_f64() / 3.0;
        let burst = (100.0 * (1.0 - (TAU * phase).cos())) as u64;
        for _ in 0..burst {
            beat += 1;
            if beats.publish_with(latency.stamp(beat)).await.is_err() {
                return;
            }
        }
        sleep(Duration::from_millis(1)).await;
    }
}

fn line(metrics: &PerformanceMetrics) {
    let Some(beats) = metrics.topic("beats") else {
        return;
    };
    println!(
        "{:3.0} s {:9.0} {:9.0} {:8} {:4} MiB {:5.1} %",
        metrics.uptime,
        beats.per_second,
        beats.peak_per_second,
        beats.lag,
        metrics.process.memory_bytes >> 20,
        metrics.process.cpu_percent,
    );
}
