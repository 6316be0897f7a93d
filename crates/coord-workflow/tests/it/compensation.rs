//! What undoes a step has a retry and a timeout of its own.

use std::future::pending;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::{Instant, sleep};
use coord_bus::vocabulary::{Transition, WORKFLOW_EVENTS};
use coord_bus::{BusExt, LocalBus, MemoryEventLog, MemoryLeases};
use coord_workflow::{
    Call, Compensation, HandlerCall, Outcome, Registry, Retry, RunId, RunJournal, Spec,
    StepContext, StepError, StepSpec, UndoSpec, Workflow, WorkflowOrchestrator,
};
use serde_json::{Value, json};

use crate::keys::unmarked;

const SECOND: Duration = Duration::from_secs(1);

async fn outcome_of<K>(workflow: &Workflow<(), K>) -> Arc<Outcome> {
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    orchestrator.execute_workflow(workflow, ()).await.unwrap()
}

/// The error with which undoing `done` failed.
fn failure(outcome: &Outcome) -> String {
    match outcome.step("done").unwrap().compensation {
        Some(Compensation::Failed(error)) => error.to_string(),
        other => panic!("it was to fail, and did not: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn undoing_is_tried_as_often_as_its_own_retry_says_and_then_reported() {
    let bus = LocalBus::new();
    let mut events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let tried = Arc::new(Mutex::new(Vec::new()));
    let trying = Arc::clone(&tried);
    let mut workflow = Workflow::builder("w");
    let done = workflow
        .step("done")
        .retry(Retry::none())
        .compensate(move |_: Arc<()>| {
            trying.lock().unwrap().push(Instant::now());
            async { Err(StepError::message("locked")) }
        })
        .compensation_retry(Retry::constant(7 * SECOND).max_attempts(5))
        .run(async || Ok::<_, StepError>(()));
    workflow
        .step("fails")
        .after(&done)
        .run(async || Err::<(), _>(StepError::message("no")));
    let orchestrator = WorkflowOrchestrator::new(&bus).unwrap();
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    assert_eq!(failure(&outcome), "locked");
    let tried = tried.lock().unwrap().clone();
    assert_eq!(tried.len(), 5);
    let waits = tried.windows(2).map(|pair| (pair[1] - pair[0]).as_secs());
    assert_eq!(waits.collect::<Vec<_>>(), [7; 4]);
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Transition::CompensationFailed { step, error } = &event.transition {
            told.push(format!("{step}: {error}"));
        }
    }
    assert_eq!(told, ["done: locked"]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_at_undoing_is_limited_by_its_own_timeout_or_else_by_that_of_the_step() {
    for (own, expected) in [(Some(2 * SECOND), 2), (None, 40)] {
        let mut workflow = Workflow::builder("w");
        let mut step = workflow
            .step("done")
            .timeout(40 * SECOND)
            .compensate(|_: Arc<()>| pending::<Result<(), StepError>>())
            .compensation_retry(Retry::none());
        if let Some(own) = own {
            step = step.compensation_timeout(own);
        }
        let done = step.run(async || Ok::<_, StepError>(()));
        workflow
            .step("fails")
            .after(&done)
            .run(async || Err::<(), _>(StepError::message("no")));
        let outcome = outcome_of(&workflow.build().unwrap()).await;
        assert_eq!(
            failure(&outcome),
            format!("it was not done after {expected}s, its timeout")
        );
        assert_eq!(outcome.duration.as_secs(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn undoing_may_take_for_ever_where_that_is_asked_for() {
    let mut workflow = Workflow::builder("w");
    let done = workflow
        .step("done")
        .compensate(async |_: Arc<()>| Ok::<_, StepError>(()))
        .run(async || Ok::<_, StepError>(()));
    workflow
        .step("fails")
        .after(&done)
        .run(async || Err::<(), _>(StepError::message("no")));
    let bus = LocalBus::new();
    let builder = WorkflowOrchestrator::builder(&bus);
    let orchestrator = builder.compensation_timeout(Duration::MAX).build().unwrap();
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    let compensation = outcome.step("done").unwrap().compensation;
    assert!(
        matches!(compensation, Some(Compensation::Completed)),
        "{compensation:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_undoes_a_step_is_told_the_run_the_attempt_and_a_key_that_is_not_the_steps() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let (tells, does) = (Arc::clone(&told), Arc::clone(&told));
    let mut workflow = Workflow::<()>::durable("w");
    let done = workflow
        .step("done")
        .compensate_with(move |context: StepContext, output: Arc<u64>| {
            let key = unmarked(&context);
            let told = format!("{} {output} {} {key}", context.run(), context.attempt());
            tells.lock().unwrap().push(told);
            async { Err(StepError::message("locked")) }
        })
        .compensation_retry(Retry::constant(SECOND).max_attempts(2))
        .run_with(move |context| {
            does.lock().unwrap().push(unmarked(&context));
            async { Ok::<_, StepError>(20) }
        });
    workflow
        .step("fails")
        .after(&done)
        .run(async || Err::<(), _>(StepError::message("no")));
    let workflow = workflow.build().unwrap();
    let (log, leases) = (MemoryEventLog::new(), MemoryLeases::new());
    let journal = RunJournal::new(Arc::new(log), Arc::new(leases));
    let bus = LocalBus::new();
    let builder = WorkflowOrchestrator::builder(&bus).journal(journal);
    let (orchestrator, id) = (builder.build().unwrap(), RunId::named("r").unwrap());
    let run = orchestrator.start_durable(&workflow, id.clone(), ());
    run.await.unwrap().outcome().await.unwrap();
    let expected = ["r/done", "r 20 1 r/done/undo", "r 20 2 r/done/undo"];
    assert_eq!(std::mem::take(&mut *told.lock().unwrap()), expected);
    let run = orchestrator.retry_run(&workflow, &id, Some("done"));
    run.await.unwrap().outcome().await.unwrap();
    let expected = ["r/done/1", "r 20 1 r/done/1/undo", "r 20 2 r/done/1/undo"];
    assert_eq!(*told.lock().unwrap(), expected, "what was done anew");
}

#[tokio::test(start_paused = true)]
async fn what_undoes_a_step_and_watches_its_token_is_told_that_its_time_is_up_and_has_its_grace() {
    let let_go = Arc::new(AtomicU32::new(0));
    let letting_go = Arc::clone(&let_go);
    let mut workflow = Workflow::builder("w");
    let done = workflow
        .step("done")
        .compensate_with(move |context: StepContext, _: Arc<()>| {
            let letting_go = Arc::clone(&letting_go);
            async move {
                context.token().cancelled().await;
                sleep(SECOND).await;
                letting_go.fetch_add(1, Ordering::SeqCst);
                Err(StepError::message("half"))
            }
        })
        .compensation_retry(Retry::none())
        .compensation_timeout(3 * SECOND)
        .run(async || Ok::<_, StepError>(()));
    workflow
        .step("fails")
        .after(&done)
        .run(async || Err::<(), _>(StepError::message("no")));
    let outcome = outcome_of(&workflow.build().unwrap()).await;
    assert_eq!(let_go.load(Ordering::SeqCst), 1);
    assert_eq!(outcome.duration.as_secs(), 3 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_undoes_a_step_has_the_key_of_the_step() {
    let keys = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&keys);
    let (spec, registry) = two_to_undo(move |context| {
        let key = context.idempotency_key();
        telling.lock().unwrap().push((key, context.run().clone()));
        async { Ok(Value::Null) }
    });
    let registry = registry.handler("first", async |_| Ok(Value::Null));
    outcome_of(&registry.workflow(spec).unwrap()).await;
    let (key, run) = keys.lock().unwrap()[0].clone();
    assert_eq!(key, format!("{run}/done"));
}

/// `first`, then `second`, and then a failure: the second is undone first, by this.
fn two_to_undo<F>(second: impl Fn(StepContext) -> F + Send + Sync + 'static) -> (Spec, Registry)
where
    F: Future<Output = Result<Value, StepError>> + Send + 'static,
{
    let registry = Registry::new()
        .handler("work", async |_| Ok(Value::Null))
        .handler("fail", async |_| Err(StepError::message("no")))
        .handler("second", move |call: HandlerCall| second(call.context));
    let spec = Spec::new("w")
        .step(StepSpec::new("first", "work").undo(Call::new("first", json!(null))))
        .step(
            StepSpec::new("done", "work")
                .needs(["first"])
                .undo(Call::new("second", json!(null))),
        )
        .step(StepSpec::new("fails", "fail").needs(["done"]));
    (spec, registry)
}

#[tokio::test(start_paused = true)]
async fn when_the_time_to_undo_is_up_what_goes_on_has_its_grace_and_nothing_else_is_begun() {
    let (began, let_go) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (beginning, letting_go) = (Arc::clone(&began), Arc::clone(&let_go));
    let (spec, registry) = two_to_undo(move |context| {
        let letting_go = Arc::clone(&letting_go);
        async move {
            context.token().cancelled().await;
            sleep(2 * SECOND).await;
            letting_go.fetch_add(1, Ordering::SeqCst);
            Err(StepError::message("half"))
        }
    });
    let registry = registry.handler("first", move |_| {
        beginning.fetch_add(1, Ordering::SeqCst);
        async { Ok(Value::Null) }
    });
    let bus = LocalBus::new();
    let builder = WorkflowOrchestrator::builder(&bus).compensation_timeout(20 * SECOND);
    let orchestrator = builder.grace(5 * SECOND).build().unwrap();
    let workflow = registry.workflow(spec).unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    assert_eq!(let_go.load(Ordering::SeqCst), 1, "it had its grace");
    assert_eq!(began.load(Ordering::SeqCst), 0, "no time was left for it");
    for step in ["first", "done"] {
        let Some(Compensation::Failed(error)) = outcome.step(step).unwrap().compensation else {
            panic!("{step} was undone");
        };
        assert_eq!(error.to_string(), "it was not done after 20s, its timeout");
    }
    assert_eq!(outcome.duration.as_secs(), 22);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_at_undoing_is_begun_after_the_time_for_all_of_it() {
    let tried = Arc::new(AtomicU32::new(0));
    let trying = Arc::clone(&tried);
    let (spec, registry) = two_to_undo(move |_| {
        trying.fetch_add(1, Ordering::SeqCst);
        async {
            sleep(SECOND).await;
            Err(StepError::message("locked"))
        }
    });
    let registry = registry.handler("first", async |_| Ok(Value::Null));
    let mut spec = spec;
    let undo = spec.steps[1].undo.take().unwrap();
    spec.steps[1].undo = Some(undo.retry(Retry::constant(8 * SECOND).max_attempts(9)));
    let bus = LocalBus::new();
    let builder = WorkflowOrchestrator::builder(&bus).compensation_timeout(20 * SECOND);
    let orchestrator = builder.build().unwrap();
    let workflow = registry.workflow(spec).unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    assert_eq!(failure(&outcome), "it was not done after 20s, its timeout");
    assert_eq!(tried.load(Ordering::SeqCst), 3, "after 0 s, 9 s and 18 s");
    let first = outcome.step("first").unwrap().compensation;
    assert!(matches!(first, Some(Compensation::Failed(_))), "{first:?}");
    assert_eq!(outcome.duration.as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn what_undoes_a_step_of_a_spec_has_its_own_retry_and_timeout() {
    let tried = Arc::new(AtomicU32::new(0));
    let trying = Arc::clone(&tried);
    let registry = Registry::new()
        .handler("work", async |_| Ok(Value::Null))
        .handler("fail", async |_| Err(StepError::message("no")))
        .handler("undo", move |call: HandlerCall| {
            assert_eq!((call.input, call.outputs.len()), (json!("EUR 20"), 1));
            trying.fetch_add(1, Ordering::SeqCst);
            pending()
        });
    let undo = UndoSpec::from(Call::new("undo", "EUR 20"))
        .retry(Retry::constant(SECOND).max_attempts(4))
        .timeout(3 * SECOND);
    let spec = Spec::new("w")
        .step(StepSpec::new("done", "work").undo(undo))
        .step(StepSpec::new("fails", "fail").needs(["done"]));
    let outcome = outcome_of(&registry.workflow(spec).unwrap()).await;
    assert_eq!(failure(&outcome), "it was not done after 3s, its timeout");
    assert_eq!(tried.load(Ordering::SeqCst), 4);
    assert_eq!(outcome.duration.as_secs(), 4 * 3 + 3);
}

#[test]
fn an_undo_is_read_with_and_without_what_it_may_leave_out() {
    let spec: StepSpec = serde_json::from_value(json!({
        "id": "a", "handler": "h", "undo": { "handler": "u" },
    }))
    .unwrap();
    let undo = spec.undo.unwrap();
    assert_eq!(undo, UndoSpec::from(Call::new("u", Value::Null)));
    let whole = undo.retry(Retry::exponential()).timeout(SECOND);
    let text = serde_json::to_string(&whole).unwrap();
    assert_eq!(serde_json::from_str::<UndoSpec>(&text).unwrap(), whole);
    let attempts = whole.retry.map(|retry| retry.max_attempts);
    assert_eq!(attempts, NonZeroU32::new(3));
    let wrong = serde_json::from_value::<UndoSpec>(json!({ "handler": "u", "retires": 3 }));
    assert!(wrong.unwrap_err().to_string().contains("`retires`"));
}
