//! Ten steps in a row that do nothing, in durare over SQLite: the peer of `cargo xtask bench durable`.
//!
//! `durare-peer ROLE DIR COUNT AT_ONCE BEFORE`, where ROLE is `run` (to their ends, after so many before that are
//! not counted; prints the seconds that took), `halve` (until each has done five steps; prints a line then, and waits to be killed), or
//! `resume` (what a `halve` left, to their ends).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use durare::{DurableContext, DurableEngine, Result, WorkflowOptions};

static HALVES: AtomicUsize = AtomicUsize::new(0);
static COUNT: AtomicUsize = AtomicUsize::new(usize::MAX);

#[durare::step]
async fn one_more(ctx: &DurableContext, number: u64) -> Result<u64> {
    Ok(number + 1)
}

#[durare::workflow]
async fn ten(ctx: DurableContext, mut number: u64) -> Result<u64> {
    for step in 0..10 {
        if step == 5 && std::env::var_os("HALVES").is_some() {
            if HALVES.fetch_add(1, Ordering::SeqCst) + 1 == COUNT.load(Ordering::SeqCst) {
                println!("halved");
            }
            std::future::pending::<()>().await;
        }
        number = one_more(&ctx, number).await?;
    }
    Ok(number)
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, role, dir, numbers @ ..] = &arguments[..] else {
        panic!("durare-peer ROLE DIR COUNT AT_ONCE BEFORE");
    };
    let numbers: Vec<usize> = numbers
        .iter()
        .map(|number| number.parse().unwrap())
        .collect();
    let [count, at_once, before] = numbers[..] else {
        panic!("durare-peer ROLE DIR COUNT AT_ONCE BEFORE");
    };
    let url = format!("sqlite://{dir}/durare.db?mode=rwc");
    let engine = DurableEngine::connect(&url).await?.build().await?;
    COUNT.store(count, Ordering::SeqCst);
    let engine = Arc::new(engine);
    if role == "resume" {
        engine.recover().await?;
        for run in 0..count {
            let handle = engine
                .retrieve_workflow::<u64>(&format!("run-{run}"))
                .await?;
            assert_eq!(handle.await?, 10);
        }
        return Ok(());
    }
    take(&engine, "before", before, at_once).await;
    let elapsed = take(&engine, "run", count, at_once).await;
    println!("{}", elapsed.as_secs_f64());
    Ok(())
}

/// How long so many runs take.
async fn take(
    engine: &Arc<DurableEngine>,
    name: &'static str,
    count: usize,
    at_once: usize,
) -> Duration {
    let start = Instant::now();
    let mut writers = Vec::new();
    for writer in 0..at_once {
        let engine = engine.clone();
        writers.push(tokio::spawn(async move {
            for run in (writer..count).step_by(at_once) {
                let options = WorkflowOptions::with_id(format!("{name}-{run}"));
                let handle = engine.start_with(Ten, 0, options).await.unwrap();
                assert_eq!(handle.await.unwrap(), 10);
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    start.elapsed()
}
