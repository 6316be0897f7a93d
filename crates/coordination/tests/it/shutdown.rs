//! How a module ends: in order, by a deadline, twice, half-way, or dropped.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordination::bus::time::{Instant, timeout};
use coordination::bus::vocabulary::{
    ERROR_DETECTED, LOG_EVENTS, NOTIFICATION, Transition, WORKFLOW_EVENTS,
};
use coordination::bus::{Bus, BusExt, Topic};
use coordination::flow::EventFlow;
use coordination::patterns::pattern::PatternError;
use coordination::patterns::process::{ProcessSpec, Stop};
use coordination::patterns::service::ServiceSpec;
use coordination::patterns::ui::DynamicUiConfig;
use coordination::recovery::{ChildSpec, ErrorPattern};
use coordination::workflow::{Run, StepContext, StepError, Workflow, WorkflowError};

use crate::stage::{Record, Stage, failing, is_alive, no_task_is_left, note, noted, until, within};

const LONG: Duration = Duration::from_secs(30);
const IN: Topic<u32> = Topic::new("in");
const OUT: Topic<u32> = Topic::new("out");

/// A workflow that waits for ever after a step that can be undone.
fn waiting(undo: impl Fn() + Send + Sync + 'static) -> Workflow {
    let undo = Arc::new(undo);
    let mut workflow = Workflow::builder("release");
    let migrate = workflow
        .step("migrate")
        .compensate(move |_| {
            let undo = Arc::clone(&undo);
            async move {
                undo();
                Ok::<_, StepError>(())
            }
        })
        .run(async || Ok::<_, StepError>(()));
    workflow
        .step("watch")
        .after(&migrate)
        .run(pending::<Result<(), StepError>>);
    workflow.build().expect("it is sound")
}

/// A workflow whose step wants to be told to stop, and then does not.
fn deaf() -> Workflow {
    let mut workflow = Workflow::builder("deaf");
    workflow
        .step("listen")
        .run_with(|context: StepContext| async move {
            context.token().cancelled().await;
            pending::<Result<(), StepError>>().await
        });
    workflow.build().expect("it is sound")
}

impl Stage {
    /// Waits until a step has started.
    async fn started(&self, workflow: &Workflow, step: &str) -> Run {
        let mut events = self
            .bus
            .subscribe(&WORKFLOW_EVENTS)
            .expect("the bus is open");
        let orchestrator = self.module.orchestrator().expect("it is switched on");
        let run = orchestrator
            .start_workflow(workflow, ())
            .expect("it is not shut down");
        loop {
            let event = within(events.recv()).await.expect("the bus is open");
            if matches!(&event.transition, Transition::StepStarted { step: name, .. } if name == step)
            {
                return run;
            }
        }
    }
}

#[tokio::test]
async fn a_run_is_undone_while_services_live_and_their_end_is_still_carried_on() {
    let mut stage = Stage::new();
    let record = Record::default();
    let db = stage.serve("db", "echo $$; exec sleep 1000");
    let pid = stage.pid().await;
    within(db.ready()).await.unwrap();
    let noting = Arc::clone(&record);
    let workflow = waiting(move || {
        let state = if is_alive(pid) { "alive" } else { "gone" };
        note(&noting, format!("undone, the service is {state}"));
    });
    let run = stage.started(&workflow, "watch").await;
    let noting = Arc::clone(&record);
    let watching = tokio::spawn(async move {
        db.ended().await;
        note(&noting, "the service has ended");
    });
    let mut log = stage.bus.subscribe(&LOG_EVENTS).unwrap();
    let mut notifications = stage.bus.subscribe(&NOTIFICATION).unwrap();

    assert_eq!(stage.module.system_health().active_workflows, 1);
    let account = within(stage.module.shutdown(LONG)).await;
    assert!(account.is_complete(), "{account}");
    assert_eq!(account.to_string(), "everything stopped in time");
    watching.await.unwrap();
    run.outcome().await.unwrap();
    let expected = ["undone, the service is alive", "the service has ended"];
    assert_eq!(noted(&record), expected);
    assert!(!is_alive(pid));
    let entries = std::iter::from_fn(|| Some(log.try_recv().ok()?.message.clone()));
    let expected = ["asked to stop by SIGTERM", "killed by SIGTERM"];
    assert_eq!(entries.collect::<Vec<_>>(), expected);
    // It was asked to: that is no crash.
    assert!(notifications.try_recv().is_err());
    assert_eq!(stage.module.system_health().active_workflows, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_at_the_last_moment_is_still_counted() {
    let stage = Stage::new();
    let mut errors = stage.bus.subscribe(&ERROR_DETECTED).unwrap();
    let orchestrator = stage.module.orchestrator().unwrap();
    orchestrator.execute_workflow(&failing(), ()).await.unwrap();
    let account = stage.module.shutdown(LONG).await;
    assert!(account.is_complete(), "{account}");
    assert_eq!(errors.try_recv().unwrap().source, "release/build");
    let health = stage.module.system_health();
    assert_eq!(health.errors.unwrap().total, 1);
    let steps = health.performance.unwrap().steps;
    assert_eq!(steps.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_module_at_rest_ends_at_once_and_leaves_no_task() {
    let stage = Stage::new();
    let begun = Instant::now();
    let account = stage.module.shutdown(Duration::MAX).await;
    assert!(account.is_complete(), "{account}");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    no_task_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_holds_its_thread_at_the_deadline_is_named_and_not_waited_for() {
    let stage = Stage::new();
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let mut workflow = Workflow::builder("held");
    workflow.step("hold").run(move || {
        let wait = Arc::clone(&wait);
        async move {
            let _ = wait.lock().unwrap().recv();
            Ok::<_, StepError>(())
        }
    });
    let run = stage.started(&workflow.build().unwrap(), "hold").await;
    let account = within(stage.module.shutdown(Duration::from_millis(1))).await;
    let run = format!("run {}", run.id());
    let told = format!("workflows aborted: {run}; workflows still running: {run}");
    // What it woke last may wait for its thread, and is named too.
    assert!(account.to_string().starts_with(&told), "{account}");
    assert!(!account.is_complete());
    drop(go_on);
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_at_the_deadline_is_aborted_and_named() {
    let stage = Stage::new();
    let run = stage.started(&deaf(), "listen").await;
    let begun = Instant::now();
    let account = stage.module.shutdown(Duration::from_secs(3)).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    assert!(!account.is_complete());
    let aborted = &account.workflows.as_ref().unwrap().aborted;
    assert_eq!(*aborted, [format!("run {}", run.id())]);
    // Nothing else is blamed: what stops at once has the time for it.
    assert_eq!(
        account.to_string(),
        format!("workflows aborted: run {}", run.id())
    );
    assert!(matches!(
        run.outcome().await,
        Err(WorkflowError::Aborted { .. })
    ));
    no_task_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn events_that_a_flow_leaves_are_named() {
    let stage = Stage::new();
    let _slow = stage.bus.subscribe(&OUT.capacity(1)).unwrap();
    let choreographer = stage.module.choreographer().unwrap();
    let flow = EventFlow::from(&IN).map(|number| *number).to(&OUT);
    choreographer.add_event_flow(flow.named("numbers")).unwrap();
    let numbers = stage.bus.publisher(&IN).unwrap();
    for number in 0..3 {
        numbers.publish(number).await.unwrap();
    }
    let account = stage.module.shutdown(Duration::from_secs(3)).await;
    assert!(!account.is_complete());
    assert_eq!(account.to_string(), "`numbers` left 2 events");
    no_task_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_shutdown_finds_that_everything_has_ended() {
    let stage = Stage::new();
    stage.started(&deaf(), "listen").await;
    assert!(
        !stage
            .module
            .shutdown(Duration::from_secs(3))
            .await
            .is_complete()
    );
    let begun = Instant::now();
    let account = stage.module.shutdown(LONG).await;
    assert!(account.is_complete(), "{account}");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_was_dropped_can_be_called_again() {
    let stage = Stage::new();
    let record = Record::default();
    let noting = Arc::clone(&record);
    stage
        .started(&waiting(move || note(&noting, "undone")), "watch")
        .await;
    stage.started(&deaf(), "listen").await;
    let dropped = timeout(Duration::from_secs(1), stage.module.shutdown(LONG)).await;
    assert!(dropped.is_err());
    let account = stage.module.shutdown(LONG).await;
    assert!(account.is_complete(), "{account}");
    assert_eq!(noted(&record), ["undone"]);
    no_task_is_left().await;
}

#[tokio::test(start_paused = true)]
async fn after_it_nothing_is_started_any_more() {
    let stage = Stage::new();
    let module = &stage.module;
    assert!(module.shutdown(LONG).await.is_complete());
    let run = module
        .orchestrator()
        .unwrap()
        .start_workflow(&failing(), ());
    assert!(run.is_err());
    let service = ServiceSpec::new(ProcessSpec::shell("db", "exit 0"));
    assert!(
        stage
            .services()
            .start(ChildSpec::new("db"), service)
            .is_err()
    );
    let flow = EventFlow::from(&IN).map(|number| *number).to(&OUT);
    assert!(
        module
            .choreographer()
            .unwrap()
            .add_event_flow(flow)
            .is_err()
    );
    let pattern = ErrorPattern::on(&IN, "numbers", |_: &u32| None);
    assert!(
        module
            .recovery()
            .unwrap()
            .register_error_pattern(pattern)
            .is_err()
    );
    let patterns = module.patterns().unwrap();
    let config = DynamicUiConfig::default();
    module.create_dynamic_ui_pattern(config).unwrap();
    let refused = patterns.enable("dynamic-ui").await.unwrap_err();
    assert!(matches!(refused, PatternError::ShutDown { .. }));
    assert_eq!(patterns.active(), 0);
    let health = module.system_health();
    assert_eq!(health.reasons, ["the module is shut down"]);
    // The bus is its user's.
    assert!(stage.bus.stats().iter().all(|topic| !topic.closed));
}

#[tokio::test]
async fn dropped_it_leaves_no_task_and_no_process() {
    let mut stage = Stage::new();
    stage.serve("db", "trap '' TERM; echo $$; while :; do sleep 1000; done");
    let service = stage.pid().await;
    let runner = stage.module.processes().unwrap().clone();
    let mut workflow = Workflow::builder("watch");
    workflow.step("watch").run(move || {
        let runner = runner.clone();
        async move {
            let process = ProcessSpec::shell("watch", "echo $$; exec sleep 1000");
            runner.run(&process, &Stop::default()).await?;
            Ok::<_, StepError>(())
        }
    });
    stage.started(&workflow.build().unwrap(), "watch").await;
    let step = stage.pid().await;
    assert!(is_alive(service) && is_alive(step));

    let Stage {
        module,
        bus,
        output,
    } = stage;
    drop((module, output));
    no_task_is_left().await;
    until(|| !is_alive(service) && !is_alive(step)).await;
    let subscribers = bus
        .stats()
        .iter()
        .map(|topic| topic.subscribers.len())
        .sum::<usize>();
    assert_eq!(subscribers, 0);
}
