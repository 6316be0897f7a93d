//! Watches a shell that forks, one that is suspended, and this program itself, and prints what a
//! screen would draw.
//!
//! ```console
//! $ cargo run --example monitored --features process-monitoring
//! ```

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::vocabulary::{DASHBOARD_UPDATE, DashboardUpdate};
use coord_bus::{BusExt, LocalBus};
use coord_patterns::monitoring::{ProcessMonitoringConfig, Threshold};
use coord_patterns::pattern::IntegrationPatterns;
use coord_patterns::process::{ProcessRunner, ProcessSpec, Stop};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Arc::new(LocalBus::new());
    let patterns = IntegrationPatterns::new(bus.clone());
    let mut config = ProcessMonitoringConfig::default();
    config.interval = Duration::from_millis(200);
    let mut few = Threshold::above(2.0);
    few.hold = Duration::from_millis(400);
    config.processes = Some(few);
    let monitoring = patterns.create_process_monitoring_pattern(config)?;
    let mut dashboards = bus.subscribe(&DASHBOARD_UPDATE)?;
    patterns.enable("process-monitoring").await?;
    monitoring.attach("this program", std::process::id())?;

    let runner = ProcessRunner::new(&*bus)?;
    let stop = Stop::default();
    let forks = ProcessSpec::shell("forks", "sleep 60 & sleep 60 & echo begun; wait");
    let sleeps = ProcessSpec::shell("sleeps", "kill -STOP $$; true");
    let watching = async {
        for _ in 0..8 {
            if let Some(dashboard) = dashboards.recv().await {
                draw(&dashboard);
            }
        }
        stop.immediate.cancel();
    };
    let (forked, slept, ()) = tokio::join!(
        runner.run(&forks, &stop),
        runner.run(&sleeps, &stop),
        watching
    );
    println!("ended: {}, {}", forked?, slept?);
    Ok(())
}

fn draw(dashboard: &DashboardUpdate) {
    println!("── {}", dashboard.summary);
    for row in &dashboard.rows {
        println!(
            "{:<14}{:<12}{:>3} processes {:>5.1} % {:>7.1} MiB  {}",
            row.name,
            row.state,
            row.processes,
            row.cpu_percent,
            row.memory_bytes as f64 / f64::from(1 << 20),
            row.last_line.as_deref().unwrap_or_default(),
        );
    }
    for alert in &dashboard.alerts {
        println!("{:<14}! {}", alert.name, alert.message);
    }
}
