//! Every transition is an event of the vocabulary, in an order that tells the story.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::ManualClock;
use coord_bus::vocabulary::{Transition, WORKFLOW_EVENTS};
use coord_bus::{BusExt, LocalBus, Timestamp};
use coord_workflow::{
    HandlerCall, Registry, Retry, Spec, Status, StepContext, StepError, StepSpec, Workflow,
    WorkflowOrchestrator,
};
use serde_json::{Value, json};

pub(crate) fn name(transition: &Transition) -> String {
    let value = serde_json::to_value(transition).unwrap();
    let kind = value["transition"].as_str().unwrap().to_owned();
    match value["step"].as_str() {
        Some(step) => format!("{kind} {step}"),
        None => kind,
    }
}

#[tokio::test(start_paused = true)]
async fn the_events_of_a_run_tell_its_story_in_order() {
    let bus = LocalBus::new();
    let mut events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let orchestrator = WorkflowOrchestrator::builder(&bus)
        .clock(clock)
        .build()
        .unwrap();
    let mut workflow = Workflow::builder("story");
    let flaky = workflow
        .step("flaky")
        .retry(Retry::constant(Duration::from_secs(1)))
        .compensate(|_: Arc<()>| async { Ok::<_, StepError>(()) })
        .run_with(|context: StepContext| async move {
            match context.attempt() {
                1 => Err(StepError::message("first try")),
                _ => Ok(()),
            }
        });
    let skipped = workflow
        .step("skipped")
        .after(&flaky)
        .when(|| false)
        .run(async || Ok::<_, StepError>(()));
    let fails = workflow
        .step("fails")
        .after(&skipped)
        .run(async || Err::<(), _>(StepError::message("no")));
    workflow
        .step("never")
        .after(&fails)
        .run(async || Ok::<_, StepError>(()));
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    assert_eq!(outcome.status, Status::Failed);

    let mut story = Vec::new();
    while let Ok(event) = events.try_recv() {
        assert_eq!(event.workflow, "story");
        assert_eq!(event.run, outcome.run.to_string());
        assert_eq!(event.at, Timestamp::UNIX_EPOCH);
        story.push(name(&event.transition));
    }
    assert_eq!(
        story,
        [
            "run-started",
            "step-started flaky",
            "step-retrying flaky",
            "step-started flaky",
            "step-completed flaky",
            "step-skipped skipped",
            "step-started fails",
            "step-failed fails",
            "step-cancelled never",
            "compensation-started flaky",
            "compensation-completed flaky",
            "run-finished",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn who_subscribes_while_a_run_goes_on_hears_of_everything_from_then_on() {
    let bus = LocalBus::new();
    let orchestrator = WorkflowOrchestrator::new(&bus).unwrap();
    let (listening, heard) = tokio::sync::mpsc::channel(1);
    let mut workflow = Workflow::builder("late");
    let quiet = workflow.step("quiet").run(async || Ok::<_, StepError>(()));
    // It subscribes by itself, so that nothing lies between that and its end.
    let subscribes = workflow.step("subscribes").after(&quiet).run(move || {
        let (bus, listening) = (bus.clone(), listening.clone());
        async move {
            listening.send(bus.subscribe(&WORKFLOW_EVENTS)?).await?;
            Ok::<_, StepError>(())
        }
    });
    let mut last = subscribes;
    for step in ["one", "two"] {
        last = workflow
            .step(step)
            .after(&last)
            .run(async || Ok::<_, StepError>(()));
    }
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    assert!(outcome.is_completed());
    let (mut heard, mut story) = (heard, Vec::new());
    let mut events = heard.recv().await.unwrap();
    while let Ok(event) = events.try_recv() {
        story.push(name(&event.transition));
    }
    assert_eq!(
        story,
        [
            "step-completed subscribes",
            "step-started one",
            "step-completed one",
            "step-started two",
            "step-completed two",
            "run-finished",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_workflow_from_data_runs_its_handlers_by_name() {
    let registry = Registry::new()
        .handler("add", |call: HandlerCall| async move {
            let inputs = call.outputs.values().filter_map(|value| value.as_i64());
            let own = call.input.as_i64().unwrap_or_default();
            Ok(json!(own + inputs.sum::<i64>()))
        })
        .handler("large", |call: HandlerCall| async move {
            let sum = call.outputs.values().filter_map(|value| value.as_i64());
            Ok(json!(
                sum.sum::<i64>() > call.input.as_i64().unwrap_or_default()
            ))
        });
    let spec: Spec = serde_json::from_value(json!({
        "name": "sums",
        "steps": [
            { "id": "one", "handler": "add", "input": 1 },
            { "id": "two", "handler": "add", "input": 2 },
            { "id": "sum", "handler": "add", "input": 10, "depends_on": ["one", "two"] },
            { "id": "huge", "handler": "add", "needs": ["sum"],
              "when": { "handler": "large", "input": 100 } },
        ],
    }))
    .unwrap();
    let workflow = registry.workflow(spec).unwrap();
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    assert!(outcome.is_completed());
    assert_eq!(outcome.value_of("sum").as_deref(), Some(&json!(13)));
    assert_eq!(outcome.value_of("huge"), None);
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_answers_neither_true_nor_false_fails_its_step() {
    let registry = Registry::new()
        .handler("work", |_| async { Ok(Value::Null) })
        .handler("maybe", |_| async { Ok(json!("maybe")) });
    let step = StepSpec::new("s", "work").when(coord_workflow::Call::new("maybe", Value::Null));
    let workflow = registry.workflow(Spec::new("odd").step(step)).unwrap();
    let bus = LocalBus::new();
    let mut events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let orchestrator = WorkflowOrchestrator::new(&bus).unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    assert_eq!(outcome.status, Status::Failed);
    let (_, error) = outcome.failures().next().unwrap();
    assert_eq!(
        error.to_string(),
        "its condition answered \"maybe\", which is neither true nor false"
    );
    let mut story = Vec::new();
    while let Ok(event) = events.try_recv() {
        story.push(name(&event.transition));
    }
    assert_eq!(story, ["run-started", "step-failed s", "run-finished"]);
}
