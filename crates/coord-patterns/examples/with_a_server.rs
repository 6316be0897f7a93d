//! Tests need a server: it is to be started, waited for until it answers, and stopped in the end,
//! with all that it has begun; and if it fails meanwhile, one wants to read why.
//!
//! ```console
//! $ cargo run --example with_a_server -- 'python3 -m http.server 8123' http://localhost:8123/ 'curl -s localhost:8123 | head -3'
//! ```
//!
//! Starts the first command, asks the URL until it is well, runs the second command, stops the
//! first. Without arguments, it shows this with a server that is none.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use coord_bus::vocabulary::{PROCESS_HEALTH, PROCESS_OUTPUT, SERVICE_LIFECYCLE, ServiceState};
use coord_bus::{Bus, BusError, BusExt, CancellationToken, LocalBus};
use coord_patterns::process::{ProcessRunner, ProcessSpec, Stop};
use coord_patterns::service::{Check, Probe, ServiceRunner, ServiceSpec};
use tokio::task::JoinHandle;

const SERVER: &str = "trap 'echo saving; exit 0' TERM
    echo warming up; sleep 0.3; echo listening; while :; do sleep 0.05; done";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (server, check, tests) = match &arguments[..] {
        [server, url, tests] => (&**server, Check::http(url)?, &**tests),
        _ => (SERVER, Check::log("^listening")?, "echo 3 tests passed"),
    };

    let bus = LocalBus::new();
    let watching = watch(&bus)?;
    let processes = ProcessRunner::new(&bus)?;
    let services = ServiceRunner::new(&bus, processes.clone())?;
    let server = ServiceSpec::new(ProcessSpec::shell("server", server)).ready(Probe::new(check));
    let tests = ProcessSpec::shell("tests", tests);

    let (stop, ready) = (Stop::default(), CancellationToken::new());
    let serving = async {
        let served = services.run(&server, &stop, || ready.cancel()).await;
        // If it has ended by itself, there is nothing to test, or no more.
        stop.graceful.cancel();
        served
    };
    let testing = async {
        tokio::select! {
            () = ready.cancelled() => {}
            () = stop.graceful.cancelled() => return Ok(None),
        }
        let exit = processes.run(&tests, &stop).await;
        stop.graceful.cancel();
        exit.map(Some)
    };
    let (served, tested) = tokio::join!(serving, testing);

    bus.close();
    watching.await?;
    println!("the server: {}", served?);
    if let Some(exit) = tested? {
        println!("the tests: {exit}");
    }
    Ok(())
}

/// Prints what happens, until the bus is closed.
fn watch(bus: &LocalBus) -> Result<JoinHandle<()>, BusError> {
    let mut output = bus.subscribe(&PROCESS_OUTPUT)?;
    let mut health = bus.subscribe(&PROCESS_HEALTH)?;
    let mut lifecycle = bus.subscribe(&SERVICE_LIFECYCLE)?;
    Ok(tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                Some(event) = output.recv() => println!("{} | {}", event.process, event.line),
                Some(event) = health.recv() => println!("{} ? {}", event.process, event.answer),
                Some(event) = lifecycle.recv() => println!("{} * {}", event.service, told(&event.state)),
                else => break,
            }
        }
    }))
}

fn told(state: &ServiceState) -> String {
    match state {
        ServiceState::Starting => "is being started".to_owned(),
        ServiceState::Ready { duration } => format!("is ready after {duration:.1?}"),
        ServiceState::NotReady { answer } => format!("does not become ready: {answer}"),
        ServiceState::Unhealthy { answer } => format!("is well no more: {answer}"),
        ServiceState::Ended {
            exit: Some(exit), ..
        } => exit.to_string(),
        other => format!("{other:?}"),
    }
}
