//! The original's integration scenarios once more, now with real processes: what steps run, what is
//! typed, what crashes, what prints and what is watched are programs of the operating system.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordination::bus::Delivery;
use coordination::bus::time::Instant;
use coordination::bus::vocabulary::{
    CLI_COMMAND, CliState, DASHBOARD_UPDATE, DashboardRow, ERROR_DETECTED, PROCESS_LIFECYCLE,
    PROCESS_OUTPUT, ProcessLifecycle, ProcessOutput, ProcessState, Transition, UI_UPDATE, UiChange,
    UiUpdate, WORKFLOW_EVENTS,
};
use coordination::patterns::cli::{Command, InteractiveCliConfig};
use coordination::patterns::monitoring::ProcessMonitoringConfig;
use coordination::patterns::process::{ProcessError, ProcessRunner};
use coordination::prelude::*;
use rustix::process::{Pid, Signal, kill_process};
use tokio_stream::StreamExt;

use crate::stage::{Stage, is_alive, no_task_is_left, note, noted, until, within};

const LONG: Duration = Duration::from_secs(30);

fn update(component: &str, text: &str) -> UiUpdate {
    UiUpdate {
        component: component.to_owned(),
        at: coordination::bus::Timestamp::UNIX_EPOCH,
        change: UiChange::Text {
            text: text.to_owned(),
        },
    }
}

/// A workflow whose step `name` runs a shell with this script, for each in order.
fn shells(runner: &ProcessRunner, scripts: &[(&'static str, String)]) -> Workflow {
    let mut workflow = Workflow::builder("release");
    let mut before = None;
    for (name, script) in scripts {
        let (runner, spec) = (runner.clone(), ProcessSpec::shell(*name, script));
        let mut step = workflow.step(*name);
        if let Some(before) = &before {
            step = step.after(before);
        }
        before = Some(step.run(move || {
            let (runner, spec) = (runner.clone(), spec.clone());
            async move {
                let exit = runner.run(&spec, &Stop::default()).await?;
                match exit.is_success() {
                    true => Ok(()),
                    false => Err(Failure::message(exit.to_string())),
                }
            }
        }));
    }
    workflow.build().expect("it is sound")
}

fn kill(pid: i32) {
    let pid = Pid::from_raw(pid).expect("a process id");
    kill_process(pid, Signal::KILL).expect("it lives");
}

/// The states of one process that have been told, in order.
fn told(lifecycles: &mut Subscriber<ProcessLifecycle>, process: &str) -> Vec<ProcessState> {
    let mut states = Vec::new();
    while let Ok(event) = lifecycles.try_recv() {
        if event.process == process {
            states.push(event.state.clone());
        }
    }
    states
}

#[tokio::test]
async fn a_module_that_has_just_started_runs_a_process() {
    let stage = Stage::new();
    let mut lifecycles = stage.bus.subscribe(&PROCESS_LIFECYCLE).unwrap();
    assert_eq!(stage.module.system_health().status, HealthStatus::Healthy);
    let spec = ProcessSpec::shell("first", "exit 7");
    let runner = stage.module.processes().unwrap();
    let exit = within(runner.run(&spec, &Stop::default())).await.unwrap();
    assert_eq!(exit.code, Some(7));
    let states = told(&mut lifecycles, "first");
    assert!(
        matches!(
            &states[..],
            [ProcessState::Started { .. }, ProcessState::Exited(told)] if told.code == Some(7)
        ),
        "{states:?}"
    );
}

#[tokio::test]
async fn three_steps_run_programs_in_order_and_their_course_is_on_the_screen() {
    let stage = Stage::new();
    let flow = EventFlow::from(&WORKFLOW_EVENTS)
        .filter_map(|event| match &event.transition {
            Transition::StepCompleted { step, .. } => Some(update("workflow", step)),
            _ => None,
        })
        .to(&UI_UPDATE);
    stage.module.create_event_flow(flow).unwrap();
    let mut updates = stage.bus.subscribe(&UI_UPDATE).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    // Each fails unless the one before has left its file, so that no order but this one completes.
    let scripts = [
        ("build", format!("cd {path} && touch built")),
        ("test", format!("cd {path} && mv built tested")),
        ("deploy", format!("cd {path} && mv tested deployed")),
    ];
    let workflow = shells(stage.module.processes().unwrap(), &scripts);
    let run = stage.module.create_workflow(&workflow, ()).unwrap();
    let outcome = within(run.outcome()).await.unwrap();
    assert_eq!(outcome.status, Status::Completed, "{outcome:?}");
    assert!(folder.path().join("deployed").exists());
    for step in ["build", "test", "deploy"] {
        let shown = within(updates.recv()).await.unwrap();
        assert_eq!(*shown, update("workflow", step));
    }
}

#[tokio::test]
async fn ten_commands_that_start_programs_are_counted_as_ten() {
    let mut stage = Stage::new();
    let mut commands = stage.bus.subscribe(&CLI_COMMAND).unwrap();
    let command = Command::new("app").subcommand(Command::new("build"));
    let cli = stage
        .module
        .create_interactive_cli_pattern(command, InteractiveCliConfig::default())
        .unwrap();
    let patterns = stage.module.patterns().unwrap();
    let handle = within(patterns.enable("interactive-cli")).await.unwrap();
    let runner = stage.module.processes().unwrap().clone();
    for number in 0..10 {
        let ran = cli.run("build", async |command| {
            let name = command.matches.subcommand_name().expect("it was parsed");
            let spec = ProcessSpec::shell(name, format!("echo $$; exit {number}"));
            let exit = runner.run(&spec, &Stop::default()).await?;
            Ok::<_, Failure>(exit.code)
        });
        assert_eq!(within(ran).await.unwrap(), Some(number));
    }
    let mut pids = BTreeSet::new();
    for _ in 0..10 {
        pids.insert(stage.pid().await);
    }
    assert_eq!(pids.len(), 10, "as many processes: {pids:?}");
    assert!(!pids.iter().any(|pid| is_alive(*pid)));
    let (mut begun, mut ended) = (0, 0);
    while let Ok(command) = commands.try_recv() {
        match &command.state {
            CliState::Started => begun += 1,
            CliState::Completed { .. } => ended += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((begun, ended), (10, 10));
    let statistics = handle.statistics();
    assert_eq!((statistics["commands"], statistics["failed"]), (10, 0));
    let metrics = stage.module.monitor().unwrap().performance_metrics();
    assert_eq!(metrics.topic("cli-command").unwrap().published, 20);
}

#[tokio::test]
async fn a_program_that_is_killed_is_an_error_that_is_recovered_from_and_in_the_statistics() {
    let mut stage = Stage::new();
    let mut errors = stage.bus.subscribe(&ERROR_DETECTED).unwrap();
    let pattern =
        ErrorPattern::on(
            &PROCESS_LIFECYCLE,
            "killed",
            |event: &ProcessLifecycle| match &event.state {
                ProcessState::Exited(exit) if exit.signal == Some(9) => {
                    Some(Matched::new(&event.process, exit.to_string()))
                }
                _ => None,
            },
        );
    stage.module.register_error_pattern(pattern).unwrap();
    let record = Arc::new(Mutex::new(Vec::new()));
    let (recovered, runner) = (
        Arc::clone(&record),
        stage.module.processes().unwrap().clone(),
    );
    // What puts it right is a program, too.
    let strategy = RecoveryStrategy::custom("clean-up", move |error| {
        let (runner, record) = (runner.clone(), Arc::clone(&recovered));
        let source = error.source.clone();
        async move {
            let spec = ProcessSpec::shell("clean-up", "exit 0");
            let exit = runner.run(&spec, &Stop::default()).await?;
            note(&record, format!("after {source}: {exit}"));
            Ok::<_, ProcessError>(())
        }
    });
    stage
        .module
        .register_recovery_strategy("killed", strategy)
        .unwrap();

    let runner = stage.module.processes().unwrap().clone();
    let job = tokio::spawn(async move {
        let spec = ProcessSpec::shell("job", "echo $$; exec sleep 1000");
        runner.run(&spec, &Stop::default()).await
    });
    let pid = stage.pid().await;
    kill(pid);
    let exit = within(job).await.unwrap().unwrap();
    assert_eq!(exit.signal, Some(9));
    let error = within(errors.recv()).await.unwrap();
    assert_eq!(
        (&*error.kind, &*error.source, &*error.message),
        ("killed", "job", "killed by SIGKILL")
    );
    until(|| stage.module.system_health().errors.unwrap().recovered == 1).await;
    let statistics = stage.module.recovery().unwrap().error_statistics();
    assert_eq!((statistics.total, statistics.by_kind["killed"]), (1, 1));
    assert_eq!(statistics.by_source["job"], 1);
    assert_eq!(noted(&record), ["after job: exit code 0"]);
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn what_a_program_prints_at_once_comes_out_as_buffer_and_rate_say() {
    const LINES: usize = 1000;
    let stage = Stage::new();
    let optimizer = stage.module.optimizer().unwrap();
    let mut batches = optimizer.subscribe(&PROCESS_OUTPUT).unwrap();
    let runner = stage.module.processes().unwrap().clone();
    let burst = tokio::spawn(async move {
        let spec = ProcessSpec::shell("burst", format!("seq {LINES}"));
        runner.run(&spec, &Stop::default()).await
    });
    let (begun, mut taken) = (Instant::now(), 0);
    let mut lines: Vec<Delivery<ProcessOutput>> = Vec::new();
    while lines.len() < LINES {
        let batch = within(batches.next()).await.unwrap();
        assert!((1..=100).contains(&batch.len()), "{}", batch.len());
        lines.extend(batch);
        taken += 1;
    }
    let took = begun.elapsed();
    assert!(within(burst).await.unwrap().unwrap().is_success());
    // All of them, once, in order.
    let printed: Vec<usize> = lines
        .iter()
        .map(|line| line.line.parse().unwrap())
        .collect();
    assert!(printed.into_iter().eq(1..=LINES));
    // By default 100 at once, and 50 times a second.
    assert!(LINES <= 100 * taken, "{taken}");
    let least = Duration::from_millis(20) * u32::try_from(taken - 1).unwrap();
    assert!(took >= least, "{took:?} for {taken}");
}

#[tokio::test]
async fn a_screen_of_what_a_program_prints_is_not_drawn_more_often_than_it_can_be() {
    let stage = Stage::new();
    let flow = EventFlow::from(&PROCESS_OUTPUT)
        .map(|output| update(&output.process, &output.line))
        .to(&UI_UPDATE);
    stage.module.create_event_flow(flow).unwrap();
    let optimizer = stage.module.optimizer().unwrap();
    let mut frames = optimizer.subscribe(&UI_UPDATE).unwrap();
    let spec = ProcessSpec::shell("status", "seq 120");
    let runner = stage.module.processes().unwrap();
    // All is printed before the first frame is taken, so what the frames hold is decided.
    let exit = within(runner.run(&spec, &Stop::default())).await.unwrap();
    assert!(exit.is_success());
    let monitor = stage.module.monitor().unwrap();
    until(|| {
        let metrics = monitor.performance_metrics();
        metrics
            .topic("ui-update")
            .is_some_and(|topic| topic.published == 120)
    })
    .await;
    let begun = Instant::now();
    let mut sizes = Vec::new();
    for _ in 0..3 {
        sizes.push(within(frames.next()).await.unwrap().len());
    }
    assert_eq!(sizes, [50, 50, 20]);
    assert!(begun.elapsed() >= Duration::from_millis(2 * 16));
}

/// Waits for a row of the dashboard of which this is true.
async fn row(
    dashboards: &mut Subscriber<coordination::bus::vocabulary::DashboardUpdate>,
    is_it: impl Fn(&DashboardRow) -> bool,
) -> DashboardRow {
    within(async {
        loop {
            let dashboard = dashboards.recv().await.expect("the bus is open");
            if let Some(row) = dashboard.rows.iter().find(|row| is_it(row)) {
                return row.clone();
            }
        }
    })
    .await
}

#[tokio::test]
async fn what_programs_do_becomes_a_dashboard() {
    let mut stage = Stage::new();
    let mut config = ProcessMonitoringConfig::default();
    config.interval = Duration::from_millis(50);
    let module = &stage.module;
    module.create_process_monitoring_pattern(config).unwrap();
    let patterns = module.patterns().unwrap();
    within(patterns.enable("process-monitoring")).await.unwrap();
    let mut dashboards = stage.bus.subscribe(&DASHBOARD_UPDATE).unwrap();
    let runner = module.processes().unwrap().clone();
    let web = tokio::spawn(async move {
        // It has a child, which is in its row.
        let spec = ProcessSpec::shell("web", "sleep 1000 & echo $$; wait; exit 3");
        runner.run(&spec, &Stop::default()).await
    });
    let pid = stage.pid().await;
    let running = row(&mut dashboards, |row| {
        row.name == "web" && row.processes == 2
    })
    .await;
    assert_eq!(running.pid, u32::try_from(pid).ok());
    assert!(running.memory_bytes > 0, "{running:?}");
    kill(pid);
    assert_eq!(within(web).await.unwrap().unwrap().signal, Some(9));
    let ended = row(&mut dashboards, |row| {
        row.name == "web" && row.state.contains("SIGKILL")
    });
    ended.await;
}

/// All of it at once: a service, a run, a command line and a monitor, and then the end.
#[tokio::test]
async fn health_is_read_as_programs_crash_and_after_the_shutdown_nothing_of_them_lives() {
    let mut stage = Stage::new();
    let mut config = ProcessMonitoringConfig::default();
    config.interval = Duration::from_millis(100);
    let module = &stage.module;
    module.create_process_monitoring_pattern(config).unwrap();
    let patterns = module.patterns().unwrap();
    within(patterns.enable("process-monitoring")).await.unwrap();

    // Each leaves a child behind that ignores SIGTERM, and tells both ids.
    let careless = "(trap '' TERM; exec sleep 1000) & echo $!; echo $$; wait";
    let process = ProcessSpec::shell("database", careless).grace(Duration::from_millis(100));
    let folder = tempfile::tempdir().unwrap();
    let is_up = folder.path().join("is-up");
    std::fs::write(&is_up, "").unwrap();
    let probe = Probe::new(Check::exec(format!("test -e {}", is_up.display())));
    let child = ChildSpec::new("database").backoff(Backoff::constant(Duration::from_millis(10)));
    let service = ServiceSpec::new(process).ready(probe);
    let database = stage.start(service, child);
    let first = [stage.pid().await, stage.pid().await];
    within(database.ready()).await.unwrap();
    let health = stage.module.system_health();
    assert_eq!(health.status, HealthStatus::Healthy, "{health}");
    assert_eq!((health.active_services, health.active_patterns), (1, 1));
    let performance = health.performance.unwrap();
    assert!(performance.topic("process-output").unwrap().published >= 2);

    // It will not be ready before this has been seen.
    std::fs::remove_file(&is_up).unwrap();
    kill(first[1]);
    until(|| stage.module.system_health().status == HealthStatus::Degraded).await;
    let reasons = stage.module.system_health().reasons.join("; ");
    assert!(reasons.contains("`database`"), "{reasons}");
    let second = [stage.pid().await, stage.pid().await];
    // Nothing is left of the first: not the child either, which nobody killed.
    assert!(!first.iter().any(|pid| is_alive(*pid)), "{first:?}");
    std::fs::write(&is_up, "").unwrap();
    until(|| stage.module.system_health().status == HealthStatus::Healthy).await;

    let scripts = [("migrate", careless.to_owned())];
    let workflow = shells(stage.module.processes().unwrap(), &scripts);
    let run = stage.module.create_workflow(&workflow, ()).unwrap();
    let step = [stage.pid().await, stage.pid().await];
    let health = stage.module.system_health();
    assert_eq!((health.active_workflows, health.active_services), (1, 1));
    assert!(second.iter().chain(&step).all(|pid| is_alive(*pid)));

    let account = within(stage.module.shutdown(LONG)).await;
    assert!(account.is_complete(), "{account}");
    let outcome = within(run.outcome()).await.unwrap();
    assert_eq!(outcome.status, Status::Cancelled);
    let alive: Vec<_> = second
        .iter()
        .chain(&step)
        .filter(|pid| is_alive(**pid))
        .collect();
    assert!(alive.is_empty(), "{alive:?}");
    let health = stage.module.system_health();
    assert_eq!((health.active_flows, health.active_workflows), (0, 0));
    assert_eq!((health.active_patterns, health.active_services), (0, 0));
    no_task_is_left().await;
}
