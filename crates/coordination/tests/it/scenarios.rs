//! The original's integration scenarios, through the facade, with events alone; and one of them all with
//! real processes, of which `real_scenarios` has each by itself. Ten commands are run, and counted, there
//! alone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordination::bus::time::{Instant, sleep};
use coordination::bus::vocabulary::{
    CLI_COMMAND, CliCommand, CliState, DASHBOARD_UPDATE, ERROR_DETECTED, Exit, PROCESS_LIFECYCLE,
    ProcessLifecycle, ProcessState, Transition, UI_UPDATE, UiChange, UiUpdate, WORKFLOW_EVENTS,
};
use coordination::flow::builtin;
use coordination::patterns::monitoring::ProcessMonitoringConfig;
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

fn command(run: u64, state: CliState) -> CliCommand {
    CliCommand {
        command: "build".to_owned(),
        run,
        at: coordination::bus::Timestamp::UNIX_EPOCH,
        state,
    }
}

#[tokio::test(start_paused = true)]
async fn the_module_initialises_ready_for_all_it_is_asked_for() {
    let module = Stage::new().module;
    assert_eq!(module.system_health().status, HealthStatus::Healthy);
    assert!(module.choreographer().is_ok() && module.orchestrator().is_ok());
    assert!(module.optimizer().is_ok() && module.monitor().is_ok());
    assert!(module.recovery().is_ok() && module.patterns().is_ok());
    assert!(module.processes().is_ok() && module.services().is_ok());
}

#[tokio::test(start_paused = true)]
async fn three_steps_run_in_order_and_their_course_is_on_the_screen() {
    let stage = Stage::new();
    let flow = EventFlow::from(&WORKFLOW_EVENTS)
        .filter_map(|event| match &event.transition {
            Transition::StepCompleted { step, .. } => Some(update("workflow", step)),
            _ => None,
        })
        .to(&UI_UPDATE);
    stage.module.create_event_flow(flow).unwrap();
    let mut updates = stage.bus.subscribe(&UI_UPDATE).unwrap();
    let record = Arc::new(Mutex::new(Vec::new()));
    let mut workflow = Workflow::builder("release");
    let mut before = None;
    for name in ["build", "test", "deploy"] {
        let record = Arc::clone(&record);
        let mut step = workflow.step(name);
        if let Some(before) = &before {
            step = step.after(before);
        }
        before = Some(step.run(move || {
            let record = Arc::clone(&record);
            async move {
                note(&record, name);
                Ok::<_, StepError>(())
            }
        }));
    }
    let run = stage
        .module
        .create_workflow(&workflow.build().unwrap(), ())
        .unwrap();
    let outcome = within(run.outcome()).await.unwrap();
    assert_eq!(outcome.status, Status::Completed);
    assert_eq!(noted(&record), ["build", "test", "deploy"]);
    for step in ["build", "test", "deploy"] {
        let shown = within(updates.recv()).await.unwrap();
        assert_eq!(*shown, update("workflow", step));
    }
}

#[tokio::test(start_paused = true)]
async fn a_registered_pattern_detects_its_error_and_the_statistics_show_it() {
    let stage = Stage::new();
    let (module, bus) = (&stage.module, &stage.bus);
    let pattern =
        ErrorPattern::on(
            &CLI_COMMAND,
            "failing-commands",
            |event: &CliCommand| match &event.state {
                CliState::Failed { error, .. } => Some(Matched::new(&event.command, error)),
                _ => None,
            },
        );
    module.register_error_pattern(pattern).unwrap();
    let record = Arc::new(Mutex::new(Vec::new()));
    let recovered = Arc::clone(&record);
    let strategy = RecoveryStrategy::custom("note-it", move |error| {
        note(&recovered, format!("{}: {}", error.source, error.message));
        async { Ok::<_, std::io::Error>(()) }
    });
    module
        .register_recovery_strategy("failing-commands", strategy)
        .unwrap();
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let commands = bus.publisher(&CLI_COMMAND).unwrap();
    let failed = CliState::Failed {
        error: "no space left".to_owned(),
        duration: Duration::from_secs(1),
    };
    commands
        .publish(command(1, CliState::Started))
        .await
        .unwrap();
    commands.publish(command(1, failed)).await.unwrap();
    let error = within(errors.recv()).await.unwrap();
    assert_eq!(
        (&*error.kind, &*error.source, &*error.message),
        ("failing-commands", "build", "no space left")
    );
    until(|| module.system_health().errors.unwrap().recovered == 1).await;
    assert_eq!(module.system_health().errors.unwrap().total, 1);
    assert_eq!(noted(&record), ["build: no space left"]);
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_updates_comes_out_as_buffer_and_rate_say() {
    let stage = Stage::new();
    let optimizer = stage.module.optimizer().unwrap();
    let mut frames = optimizer.subscribe(&UI_UPDATE).unwrap();
    let updates = stage.bus.publisher(&UI_UPDATE).unwrap();
    for number in 0..120 {
        let number = number.to_string();
        updates.publish(update("status", &number)).await.unwrap();
    }
    let begun = Instant::now();
    let mut sizes = Vec::new();
    for _ in 0..3 {
        sizes.push(within(frames.next()).await.unwrap().len());
    }
    // By default 50 at once, and 60 times a second, which timers of a millisecond make 17 ms.
    assert_eq!(sizes, [50, 50, 20]);
    assert_eq!(begun.elapsed(), Duration::from_millis(2 * 17));
}

#[tokio::test(start_paused = true)]
async fn what_processes_do_becomes_a_dashboard() {
    let stage = Stage::new();
    let module = &stage.module;
    module
        .create_process_monitoring_pattern(ProcessMonitoringConfig::default())
        .unwrap();
    let patterns = module.patterns().unwrap();
    within(patterns.enable("process-monitoring")).await.unwrap();
    let mut dashboards = stage.bus.subscribe(&DASHBOARD_UPDATE).unwrap();
    let lifecycles = stage.bus.publisher(&PROCESS_LIFECYCLE).unwrap();
    let states = [
        ProcessState::Started {
            pid: std::process::id(),
        },
        ProcessState::Exited(Exit::code(3)),
    ];
    for state in states {
        let event = ProcessLifecycle {
            process: "web".to_owned(),
            at: coordination::bus::Timestamp::UNIX_EPOCH,
            state,
        };
        lifecycles.publish(event).await.unwrap();
    }
    let row = within(async {
        loop {
            let dashboard = dashboards.recv().await.unwrap();
            let mut rows = dashboard.rows.iter();
            if let Some(row) = rows.find(|row| row.name == "web" && row.state.contains('3')) {
                return row.clone();
            }
        }
    })
    .await;
    assert!(row.state.contains("exit code 3"), "{row:?}");
}

#[tokio::test(start_paused = true)]
async fn after_the_shutdown_nothing_is_active() {
    let stage = Stage::new();
    let module = &stage.module;
    module
        .create_event_flow(builtin::cli_command_to_ui())
        .unwrap();
    module
        .create_process_monitoring_pattern(ProcessMonitoringConfig::default())
        .unwrap();
    let patterns = module.patterns().unwrap();
    within(patterns.enable("process-monitoring")).await.unwrap();
    let mut workflow = Workflow::builder("endless");
    workflow.step("wait").run(async || {
        sleep(Duration::MAX).await;
        Ok::<_, StepError>(())
    });
    let run = module
        .create_workflow(&workflow.build().unwrap(), ())
        .unwrap();
    let health = module.system_health();
    assert_eq!(
        (health.active_flows, health.active_workflows),
        (2 + 1 + 2, 1)
    );
    assert_eq!((health.active_patterns, health.active_services), (1, 0));
    let account = within(module.shutdown(LONG)).await;
    assert!(account.is_complete(), "{account}");
    assert_eq!(
        within(run.outcome()).await.unwrap().status,
        Status::Cancelled
    );
    let health = module.system_health();
    assert_eq!((health.active_flows, health.active_workflows), (0, 0));
    assert_eq!((health.active_patterns, health.active_services), (0, 0));
    assert_eq!(health.reasons, ["the module is shut down"]);
    no_task_is_left().await;
}

/// All of it once more, with processes that are real.
#[tokio::test]
async fn real_processes_are_run_watched_restarted_and_ended() {
    let mut stage = Stage::new();
    let mut dashboards = stage.bus.subscribe(&DASHBOARD_UPDATE).unwrap();
    let mut errors = stage.bus.subscribe(&ERROR_DETECTED).unwrap();
    let mut config = ProcessMonitoringConfig::default();
    config.interval = Duration::from_millis(100);
    let module = &stage.module;
    module.create_process_monitoring_pattern(config).unwrap();
    let patterns = module.patterns().unwrap();
    within(patterns.enable("process-monitoring")).await.unwrap();
    let pattern =
        ErrorPattern::on(
            &PROCESS_LIFECYCLE,
            "killed",
            |event: &ProcessLifecycle| match &event.state {
                ProcessState::Exited(exit) if !exit.is_success() => {
                    Some(Matched::new(&event.process, exit.to_string()))
                }
                _ => None,
            },
        );
    module.register_error_pattern(pattern).unwrap();

    // A service that a step needs.
    let process = ProcessSpec::shell("database", "echo $$; exec sleep 1000");
    let service = ServiceSpec::new(process).ready(Probe::new(Check::exec("exit 0")));
    let child = ChildSpec::new("database").backoff(Backoff::constant(Duration::from_millis(10)));
    let database = stage.start(service, child);
    let first = stage.pid().await;
    let module = &stage.module;
    let runner = module.processes().unwrap().clone();
    let mut workflow = Workflow::builder("release");
    let ready = database.clone();
    let wait = workflow.step("wait").run(move || {
        let ready = ready.clone();
        async move { Ok::<_, Failure>(ready.ready().await?) }
    });
    workflow.step("migrate").after(&wait).run(move || {
        let runner = runner.clone();
        async move {
            let spec = ProcessSpec::shell("migrate", "exit 0");
            Ok::<_, Failure>(runner.run(&spec, &Stop::default()).await?.is_success())
        }
    });
    let run = module
        .create_workflow(&workflow.build().unwrap(), ())
        .unwrap();
    let outcome = within(run.outcome()).await.unwrap();
    assert_eq!(outcome.status, Status::Completed);

    // Killed, it is an error, is restarted, and the dashboard shows another process.
    let pid = Pid::from_raw(first).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let error = within(async {
        loop {
            let error = errors.recv().await.unwrap();
            if error.kind == "killed" {
                return error.clone();
            }
        }
    })
    .await;
    assert_eq!(
        (&*error.source, &*error.message),
        ("database", "killed by SIGKILL")
    );
    let second = stage.pid().await;
    assert_ne!(second, first);
    within(async {
        loop {
            let dashboard = dashboards.recv().await.unwrap();
            let mut rows = dashboard.rows.iter();
            if rows.any(|row| row.name == "database" && row.pid == u32::try_from(second).ok()) {
                return;
            }
        }
    })
    .await;
    until(|| stage.module.system_health().status == HealthStatus::Healthy).await;

    let account = within(stage.module.shutdown(LONG)).await;
    assert!(account.is_complete(), "{account}");
    assert!(!is_alive(second));
    assert_eq!(stage.module.system_health().active_services, 0);
}
