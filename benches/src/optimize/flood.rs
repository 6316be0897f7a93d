//! 200,000 process lines a second through a screen's preset: how many batches come out, what that
//! costs beyond reading the lines, and how soon the last state comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coord_bus::vocabulary::{OutputStream, PROCESS_OUTPUT, ProcessOutput};
use coord_bus::{BusExt, LocalBus, Publisher, TaskScope, time};
use coord_optimize::{EventStreamOptimizer, Settings};
use tokio_stream::StreamExt;

use crate::runtime;

const LINES_A_SECOND: u64 = 200_000;
const SECONDS: u64 = 3;
/// More than the preset's ten components, so that its pace is what holds the batches back.
const PROCESSES: u64 = 20;
const ROUNDS: usize = 5;
const PIECE: Duration = Duration::from_millis(1);

/// What one round has shown.
struct Round {
    /// Of one processor, in percent.
    busy: f64,
    batches_a_second: f64,
    /// From when the last line was published to when it came out.
    last: Duration,
}

pub(crate) fn run() {
    println!("\n# {LINES_A_SECOND} process lines a second, of {PROCESSES} processes\n");
    println!(
        "| round | read as they are | through the preset | more | batches a second | the last after |"
    );
    println!("|---|---|---|---|---|---|");
    for round in 1..=ROUNDS {
        let bare = runtime(1).block_on(flood(false));
        let preset = runtime(1).block_on(flood(true));
        println!(
            "| {round} | {:.1} % | {:.1} % | {:+.1} % | {:.1} | {:.1} ms |",
            bare.busy,
            preset.busy,
            preset.busy - bare.busy,
            preset.batches_a_second,
            preset.last.as_secs_f64() * 1e3,
        );
    }
}

async fn flood(preset: bool) -> Round {
    let bus = Arc::new(LocalBus::new());
    let optimizer = EventStreamOptimizer::new(bus.clone());
    let settings = Settings::<ProcessOutput>::ui(|line| &line.process);
    optimizer.configure(&PROCESS_OUTPUT, settings).unwrap();
    let publisher = bus.publisher(&PROCESS_OUTPUT).unwrap();
    let scope = TaskScope::new("flood");
    let (sender, published) = tokio::sync::oneshot::channel();
    let began = (Instant::now(), processor_time());
    let (mut batches, mut lines) = (0, 0);
    let total = LINES_A_SECOND * SECONDS;
    let last;
    // Subscribed before anything is published.
    if preset {
        let mut stream = optimizer.subscribe(&PROCESS_OUTPUT).unwrap();
        scope.spawn("publish", publish(publisher, sender));
        last = loop {
            let batch = stream.next().await.unwrap();
            batches += 1;
            if stream.ledger().received == total {
                let number = |line: &str| line.parse::<u64>().unwrap();
                if batch.iter().any(|line| number(&line.line) == total - 1) {
                    break Instant::now();
                }
            }
        };
        assert!(stream.ledger().is_balanced());
    } else {
        let mut lines_read = bus.subscribe(&PROCESS_OUTPUT).unwrap();
        scope.spawn("publish", publish(publisher, sender));
        while lines < total {
            lines += lines_read.recv_many().await.unwrap().count() as u64;
        }
        last = Instant::now();
    }
    let took = began.0.elapsed().as_secs_f64();
    Round {
        busy: (processor_time() - began.1) / took * 100.0,
        batches_a_second: f64::from(batches) / took,
        last: last - published.await.unwrap(),
    }
}

async fn publish(publisher: Publisher<ProcessOutput>, done: tokio::sync::oneshot::Sender<Instant>) {
    let mut pieces = time::interval(PIECE);
    let piece = LINES_A_SECOND / 1000;
    for begin in (0..LINES_A_SECOND * SECONDS).step_by(piece as usize) {
        pieces.tick().await;
        for number in begin..begin + piece {
            let line = ProcessOutput {
                process: format!("process-{}", number % PROCESSES),
                pid: 1,
                attempt: 1,
                stream: OutputStream::Stdout,
                line: number.to_string(),
                continues: false,
            };
            publisher.publish(line).await.unwrap();
        }
    }
    let _ = done.send(Instant::now());
}

/// Of this process, in seconds, to the nanosecond.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let first = stat.split_whitespace().next();
    let nanoseconds = first.and_then(|text| text.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}
