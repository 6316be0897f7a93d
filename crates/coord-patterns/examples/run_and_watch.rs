//! Runs commands side by side and prints what they do. When one has ended, the others are asked to
//! stop.
//!
//! ```console
//! $ cargo run --example run_and_watch -- 'python3 -m http.server' 'sleep 30'
//! ```
//!
//! Without commands, it shows a build beside a server that it stops.

use coord_bus::vocabulary::{PROCESS_LIFECYCLE, PROCESS_OUTPUT, ProcessState, SignalName};
use coord_bus::{Bus, BusExt, LocalBus};
use coord_patterns::process::{ProcessError, ProcessRunner, ProcessSpec, Stop};
use tokio::task::{JoinHandle, JoinSet};

const BUILD: &str = "for file in a b c; do echo compiling $file; sleep 0.1; done";
const SERVER: &str =
    "trap 'echo saving; exit 0' TERM; echo listening; while :; do sleep 0.05; done";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), ProcessError> {
    let mut commands: Vec<String> = std::env::args().skip(1).collect();
    if commands.is_empty() {
        commands = [BUILD, SERVER].map(str::to_owned).to_vec();
    }

    let bus = LocalBus::new();
    let watching = watch(&bus)?;
    let runner = ProcessRunner::new(&bus)?;
    let stop = Stop::default();
    let mut runs = JoinSet::new();
    for (number, command) in commands.iter().enumerate() {
        let spec = ProcessSpec::shell(format!("command {}", number + 1), command);
        let (runner, stop) = (runner.clone(), stop.clone());
        runs.spawn(async move { runner.run(&spec, &stop).await });
    }
    while runs.join_next().await.is_some() {
        stop.graceful.cancel();
    }

    bus.close();
    let _ = watching.await;
    Ok(())
}

/// Prints what happens, until the bus is closed.
fn watch(bus: &LocalBus) -> Result<JoinHandle<()>, ProcessError> {
    let mut output = bus.subscribe(&PROCESS_OUTPUT)?;
    let mut lifecycle = bus.subscribe(&PROCESS_LIFECYCLE)?;
    Ok(tokio::spawn(async move {
        loop {
            tokio::select! {
                // What a process printed was published before its end, and is shown before it.
                biased;
                Some(event) = output.recv() => println!("{} | {}", event.process, event.line),
                Some(event) = lifecycle.recv() => println!("{} * {}", event.process, told(&event.state)),
                else => break,
            }
        }
    }))
}

fn told(state: &ProcessState) -> String {
    match state {
        ProcessState::Started { pid } => format!("started as process {pid}"),
        ProcessState::NotStarted { error } => format!("did not start: {error}"),
        ProcessState::Stopping { signal } => format!("asked to stop by {}", SignalName(*signal)),
        ProcessState::Exited(exit) => exit.to_string(),
        other => format!("{other:?}"),
    }
}
