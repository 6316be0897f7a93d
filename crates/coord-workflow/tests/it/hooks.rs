//! A hook is called when a step, or a run, has come to its end, before that counts.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::vocabulary::{Transition, WORKFLOW_EVENTS};
use coord_bus::{BusExt, LocalBus};
use coord_workflow::{
    Call, Fault, HandlerCall, HookCall, HookSpec, Outcome, Registry, Retry, Spec, Status,
    StepError, StepSpec, WorkflowOrchestrator,
};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

/// What the hooks of a test were told, a line each.
type Told = Arc<Mutex<Vec<String>>>;

fn line(call: &HookCall) -> String {
    let of = call.step.as_deref().unwrap_or("run");
    let failures = call.failures.iter();
    let failures: String = failures
        .map(|(step, error)| format!(" ({step}: {error})"))
        .collect();
    format!("{of} {} after {}{failures}", call.status, call.attempt)
}

fn registry(told: &Told) -> Registry {
    let (hooked, undone) = (Arc::clone(told), Arc::clone(told));
    Registry::new()
        .handler("works", async |_: HandlerCall| Ok(json!(1)))
        .handler("fails", async |_: HandlerCall| {
            Err(StepError::message("no"))
        })
        .handler("hangs", async |_: HandlerCall| pending().await)
        .handler("undo", move |_: HandlerCall| {
            undone.lock().unwrap().push("undone".to_owned());
            async { Ok(json!(null)) }
        })
        .hook("note", move |call: HookCall| {
            hooked.lock().unwrap().push(line(&call));
            async { Ok(()) }
        })
        .hook("breaks", async |_: HookCall| {
            Err(StepError::message("torn"))
        })
        .hook("hangs", async |call: HookCall| {
            if call.input == json!("deaf") {
                pending::<()>().await;
            }
            call.token.cancelled().await;
            Ok(())
        })
}

fn note() -> Call {
    Call::new("note", json!(null))
}

async fn outcome_of(registry: &Registry, spec: Spec) -> (Arc<Outcome>, Vec<String>) {
    let bus = LocalBus::new();
    let mut events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let orchestrator = WorkflowOrchestrator::new(&bus).unwrap();
    let workflow = registry.workflow(spec).unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    let mut failed = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Transition::HookFailed { step, error } = &event.transition {
            failed.push(format!("{}: {error}", step.as_deref().unwrap_or("run")));
        }
    }
    (outcome, failed)
}

#[tokio::test(start_paused = true)]
async fn a_hook_is_told_how_its_step_and_the_run_have_come_to_their_ends() {
    let told = Told::default();
    let spec = Spec::new("w")
        .step(
            StepSpec::new("good", "works")
                .hook(note())
                .undo(Call::new("undo", json!(0))),
        )
        .step(StepSpec::new("long", "hangs").hook(note()).needs(["good"]))
        .step(
            StepSpec::new("bad", "fails")
                .needs(["good"])
                .retry(Retry::constant(SECOND).max_attempts(2))
                .hook(note()),
        )
        .step(StepSpec::new("never", "works").needs(["bad"]).hook(note()))
        .hook(note());
    let (outcome, failed) = outcome_of(&registry(&told), spec).await;
    assert_eq!(outcome.status, Status::Failed);
    assert_eq!(
        *told.lock().unwrap(),
        [
            "good completed after 1",
            "bad failed after 2 (bad: no)",
            "long cancelled after 1",
            "undone",
            "run failed after 0 (bad: no)",
        ]
    );
    assert_eq!(failed, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_or_takes_too_long_is_told_of_and_changes_nothing() {
    let registry = registry(&Told::default());
    let limited = |input: &str| HookSpec::from(Call::new("hangs", input)).timeout(3 * SECOND);
    let spec = Spec::new("w")
        .step(StepSpec::new("a", "works").hook(Call::new("breaks", json!(null))))
        .step(
            StepSpec::new("b", "works")
                .needs(["a"])
                .hook(limited("deaf")),
        )
        .step(
            StepSpec::new("c", "works")
                .needs(["b"])
                .hook(limited("hears")),
        )
        .hook(Call::new("breaks", json!(null)));
    let (outcome, failed) = outcome_of(&registry, spec).await;
    assert_eq!(outcome.status, Status::Completed);
    assert_eq!(
        failed,
        [
            "a: torn",
            "b: it was not done after 3s, its timeout",
            "run: torn"
        ]
    );
}

#[test]
fn a_hook_that_is_not_registered_is_told_with_the_nearest() {
    let spec = Spec::new("w")
        .step(StepSpec::new("a", "works").hook(Call::new("nite", json!(null))))
        .hook(Call::new("works", json!(null)));
    let faults = registry(&Told::default()).workflow(spec).unwrap_err().0;
    assert_eq!(
        faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "step \"a\" names the hook \"nite\", which is not registered; did you mean \"note\"?",
            "the workflow names the hook \"works\", which is not registered",
        ]
    );
    assert!(matches!(faults[1], Fault::UnknownHook { step: None, .. }));
}
