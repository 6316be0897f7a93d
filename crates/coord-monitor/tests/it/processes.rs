//! What is said of processes that run beside the program: real ones.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coord_bus::vocabulary::{Exit, PROCESS_LIFECYCLE, ProcessLifecycle, ProcessState};
use coord_bus::{BusExt, LocalBus, Timestamp};
use coord_monitor::{MAX_PROCESSES, MIN_INTERVAL, PerformanceMonitor, ProcessMetrics};

use crate::stage::{Stage, millis, pass, seconds};

/// Far longer than anything here takes: only a test that fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shell in a process group of its own, which is killed at the end.
struct Shell(Child);

impl Shell {
    fn run(script: &str) -> Self {
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .stdin(Stdio::null())
            .process_group(0);
        Self(command.spawn().expect("there is a shell"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn kill(&mut self) {
        let group = format!("-{}", self.pid());
        let kill = Command::new("kill").args(["-KILL", "--", &group]).status();
        kill.expect("there is a kill");
        self.0.wait().expect("it is our child");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn tell(bus: &LocalBus, process: &str, state: ProcessState) {
    let events = bus.publisher(&PROCESS_LIFECYCLE).expect("it is open");
    let event = ProcessLifecycle {
        process: process.to_owned(),
        at: Timestamp::UNIX_EPOCH,
        state,
    };
    events.publish(event).await.expect("it is open");
    tokio::task::yield_now().await;
}

/// Waits for a sample in which a process is as it should be.
async fn until(
    monitor: &PerformanceMonitor,
    process: &str,
    is_so: impl Fn(Option<&ProcessMetrics>) -> bool,
) -> Option<ProcessMetrics> {
    let began = std::time::Instant::now();
    while began.elapsed() < PATIENCE {
        pass(seconds(1)).await;
        let metrics = monitor.performance_metrics();
        if is_so(metrics.process(process)) {
            return metrics.process(process).cloned();
        }
    }
    panic!("{:?}", monitor.performance_metrics().processes);
}

#[tokio::test(start_paused = true)]
async fn a_process_is_seen_with_all_that_it_has_started_until_it_exits() {
    let stage = Stage::new();
    let shell = Shell::run("sh -c 'sleep 1000 & wait' & sleep 1000 & wait");
    let pid = shell.pid();
    tell(&stage.bus, "server", ProcessState::Started { pid }).await;
    let has_four = |server: Option<&ProcessMetrics>| server.is_some_and(|it| it.processes == 4);
    let server = until(&stage.monitor, "server", has_four).await.unwrap();
    assert_eq!(server.pid, pid);
    // Four programs, each with a libc of its own.
    assert!(server.memory_bytes > 4 * 100 * 1024, "{server:?}");
    tell(&stage.bus, "server", ProcessState::Stopping { signal: 15 }).await;
    assert!(
        stage
            .monitor
            .performance_metrics()
            .process("server")
            .is_some()
    );
    tell(&stage.bus, "server", ProcessState::Exited(Exit::code(0))).await;
    assert!(
        stage
            .monitor
            .performance_metrics()
            .process("server")
            .is_none()
    );
}

#[test]
fn processes_are_read_beside_the_threads_of_the_runtime_where_there_are_some() {
    let threads = Arc::new(AtomicUsize::new(0));
    let begun = Arc::clone(&threads);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        // Of this runtime, those alone on which may be blocked.
        .on_thread_start(move || {
            begun.fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();
    runtime.block_on(async {
        let stage = Stage::new();
        pass(seconds(5)).await;
        assert_eq!(threads.load(Ordering::Relaxed), 0);
        let pid = std::process::id();
        tell(&stage.bus, "this", ProcessState::Started { pid }).await;
        until(&stage.monitor, "this", |this| this.is_some()).await;
    });
    assert!(threads.load(Ordering::Relaxed) > 0);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_has_ended_is_not_shown_even_if_nobody_said_so() {
    let stage = Stage::new();
    let mut shell = Shell::run("sleep 1000 & wait");
    let pid = shell.pid();
    tell(&stage.bus, "server", ProcessState::Started { pid }).await;
    until(&stage.monitor, "server", |server| server.is_some()).await;
    shell.kill();
    until(&stage.monitor, "server", |server| server.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn processes_that_have_ended_make_room_even_if_nobody_said_so() {
    let stage = Stage::new();
    let mut shell = Shell::run("exec sleep 1000");
    for number in 0..MAX_PROCESSES {
        let pid = shell.pid();
        tell(
            &stage.bus,
            &number.to_string(),
            ProcessState::Started { pid },
        )
        .await;
    }
    shell.kill();
    pass(millis(1001)).await;
    let pid = std::process::id();
    tell(&stage.bus, "another", ProcessState::Started { pid }).await;
    pass(seconds(1)).await;
    let metrics = stage.monitor.performance_metrics();
    assert_eq!((metrics.processes.len(), metrics.unwatched), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_waits_to_be_reaped_has_ended() {
    let stage = Stage::new();
    let mut shell = Shell::run("exit 0");
    let pid = shell.pid();
    tell(&stage.bus, "server", ProcessState::Started { pid }).await;
    let began = std::time::Instant::now();
    let is_zombie = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("not reaped");
        stat.contains(") Z ")
    };
    while !is_zombie() && began.elapsed() < PATIENCE {
        tokio::task::yield_now().await;
    }
    pass(millis(1001)).await;
    assert_eq!(stage.monitor.performance_metrics().processes, []);
    shell.0.wait().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_started_again_is_another() {
    let stage = Stage::new();
    let (first, second) = (Shell::run("exec sleep 1000"), Shell::run("exec sleep 1000"));
    for shell in [&first, &second] {
        let pid = shell.pid();
        tell(&stage.bus, "server", ProcessState::Started { pid }).await;
        let is_it = |server: Option<&ProcessMetrics>| server.is_some_and(|it| it.pid == pid);
        until(&stage.monitor, "server", is_it).await;
        tell(&stage.bus, "server", ProcessState::Exited(Exit::code(0))).await;
    }
}

#[tokio::test]
async fn a_process_that_is_busy_uses_processor_time_and_one_that_sleeps_does_not() {
    let bus = LocalBus::new();
    let monitor = PerformanceMonitor::builder(Arc::new(bus.clone()))
        .interval(MIN_INTERVAL)
        .build()
        .unwrap();
    let (busy, idle) = (
        Shell::run("while :; do :; done"),
        Shell::run("exec sleep 1000"),
    );
    tell(&bus, "busy", ProcessState::Started { pid: busy.pid() }).await;
    tell(&bus, "idle", ProcessState::Started { pid: idle.pid() }).await;
    let is_busy = |it: Option<&ProcessMetrics>| it.is_some_and(|it| it.cpu_percent > 20.0);
    let busy = until(&monitor, "busy", is_busy).await.unwrap();
    assert!(busy.cpu_percent < 150.0, "{busy:?}");
    let metrics = monitor.performance_metrics();
    assert!(metrics.process("idle").unwrap().cpu_percent < 10.0);
}

#[tokio::test(start_paused = true)]
async fn there_is_a_limit_to_those_that_are_watched_and_the_others_are_counted() {
    let stage = Stage::new();
    // This program itself, by many names.
    let state = || ProcessState::Started {
        pid: std::process::id(),
    };
    for number in 0..MAX_PROCESSES + 3 {
        tell(&stage.bus, &number.to_string(), state()).await;
    }
    tell(&stage.bus, "0", state()).await;
    pass(millis(1001)).await;
    let metrics = stage.monitor.performance_metrics();
    assert_eq!(
        (metrics.processes.len(), metrics.unwatched),
        (MAX_PROCESSES, 3)
    );
    tell(&stage.bus, "0", ProcessState::Exited(Exit::code(0))).await;
    tell(&stage.bus, "another", state()).await;
    pass(seconds(1)).await;
    let metrics = stage.monitor.performance_metrics();
    assert!(metrics.process("another").is_some());
}
