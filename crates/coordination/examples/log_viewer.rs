//! Three programs that print as fast as they can, and somebody who wants to see what they print. Who
//! draws every line makes the programs wait for the screen; who drops lines may drop the last.
//!
//! Here lines are merged into what a frame has to show, at most sixty times a second: the programs wait
//! for nobody, no line goes uncounted, and the last frame is always drawn.
//!
//! Run it in a terminal with `cargo run -p coordination --example log_viewer`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::io::{IsTerminal, stdout};
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::time::Instant;
use coordination::bus::vocabulary::{PROCESS_OUTPUT, ProcessOutput};
use coordination::bus::{Bus, Delivery, LocalBus};
use coordination::optimize::per_second;
use coordination::patterns::process::{ProcessSpec, Stop};
use coordination::{CoordinationConfig, CoordinationModule};
use tokio_stream::StreamExt;

/// How many of its last lines are shown of each program.
const SHOWN: usize = 2;

/// What there is to see of one program.
#[derive(Default, Clone)]
struct Pane {
    lines: u64,
    last: VecDeque<String>,
}

impl Pane {
    fn push(&mut self, line: &str) {
        self.lines += 1;
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }
}

/// What a frame has that the one before it had not.
type News = BTreeMap<String, Pane>;

fn merge(news: &mut News, output: &Delivery<ProcessOutput>) {
    let pane = news.entry(output.process.to_string()).or_default();
    pane.push(&output.line);
}

fn draw(screen: &News) {
    for (name, pane) in screen {
        println!("{name}: {} lines", pane.lines);
        for line in &pane.last {
            println!("  {line}");
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus = Arc::new(LocalBus::new());
    let module = CoordinationModule::start(bus.clone(), CoordinationConfig::default())?;
    let optimizer = module.optimizer()?;
    optimizer.configure_rate_limit(&PROCESS_OUTPUT, per_second(60))?;
    let first = |output| {
        let mut news = News::new();
        merge(&mut news, &output);
        news
    };
    let more = |news: &mut News, output| merge(news, &output);
    let mut frames = optimizer.conflate(&PROCESS_OUTPUT, first, more)?;

    let print = async |name: &str, lines: u32| {
        let line = format!("seq -f 'request %.0f' {lines}");
        let process = ProcessSpec::shell(name, line);
        module.processes()?.run(&process, &Stop::default()).await?;
        Ok::<_, Box<dyn Error>>(())
    };
    let began = Instant::now();
    let work = async {
        let all = tokio::try_join!(print("api", 60_000), print("jobs", 40_000), print("web", 5));
        // Nothing more will come: the stream ends with the frame that is held.
        bus.close();
        all
    };
    let view = async {
        let (mut screen, mut drawn) = (News::new(), 0_u32);
        while let Some(news) = frames.next().await {
            for (name, pane) in news {
                let seen = screen.entry(name).or_default();
                let lines = seen.lines + pane.lines;
                pane.last.iter().for_each(|line| seen.push(line));
                seen.lines = lines;
            }
            drawn += 1;
            if stdout().is_terminal() {
                print!("\x1b[2J\x1b[H");
                draw(&screen);
            }
        }
        (screen, drawn)
    };
    let (all, (screen, drawn)) = tokio::join!(work, view);
    all?;
    if !stdout().is_terminal() {
        draw(&screen);
    }
    // One more than there are periods: the first frame comes at once.
    let allowed = began.elapsed().as_secs_f64() * 60.0 + 2.0;
    println!(
        "at most sixty frames a second: {}",
        f64::from(drawn) <= allowed
    );
    let _ = module.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
