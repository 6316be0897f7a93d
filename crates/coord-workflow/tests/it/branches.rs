//! Where a step fails and the branches that do not need it are to finish, or not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{
    DEFAULT_LEASE_TTL, Durable, Fault, OnFailure, Outcome, Registry, RunId, Spec, Status,
    StepError, StepPhase, StepSpec, Why, Workflow, WorkflowError, WorkflowOrchestrator,
};
use serde_json::{Value, json};

use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);

/// `a` fails after 1 s and `b`, after it, would undo; `long` takes 10 s and can be undone, and `last`
/// comes after it; `both` needs what fails and what does not.
fn build(on_failure: OnFailure, critical: bool, undone: &Arc<Mutex<Vec<u64>>>) -> Workflow {
    let mut workflow = Workflow::builder("branches").on_failure(on_failure);
    let mut a = workflow.step("a");
    if critical {
        a = a.critical();
    }
    let a = a.run(async || {
        sleep(SECOND).await;
        Err::<(), _>(StepError::message("it broke"))
    });
    let b = workflow
        .step("b")
        .after(&a)
        .run(async || Ok::<_, StepError>(()));
    let undone = Arc::clone(undone);
    let long = workflow
        .step("long")
        .compensate(move |seconds: Arc<u64>| {
            undone.lock().unwrap().push(*seconds);
            async { Ok::<_, StepError>(()) }
        })
        .run(async || {
            sleep(10 * SECOND).await;
            Ok::<u64, StepError>(10)
        });
    workflow
        .step("last")
        .after(&long)
        .run(async || Ok::<_, StepError>(()));
    workflow
        .step("both")
        .after(&b)
        .after(&long)
        .run(async || Ok::<_, StepError>(()));
    workflow.build().unwrap()
}

async fn execute(workflow: &Workflow) -> Arc<Outcome> {
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    orchestrator.execute_workflow(workflow, ()).await.unwrap()
}

fn states(outcome: &Outcome) -> Vec<&'static str> {
    outcome.steps().map(|step| step.state.name()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_does_not_need_a_step_that_failed_comes_to_its_end_before_the_run_fails() {
    let undone = Arc::default();
    let outcome = execute(&build(OnFailure::FinishBranches, false, &undone)).await;
    let expected = ["failed", "cancelled", "completed", "completed", "cancelled"];
    assert_eq!(states(&outcome), expected);
    assert_eq!(outcome.status, Status::Failed);
    assert_eq!(outcome.duration, 10 * SECOND);
    assert_eq!(*undone.lock().unwrap(), [10], "it is undone all the same");
}

#[tokio::test(start_paused = true)]
async fn where_all_is_to_finish_what_needs_a_step_that_failed_runs_and_then_the_run_fails() {
    let undone = Arc::default();
    let outcome = execute(&build(OnFailure::FinishAll, false, &undone)).await;
    let expected = ["failed", "completed", "completed", "completed", "completed"];
    assert_eq!(states(&outcome), expected);
    assert_eq!(outcome.status, Status::Failed);
    assert_eq!(*undone.lock().unwrap(), [10]);
}

#[tokio::test(start_paused = true)]
async fn by_default_a_failure_ends_the_run_at_once_and_one_of_a_critical_step_always_does() {
    let modes = [
        (OnFailure::FailFast, false),
        (OnFailure::FinishBranches, true),
    ];
    for (on_failure, critical) in modes {
        let undone = Arc::default();
        let outcome = execute(&build(on_failure, critical, &undone)).await;
        let expected = ["failed", "cancelled", "cancelled", "cancelled", "cancelled"];
        assert_eq!(states(&outcome), expected);
        assert_eq!(outcome.duration, SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn each_branch_that_fails_is_among_the_failures() {
    let fails = async || Err::<(), _>(StepError::message("no"));
    let mut workflow = Workflow::builder("checks").on_failure(OnFailure::FinishBranches);
    workflow.step("lint").run(fails);
    let flaky = workflow.step("flaky").optional().run(fails);
    workflow.step("test").after(&flaky).run(fails);
    workflow.step("docs").run(async || Ok::<_, StepError>(()));
    let outcome = execute(&workflow.build().unwrap()).await;
    let failures: Vec<_> = outcome.failures().map(|(step, _)| step.id).collect();
    assert_eq!(failures, ["lint", "test"]);
    assert_eq!(outcome.step("docs").unwrap().state.name(), "completed");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_needs_any_of_some_begins_without_those_that_failed_and_not_if_all_did() {
    for (near_fails, expected) in [(false, "completed"), (true, "cancelled")] {
        for skips in [false, true] {
            let mut workflow = Workflow::builder("mirrors").on_failure(OnFailure::FinishBranches);
            let far = workflow
                .step("far")
                .run(async || Err::<(), _>(StepError::message("no")));
            let behind = workflow
                .step("behind")
                .after(&far)
                .run(async || Ok::<_, StepError>(()));
            let near = workflow
                .step("near")
                .when(move || !(near_fails && skips))
                .run(move || async move {
                    sleep(SECOND).await;
                    match near_fails {
                        true => Err(StepError::message("no")),
                        false => Ok(()),
                    }
                });
            let unpack = workflow
                .step("unpack")
                .after_any([&far, &behind, &near])
                .run(async || Ok::<_, StepError>(()));
            workflow
                .step("tell")
                .after(&unpack)
                .run(async || Ok::<_, StepError>(()));
            let outcome = execute(&workflow.build().unwrap()).await;
            assert_eq!(outcome.status, Status::Failed);
            for step in ["unpack", "tell"] {
                assert_eq!(outcome.step(step).unwrap().state.name(), expected);
            }
        }
    }
}

fn registry(holds: bool) -> Registry {
    Registry::new()
        .handler("works", move |_| async move {
            if holds {
                std::future::pending::<()>().await;
            }
            Ok(json!(null))
        })
        .handler("fails", async |_| Err::<Value, _>(StepError::message("no")))
}

fn data(on_failure: OnFailure) -> Spec {
    Spec::new("data")
        .on_failure(on_failure)
        .step(StepSpec::new("broken", "fails"))
        .step(StepSpec::new("after", "works").needs(["broken"]))
        .step(StepSpec::new("beside", "works"))
}

#[tokio::test(start_paused = true)]
async fn a_run_with_a_failed_branch_is_taken_up_and_seen_as_what_it_is() {
    let (machine, id) = (Machine::new(), RunId::named("a").unwrap());
    let build = |on_failure, holds| -> Workflow<(), Durable> {
        registry(holds).workflow(data(on_failure)).unwrap()
    };
    let killed = machine.process();
    let holding = build(OnFailure::FinishBranches, true);
    let run = killed
        .start_durable(&holding, id.clone(), ())
        .await
        .unwrap();
    sleep(SECOND).await;
    for view in [
        run.view().unwrap(),
        machine.journal().view(&id).await.unwrap(),
    ] {
        let blocked = vec!["broken".to_owned()];
        assert_eq!(view.why("after"), Some(Why::Blocked(blocked)));
        assert_eq!(view.step("beside").unwrap().phase, StepPhase::Running);
    }
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
    let next = machine.process();
    // What becomes of a run when something fails is a part of what it is.
    let other = next
        .resume_run(&build(OnFailure::FailFast, false), &id)
        .await;
    assert!(
        matches!(other, Err(WorkflowError::Changed { .. })),
        "{other:?}"
    );
    let workflow = build(OnFailure::FinishBranches, false);
    let outcome = next
        .resume_run(&workflow, &id)
        .await
        .unwrap()
        .outcome()
        .await;
    let outcome = outcome.unwrap();
    assert_eq!(states(&outcome), ["failed", "cancelled", "completed"]);
    // Retried, what failed and what needs it is done, and the rest is not done again.
    let view = machine.journal().view(&id).await.unwrap();
    assert_eq!(view.steps, outcome.view().steps);
    let run = next.retry_run(&workflow, &id, None).await.unwrap();
    let again = run.outcome().await.unwrap();
    assert_eq!(states(&again), ["failed", "cancelled", "completed"]);
    assert_eq!(again.step("beside").unwrap().attempts, 1);
}

#[test]
fn a_step_cannot_be_optional_and_critical() {
    let step = StepSpec::new("step", "works").optional().critical();
    let Err(faults) = registry(false).workflow(Spec::new("data").step(step)) else {
        panic!("it is taken");
    };
    let expected = "step \"step\" is both `optional` and `critical`: its failure cannot both harm nobody \
                    and end the run";
    assert_eq!(faults.0[0].to_string(), expected);
    assert!(matches!(
        faults.0[0],
        Fault::OptionalAndCritical { step: 0, .. }
    ));
}
