//! Settings from code, a file and the environment: one type, one name each, and faults where they are.

use std::sync::Arc;
use std::time::Duration;

use coordination::bus::time::Instant;
use coordination::bus::vocabulary::{CLI_COMMAND, CliCommand, CliState};
use coordination::bus::{BusExt, LocalBus, Timestamp, WithCauses};
use coordination::{CoordinationConfig, CoordinationError, CoordinationModule, StreamSettings};
use proptest::prelude::*;
use tokio_stream::StreamExt;

use crate::stage::within;

const EVERYTHING: &str = r#"
event_flows_enabled = false
workflows_enabled = false
optimization_enabled = false
performance_monitoring_enabled = false
error_recovery_enabled = false
integration_patterns_enabled = false
performance_reporting_interval = "5m"
performance_sampling_interval = "2s"
performance_history = 600
stream_reporting_interval = "never"
performance_log = false
performance_export = false
workflow_grace = "500ms"
compensation_timeout = "1h30m"
workflow_total_concurrency = 8
workflow_resources = { gpu = 1, disk = 2 }

[process_output_stream]
buffer_size = 200
rate_limit = "none"

[cli_command_stream]
buffer_size = 1
rate_limit = 2

[ui_update_stream]
rate_limit = 30
"#;

const THE_SAME: [(&str, &str); 21] = [
    ("COORDINATION_STREAM_REPORTING_INTERVAL", "never"),
    ("COORDINATION_EVENT_FLOWS_ENABLED", "false"),
    ("COORDINATION_WORKFLOWS_ENABLED", "false"),
    ("COORDINATION_OPTIMIZATION_ENABLED", "0"),
    ("COORDINATION_PERFORMANCE_MONITORING_ENABLED", "false"),
    ("COORDINATION_ERROR_RECOVERY_ENABLED", "false"),
    ("COORDINATION_INTEGRATION_PATTERNS_ENABLED", "false"),
    ("COORDINATION_PERFORMANCE_REPORTING_INTERVAL", "5m"),
    ("COORDINATION_PERFORMANCE_SAMPLING_INTERVAL", "2s"),
    ("COORDINATION_PERFORMANCE_HISTORY", "600"),
    ("COORDINATION_PERFORMANCE_LOG", "false"),
    ("COORDINATION_PERFORMANCE_EXPORT", "false"),
    ("COORDINATION_WORKFLOW_GRACE", "500ms"),
    ("COORDINATION_COMPENSATION_TIMEOUT", "1h30m"),
    ("COORDINATION_WORKFLOW_TOTAL_CONCURRENCY", "8"),
    ("COORDINATION_WORKFLOW_RESOURCES", "gpu=1,disk=2"),
    ("COORDINATION_PROCESS_OUTPUT_STREAM_BUFFER_SIZE", "200"),
    ("COORDINATION_PROCESS_OUTPUT_STREAM_RATE_LIMIT", "none"),
    ("COORDINATION_CLI_COMMAND_STREAM_BUFFER_SIZE", "1"),
    ("COORDINATION_CLI_COMMAND_STREAM_RATE_LIMIT", "2"),
    ("COORDINATION_UI_UPDATE_STREAM_RATE_LIMIT", "30"),
];

fn default() -> CoordinationConfig {
    CoordinationConfig::default()
}

fn file(text: &str) -> Result<CoordinationConfig, CoordinationError> {
    default().with_toml("coordination.toml", text)
}

fn refused(text: &str) -> String {
    file(text).expect_err("it is at fault").to_string()
}

/// All settings but the clock, as text.
fn seen(config: &CoordinationConfig) -> String {
    format!("{config:?}")
}

#[test]
fn the_defaults_are_those_of_the_original() {
    let config = default();
    assert_eq!(config.process_output_stream, StreamSettings::new(100, 50));
    assert_eq!(config.cli_command_stream, StreamSettings::new(10, 20));
    assert_eq!(config.ui_update_stream, StreamSettings::new(50, 60));
    assert!(config.event_flows_enabled && config.integration_patterns_enabled);
    assert_eq!(seen(&file("").unwrap()), seen(&config));
}

#[test]
fn a_file_and_variables_set_the_same_as_code() {
    let mut code = default();
    code.event_flows_enabled = false;
    code.workflows_enabled = false;
    code.optimization_enabled = false;
    code.performance_monitoring_enabled = false;
    code.error_recovery_enabled = false;
    code.integration_patterns_enabled = false;
    code.performance_reporting_interval = Some(Duration::from_secs(300));
    code.performance_sampling_interval = Duration::from_secs(2);
    code.performance_history = 600;
    code.stream_reporting_interval = None;
    code.performance_log = false;
    code.performance_export = false;
    code.workflow_grace = Duration::from_millis(500);
    code.compensation_timeout = Duration::from_secs(90 * 60);
    code.workflow_total_concurrency = std::num::NonZeroUsize::new(8);
    code.workflow_resources = [("gpu".to_owned(), 1), ("disk".to_owned(), 2)].into();
    code.process_output_stream = StreamSettings::new(200, 0);
    code.cli_command_stream = StreamSettings::new(1, 2);
    code.ui_update_stream = StreamSettings::new(50, 30);
    assert_eq!(seen(&file(EVERYTHING).unwrap()), seen(&code));
    assert_eq!(
        seen(&default().with_variables(THE_SAME).unwrap()),
        seen(&code)
    );
}

#[test]
fn what_is_named_last_wins_and_what_is_not_named_stays() {
    let mut code = default();
    code.performance_reporting_interval = None;
    code.workflow_grace = Duration::from_secs(1);
    code.compensation_timeout = Duration::from_secs(1);
    let config = code
        .with_toml(
            "a.toml",
            "workflow_grace = '2s'\ncompensation_timeout = '2s'",
        )
        .unwrap()
        .with_variables([("COORDINATION_COMPENSATION_TIMEOUT", "3s")])
        .unwrap();
    assert_eq!(config.performance_reporting_interval, None);
    assert_eq!(config.workflow_grace, Duration::from_secs(2));
    assert_eq!(config.compensation_timeout, Duration::from_secs(3));
}

#[test]
fn a_name_that_is_none_is_underlined_with_the_one_that_was_meant() {
    let text = "# settings\nevent_flow_enabled = false\n[ui_update_stream]\nbufer_size = 1\n";
    let expected = "\
coordination.toml:2:1: there is no setting `event_flow_enabled`
  |
2 | event_flow_enabled = false
  | ^^^^^^^^^^^^^^^^^^ did you mean `event_flows_enabled`?
coordination.toml:4:1: there is no setting `ui_update_stream.bufer_size`
  |
4 | bufer_size = 1
  | ^^^^^^^^^^ did you mean `ui_update_stream.buffer_size`?";
    assert_eq!(refused(text), expected);
    let variables = [("COORDINATION_EVENT_FLOW_ENABLED", "false")];
    assert_eq!(
        default().with_variables(variables).unwrap_err().to_string(),
        "COORDINATION_EVENT_FLOW_ENABLED: there is no setting of this name: did you mean \
         `COORDINATION_EVENT_FLOWS_ENABLED`?"
    );
}

#[test]
fn every_fault_of_a_file_is_told_at_once_in_its_order() {
    let text = "workflow_grace = 5\nworkflows_enabled = \"yes\"\nui_update_stream = 3\n\
                workflow_resources = { gpu = 0 }\nperformance_sampling_interval = \"1ms\"\n\
                cli_command_stream = { buffer_size = 0, rate_limit = 1001 }\n";
    let refused = refused(text);
    let messages: Vec<_> = refused
        .lines()
        .filter_map(|line| line.strip_prefix("coordination.toml:"))
        .collect();
    let expected = [
        "1:18: expected a time, such as \"500ms\", \"5m\" or \"1h30m\", found the number 5",
        "2:21: expected true or false, found the string `yes`",
        "3:20: `ui_update_stream` is a table: buffer_size and rate_limit",
        "4:22: `gpu`: expected a whole number from 1 to 4294967295, found the number 0",
        "5:33: it is 1ms, and 200ms at least",
        "6:38: expected a whole number from 1 to 65536, found the number 0",
        "6:54: expected a whole number from 1 to 1000, found the number 1001; \"none\" is for no limit",
    ];
    assert_eq!(messages, expected);
}

#[test]
fn a_value_out_of_bounds_is_told_from_one_of_another_kind() {
    let of_file = |text: &str| refused(text).lines().next().unwrap().to_owned();
    let time = "expected a time, such as \"500ms\", \"5m\" or \"1h30m\", found the string";
    for (value, message) in [
        (
            "0s",
            "`0s` is out of bounds: it has to be more than no time",
        ),
        ("-1s", "`-1s` is out of bounds: it is negative"),
        (
            "9999d",
            "`9999d` is out of bounds: it is longer than a year, 365d",
        ),
        ("5", &format!("{time} `5`: it has no unit")),
    ] {
        assert_eq!(
            of_file(&format!("workflow_grace = \"{value}\"")),
            format!("coordination.toml:1:18: {message}")
        );
    }
    assert_eq!(
        of_file("workflow_resources = 3"),
        "coordination.toml:1:22: expected a count for each name, such as { gpu = 1 }, found the number 3"
    );
    for (value, message) in [
        ("gpu=1,gpu=2", "`gpu`: it is there twice"),
        (
            "gpu=1,disk=x",
            "`disk`: `x` is not a whole number from 1 to 4294967295",
        ),
        (
            "gpu",
            "`gpu` is not a count for each name, such as { gpu = 1 }",
        ),
    ] {
        let variable = ("COORDINATION_WORKFLOW_RESOURCES", value);
        assert_eq!(
            default()
                .with_variables([variable])
                .unwrap_err()
                .to_string(),
            format!("COORDINATION_WORKFLOW_RESOURCES: {message}")
        );
    }
}

#[test]
fn a_file_that_is_no_toml_says_where() {
    let refused = refused("workflows_enabled = \n");
    assert!(refused.starts_with("coordination.toml:1:"), "{refused}");
    assert!(refused.contains("1 | workflows_enabled ="), "{refused}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none.toml");
    let refused = default().with_file(&file).unwrap_err();
    assert!(matches!(
        refused,
        CoordinationError::ConfigUnreadable { .. }
    ));
    assert_eq!(
        WithCauses(&refused).to_string(),
        format!(
            "the settings in `{}` could not be read; it is to be a text file of at most 1 MiB: No such \
             file or directory (os error 2)",
            file.display()
        )
    );
    std::fs::write(&file, EVERYTHING).unwrap();
    assert!(!default().with_file(&file).unwrap().workflows_enabled);
}

#[test]
fn a_value_of_a_variable_is_shown_when_it_is_none() {
    let variables = [
        ("COORDINATION_WORKFLOWS_ENABLED", "fals\u{1b}\u{202e}e"),
        ("HOME", "COORDINATION_"),
    ];
    assert_eq!(
        default().with_variables(variables).unwrap_err().to_string(),
        "COORDINATION_WORKFLOWS_ENABLED: `fals??e` is not true or false"
    );
}

#[tokio::test(start_paused = true)]
async fn streams_come_as_is_set() {
    let config = file("cli_command_stream = { buffer_size = 3, rate_limit = 2 }").unwrap();
    let bus = Arc::new(LocalBus::new());
    let module = CoordinationModule::start(bus.clone(), config).unwrap();
    let mut batches = module.optimizer().unwrap().subscribe(&CLI_COMMAND).unwrap();
    let commands = bus.publisher(&CLI_COMMAND).unwrap();
    for run in 0..7 {
        let command = CliCommand {
            command: "build".to_owned(),
            run,
            at: Timestamp::UNIX_EPOCH,
            state: CliState::Started,
        };
        commands.publish(command).await.unwrap();
    }
    let begun = Instant::now();
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let batch = within(batches.next()).await.unwrap();
        sizes.push(batch.len());
    }
    assert_eq!(sizes, [3, 3, 1]);
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_code_sets_out_of_bounds_keeps_the_module_from_starting() {
    let mut config = default();
    config.ui_update_stream = StreamSettings::new(0, 60);
    let bus = Arc::new(LocalBus::new());
    let refused = CoordinationModule::start(bus, config).unwrap_err();
    assert!(refused.to_string().contains("ui-update"), "{refused}");
}

proptest! {
    #[test]
    fn no_text_and_no_variable_panics(text in "\\PC{0,80}|[a-z_.=\"\\[\\]{}0-9\n é\t]{0,80}") {
        let _ = file(&text).map_err(|error| error.to_string());
        for (name, _) in THE_SAME {
            let _ = default().with_variables([(name, &text)]).map_err(|error| error.to_string());
        }
    }

    /// Wherever a fault is, its caret stands below what it is about.
    #[test]
    fn a_caret_stands_below_the_name(before in "[ \t]{0,100}", lines in 0..5usize, name in "[a-z]{1,20}") {
        let text = format!("{}{before}zz{name} = 1", "\n".repeat(lines));
        let told = refused(&text);
        let shown: Vec<_> = told.lines().collect();
        let at = shown[3].find('^').unwrap();
        prop_assert_eq!(shown[2].find("zz"), Some(at));
        prop_assert_eq!(shown[3].matches('^').count(), name.len() + 2);
        let place = format!("coordination.toml:{}:{}:", lines + 1, before.len() + 1);
        prop_assert!(shown[0].starts_with(&place));
    }
}

#[test]
fn a_flag_of_a_variable_may_be_written_in_capitals() {
    for (value, is_on) in [
        ("TRUE", true),
        ("True", true),
        ("FALSE", false),
        ("False", false),
    ] {
        let variables = [("COORDINATION_WORKFLOWS_ENABLED", value)];
        let mut before = default();
        before.workflows_enabled = !is_on;
        let config = before.with_variables(variables).unwrap();
        assert_eq!(config.workflows_enabled, is_on, "{value}");
    }
}

#[test]
fn what_kubernetes_sets_for_a_service_called_coordination_is_no_setting() {
    let of_kubernetes = [
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTP",
        "PORT",
        "PORT_8080_TCP",
        "PORT_8080_TCP_PROTO",
        "PORT_8080_TCP_PORT",
        "PORT_53_UDP_ADDR",
        "PORT_53_SCTP_ADDR",
        // Of one that is called `coordination-api`, or `coordination-db-1`.
        "API_SERVICE_HOST",
        "API_PORT_80_TCP_ADDR",
        "DB_1_SERVICE_PORT_PG",
    ];
    let variables = of_kubernetes.map(|name| (format!("COORDINATION_{name}"), "10.0.0.1"));
    assert!(default().with_variables(variables).is_ok());
    for name in [
        "SERVICE",
        "SERVICE_HOSTS",
        "SERVICE_PORTS",
        "PORTS",
        "PORT_8080",
        "PORT_X_TCP",
        "PORT_8080_TCP_X",
        "API_SERVICE",
        "API_HOST",
    ] {
        let variables = [(format!("COORDINATION_{name}"), "10.0.0.1")];
        assert!(default().with_variables(variables).is_err(), "{name}");
    }
}
