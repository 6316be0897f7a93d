//! What is switched off answers with the name of its toggle; what is on is there.

use coordination::{CoordinationConfig, CoordinationError, CoordinationModule};

use crate::stage::Stage;

/// The toggle that is asked for, where a part is not there.
fn toggle<T>(part: Result<T, CoordinationError>) -> Option<&'static str> {
    match part {
        Ok(_) => None,
        Err(CoordinationError::SwitchedOff { toggle, .. }) => Some(toggle),
        Err(error) => panic!("it should be there, or off: {error}"),
    }
}

/// The toggles that all parts ask for, one after the other.
fn toggles(module: &CoordinationModule) -> Vec<&'static str> {
    let parts = [
        toggle(module.choreographer()),
        toggle(module.orchestrator()),
        toggle(module.optimizer()),
        toggle(module.monitor()),
        toggle(module.recovery()),
        toggle(module.processes()),
        toggle(module.services()),
    ];
    parts.into_iter().flatten().collect()
}

#[tokio::test(start_paused = true)]
async fn everything_is_there_by_default() {
    assert!(toggles(&Stage::new().module).is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_toggle_takes_its_part_away_and_no_other() {
    type Switch = fn(&mut CoordinationConfig) -> &mut bool;
    let switches: [(Switch, &[&str]); 6] = [
        (|config| &mut config.event_flows, &["event_flows"]),
        (|config| &mut config.workflows, &["workflows"]),
        (|config| &mut config.optimization, &["optimization"]),
        (
            |config| &mut config.performance_monitoring,
            &["performance_monitoring"],
        ),
        // Services are there only with both of these.
        (
            |config| &mut config.error_recovery,
            &["error_recovery", "error_recovery"],
        ),
        (
            |config| &mut config.integration_patterns,
            &["integration_patterns", "integration_patterns"],
        ),
    ];
    for (switch, asked_for) in switches {
        let stage = Stage::with(|config| *switch(config) = false);
        assert_eq!(toggles(&stage.module), asked_for);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_off_is_left_out_of_health_and_of_the_account() {
    let stage = Stage::with(|config| {
        config.performance_monitoring = false;
        config.error_recovery = false;
    });
    let health = stage.module.system_health();
    assert!(health.performance.is_none() && health.errors.is_none());
    let account = stage.module.shutdown(crate::stage::seconds(1)).await;
    assert!(account.monitor.is_none() && account.recovery.is_none() && account.services.is_none());
    assert!(account.workflows.is_some() && account.flows.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_error_says_what_is_off_and_where_to_switch_it_on() {
    let stage = Stage::with(|config| config.workflows = false);
    assert_eq!(
        stage.module.orchestrator().unwrap_err().to_string(),
        "the orchestrator is switched off: set `workflows` in the `CoordinationConfig` that the \
         module is started with"
    );
}
