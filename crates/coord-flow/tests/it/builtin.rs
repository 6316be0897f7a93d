//! What processes do, as entries of the log and as notifications.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::ManualClock;
use coord_bus::vocabulary::{
    CLI_COMMAND, CLI_PARSE, CONFIG_CHANGE, CliCommand, CliFault, CliParse, CliState, ConfigChange,
    ConfigValue, Exit, LOG_EVENTS, LogEvent, LogLevel, NOTIFICATION, Notification, OutputStream,
    PROCESS_HEALTH, PROCESS_LIFECYCLE, PROCESS_OUTPUT, ProbeKind, ProcessHealth, ProcessLifecycle,
    ProcessOutput, ProcessState, SERVICE_LIFECYCLE, ServiceLifecycle, ServiceState, Severity,
    UI_UPDATE, UiChange, UiUpdate,
};
use coord_bus::{BusExt, Event, Timestamp, Topic};
use coord_flow::{EventFlow, builtin};

use crate::stage::{LONG, Stage, ready};

const THEN: Timestamp = Timestamp::UNIX_EPOCH;

/// What becomes of these events.
async fn through<E: Event, U: Event + Clone>(
    flow: EventFlow,
    (from, to): (&Topic<E>, &Topic<U>),
    events: impl IntoIterator<Item = E>,
) -> Vec<U> {
    let stage = Stage::new();
    stage.choreographer.add_event_flow(flow).unwrap();
    let mut results = stage.bus.subscribe(to).unwrap();
    let publisher = stage.bus.publisher(from).unwrap();
    for event in events {
        publisher.publish(event).await.unwrap();
    }
    assert!(stage.choreographer.shutdown(LONG).await.is_complete());
    ready(&mut results)
}

fn lifecycle(process: &str, state: ProcessState) -> ProcessLifecycle {
    ProcessLifecycle {
        process: process.to_owned(),
        at: THEN,
        state,
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_how_processes_start_and_end() {
    let states = [
        ProcessState::Started { pid: 7 },
        ProcessState::NotStarted {
            error: "no such program".to_owned(),
        },
        ProcessState::Stopping { signal: 15 },
        ProcessState::Exited(Exit::code(0)),
        ProcessState::Exited(Exit::code(3)),
        ProcessState::Exited(Exit::signal(9)),
    ];
    let events = states.map(|state| lifecycle("web", state));
    let topics = (&PROCESS_LIFECYCLE, &LOG_EVENTS);
    let log = through(builtin::process_lifecycle_to_log(), topics, events).await;
    assert!(
        log.iter()
            .all(|entry| entry.source == "web" && entry.at == THEN)
    );
    let told: Vec<_> = log
        .iter()
        .map(|entry| (entry.level, &*entry.message))
        .collect();
    let expected = [
        (LogLevel::Info, "started as process 7"),
        (LogLevel::Error, "did not start: no such program"),
        (LogLevel::Info, "asked to stop by SIGTERM"),
        (LogLevel::Info, "exit code 0"),
        (LogLevel::Warn, "exit code 3"),
        (LogLevel::Warn, "killed by SIGKILL"),
    ];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_how_services_get_on() {
    let states = [
        ServiceState::Starting,
        ServiceState::Ready {
            duration: Duration::from_millis(1500),
        },
        ServiceState::Unhealthy {
            answer: "connection refused".to_owned(),
        },
        ServiceState::DependencyLost {
            dependency: "db".to_owned(),
            reason: "it has ended".to_owned(),
        },
        ServiceState::Failed {
            error: "no space left".to_owned(),
        },
        ServiceState::Ended {
            exit: Some(Exit::code(3)),
            asked: false,
        },
        ServiceState::Ended {
            exit: Some(Exit::signal(15)),
            asked: true,
        },
    ];
    let events = states.map(|state| ServiceLifecycle {
        service: "web".to_owned(),
        at: THEN,
        state,
    });
    let topics = (&SERVICE_LIFECYCLE, &LOG_EVENTS);
    let log = through(builtin::service_lifecycle_to_log(), topics, events).await;
    assert!(log.iter().all(|entry| entry.source == "web"));
    let told: Vec<_> = log
        .iter()
        .map(|entry| (entry.level, &*entry.message))
        .collect();
    let expected = [
        (LogLevel::Info, "starting"),
        (LogLevel::Info, "ready after 1.5s"),
        (LogLevel::Error, "unhealthy: connection refused"),
        (LogLevel::Warn, "lost db: it has ended"),
        (LogLevel::Error, "failed: no space left"),
        (LogLevel::Warn, "ended unasked: exit code 3"),
        (LogLevel::Info, "ended"),
    ];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_what_processes_print() {
    let event = |stream, line: &str| ProcessOutput {
        process: "web".to_owned(),
        pid: 7,
        attempt: 1,
        stream,
        line: line.to_owned(),
        continues: false,
    };
    let events = [
        event(OutputStream::Stdout, "listening"),
        event(OutputStream::Stderr, "deprecated"),
    ];
    let flow = builtin::process_output_to_log(Arc::new(ManualClock::new(THEN)));
    let log = through(flow, (&PROCESS_OUTPUT, &LOG_EVENTS), events).await;
    let entry = |level, message: &str| LogEvent {
        at: THEN,
        level,
        source: "web".to_owned(),
        message: message.to_owned(),
    };
    let expected = [
        entry(LogLevel::Info, "listening"),
        entry(LogLevel::Warn, "deprecated"),
    ];
    assert_eq!(log, expected);
}

async fn notifications(
    events: impl IntoIterator<Item = (&'static str, ProcessState)>,
) -> Vec<Notification> {
    let events = events
        .into_iter()
        .map(|(process, state)| lifecycle(process, state));
    let flow = builtin::process_crash_to_notification();
    through(flow, (&PROCESS_LIFECYCLE, &NOTIFICATION), events).await
}

const STOPPING: ProcessState = ProcessState::Stopping { signal: 15 };
const STARTED: ProcessState = ProcessState::Started { pid: 7 };
const FAILED: ProcessState = ProcessState::Exited(Exit::code(3));

#[tokio::test(start_paused = true)]
async fn a_crash_is_notified() {
    let told = notifications([("web", STARTED), ("web", FAILED)]).await;
    let expected = Notification {
        at: THEN,
        severity: Severity::Error,
        title: "web crashed".to_owned(),
        message: "exit code 3".to_owned(),
    };
    assert_eq!(told, [expected]);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_asked_for_or_is_a_success_is_no_crash() {
    let success = ProcessState::Exited(Exit::code(0));
    let killed = ProcessState::Exited(Exit::signal(15));
    let told = notifications([("web", STOPPING), ("web", killed), ("db", success)]).await;
    assert_eq!(told, []);
}

#[tokio::test(start_paused = true)]
async fn to_stop_one_process_excuses_no_other_and_no_later_one() {
    let told = notifications([
        ("web", STOPPING),
        ("db", FAILED),
        ("web", FAILED),
        ("web", STARTED),
        ("web", FAILED),
        ("web", STOPPING),
        ("web", STARTED),
        ("web", FAILED),
    ])
    .await;
    let titles: Vec<_> = told.iter().map(|told| &*told.title).collect();
    assert_eq!(titles, ["db crashed", "web crashed", "web crashed"]);
}

#[tokio::test(start_paused = true)]
async fn of_more_processes_than_are_remembered_the_end_is_told() {
    const REMEMBERED: usize = 4096;
    let named = |state: ProcessState| {
        (0..=REMEMBERED).map(move |number| lifecycle(&format!("p{number}"), state.clone()))
    };
    let flow = builtin::process_crash_to_notification();
    let topics = (&PROCESS_LIFECYCLE, &NOTIFICATION);
    let told = through(flow, topics, named(STOPPING).chain(named(FAILED))).await;
    let titles: Vec<_> = told.iter().map(|told| &*told.title).collect();
    assert_eq!(titles, [format!("p{REMEMBERED} crashed")]);
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_whether_processes_are_well() {
    let event = |healthy, answer: &str| ProcessHealth {
        process: "web".to_owned(),
        pid: 7,
        at: THEN,
        probe: ProbeKind::Readiness,
        healthy,
        answer: answer.to_owned(),
    };
    let events = [event(false, "connection refused"), event(true, "HTTP 200")];
    let topics = (&PROCESS_HEALTH, &LOG_EVENTS);
    let log = through(builtin::process_health_to_log(), topics, events).await;
    let told: Vec<_> = log
        .iter()
        .map(|entry| (entry.level, &*entry.message))
        .collect();
    let expected = [
        (LogLevel::Warn, "readiness probe failed: connection refused"),
        (LogLevel::Info, "readiness probe passed: HTTP 200"),
    ];
    assert_eq!(told, expected);
}

fn shown(updates: &[UiUpdate]) -> Vec<(&str, &str)> {
    let texts = updates.iter().map(|update| match &update.change {
        UiChange::Text { text } => (&*update.component, &**text),
        other => panic!("{other:?}"),
    });
    texts.collect()
}

#[tokio::test(start_paused = true)]
async fn the_screen_shows_how_commands_get_on() {
    let duration = Duration::from_millis(1200);
    let error = "no disk".to_owned();
    let states = [
        CliState::Started,
        CliState::Completed { duration },
        CliState::Failed { error, duration },
        CliState::Cancelled { duration },
    ];
    let events = states.map(|state| CliCommand {
        command: "deploy".to_owned(),
        run: 1,
        at: THEN,
        state,
    });
    let updates = through(
        builtin::cli_command_to_ui(),
        (&CLI_COMMAND, &UI_UPDATE),
        events,
    )
    .await;
    let texts = ["running", "done in 1.2s", "failed: no disk", "cancelled"];
    assert_eq!(shown(&updates), texts.map(|text| ("command.deploy", text)));
}

#[tokio::test(start_paused = true)]
async fn the_screen_shows_what_is_wrong_with_a_line() {
    let fault = |suggestions: &[&str]| CliFault {
        start: 0,
        end: 5,
        message: "no command `deplo`".to_owned(),
        suggestions: suggestions.iter().map(|&word| word.to_owned()).collect(),
    };
    let events = [vec![fault(&["deploy", "depend"])], vec![fault(&[])], vec![]];
    let events = events.map(|faults| CliParse {
        at: THEN,
        line: "deplo".to_owned(),
        command: String::new(),
        faults,
    });
    let updates = through(builtin::cli_parse_to_ui(), (&CLI_PARSE, &UI_UPDATE), events).await;
    let expected = ["no command `deplo`: `deploy`?", "no command `deplo`", ""];
    assert_eq!(shown(&updates), expected.map(|text| ("input", text)));
}

#[tokio::test(start_paused = true)]
async fn a_module_learns_of_its_own_settings() {
    let change = |path: &str| ConfigChange {
        source: "app.toml".to_owned(),
        at: THEN,
        changes: [(path.to_owned(), ConfigValue::default())].into(),
    };
    let events = ["server.port", "servers", "log.level", "server"].map(change);
    let module = CONFIG_CHANGE.with_name("server.config");
    let flow = builtin::config_change_to_module("server", &module);
    assert_eq!(flow.name(), "config-change-to-server");
    let changes = through(flow, (&CONFIG_CHANGE, &module), events).await;
    assert_eq!(changes, [change("server.port"), change("server")]);
}
