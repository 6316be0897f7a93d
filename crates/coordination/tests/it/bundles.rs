//! Patterns with the flows and the settings of streams that go with them.

use std::time::Duration;

use coordination::bus::vocabulary::{
    DASHBOARD_UPDATE, LOG_EVENTS, LogEvent, NOTIFICATION, SERVICE_LIFECYCLE, ServiceState,
    UI_UPDATE, UiChange, UiUpdate,
};
use coordination::bus::{
    Backoff, BoxFuture, BusExt, Failure, MemoryEventLog, Subscriber, Timestamp,
};
use coordination::flow::{FlowState, builtin};
use coordination::patterns::audit::{self, AuditConfig};
use coordination::patterns::cli::{Command, InteractiveCliConfig};
use coordination::patterns::monitoring::ProcessMonitoringConfig;
use coordination::patterns::pattern::PatternState;
use coordination::patterns::process::{ProcessSpec, Stop};
use coordination::patterns::service::{Check, Probe, ServiceSpec};
use coordination::patterns::services::{ManagedService, ServiceContext, Services, ServicesConfig};
use coordination::patterns::ui::DynamicUiConfig;
use coordination::recovery::ChildSpec;
use coordination::{CoordinationConfig, CoordinationError, CoordinationModule};
use tokio_stream::StreamExt;

use crate::stage::{Stage, no_task_is_left, until, within};

const LONG: Duration = Duration::from_secs(30);

impl Stage {
    fn flows(&self) -> Vec<String> {
        let flows = self.module.choreographer().expect("it is on").event_flows();
        let running = flows
            .into_iter()
            .filter(|flow| flow.state == FlowState::Running);
        running.map(|flow| flow.name).collect()
    }

    /// How many updates of one component come out of ten.
    async fn updates_of_ten(&self) -> usize {
        let optimizer = self.module.optimizer().expect("it is on");
        let mut frames = optimizer.subscribe(&UI_UPDATE).expect("the bus is open");
        let updates = self.bus.publisher(&UI_UPDATE).expect("the bus is open");
        for number in 0..10 {
            let update = UiUpdate {
                component: "status".to_owned(),
                at: Timestamp::UNIX_EPOCH,
                change: UiChange::Text {
                    text: number.to_string(),
                },
            };
            updates.publish(update).await.expect("the bus is open");
        }
        within(frames.next()).await.expect("the bus is open").len()
    }
}

async fn logged(log: &mut Subscriber<LogEvent>, message: &str) -> LogEvent {
    within(async {
        loop {
            let event = log.recv().await.expect("the bus is open");
            if event.message.contains(message) {
                return LogEvent::clone(&event);
            }
        }
    })
    .await
}

const FROM_THE_START: [&str; 2] = ["process-crash-to-notification", "process-lifecycle-to-log"];

#[tokio::test]
async fn processes_are_on_the_dashboard_and_in_the_log_while_they_are_monitored() {
    let stage = Stage::new();
    let (module, bus) = (&stage.module, &stage.bus);
    module
        .create_process_monitoring_pattern(ProcessMonitoringConfig::default())
        .unwrap();
    assert_eq!(stage.flows(), FROM_THE_START);
    let mut dashboards = bus.subscribe(&DASHBOARD_UPDATE).unwrap();
    let mut log = bus.subscribe(&LOG_EVENTS).unwrap();
    let mut notifications = bus.subscribe(&NOTIFICATION).unwrap();
    let patterns = module.patterns().unwrap();
    within(patterns.enable("process-monitoring")).await.unwrap();
    assert_eq!(stage.flows().len(), 4);

    let spec = ProcessSpec::shell("job", "echo hello; exec sleep 1000");
    let runner = module.processes().unwrap().clone();
    let stop = Stop::default();
    let asked = stop.graceful.clone();
    let job = tokio::spawn(async move { runner.run(&spec, &stop).await });
    assert_eq!(logged(&mut log, "hello").await.source, "job");
    within(async {
        loop {
            let dashboard = dashboards.recv().await.unwrap();
            if dashboard.rows.iter().any(|row| row.name == "job") {
                return;
            }
        }
    })
    .await;
    let spec = ProcessSpec::shell("faulty", "exit 3");
    module
        .processes()
        .unwrap()
        .run(&spec, &Stop::default())
        .await
        .unwrap();
    assert_eq!(
        within(notifications.recv()).await.unwrap().title,
        "faulty crashed"
    );
    asked.cancel();
    within(job).await.unwrap().unwrap();

    let left = within(patterns.disable("process-monitoring", LONG)).await;
    assert!(left.unwrap().is_complete());
    assert_eq!(stage.flows(), FROM_THE_START);
}

#[tokio::test(start_paused = true)]
async fn what_the_program_has_set_on_a_stream_holds_while_a_pattern_is_enabled_and_afterwards() {
    let stage = Stage::new();
    let module = &stage.module;
    let optimizer = module.optimizer().unwrap();
    optimizer
        .update(&UI_UPDATE, |settings| {
            settings.buffer_size(7).within(Duration::from_millis(1))
        })
        .unwrap();
    let seen = || format!("{:?}", optimizer.settings(&UI_UPDATE).unwrap());
    let before = seen();
    for name in ["one", "other"] {
        let mut config = DynamicUiConfig::default();
        config.name = name.to_owned();
        module.create_dynamic_ui_pattern(config).unwrap();
    }
    let patterns = module.patterns().unwrap();
    for _ in 0..2 {
        for name in ["one", "other"] {
            patterns.enable(name).await.unwrap();
            assert_ne!(seen(), before);
            assert!(seen().contains("buffer_size: 7"), "{}", seen());
        }
        let _ = patterns.disable("one", LONG).await.unwrap();
        assert_ne!(seen(), before);
        let _ = patterns.disable("other", LONG).await.unwrap();
        assert_eq!(seen(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_screen_gets_the_newest_of_each_component_for_as_long_as_a_pattern_wants_it() {
    let stage = Stage::new();
    let module = &stage.module;
    assert_eq!(stage.updates_of_ten().await, 10);
    let command = Command::new("app").subcommand(Command::new("build"));
    let cli = module
        .create_interactive_cli_pattern(command, InteractiveCliConfig::default())
        .unwrap();
    module
        .create_dynamic_ui_pattern(DynamicUiConfig::default())
        .unwrap();
    let patterns = module.patterns().unwrap();
    let names: Vec<_> = patterns
        .list()
        .into_iter()
        .map(|pattern| pattern.name)
        .collect();
    for name in &names {
        within(patterns.enable(name)).await.unwrap();
    }
    assert_eq!(stage.updates_of_ten().await, 1);
    // What is typed is told to the screen.
    let mut updates = stage.bus.subscribe(&UI_UPDATE).unwrap();
    cli.typed("biuld");
    let update = within(updates.recv()).await.unwrap();
    assert_eq!(update.component, "input");
    assert!(
        matches!(&update.change, UiChange::Text { text } if text.contains("`build`")),
        "{update:?}"
    );
    let left = within(patterns.disable(&names[0], LONG)).await.unwrap();
    assert!(left.is_complete());
    assert_eq!(stage.updates_of_ten().await, 1);
    let left = within(patterns.disable(&names[1], LONG)).await.unwrap();
    assert!(left.is_complete());
    assert_eq!(stage.updates_of_ten().await, 10);
    assert_eq!(stage.flows(), FROM_THE_START);
}

#[tokio::test(start_paused = true)]
async fn a_pattern_that_does_not_start_leaves_no_flow_and_no_setting() {
    let stage = Stage::new();
    let module = &stage.module;
    let config = ProcessMonitoringConfig::default();
    module.create_process_monitoring_pattern(config).unwrap();
    // The second of its two flows is somebody else's.
    module
        .create_event_flow(builtin::process_health_to_log())
        .unwrap();
    let patterns = module.patterns().unwrap();
    let refused = patterns.enable("process-monitoring").await.unwrap_err();
    assert!(
        refused.to_string().contains("process-health-to-log"),
        "{refused}"
    );
    assert_eq!(stage.flows().len(), 3);
    assert_eq!(stage.updates_of_ten().await, 10);
    module
        .choreographer()
        .unwrap()
        .abort_event_flow("process-health-to-log")
        .unwrap();
    within(patterns.enable("process-monitoring")).await.unwrap();
    assert_eq!(stage.updates_of_ten().await, 1);
    // Aborted, it leaves none either.
    let _ = patterns
        .disable("process-monitoring", Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(stage.flows(), FROM_THE_START);
    assert_eq!(stage.updates_of_ten().await, 10);
}

/// A part of this program that needs the database.
struct Api;

impl ManagedService for Api {
    fn run(&self, context: ServiceContext) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            context.ready();
            context.draining().cancelled().await;
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_supervised_service_starts_in_order_is_restarted_and_stops_in_reverse() {
    let mut stage = Stage::new();
    let mut log = stage.bus.subscribe(&LOG_EVENTS).unwrap();
    let mut states = stage.bus.subscribe(&SERVICE_LIFECYCLE).unwrap();
    let process = ProcessSpec::shell("database", "echo $$; exec sleep 1000");
    let service = ServiceSpec::new(process).ready(Probe::new(Check::exec("exit 0")));
    let child = ChildSpec::new("database").backoff(Backoff::constant(Duration::from_millis(10)));
    let database = stage.module.supervised_service(child, service).unwrap();
    let services = Services::new(ServicesConfig::default())
        .add("database", [], database)
        .unwrap()
        .add("api", ["database"], Api)
        .unwrap();
    stage
        .module
        .create_service_lifecycle_pattern(services)
        .unwrap();
    let patterns = stage.module.patterns().unwrap();
    let handle = within(patterns.enable("service-lifecycle")).await.unwrap();
    let first = stage.pid().await;
    assert_eq!(logged(&mut log, "ready after").await.source, "database");

    let pid = rustix::process::Pid::from_raw(first).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert_ne!(stage.pid().await, first);
    assert!(
        logged(&mut log, "ended unasked")
            .await
            .message
            .contains("SIGKILL")
    );
    let child = stage.services().service("database").unwrap();
    until(|| child.restarts() == 1).await;
    within(child.ready()).await.unwrap();
    until(|| handle.state() == PatternState::Running).await;

    let patterns = stage.module.patterns().unwrap();
    let left = within(patterns.disable("service-lifecycle", LONG)).await;
    assert!(left.unwrap().is_complete());
    let (mut ended, mut told) = (Vec::new(), Vec::new());
    while let Ok(event) = states.try_recv() {
        match &event.state {
            ServiceState::Ended { asked: true, .. } => ended.push(event.service.clone()),
            ServiceState::DependencyLost { dependency, reason } => {
                assert!(reason.contains("being restarted"), "{reason}");
                told.push(format!("{} lost {dependency}", event.service));
            }
            ServiceState::DependencyBack { dependency } => {
                told.push(format!("{} has {dependency} back", event.service));
            }
            _ => {}
        }
    }
    assert_eq!(ended, ["api", "database"]);
    // Of its restart, the one that needs it was told.
    assert_eq!(told, ["api lost database", "api has database back"]);
    assert!(within(child.ended()).await.to_string().contains("stopped"));
    // The flows that make log events of them were there to the end.
    assert_eq!(logged(&mut log, "draining").await.source, "api");
}

#[tokio::test]
async fn a_supervised_service_that_is_given_up_has_failed() {
    let stage = Stage::new();
    let service = ServiceSpec::new(ProcessSpec::shell("database", "exit 4"));
    let child = ChildSpec::new("database").intensity(0, Duration::from_secs(5));
    let database = stage.module.supervised_service(child, service).unwrap();
    let services = Services::new(ServicesConfig::default())
        .add("database", [], database)
        .unwrap();
    stage
        .module
        .create_service_lifecycle_pattern(services)
        .unwrap();
    let patterns = stage.module.patterns().unwrap();
    let _ = within(patterns.enable("service-lifecycle")).await;
    until(|| {
        let health = stage.module.system_health().to_string();
        health.contains("database")
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_bundle_whose_part_is_off_names_the_toggle() {
    type Set = fn(&mut CoordinationConfig);
    let toggles: [(&str, Set); 3] = [
        ("event_flows_enabled", |config| {
            config.event_flows_enabled = false;
        }),
        ("optimization_enabled", |config| {
            config.optimization_enabled = false;
        }),
        ("integration_patterns_enabled", |config| {
            config.integration_patterns_enabled = false;
        }),
    ];
    for (name, set) in toggles {
        let mut config = CoordinationConfig::default();
        set(&mut config);
        let bus = std::sync::Arc::new(coordination::bus::LocalBus::new());
        let module = CoordinationModule::start(bus, config).unwrap();
        let config = ProcessMonitoringConfig::default();
        let refused = module
            .create_process_monitoring_pattern(config)
            .unwrap_err();
        assert!(
            matches!(refused, CoordinationError::SwitchedOff { toggle, .. } if toggle == name),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn an_audit_trail_is_created_by_the_module_as_the_others_are() {
    let stage = Stage::new();
    let module = &stage.module;
    let log = std::sync::Arc::new(MemoryEventLog::new());
    let trail = module
        .create_audit_trail_pattern(log.clone(), AuditConfig::default(), |trail| {
            trail.topic(&NOTIFICATION)
        })
        .unwrap();
    let listed = &module.patterns().unwrap().list()[0];
    assert!(listed.registered_at.contains("bundles.rs"), "{listed:?}");
    assert_eq!(module.system_health().active_patterns, 0);
    within(module.patterns().unwrap().enable("audit-trail"))
        .await
        .unwrap();
    let spec = ProcessSpec::shell("faulty", "exit 3");
    let processes = module.processes().unwrap();
    within(processes.run(&spec, &Stop::default()))
        .await
        .unwrap();
    until(|| trail.head().entries == 1).await;
    let account = module.shutdown(LONG).await;
    assert!(account.is_complete(), "{account}");
    let head = audit::verify(&*log, "audit", None).await.unwrap();
    assert_eq!(head, trail.head());

    let mut config = CoordinationConfig::default();
    config.integration_patterns_enabled = false;
    let off = CoordinationModule::start(stage.bus.clone(), config);
    drop(stage.module);
    let config = AuditConfig::default();
    let refused = off
        .unwrap()
        .create_audit_trail_pattern(log, config, |trail| trail);
    assert!(
        matches!(&refused, Err(CoordinationError::SwitchedOff { toggle, .. }) if *toggle == "integration_patterns_enabled")
    );
}

#[tokio::test]
async fn nothing_is_left_of_bundles_when_the_module_is_dropped() {
    let stage = Stage::new();
    let config = ProcessMonitoringConfig::default();
    stage
        .module
        .create_process_monitoring_pattern(config)
        .unwrap();
    within(
        stage
            .module
            .patterns()
            .unwrap()
            .enable("process-monitoring"),
    )
    .await
    .unwrap();
    drop(stage);
    no_task_is_left().await;
}
