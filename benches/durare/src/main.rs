//! Ten steps in a row that do nothing, in durare over SQLite: the peer of `cargo xtask bench durable`.
//!
//! `durare-peer ROLE DIR COUNT AT_ONCE`, where ROLE is `run` (to their ends; prints the seconds that
//! took), `halve` (until each has done five steps; prints a line then, and waits to be killed), or
//! `resume` (what a `halve` left, to their ends).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

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
    let [_, role, dir, count, at_once] = &arguments[..] else {
        panic!("durare-peer ROLE DIR COUNT AT_ONCE");
    };
    let (count, at_once): (usize, usize) = (count.parse().unwrap(), at_once.parse().unwrap());
    let url = format!("sqlite://{dir}/durare.db?mode=rwc");
    let engine = DurableEngine::connect(&url).await?.build().await?;
    COUNT.store(count, Ordering::SeqCst);
    let engine = std::sync::Arc::new(engine);
    if role == "resume" {
        engine.recover().await?;
        for run in 0..count {
            let handle = engine.retrieve_workflow::<u64>(&format!("run-{run}")).await?;
            assert_eq!(handle.await?, 10);
        }
        return Ok(());
    }
    let start = Instant::now();
    let mut writers = Vec::new();
    for writer in 0..at_once {
        let engine = engine.clone();
        writers.push(tokio::spawn(async move {
            for run in (writer..count).step_by(at_once) {
                let options = WorkflowOptions::with_id(format!("run-{run}"));
                let handle = engine.start_with(Ten, 0, options).await.unwrap();
                assert_eq!(handle.await.unwrap(), 10);
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    println!("{}", start.elapsed().as_secs_f64());
    Ok(())
}
