//! What a run is told while a hook is called, before the end counts that the hook is about.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{
    Call, Command, HandlerCall, HookCall, Outcome, Registry, Retry, Run, SkipReason, Spec, Status,
    StepError, StepSpec, StepState, WorkflowError, WorkflowOrchestrator,
};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

/// The ends that hooks were told of.
type Told = Arc<Mutex<Vec<String>>>;

/// Handlers, and a hook that takes a second.
fn registry(told: &Told) -> Registry {
    let told = Arc::clone(told);
    Registry::new()
        .handler("works", async |_: HandlerCall| Ok(json!(1)))
        .handler("fails", async |_: HandlerCall| {
            Err(StepError::message("no"))
        })
        .hook("note", move |call: HookCall| {
            let of = call.step.as_deref().unwrap_or("run");
            let line = format!("{of} {} after {}", call.status, call.attempt);
            told.lock().unwrap().push(line);
            async {
                sleep(SECOND).await;
                Ok(())
            }
        })
}

fn note() -> Call {
    Call::new("note", json!(null))
}

fn start(registry: &Registry, spec: Spec) -> (WorkflowOrchestrator, Run) {
    let process = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let workflow = registry.workflow(spec).unwrap();
    let run = process.start_workflow(&workflow, ()).unwrap();
    (process, run)
}

fn asked_to_skip(outcome: &Outcome, step: &str) -> bool {
    let state = outcome.step(step).unwrap().state;
    matches!(state, StepState::Skipped(SkipReason::Asked))
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_hook_is_told_of_its_failure_is_skipped_where_somebody_says_so() {
    for (ends, status) in [(false, Status::Completed), (true, Status::Cancelled)] {
        let told = Told::default();
        let retry = Retry::constant(SECOND).max_attempts(2);
        let spec = Spec::new("w")
            .step(StepSpec::new("bad", "fails").retry(retry).hook(note()))
            .step(StepSpec::new("next", "works").needs(["bad"]));
        let (_process, run) = start(&registry(&told), spec);
        sleep(3 * SECOND / 2).await;
        let step = "bad".to_owned();
        run.tell(Command::Skip { step }).await.unwrap();
        if ends {
            run.cancel();
        }
        let outcome = run.outcome().await.unwrap();
        assert_eq!(outcome.status, status);
        assert_eq!(asked_to_skip(&outcome, "bad"), !ends);
        // It had been told already.
        assert_eq!(*told.lock().unwrap(), ["bad failed after 2"]);
        assert_eq!(outcome.duration, 2 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_hook_is_told_that_it_is_done_is_neither_cancelled_nor_paused_and_says_so() {
    let told = Told::default();
    let spec = Spec::new("w")
        .step(StepSpec::new("good", "works"))
        .hook(note());
    let (_process, run) = start(&registry(&told), spec);
    sleep(SECOND / 2).await;
    for command in [Command::Cancel { reason: None }, Command::Pause] {
        let refused = run.tell(command).await.unwrap_err();
        assert!(
            matches!(refused, WorkflowError::RunFinished { .. }),
            "{refused}"
        );
    }
    let outcome = run.outcome().await.unwrap();
    assert_eq!(
        (outcome.status, outcome.duration),
        (Status::Completed, SECOND)
    );
    assert_eq!(*told.lock().unwrap(), ["run completed after 0"]);
}
