//! Two programs that print as fast as they can, and somebody who watches them while he makes requests.
//! Who draws every line makes the programs wait for the screen; who drops lines may drop the last.
//!
//! Here lines are merged into what a frame has to show, at most sixty times a second: programs wait for
//! nobody, no line goes uncounted, the last frame is always drawn, and none is late: each request is made
//! once the screen shows the answer to the one before.
//!
//! Run it in a terminal with `cargo run -p coordination --example log_viewer`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{IsTerminal, stdout};
use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::Delivery;
use coordination::bus::time::{Instant, timeout};
use coordination::bus::vocabulary::{PROCESS_OUTPUT, ProcessOutput};
use coordination::prelude::*;
use tokio::sync::watch;
use tokio_stream::StreamExt;

/// How many of its last lines are shown of each program.
const SHOWN: usize = 2;

/// What there is to see of one program.
#[derive(Default)]
struct Pane {
    lines: u64,
    last: Vec<String>,
}

/// What there is to see, or what a frame has that the one before it had not.
type Screen = BTreeMap<String, Pane>;

fn add(screen: &mut Screen, program: &str, new: Pane) {
    let pane = screen.entry(program.to_owned()).or_default();
    pane.lines += new.lines;
    pane.last.extend(new.last);
    let old = pane.last.len().saturating_sub(SHOWN);
    pane.last.drain(..old);
}

fn merged(mut news: Screen, output: &Delivery<ProcessOutput>) -> Screen {
    let last = vec![output.line.clone()];
    add(&mut news, &output.process, Pane { lines: 1, last });
    news
}

fn draw(screen: &Screen) {
    for (name, pane) in screen {
        println!("{name}: {} lines\n  {}", pane.lines, pane.last.join("\n  "));
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Arc::new(LocalBus::new());
    let module = CoordinationModule::start(bus.clone(), CoordinationConfig::default())?;
    let optimizer = module.optimizer()?;
    optimizer.configure_rate_limit(&PROCESS_OUTPUT, per_second(60))?;
    let first = |output| merged(Screen::new(), &output);
    let more = |news: &mut Screen, output| *news = merged(take(news), &output);
    let mut frames = optimizer.conflate(&PROCESS_OUTPUT, first, more)?;
    let run = async |name: &str, line: &str| {
        let process = ProcessSpec::shell(name, line);
        module.processes()?.run(&process, &Stop::default()).await?;
        Ok::<_, Box<dyn Error>>(())
    };
    let (drawn, mut seen) = watch::channel(0);
    let ask = async {
        for request in 1..=5 {
            run("curl", &format!("echo answer {request}")).await?;
            let is_seen = seen.wait_for(|&answers| answers == request);
            timeout(Duration::from_secs(30), is_seen).await??;
        }
        Ok(())
    };
    let began = Instant::now();
    let work = async {
        let (api, jobs) = ("seq -f 'line %.0f' 60000", "seq -f 'line %.0f' 40000");
        let all = tokio::try_join!(run("api", api), run("jobs", jobs), ask);
        // Nothing more will come: the stream ends with the frame that is held.
        bus.close();
        all
    };
    let view = async {
        let (mut screen, mut count, mut answers) = (Screen::new(), 0_u32, BTreeSet::new());
        while let Some(news) = frames.next().await {
            for (name, pane) in news {
                add(&mut screen, &name, pane);
            }
            if stdout().is_terminal() {
                print!("\x1b[2J\x1b[H");
                draw(&screen);
            }
            count += 1;
            let curl = screen.get("curl");
            answers.extend(curl.and_then(|curl| curl.last.last().cloned()));
            drawn.send_replace(curl.map_or(0, |curl| curl.lines));
        }
        (screen, count, answers)
    };
    let (all, (screen, count, answers)) = tokio::join!(work, view);
    all?;
    if !stdout().is_terminal() {
        draw(&screen);
    }
    println!("each in a frame of its own: {answers:?}");
    // One more than there are periods: the first frame comes at once.
    let most = began.elapsed().as_secs_f64() * 60.0 + 2.0;
    let is_calm = f64::from(count) <= most;
    println!("at most sixty frames a second: {is_calm}");
    let _ = module.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
