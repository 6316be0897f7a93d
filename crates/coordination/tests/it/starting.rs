//! How a module starts: in which order, with which settings, and what is left when it does not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordination::bus::time::{Instant, ManualClock, sleep};
use coordination::bus::vocabulary::WORKFLOW_EVENTS;
use coordination::bus::{
    BoxFuture, Bus, BusError, Drained, LocalBus, Opening, Port, Timestamp, TopicStats,
};
use coordination::workflow::{Compensation, StepContext, StepError, Workflow};
use coordination::{CoordinationConfig, CoordinationError, CoordinationModule};

use crate::stage::{Stage, next, seconds, tasks, until, within};

/// A bus that notes which crates open topics, in order.
#[derive(Default)]
struct Noting {
    bus: LocalBus,
    crates: Mutex<Vec<String>>,
}

impl Bus for Noting {
    fn open(&self, topic: &Opening<'_>) -> Result<Port, BusError> {
        let file = topic.place().file();
        let name = file.split('/').find(|part| part.starts_with("coord-"));
        let name = name.expect("a crate opens it").to_owned();
        let mut crates = self.crates.lock().unwrap();
        // The owner of all crates' tasks is in coord-bus.
        if name != "coord-bus" && crates.last() != Some(&name) {
            crates.push(name);
        }
        drop(crates);
        self.bus.open(topic)
    }

    fn stats(&self) -> Vec<TopicStats> {
        self.bus.stats()
    }

    fn close(&self) {
        self.bus.close();
    }

    fn drain(&self, deadline: Duration) -> BoxFuture<'_, Drained> {
        self.bus.drain(deadline)
    }
}

#[tokio::test(start_paused = true)]
async fn parts_start_after_what_they_use_and_after_those_that_watch_them() {
    let bus = Arc::new(Noting::default());
    let module = CoordinationModule::start(bus.clone(), CoordinationConfig::default());
    assert!(module.is_ok());
    assert_eq!(
        *bus.crates.lock().unwrap(),
        [
            "coord-recovery",
            "coord-monitor",
            "coord-flow",
            "coord-patterns",
            // The supervisor of services, and what runs them.
            "coord-recovery",
            "coord-patterns",
            "coord-workflow",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_module_that_does_not_start_leaves_nothing() {
    let before = tasks();
    let mut config = CoordinationConfig::default();
    config.performance_sampling_interval = Duration::from_millis(1);
    let error = CoordinationModule::start(Arc::new(LocalBus::new()), config).unwrap_err();
    assert!(matches!(error, CoordinationError::Monitor(_)), "{error:?}");
    assert!(error.to_string().contains("1ms"), "{error}");
    until(|| tasks() == before).await;
}

#[tokio::test(start_paused = true)]
async fn times_are_taken_from_the_clock_that_it_is_given() {
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let stage = Stage::with(|config| config.clock = clock.clone());
    let mut events = stage.subscribe(&WORKFLOW_EVENTS);
    clock.advance(seconds(7));
    let at = Timestamp::from_second(7).unwrap();
    let mut workflow = Workflow::builder("empty");
    workflow.step("only").run(async || Ok::<_, StepError>(()));
    let workflow = workflow.build().unwrap();
    let orchestrator = stage.module.orchestrator().unwrap();
    let outcome = within(orchestrator.execute_workflow(&workflow, ())).await;
    assert_eq!(outcome.unwrap().started_at, at);
    assert_eq!(next(&mut events).await.at, at);
    let health = stage.module.system_health();
    assert_eq!((health.timestamp, health.performance.unwrap().at), (at, at));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_step_has_the_grace_that_is_set() {
    let stage = Stage::with(|config| config.workflow_grace = seconds(3));
    let mut workflow = Workflow::builder("stubborn");
    workflow
        .step("only")
        .run_with(|context: StepContext| async move {
            let _told = context.token();
            std::future::pending::<Result<(), StepError>>().await
        });
    let workflow = workflow.build().unwrap();
    let orchestrator = stage.module.orchestrator().unwrap();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    sleep(seconds(1)).await;
    let begun = Instant::now();
    run.cancel();
    within(run.outcome()).await.unwrap();
    assert_eq!(begun.elapsed(), seconds(3));
}

#[tokio::test(start_paused = true)]
async fn undoing_has_the_time_that_is_set() {
    let stage = Stage::with(|config| config.compensation_timeout = seconds(7));
    let mut workflow = Workflow::builder("undone");
    let first = workflow
        .step("first")
        .compensate(async |_: Arc<()>| std::future::pending::<Result<(), StepError>>().await)
        .run(async || Ok::<_, StepError>(()));
    workflow
        .step("second")
        .after(&first)
        .run(async || Err::<(), _>(StepError::message("no").permanent()));
    let workflow = workflow.build().unwrap();
    let begun = Instant::now();
    let orchestrator = stage.module.orchestrator().unwrap();
    let outcome = within(orchestrator.execute_workflow(&workflow, ()))
        .await
        .unwrap();
    let undone = outcome.steps[0].compensation.as_ref();
    assert!(
        matches!(undone, Some(Compensation::Failed(_))),
        "{undone:?}"
    );
    assert_eq!(begun.elapsed(), seconds(7));
}

#[tokio::test(start_paused = true)]
async fn the_monitor_samples_as_often_as_is_set() {
    let stage = Stage::with(|config| config.performance_sampling_interval = seconds(10));
    sleep(seconds(35)).await;
    let monitor = stage.module.monitor().unwrap();
    assert_eq!(monitor.history().at.len(), 3);
}
