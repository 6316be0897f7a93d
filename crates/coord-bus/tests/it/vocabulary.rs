//! The shared events as JSON: what `coord` writes, line by line, and others read.

use std::fmt::Debug;
use std::time::Duration;

use coord_bus::vocabulary::*;
use coord_bus::{Timestamp, Topic};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An event and its line of JSON are each other.
#[track_caller]
fn pinned<E: Serialize + DeserializeOwned + PartialEq + Debug>(event: &E, json: &str) {
    assert_eq!(serde_json::to_string(event).expect("it serialises"), json);
    assert_eq!(serde_json::from_str::<E>(json).expect(json), *event);
}

fn at() -> Timestamp {
    "2024-02-29T12:34:56.789Z".parse().expect("it is a time")
}

#[test]
fn topics_have_the_names_that_users_know() {
    fn name<E: coord_bus::Event>(topic: &Topic<E>) -> &str {
        topic.name()
    }
    assert_eq!(name(&PROCESS_LIFECYCLE), "process-lifecycle");
    assert_eq!(name(&PROCESS_OUTPUT), "process-output");
    assert_eq!(name(&WORKFLOW_EVENTS), "workflow-events");
    assert_eq!(name(&ERROR_DETECTED), "error-detected");
    assert_eq!(name(&ERROR_RECOVERY), "error-recovery");
    assert_eq!(name(&PROCESS_HEALTH), "process-health");
    assert_eq!(name(&SERVICE_LIFECYCLE), "service-lifecycle");
    assert_eq!(name(&LOG_EVENTS), "log-events");
    assert_eq!(name(&NOTIFICATION), "notification");
    assert_eq!(name(&CLI_COMMAND), "cli-command");
    assert_eq!(name(&CLI_PARSE), "cli-parse");
    assert_eq!(name(&UI_UPDATE), "ui-update");
    assert_eq!(name(&CONFIG_CHANGE), "config-change");
    assert_eq!(name(&DASHBOARD_UPDATE), "dashboard-update");
    assert_eq!(name(&AUDIT_LOG), "audit-log");
}

#[test]
fn process_lifecycle() {
    let lifecycle = |state| ProcessLifecycle {
        process: "api".to_owned(),
        at: at(),
        state,
    };
    for (state, rest) in [
        (
            ProcessState::Started { pid: 4711 },
            r#""state":"started","pid":4711}"#,
        ),
        (
            ProcessState::NotStarted {
                error: "no such file".to_owned(),
            },
            r#""state":"not-started","error":"no such file"}"#,
        ),
        (
            ProcessState::Stopping { signal: 15 },
            r#""state":"stopping","signal":15}"#,
        ),
        (
            ProcessState::Exited(Exit::code(0)),
            r#""state":"exited","code":0}"#,
        ),
        (
            ProcessState::Exited(Exit::code(-1)),
            r#""state":"exited","code":-1}"#,
        ),
        (
            ProcessState::Exited(Exit::signal(9)),
            r#""state":"exited","signal":9}"#,
        ),
    ] {
        let begin = r#"{"process":"api","at":"2024-02-29T12:34:56.789Z","#;
        pinned(&lifecycle(state), &format!("{begin}{rest}"));
    }
}

#[test]
fn process_output() {
    let output = |stream, line: &str, continues| ProcessOutput {
        process: "api".to_owned(),
        pid: 42,
        attempt: 2,
        stream,
        line: line.to_owned(),
        continues,
    };
    pinned(
        &output(OutputStream::Stdout, "ready", false),
        r#"{"process":"api","pid":42,"attempt":2,"stream":"stdout","line":"ready"}"#,
    );
    pinned(
        &output(OutputStream::Stderr, "a \"long\"\tline", true),
        r#"{"process":"api","pid":42,"attempt":2,"stream":"stderr","line":"a \"long\"\tline","continues":true}"#,
    );
}

// tidy: long, because it is one table, a row for each transition.
#[test]
fn workflow_events() {
    let step = || "test".to_owned();
    let error = || "it broke".to_owned();
    let duration = Duration::from_millis(1500);
    for (transition, rest) in [
        (
            Transition::RunStarted { steps: 3 },
            r#""run-started","steps":3}"#,
        ),
        (
            Transition::StepStarted {
                step: step(),
                attempt: 1,
            },
            r#""step-started","step":"test","attempt":1}"#,
        ),
        (
            Transition::StepRetrying {
                step: step(),
                attempt: 1,
                error: error(),
                wait: Duration::from_millis(250),
            },
            r#""step-retrying","step":"test","attempt":1,"error":"it broke","wait":0.25}"#,
        ),
        (
            Transition::StepCompleted {
                step: step(),
                attempt: 2,
                duration,
            },
            r#""step-completed","step":"test","attempt":2,"duration":1.5}"#,
        ),
        (
            Transition::StepFailed {
                step: step(),
                attempt: 2,
                error: error(),
                duration,
                optional: true,
            },
            r#""step-failed","step":"test","attempt":2,"error":"it broke","duration":1.5,"optional":true}"#,
        ),
        (
            Transition::StepExhausted {
                step: step(),
                attempt: 3,
                error: error(),
                duration,
            },
            r#""step-exhausted","step":"test","attempt":3,"error":"it broke","duration":1.5}"#,
        ),
        (
            Transition::StepSkipped {
                step: step(),
                reason: "`build` failed".to_owned(),
            },
            r#""step-skipped","step":"test","reason":"`build` failed"}"#,
        ),
        (
            Transition::StepCancelled { step: step() },
            r#""step-cancelled","step":"test"}"#,
        ),
        (
            Transition::CompensationStarted { step: step() },
            r#""compensation-started","step":"test"}"#,
        ),
        (
            Transition::CompensationCompleted { step: step() },
            r#""compensation-completed","step":"test"}"#,
        ),
        (
            Transition::CompensationFailed {
                step: step(),
                error: error(),
            },
            r#""compensation-failed","step":"test","error":"it broke"}"#,
        ),
        (
            Transition::HookFailed {
                step: Some(step()),
                error: error(),
            },
            r#""hook-failed","step":"test","error":"it broke"}"#,
        ),
        (Transition::RunUp, r#""run-up"}"#),
        (Transition::RunSuspended, r#""run-suspended"}"#),
        (
            Transition::RunFinished {
                outcome: "completed".to_owned(),
                duration,
            },
            r#""run-finished","outcome":"completed","duration":1.5}"#,
        ),
    ] {
        let event = WorkflowEvent {
            workflow: "build".to_owned(),
            run: "build-1".to_owned(),
            at: at(),
            transition,
        };
        let begin = r#"{"workflow":"build","run":"build-1","at":"2024-02-29T12:34:56.789Z","#;
        pinned(&event, &format!(r#"{begin}"transition":{rest}"#));
    }
}

#[test]
fn error_detected() {
    for (severity, name) in [
        (Severity::Info, "info"),
        (Severity::Warning, "warning"),
        (Severity::Error, "error"),
        (Severity::Critical, "critical"),
    ] {
        let event = ErrorDetected {
            source: "runner/api".to_owned(),
            kind: "panic".to_owned(),
            message: "index out of bounds".to_owned(),
            severity,
            at: at(),
        };
        pinned(
            &event,
            &format!(
                r#"{{"source":"runner/api","kind":"panic","message":"index out of bounds","severity":"{name}","at":"2024-02-29T12:34:56.789Z"}}"#
            ),
        );
    }
    assert!(Severity::Info < Severity::Warning && Severity::Error < Severity::Critical);
}

#[test]
fn what_cannot_be_a_duration_is_refused() {
    for seconds in ["-1", "1e300", "\"1\"", "null"] {
        let json = format!(
            r#"{{"workflow":"w","run":"r","at":"2024-02-29T12:34:56Z","transition":"run-finished","outcome":"completed","duration":{seconds}}}"#
        );
        assert!(
            serde_json::from_str::<WorkflowEvent>(&json).is_err(),
            "{json}"
        );
    }
}

#[test]
fn an_exit_says_how_it_was() {
    assert!(Exit::code(0).is_success());
    assert!(!Exit::code(1).is_success() && !Exit::signal(9).is_success());
    assert_eq!(Exit::code(3).to_string(), "exit code 3");
    assert_eq!(Exit::signal(9).to_string(), "killed by SIGKILL");
    assert_eq!(Exit::signal(11).to_string(), "killed by SIGSEGV");
    assert_eq!(Exit::signal(1000).to_string(), "killed by signal 1000");
    let unknown: Exit = serde_json::from_str("{}").unwrap();
    assert_eq!(unknown.to_string(), "ended in an unknown way");
}

#[test]
fn process_health() {
    pinned(
        &ProcessHealth {
            process: "api".to_owned(),
            pid: 4711,
            at: at(),
            probe: ProbeKind::Readiness,
            healthy: false,
            answer: "connection refused".to_owned(),
        },
        r#"{"process":"api","pid":4711,"at":"2024-02-29T12:34:56.789Z","probe":"readiness","healthy":false,"answer":"connection refused"}"#,
    );
}

#[test]
fn service_lifecycle() {
    let answer = || "HTTP 503".to_owned();
    let duration = Duration::from_millis(1500);
    for (state, rest) in [
        (ServiceState::Starting, r#""state":"starting"}"#),
        (
            ServiceState::Ready { duration },
            r#""state":"ready","duration":1.5}"#,
        ),
        (
            ServiceState::NotReady { answer: answer() },
            r#""state":"not-ready","answer":"HTTP 503"}"#,
        ),
        (
            ServiceState::Unhealthy { answer: answer() },
            r#""state":"unhealthy","answer":"HTTP 503"}"#,
        ),
        (
            ServiceState::Ended {
                exit: Some(Exit::signal(15)),
                asked: true,
            },
            r#""state":"ended","exit":{"signal":15},"asked":true}"#,
        ),
        (
            ServiceState::Ended {
                exit: None,
                asked: false,
            },
            r#""state":"ended","asked":false}"#,
        ),
    ] {
        let event = ServiceLifecycle {
            service: "api".to_owned(),
            at: at(),
            state,
        };
        pinned(
            &event,
            &format!(r#"{{"service":"api","at":"2024-02-29T12:34:56.789Z",{rest}"#),
        );
    }
}

#[test]
fn error_recovery() {
    for (progress, rest) in [
        (
            Recovery::Attempting {
                attempt: 2,
                wait: Duration::from_secs(1),
            },
            r#""progress":"attempting","attempt":2,"wait":1.0}"#,
        ),
        (
            Recovery::Recovered {
                attempt: 2,
                duration: Duration::from_millis(250),
            },
            r#""progress":"recovered","attempt":2,"duration":0.25}"#,
        ),
        (
            Recovery::GaveUp {
                attempts: 5,
                reason: "too often".to_owned(),
            },
            r#""progress":"gave-up","attempts":5,"reason":"too often"}"#,
        ),
    ] {
        let event = ErrorRecovery {
            source: "api".to_owned(),
            strategy: "restart".to_owned(),
            at: at(),
            progress,
        };
        pinned(
            &event,
            &format!(
                r#"{{"source":"api","strategy":"restart","at":"2024-02-29T12:34:56.789Z",{rest}"#
            ),
        );
    }
}

#[test]
fn log_events_and_notifications() {
    pinned(
        &LogEvent {
            at: at(),
            level: LogLevel::Warn,
            source: "api".to_owned(),
            message: "exit code 1".to_owned(),
        },
        r#"{"at":"2024-02-29T12:34:56.789Z","level":"warn","source":"api","message":"exit code 1"}"#,
    );
    pinned(
        &Notification {
            at: at(),
            severity: Severity::Error,
            title: "api crashed".to_owned(),
            message: "exit code 1".to_owned(),
        },
        r#"{"at":"2024-02-29T12:34:56.789Z","severity":"error","title":"api crashed","message":"exit code 1"}"#,
    );
}

#[test]
fn what_screens_show() {
    let update = |component: &str, change| UiUpdate {
        component: component.to_owned(),
        at: at(),
        change,
    };
    let theme = UiChange::Theme {
        appearance: Appearance::Light,
        colors: true,
    };
    pinned(
        &update("theme", theme),
        r#"{"component":"theme","at":"2024-02-29T12:34:56.789Z","change":"theme","appearance":"light","colors":true}"#,
    );
    let progress = UiChange::Progress {
        done: 3,
        total: Some(4),
        elapsed: Duration::from_millis(1500),
        message: "copying".to_owned(),
    };
    pinned(
        &update("command.copy", progress),
        r#"{"component":"command.copy","at":"2024-02-29T12:34:56.789Z","change":"progress","done":3,"total":4,"elapsed":1.5,"message":"copying"}"#,
    );
}

#[test]
fn settings_that_change_concern_their_section_alone() {
    let change = ConfigChange {
        source: "app.toml".to_owned(),
        at: at(),
        changes: [(
            "server.port".to_owned(),
            ConfigValue {
                before: Some(80.into()),
                after: None,
            },
        )]
        .into(),
    };
    pinned(
        &change,
        r#"{"source":"app.toml","at":"2024-02-29T12:34:56.789Z","changes":{"server.port":{"before":80}}}"#,
    );
    assert!(change.concerns("server") && change.concerns("server.port"));
    assert!(!change.concerns("serv") && !change.concerns("port"));
}

#[test]
fn what_a_person_types_and_does() {
    let command = CliCommand {
        command: "remote add".to_owned(),
        run: 2,
        at: at(),
        state: CliState::Cancelled {
            duration: Duration::from_secs(1),
        },
    };
    pinned(
        &command,
        r#"{"command":"remote add","run":2,"at":"2024-02-29T12:34:56.789Z","state":"cancelled","duration":1.0}"#,
    );
    let entry = AuditEvent {
        at: at(),
        actor: "ada".to_owned(),
        action: "change-limit".to_owned(),
        subject: "account/17".to_owned(),
        before: Some(5.into()),
        after: None,
    };
    pinned(
        &entry,
        r#"{"at":"2024-02-29T12:34:56.789Z","actor":"ada","action":"change-limit","subject":"account/17","before":5}"#,
    );
}
