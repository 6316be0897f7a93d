//! Process monitoring, tried on real processes that do not behave.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coord_bus::vocabulary::{
    DASHBOARD_UPDATE, DashboardRow, DashboardUpdate, Exit, NOTIFICATION, Notification, ProcessState,
};
use coord_bus::{BusExt, LocalBus, Subscriber};
use coord_patterns::monitoring::{
    MonitoringError, ProcessMonitoring, ProcessMonitoringConfig, Threshold,
};
use coord_patterns::pattern::PatternHandle;
use coord_patterns::process::{ProcessRunner, ProcessSpec, Stop};
use coord_patterns::service::{Check, Probe, ServiceRunner, ServiceSpec};
use rustix::process::{Pid, Signal, kill_process};

use crate::stage::{Run, Stage, ended, within};

/// A stage that is watched.
struct Watched {
    stage: Stage,
    monitoring: ProcessMonitoring,
    handle: PatternHandle,
    dashboards: Subscriber<DashboardUpdate>,
    notifications: Subscriber<Notification>,
}

impl Watched {
    async fn new(configure: impl FnOnce(&mut ProcessMonitoringConfig)) -> Self {
        let bus = Arc::new(LocalBus::new());
        let mut config = ProcessMonitoringConfig::default();
        config.interval = Duration::from_millis(100);
        configure(&mut config);
        let monitoring = ProcessMonitoring::new(config);
        let clock = Arc::new(coord_bus::time::SystemClock);
        let handle = PatternHandle::start(&monitoring, bus.clone(), clock).await;
        let bus = LocalBus::clone(&bus);
        Self {
            dashboards: bus.subscribe(&DASHBOARD_UPDATE).expect("it is open"),
            notifications: bus.subscribe(&NOTIFICATION).expect("it is open"),
            stage: Stage::on(bus),
            monitoring,
            handle: handle.expect("it starts"),
        }
    }

    fn shell(&self, command: &str, stop: &Stop) -> Run {
        self.stage.start(ProcessSpec::shell("shell", command), stop)
    }

    /// Waits for a dashboard whose one row is as it is wanted.
    async fn row(&mut self, wanted: impl Fn(&DashboardRow) -> bool) -> DashboardRow {
        within(async {
            loop {
                let dashboard = self.dashboards.recv().await.expect("the bus is open");
                let row = dashboard.rows.first().filter(|row| wanted(row));
                if let Some(row) = row {
                    return row.clone();
                }
            }
        })
        .await
    }
}

fn signal(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("a process id");
    kill_process(pid, signal).expect("it is there");
}

async fn finish(run: Run, stop: &Stop) {
    stop.immediate.cancel();
    ended(run).await.expect("it is killed");
}

#[tokio::test]
async fn what_a_shell_forks_is_counted_with_it() {
    let mut watched = Watched::new(|_| ()).await;
    let stop = Stop::default();
    let run = watched.shell(
        "for i in 1 2; do sleep 1000 & done; while :; do :; done",
        &stop,
    );
    let row = watched
        .row(|row| row.processes == 3 && row.cpu_percent > 1.0)
        .await;
    assert_eq!((&*row.name, &*row.state), ("shell", "running"));
    assert!(row.memory_bytes > 100_000, "{row:?}");
    assert!(row.pid.is_some());
    finish(run, &stop).await;
    let row = watched.row(|row| row.pid.is_none()).await;
    assert_eq!(row.state, "killed by SIGKILL");
    assert_eq!((row.processes, row.memory_bytes), (0, 0));
    assert!(watched.handle.statistics()["dashboards"] >= 2);
}

#[tokio::test]
async fn what_has_left_the_group_and_lost_its_parent_is_counted_on() {
    let mut watched = Watched::new(|_| ()).await;
    let stop = Stop::default();
    let inner = "setsid sleep 1000 & echo $!; exec sleep 1001";
    let run = watched.shell(
        &format!("sh -c '{inner}' & echo $!; exec sleep 1002"),
        &stop,
    );
    let pids = [watched.stage.pid().await, watched.stage.pid().await];
    watched.row(|row| row.processes == 3).await;
    // Which of them is the daemon: the one that leads a session.
    // (`getsid` gives 0 where the leader is outside the namespace, which rustix does not expect.)
    let leads = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        rest.split(' ').nth(3) == Some(&*pid.to_string())
    };
    let (daemon, parent) = match leads(pids[0]) {
        true => (pids[0], pids[1]),
        false => (pids[1], pids[0]),
    };
    signal(parent, Signal::KILL);
    let row = watched.row(|row| row.processes == 2).await;
    assert_eq!(row.zombies, 1, "the root does not take note");
    signal(daemon, Signal::KILL);
    watched.row(|row| row.processes == 1).await;
    finish(run, &stop).await;
}

#[tokio::test]
async fn a_suspended_process_is_shown_as_such_until_it_goes_on() {
    let mut watched = Watched::new(|_| ()).await;
    let stop = Stop::default();
    let run = watched.shell("echo $$; exec sleep 1000", &stop);
    let pid = watched.stage.pid().await;
    signal(pid, Signal::STOP);
    let row = watched.row(|row| row.state == "suspended").await;
    assert_eq!(row.suspended, 1);
    assert_eq!(
        watched.monitoring.dashboard().summary,
        "0 running, 1 suspended"
    );
    signal(pid, Signal::CONT);
    watched.row(|row| row.state == "running").await;
    finish(run, &stop).await;
}

#[tokio::test]
async fn a_process_that_nobody_takes_note_of_is_a_zombie_and_takes_nothing() {
    let mut watched = Watched::new(|_| ()).await;
    let stop = Stop::default();
    let run = watched.shell("true & exec sleep 1000", &stop);
    let row = watched.row(|row| row.zombies == 1).await;
    assert_eq!((row.processes, &*row.state), (1, "running"));
    finish(run, &stop).await;
}

#[tokio::test]
async fn one_that_exits_at_once_and_starts_again_is_restarted_with_the_reason() {
    let mut watched = Watched::new(|_| ()).await;
    for code in [3, 4] {
        let command = format!("echo going; exit {code}");
        let run = watched.shell(&command, &Stop::default());
        ended(run).await.unwrap();
    }
    let row = watched
        .row(|row| row.state == "exit code 4" && row.lines == 2)
        .await;
    assert_eq!(
        (row.restarts, row.restart_reason.as_deref()),
        (1, Some("exit code 3"))
    );
    assert_eq!(row.last_line.as_deref(), Some("going"));
    assert_eq!(watched.monitoring.dashboard().summary, "0 running, 1 ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_prints_without_end_does_not_keep_readings_from_being_made() {
    let mut watched = Watched::new(|_| ()).await;
    watched.stage.output.close();
    let stop = Stop::default();
    let run = watched.shell("exec yes", &stop);
    let first = watched.row(|row| row.lines > 1000).await;
    let handle = watched.handle.clone();
    let unseen = || handle.statistics()["unseen_lines"];
    let before = first.lines + unseen();
    watched.row(|row| row.lines > first.lines).await;
    assert!(watched.monitoring.dashboard().rows[0].lines + unseen() > before);
    finish(run, &stop).await;
}

#[tokio::test]
async fn one_that_ignores_signals_is_stopping_until_it_is_killed() {
    let mut watched = Watched::new(|_| ()).await;
    let stop = Stop::default();
    let deaf = "trap '' TERM; echo $$; while :; do sleep 1000; done";
    let spec = ProcessSpec::shell("deaf", deaf).grace(Duration::from_secs(1000));
    let run = watched.stage.start(spec, &stop);
    watched.stage.pid().await;
    stop.graceful.cancel();
    watched.row(|row| row.state == "stopping").await;
    finish(run, &stop).await;
    watched.row(|row| row.state == "killed by SIGKILL").await;
}

#[tokio::test]
async fn one_that_was_started_elsewhere_is_watched_to_its_end() {
    let mut watched = Watched::new(|_| ()).await;
    let mut child = Command::new("sleep")
        .arg("1000")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    watched.monitoring.attach("elsewhere", pid).unwrap();
    assert_eq!(watched.stage.state().await, ProcessState::Attached { pid });
    watched
        .row(|row| row.state == "running" && row.memory_bytes > 0)
        .await;

    let taken = watched
        .monitoring
        .attach("elsewhere", std::process::id())
        .unwrap_err();
    assert!(matches!(taken, MonitoringError::NameTaken { other, .. } if other == pid));

    child.kill().unwrap();
    assert_eq!(
        watched.stage.state().await,
        ProcessState::Exited(Exit::unknown())
    );
    let row = watched.row(|row| row.pid.is_none()).await;
    assert_eq!(row.state, "ended in an unknown way");
    // Also while its parent has not taken note.
    let gone = watched.monitoring.attach("late", pid).unwrap_err();
    assert_eq!(
        gone.to_string(),
        format!("`late` is not watched: there is no process {pid}, or it has ended")
    );
    child.wait().unwrap();
    assert!(watched.monitoring.detach("elsewhere") && !watched.monitoring.detach("elsewhere"));
}

#[tokio::test]
async fn what_has_ended_while_it_was_disabled_is_not_shown_as_running_afterwards() {
    let mut watched = Watched::new(|_| ()).await;
    let stop = Stop::default();
    let run = watched.shell("exec sleep 1000", &stop);
    let living = Stop::default();
    let spec = ProcessSpec::shell("living", "exec sleep 1000");
    let other = watched.stage.start(spec, &living);
    while watched.monitoring.dashboard().summary != "2 running" {
        watched.row(|_| true).await;
    }
    within(watched.handle.stop(Duration::from_secs(5))).await;
    finish(run, &stop).await;
    let bus = Arc::new(LocalBus::clone(&watched.stage.bus));
    let clock = Arc::new(coord_bus::time::SystemClock);
    let handle = PatternHandle::start(&watched.monitoring, bus, clock).await;
    let _handle = handle.unwrap();
    let dashboard = watched.monitoring.dashboard();
    assert_eq!(dashboard.summary, "1 running, 1 ended");
    assert_eq!(dashboard.rows[1].state, "ended in an unknown way");
    finish(other, &living).await;
}

#[tokio::test]
async fn of_two_that_run_under_one_name_the_end_of_one_is_not_that_of_the_other() {
    let mut watched = Watched::new(|_| ()).await;
    let stops = [Stop::default(), Stop::default()];
    let mut pids = Vec::new();
    let mut runs = Vec::new();
    for stop in &stops {
        runs.push(watched.shell("echo $$; exec sleep 1000", stop));
        let pid = watched.stage.pid().await as u32;
        let row = watched
            .row(|row| row.pid == Some(pid) && row.memory_bytes > 0)
            .await;
        assert_eq!(row.restarts, 0);
        pids.push(pid);
    }
    // That of the one that is shown, and then of the other.
    finish(runs.pop().unwrap(), &stops[1]).await;
    let row = watched
        .row(|row| row.pid == Some(pids[0]) && row.memory_bytes > 0)
        .await;
    assert_eq!((&*row.state, row.restarts), ("running", 0));
    finish(runs.pop().unwrap(), &stops[0]).await;
    let row = watched.row(|row| row.pid.is_none()).await;
    assert_eq!(row.state, "killed by SIGKILL");
}

#[tokio::test]
async fn an_alert_opens_and_closes_once() {
    let mut watched = Watched::new(|config| {
        let mut threshold = Threshold::above(2.0);
        threshold.hold = Duration::ZERO;
        config.processes = Some(threshold);
    })
    .await;
    let stop = Stop::default();
    let run = watched.shell("sleep 1000 & echo $!; sleep 1000 & echo $!; wait", &stop);
    let first = watched.stage.pid().await;
    let opened = within(watched.notifications.recv()).await.unwrap();
    assert_eq!(
        (&*opened.title, &*opened.message),
        ("number of processes of shell", "3, above 2")
    );
    let dashboard = watched.monitoring.dashboard();
    assert_eq!(
        (dashboard.alerts.len(), &*dashboard.summary),
        (1, "1 running, 1 alert")
    );
    // Far above its bound, and below it.
    let readings = watched.handle.statistics()["dashboards"];
    while watched.handle.statistics()["dashboards"] < readings + 3 {
        watched.row(|_| true).await;
    }
    signal(first, Signal::KILL);
    finish(run, &stop).await;
    watched.row(|row| row.pid.is_none()).await;
    let closed = within(watched.notifications.recv()).await.unwrap();
    assert!(closed.message.starts_with("over"), "{closed:?}");
    assert!(watched.notifications.try_recv().is_err());
    assert_eq!(watched.handle.statistics()["notifications"], 2);
}

#[tokio::test]
async fn a_service_that_is_restarted_says_what_its_probe_was_answered() {
    let mut watched = Watched::new(|_| ()).await;
    let bus = &watched.stage.bus;
    let runner = ServiceRunner::new(bus, ProcessRunner::new(bus).unwrap()).unwrap();
    let mut probe = Probe::new(Check::exec("echo out of order; exit 1"));
    probe.period = Duration::from_millis(10);
    probe.failure_threshold = 1;
    let process = ProcessSpec::shell("api", "exec sleep 1000");
    let spec = ServiceSpec::new(process).live(probe);
    for _ in 0..2 {
        within(runner.run(&spec, &Stop::default(), || ()))
            .await
            .unwrap_err();
    }
    let row = watched
        .row(|row| row.restarts == 1 && row.pid.is_none())
        .await;
    let reason = row.restart_reason.unwrap();
    assert!(
        reason.starts_with("unhealthy: ") && reason.contains("out of order"),
        "{reason}"
    );
    assert_eq!(row.health.map(|(good, _)| good), Some(false));
}

#[test]
fn readings_are_made_beside_the_threads_of_the_runtime() {
    let threads = Arc::new(AtomicUsize::new(0));
    let begun = Arc::clone(&threads);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Of this runtime, those alone on which may be blocked.
        .on_thread_start(move || {
            begun.fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut watched = Watched::new(|_| ()).await;
        within(watched.dashboards.recv()).await.unwrap();
        assert_eq!(threads.load(Ordering::Relaxed), 0, "nothing is watched");
        let pid = std::process::id();
        watched.monitoring.attach("this", pid).unwrap();
        watched.row(|row| row.memory_bytes > 0).await;
    });
    assert!(threads.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn a_threshold_that_no_value_can_be_above_keeps_it_from_starting() {
    let bus = Arc::new(LocalBus::new());
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut config = ProcessMonitoringConfig::default();
        config.memory_bytes = Some(Threshold::above(value));
        let above = config.clone();
        let mut threshold = Threshold::above(10.0);
        threshold.until = Some(value);
        config.memory_bytes = None;
        config.processes = Some(threshold);
        for (config, setting) in [(above, "memory_bytes.above"), (config, "processes.until")] {
            let monitoring = ProcessMonitoring::new(config);
            let clock = Arc::new(coord_bus::time::SystemClock);
            let refused = PatternHandle::start(&monitoring, bus.clone(), clock).await;
            let expected = format!(
                "pattern `process-monitoring` was not started: the threshold `{setting}` is {value}, \
                 and has to be a finite number"
            );
            assert_eq!(refused.unwrap_err().to_string(), expected);
        }
    }
}

#[test]
fn a_configuration_has_defaults_and_no_unknown_settings() {
    let text = r#"{"interval":0.5,"memory_bytes":{"above":1000}}"#;
    let config: ProcessMonitoringConfig = serde_json::from_str(text).unwrap();
    assert_eq!(config.interval, Duration::from_millis(500));
    assert_eq!(config.memory_bytes, Some(Threshold::above(1000.0)));
    assert_eq!(config.name, "process-monitoring");
    let text = r#"{"interval":"500ms","memory_bytes":{"above":1000,"hold":"1m"}}"#;
    let config: ProcessMonitoringConfig = serde_json::from_str(text).unwrap();
    assert_eq!(config.interval, Duration::from_millis(500));
    assert_eq!(config.memory_bytes.unwrap().hold, Duration::from_secs(60));
    let error = serde_json::from_str::<ProcessMonitoringConfig>(r#"{"interval":"-1s"}"#);
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("`-1s` is no time: it is negative"),
        "{error}"
    );
    let error = serde_json::from_str::<ProcessMonitoringConfig>(r#"{"intervall":1}"#);
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("unknown field `intervall`")
    );
}
