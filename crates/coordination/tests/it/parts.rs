//! Parts that are switched on and off, and the bus that they stand on.

use std::sync::Arc;
use std::time::Duration;

use coordination::bus::time::{Clock, ManualClock};
use coordination::bus::vocabulary::{ERROR_DETECTED, WORKFLOW_EVENTS};
use coordination::bus::{
    Bus, BusExt, ByteBus, LocalBus, MemoryEventLog, MemoryLeases, Timestamp, Topic,
};
use coordination::workflow::{
    RunId, RunJournal, RunState, Status, StepError, Workflow, WorkflowError,
};
use coordination::{CoordinationConfig, CoordinationError, CoordinationModule, HealthStatus};

use crate::stage::{Stage, failing, no_task_is_left, within};

/// For each part, the toggle that its accessor names; `None` when it is there.
fn off(module: &CoordinationModule) -> [Option<&'static str>; 8] {
    fn toggle<T>(part: Result<T, CoordinationError>) -> Option<&'static str> {
        match part {
            Ok(_) => None,
            Err(CoordinationError::SwitchedOff { toggle, .. }) => Some(toggle),
            Err(error) => panic!("{error}"),
        }
    }
    [
        toggle(module.choreographer()),
        toggle(module.orchestrator()),
        toggle(module.optimizer()),
        toggle(module.monitor()),
        toggle(module.recovery()),
        toggle(module.processes()),
        toggle(module.services()),
        toggle(module.patterns()),
    ]
}

fn module(set: impl FnOnce(&mut CoordinationConfig)) -> CoordinationModule {
    let mut config = CoordinationConfig::default();
    set(&mut config);
    CoordinationModule::start(Arc::new(LocalBus::new()), config).expect("it starts")
}

#[tokio::test(start_paused = true)]
async fn every_part_is_there_by_default() {
    assert_eq!(off(&Stage::new().module), [None; 8]);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_off_names_its_toggle_and_no_other_part_is_missing() {
    type Set = fn(&mut CoordinationConfig);
    let toggles: [(&str, Set, &[usize]); 6] = [
        (
            "event_flows_enabled",
            |config| config.event_flows_enabled = false,
            &[0],
        ),
        (
            "workflows_enabled",
            |config| config.workflows_enabled = false,
            &[1],
        ),
        (
            "optimization_enabled",
            |config| config.optimization_enabled = false,
            &[2],
        ),
        (
            "performance_monitoring_enabled",
            |config| config.performance_monitoring_enabled = false,
            &[3],
        ),
        (
            "error_recovery_enabled",
            |config| config.error_recovery_enabled = false,
            &[4, 6],
        ),
        (
            "integration_patterns_enabled",
            |config| config.integration_patterns_enabled = false,
            &[5, 6, 7],
        ),
    ];
    for (toggle, set, missing) in toggles {
        let mut expected = [None; 8];
        for part in missing {
            expected[*part] = Some(toggle);
        }
        assert_eq!(off(&module(set)), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_off_says_what_to_do_and_runs_no_task() {
    let module = module(|config| {
        config.event_flows_enabled = false;
        config.workflows_enabled = false;
        config.optimization_enabled = false;
        config.performance_monitoring_enabled = false;
        config.error_recovery_enabled = false;
        config.integration_patterns_enabled = false;
    });
    let error = module.monitor().expect_err("it is off").to_string();
    assert!(
        error.contains("`performance_monitoring_enabled`"),
        "{error}"
    );
    no_task_is_left().await;
    let health = module.system_health();
    assert_eq!(health.status, HealthStatus::Healthy);
    assert!(health.performance.is_none() && health.errors.is_none());
    assert!(module.shutdown(Duration::ZERO).await.is_complete());
}

#[tokio::test(start_paused = true)]
async fn a_module_that_cannot_start_ends_the_parts_that_did() {
    let mut config = CoordinationConfig::default();
    config.performance_sampling_interval = Duration::from_millis(1);
    let refused = CoordinationModule::start(Arc::new(LocalBus::new()), config);
    assert!(matches!(refused, Err(CoordinationError::Monitor(_))));
    no_task_is_left().await;

    let bus = Arc::new(LocalBus::new());
    let _taken = bus.publisher(&Topic::<u32>::new("process-output")).unwrap();
    let refused = CoordinationModule::start(bus, CoordinationConfig::default());
    assert!(matches!(refused, Err(CoordinationError::Process(_))));
    no_task_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn its_clock_gives_the_times_of_everything_that_is_told() {
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    clock.advance(Duration::from_secs(7));
    let bus = Arc::new(LocalBus::new());
    let mut steps = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let mut config = CoordinationConfig::default();
    config.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    let module = CoordinationModule::start(bus, config).unwrap();
    let orchestrator = module.orchestrator().unwrap();
    orchestrator.execute_workflow(&failing(), ()).await.unwrap();
    let health = module.system_health();
    let told = [
        steps.recv().await.unwrap().at,
        within(errors.recv()).await.unwrap().at,
        health.timestamp,
        health.performance.unwrap().at,
    ];
    assert_eq!(told, [clock.now(); 4]);
}

#[tokio::test]
async fn it_stands_on_a_bus_of_bytes_too() {
    let bus = Arc::new(ByteBus::new());
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let dyn_bus = Arc::clone(&bus) as Arc<dyn Bus>;
    let module = CoordinationModule::start(dyn_bus, CoordinationConfig::default()).unwrap();
    let orchestrator = module.orchestrator().unwrap();

    let mut workflow = Workflow::builder("release");
    workflow.step("build").run(async || Ok::<_, StepError>(()));
    let workflow = workflow.build().unwrap();
    let outcome = within(orchestrator.execute_workflow(&workflow, ()))
        .await
        .unwrap();
    assert_eq!(outcome.status, Status::Completed);

    within(orchestrator.execute_workflow(&failing(), ()))
        .await
        .unwrap();
    assert_eq!(within(errors.recv()).await.unwrap().source, "release/build");
    let account = within(module.shutdown(Duration::from_secs(10))).await;
    assert!(account.is_complete(), "{account}");
}

#[tokio::test(start_paused = true)]
async fn durable_runs_are_kept_where_the_setting_says_and_are_suspended_with_the_module() {
    let kept = RunJournal::new(
        Arc::new(MemoryEventLog::new()),
        Arc::new(MemoryLeases::new()),
    );
    let mut workflow = Workflow::durable("waits");
    workflow
        .step("wait")
        .run(async || std::future::pending::<Result<(), StepError>>().await);
    let workflow = workflow.build().unwrap();
    let id = RunId::named("r").unwrap();

    let without = module(|_| {});
    let orchestrator = without.orchestrator().unwrap();
    let refused = orchestrator.start_durable(&workflow, id.clone(), ()).await;
    assert!(matches!(refused, Err(WorkflowError::NoJournal { .. })));

    let with = module(|config| config.workflow_journal = Some(kept.clone()));
    let orchestrator = with.orchestrator().unwrap();
    let run = orchestrator.start_durable(&workflow, id.clone(), ()).await;
    run.unwrap();
    assert_eq!(kept.view(&id).await.unwrap().state, RunState::Running);
    assert!(with.shutdown(Duration::from_secs(20)).await.is_complete());
    assert_eq!(kept.view(&id).await.unwrap().state, RunState::Interrupted);
}
