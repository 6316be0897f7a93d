//! How fast is this program, and what does it cost? A line of numbers each second.
//!
//! Something publishes at a rate that rises and falls like a pulse, a reader does some work for
//! each event, and a monitor looks on. After six seconds the program ends by itself, with the
//! history as a sparkline.
//!
//! ```console
//! $ cargo run --release -p coord-monitor --example pulse
//! ```

#![expect(clippy::print_stdout, reason = "it shows a person what it does")]

use std::f64::consts::TAU;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{Instant, sleep};
use coord_bus::{Bus, BusExt, LocalBus, Publisher, Topic};
use coord_monitor::{PerformanceMetrics, PerformanceMonitor};

const BEATS: Topic<u64> = Topic::new("beats");
const SECONDS: u64 = 6;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bus = LocalBus::new();
    let monitor = PerformanceMonitor::builder(Arc::new(bus.clone()))
        .interval(Duration::from_millis(200))
        .build()?;

    let mut beats = bus.subscribe(&BEATS)?;
    let reading = tokio::spawn(async move {
        while let Some(beat) = beats.recv().await {
            black_box((0..*beat % 2000).map(f64::from_bits).sum::<f64>());
        }
    });
    let publishing = tokio::spawn(pulse(bus.publisher(&BEATS)?));

    println!("    published/s      peak      lag   memory     cpu");
    for _ in 0..SECONDS {
        sleep(Duration::from_secs(1)).await;
        line(&monitor.performance_metrics());
    }
    publishing.await?;
    bus.close();
    reading.await?;

    let history = monitor.history();
    if let Some(beats) = history.topic("beats") {
        println!("\n{}", sparkline(&beats.per_second));
    }
    Ok(())
}

/// Publishes for some seconds, from none to many events a millisecond and back again.
async fn pulse(beats: Publisher<u64>) {
    let began = Instant::now();
    let mut beat = 0;
    while began.elapsed() < Duration::from_secs(SECONDS) {
        let phase = began.elapsed().as_secs_f64() / 3.0;
        let burst = (100.0 * (1.0 - (TAU * phase).cos())) as u64;
        for _ in 0..burst {
            beat += 1;
            if beats.publish(beat).await.is_err() {
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

fn sparkline(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let top = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let bar = |value: &f64| BARS[(value / top * 7.0).round() as usize];
    values.iter().map(bar).collect()
}
