//! In which order parts start, and that each setting is heeded.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordination::bus::time::{Instant, sleep};
use coordination::bus::vocabulary::ERROR_DETECTED;
use coordination::bus::{
    BoxFuture, Bus, BusError, BusExt, Drained, LocalBus, Opening, Port, TopicStats, Watch, Watching,
};
use coordination::workflow::{Compensation, StepContext, StepError, Workflow};
use coordination::{CoordinationConfig, CoordinationModule};

use crate::stage::{failing, within};

/// A bus that notes which crates open topics, in order.
#[derive(Default)]
struct Noting {
    bus: LocalBus,
    crates: Mutex<Vec<String>>,
}

impl Bus for Noting {
    fn open(&self, topic: &Opening<'_>) -> Result<Port, BusError> {
        let mut folders = topic.place().file().split('/');
        let name = folders.find(|folder| folder.starts_with("coord-"));
        let name = name.expect("a crate opens it").to_owned();
        let mut crates = self.crates.lock().expect("nobody panics with it");
        // The owner of all crates' tasks is in coord-bus.
        if name != "coord-bus" && crates.last() != Some(&name) {
            crates.push(name);
        }
        drop(crates);
        self.bus.open(topic)
    }

    fn watch(&self, watch: Watch) -> Result<Watching, BusError> {
        self.bus.watch(watch)
    }

    fn stats(&self) -> Vec<TopicStats> {
        self.bus.stats()
    }

    fn close(&self) {
        self.bus.close();
    }

    fn is_closed(&self) -> bool {
        self.bus.is_closed()
    }

    fn drain(&self, deadline: Duration) -> BoxFuture<'_, Drained> {
        self.bus.drain(deadline)
    }
}

fn module(set: impl FnOnce(&mut CoordinationConfig)) -> CoordinationModule {
    let mut config = CoordinationConfig::default();
    set(&mut config);
    CoordinationModule::start(Arc::new(LocalBus::new()), config).expect("the topics are free")
}

#[tokio::test(start_paused = true)]
async fn parts_start_after_what_they_use_and_after_those_that_watch_them() {
    let bus = Arc::new(Noting::default());
    let dyn_bus = Arc::clone(&bus) as Arc<dyn Bus>;
    let _module = CoordinationModule::start(dyn_bus, CoordinationConfig::default()).unwrap();
    let expected = [
        "coord-recovery",
        "coord-monitor",
        "coord-optimize",
        "coord-flow",
        "coord-patterns",
        // The supervisor of services, and what runs them.
        "coord-recovery",
        "coord-patterns",
        "coord-workflow",
    ];
    assert_eq!(*bus.crates.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_step_has_the_grace_that_is_set() {
    let module = module(|config| config.workflow_grace = Duration::from_secs(3));
    let mut workflow = Workflow::builder("deaf");
    workflow
        .step("listen")
        .run_with(|context: StepContext| async move {
            let _never_heeded = context.token();
            std::future::pending::<Result<(), StepError>>().await
        });
    let workflow = workflow.build().unwrap();
    let orchestrator = module.orchestrator().unwrap();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    run.cancel();
    within(run.outcome()).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn steps_have_the_resources_and_the_places_that_are_set() {
    let module = module(|config| {
        config.workflow_resources = [("gpu".to_owned(), 1)].into();
        config.workflow_total_concurrency = NonZeroUsize::new(2);
    });
    let run = |resource: Option<&str>, steps: u32| {
        let mut workflow = Workflow::builder("w");
        for step in 0..steps {
            let mut step = workflow.step(format!("s{step}"));
            if let Some(resource) = resource {
                step = step.resource(resource, 1);
            }
            step.run(async || {
                sleep(Duration::from_secs(1)).await;
                Ok::<_, StepError>(())
            });
        }
        let workflow = workflow.build().unwrap();
        module.orchestrator().unwrap().start_workflow(&workflow, ())
    };
    let outcome = within(run(Some("gpu"), 3).unwrap().outcome())
        .await
        .unwrap();
    assert_eq!(outcome.duration.as_secs(), 3);
    let outcome = within(run(None, 6).unwrap().outcome()).await.unwrap();
    assert_eq!(outcome.duration.as_secs(), 3);
    assert!(run(Some("disk"), 1).is_err());
}

#[tokio::test(start_paused = true)]
async fn undoing_has_the_time_that_is_set() {
    let module = module(|config| config.compensation_timeout = Duration::from_secs(7));
    let mut workflow = Workflow::builder("release");
    let migrate = workflow
        .step("migrate")
        .compensate(async |_: Arc<()>| std::future::pending::<Result<(), StepError>>().await)
        .run(async || Ok::<_, StepError>(()));
    workflow
        .step("build")
        .after(&migrate)
        .run(async || Err::<(), _>(StepError::message("no space left")));
    let workflow = workflow.build().unwrap();
    let begun = Instant::now();
    let orchestrator = module.orchestrator().unwrap();
    let outcome = within(orchestrator.execute_workflow(&workflow, ())).await;
    let outcome = outcome.unwrap();
    let undone = outcome.step("migrate").unwrap().compensation;
    assert!(
        matches!(undone, Some(Compensation::Failed(_))),
        "{undone:?}"
    );
    assert_eq!(begun.elapsed(), Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn the_monitor_samples_as_often_as_is_set() {
    let module = module(|config| {
        config.performance_sampling_interval = Duration::from_secs(10);
    });
    sleep(Duration::from_secs(35)).await;
    assert_eq!(module.monitor().unwrap().history().at.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_is_counted_also_where_no_other_part_takes_time_to_stop() {
    for _ in 0..100 {
        let bus = Arc::new(LocalBus::new());
        let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
        let mut config = CoordinationConfig::default();
        config.event_flows_enabled = false;
        config.performance_monitoring_enabled = false;
        config.integration_patterns_enabled = false;
        let module = CoordinationModule::start(bus, config).unwrap();
        let orchestrator = module.orchestrator().unwrap();
        within(orchestrator.execute_workflow(&failing(), ()))
            .await
            .unwrap();
        let account = within(module.shutdown(Duration::from_secs(30))).await;
        assert!(account.is_complete(), "{account}");
        assert!(errors.try_recv().is_ok());
        assert_eq!(module.system_health().errors.unwrap().total, 1);
    }
}

#[test]
#[should_panic(expected = "timers are disabled")]
fn a_module_does_not_start_where_there_are_no_timers() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("it needs nothing").block_on(async {
        module(|_| ());
    });
}
