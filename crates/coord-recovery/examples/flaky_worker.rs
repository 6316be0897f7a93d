//! A worker that crashes now and then, and comes back before one's eyes.
//!
//! It loses its connection, it panics, and at last it finds that its configuration is wrong, which
//! no restart can mend. Nobody who watches knows the worker: what is printed are the events on the
//! bus. That the worker panicked, a person is told; that it is given up, ends the program.
//!
//! ```console
//! $ cargo run -p coord-recovery --example flaky_worker
//! ```

#![expect(clippy::print_stdout, reason = "it shows a person what it does")]

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{Instant, SystemClock, sleep};
use coord_bus::vocabulary::{ERROR_DETECTED, ERROR_RECOVERY, NOTIFICATION, Recovery};
use coord_bus::{Backoff, Bus, BusError, BusExt, LocalBus};
use coord_recovery::{
    ChildContext, ChildError, ChildSpec, ErrorRecoveryManager, RecoveryStrategy, Supervisor,
};
use tokio::task::JoinHandle;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bus = LocalBus::new();
    let watching = watch(&bus)?;
    let clock = Arc::new(SystemClock);

    let manager = ErrorRecoveryManager::new(Arc::new(bus.clone()), clock.clone())?;
    manager.register_recovery_strategy("panic", RecoveryStrategy::NotifyAndContinue)?;

    let supervisor = Supervisor::new("workers", &bus, clock)?;
    let spec = ChildSpec::new("worker")
        .backoff(Backoff::exponential(Duration::from_millis(250)))
        .intensity(5, Duration::from_secs(60));
    supervisor.start(spec, work)?;
    let gave_up = supervisor.gave_up().await;

    let _ = supervisor.shutdown(Duration::from_secs(1)).await;
    manager.shutdown(Duration::from_secs(1)).await;
    bus.close();
    watching.await?;
    println!("\n{gave_up}");
    let statistics = manager.error_statistics();
    println!(
        "{} errors, {} recoveries",
        statistics.total, statistics.recovered
    );
    Ok(())
}

/// One life of the worker: it connects, works for a while, and comes to grief.
async fn work(context: ChildContext) -> Result<(), ChildError> {
    sleep(Duration::from_millis(100)).await;
    context.ready();
    sleep(Duration::from_millis(300)).await;
    match context.incarnation() {
        1 => Err(ChildError::message("the connection was lost")),
        2 => panic!("index out of bounds"),
        3 => Err(std::io::Error::other("the connection was lost").into()),
        _ => Err(ChildError::message("there is no queue `jobs`").permanent()),
    }
}

/// Prints what is published, until the bus is closed.
fn watch(bus: &LocalBus) -> Result<JoinHandle<()>, BusError> {
    // The worker's panic is an event here, and need not be printed too.
    std::panic::set_hook(Box::new(|_| {}));
    let mut errors = bus.subscribe(&ERROR_DETECTED)?;
    let mut recoveries = bus.subscribe(&ERROR_RECOVERY)?;
    let mut notifications = bus.subscribe(&NOTIFICATION)?;
    let began = Instant::now();
    Ok(tokio::spawn(async move {
        loop {
            let line = tokio::select! {
                // What is done about an error is told after it.
                biased;
                Some(error) = errors.recv() => {
                    format!("{} {}: {}", error.source, error.kind, error.message)
                }
                Some(event) = notifications.recv() => {
                    format!("  to whom it may concern: {}", event.title)
                }
                Some(event) = recoveries.recv() => {
                    format!("  {}: {}", event.strategy, told(&event.progress))
                }
                else => return,
            };
            println!("{:5.2} s  {line}", began.elapsed().as_secs_f64());
        }
    }))
}

fn told(progress: &Recovery) -> String {
    match progress {
        Recovery::Attempting { attempt, wait } => format!("attempt {attempt} in {wait:?}"),
        Recovery::Recovered { attempt, duration } => {
            format!(
                "attempt {attempt} did it, after {:.2} s",
                duration.as_secs_f64()
            )
        }
        Recovery::GaveUp { reason, .. } => format!("given up: {reason}"),
        other => format!("{other:?}"),
    }
}
