//! Three downloads that report every chunk, and a screen that nobody can read at that pace.
//!
//! Each download publishes its progress whenever a chunk arrives, twenty thousand times a second.
//! Drawing all of it would cost more than the downloads, and dropping some of it might drop the
//! last: a bar that stays at 99 % for ever. So the events are merged into one state for the whole
//! screen, which is drawn at most ten times a second. While a state waits for its turn, events are
//! still taken, so the downloads never wait for the screen; and the last state is always drawn.

#![expect(clippy::print_stdout, reason = "it shows a person what it does")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::{Bus, BusExt, LocalBus, Publisher, TaskScope, Topic, time};
use coord_optimize::{EventStreamOptimizer, per_second};
use tokio_stream::StreamExt;

struct Progress {
    file: &'static str,
    percent: u64,
}

const PROGRESS: Topic<Progress> = Topic::in_process("download.progress");

const FILES: [(&str, u64); 3] = [("compiler", 1500), ("linker", 700), ("manual", 200)];

/// Takes about so many milliseconds, and reports twenty chunks in each.
async fn download(file: &'static str, milliseconds: u64, progress: Publisher<Progress>) {
    let mut arrivals = time::interval(Duration::from_millis(1));
    for millisecond in 1..=milliseconds {
        arrivals.tick().await;
        for _ in 0..20 {
            let percent = 100 * millisecond / milliseconds;
            // Refused only once the bus is closed: then nobody looks any more.
            if progress.publish(Progress { file, percent }).await.is_err() {
                return;
            }
        }
    }
}

fn draw(screen: &BTreeMap<&str, u64>) {
    let bars = screen.iter().map(|(file, percent)| {
        let done = "#".repeat(*percent as usize / 10);
        format!("{file} [{done:<10}] {percent:>3} %")
    });
    println!("{}", bars.collect::<Vec<_>>().join("   "));
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Arc::new(LocalBus::new());
    let optimizer = EventStreamOptimizer::new(bus.clone());
    optimizer.configure_rate_limit(&PROGRESS, per_second(10))?;
    let mut changes = optimizer.conflate(
        &PROGRESS,
        |event| BTreeMap::from([(event.file, event.percent)]),
        |changes, event| {
            changes.insert(event.file, event.percent);
        },
    )?;

    let downloads = TaskScope::new("downloads");
    let publisher = bus.publisher(&PROGRESS)?;
    for (file, milliseconds) in FILES {
        downloads.spawn(file, download(file, milliseconds, publisher.clone()));
    }
    let waiting = async {
        let _ = downloads.shutdown(Duration::from_secs(60)).await;
        bus.close();
    };
    let drawing = async {
        let mut screen = BTreeMap::new();
        let mut drawn = 0;
        while let Some(changes) = changes.next().await {
            screen.extend(changes);
            draw(&screen);
            drawn += 1;
        }
        drawn
    };
    let ((), drawn) = tokio::join!(waiting, drawing);

    let stats = optimizer.statistics().remove(0).ledger;
    println!(
        "{} events, {} merged, {drawn} times drawn",
        stats.received, stats.merged
    );
    Ok(())
}
