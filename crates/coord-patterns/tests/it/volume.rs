//! Much output, and what it costs: no line is lost, no memory is taken.

use coord_bus::vocabulary::Exit;
use coord_patterns::process::{MAX_LINE, ProcessSpec, Stop};

use crate::stage::{Run, Stage, ended, within};

/// How much memory this program has in use, in bytes.
#[cfg(target_os = "linux")]
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    kilobytes.expect("it is in kilobytes") * 1024
}

#[cfg(not(target_os = "linux"))]
fn memory() -> usize {
    0
}

/// What may be added while other tests run beside this one.
const MEMORY: usize = 100 * 1024 * 1024;

async fn succeeded(run: Run) {
    assert_eq!(ended(run).await.ok(), Some(Exit::code(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_one_of_200_000_lines_reaches_a_slow_subscriber_in_order() {
    let mut stage = Stage::new();
    let before = memory();
    let run = stage.start(
        ProcessSpec::program("count", "seq").args(["200000"]),
        &Stop::default(),
    );
    for number in 1..=200_000 {
        assert_eq!(stage.line().await, number.to_string());
        // Slow: it lets everyone else go first.
        tokio::task::yield_now().await;
        if number % 10_000 == 0 {
            assert!(memory() < before + MEMORY);
        }
    }
    succeeded(run).await;
    assert_eq!(stage.printed(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_20_megabytes_comes_in_parts() {
    let mut stage = Stage::new();
    let before = memory();
    let script = "head -c 20971520 /dev/zero | tr '\\0' x; echo";
    let run = stage.start(ProcessSpec::shell("long", script), &Stop::default());
    for part in 1..=320 {
        let event = within(stage.output.recv()).await.expect("the bus is open");
        assert_eq!(event.line.len(), MAX_LINE);
        assert_eq!(event.continues, part < 320);
        assert!(event.line.bytes().all(|byte| byte == b'x'));
        assert!(memory() < before + MEMORY);
    }
    succeeded(run).await;
    assert_eq!(stage.printed(), Vec::<String>::new());
}
