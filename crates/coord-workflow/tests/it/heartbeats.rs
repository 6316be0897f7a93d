//! Signs of life: a step that gives none for too long has failed, and what it last said is told to
//! its next attempt.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{
    AttemptError, DEFAULT_LEASE_TTL, Durable, HandlerCall, Registry, Repeat, Retry, Round, RunId,
    Spec, Status, StepContext, StepError, StepSpec, Workflow, WorkflowOrchestrator,
};
use serde_json::json;
use tokio::time::advance;

use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);

/// Beats as it begins and then so often, once a second, and hangs.
async fn beats(context: StepContext, times: u32) -> Result<(), StepError> {
    context.heartbeat();
    for _ in 0..times {
        sleep(SECOND).await;
        context.heartbeat();
    }
    std::future::pending().await
}

async fn execute(workflow: &Workflow) -> Arc<coord_workflow::Outcome> {
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    orchestrator.execute_workflow(workflow, ()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_step_that_gives_no_sign_of_life_for_too_long_fails_and_says_when_it_last_did() {
    for (times, last, message) in [
        (
            4,
            Some(4 * SECOND),
            "it gave no sign of life for 3s, its heartbeat timeout: the last came 4.0s after the \
             attempt began",
        ),
        (
            0,
            None,
            "it gave no sign of life for 3s, its heartbeat timeout: there was none since the \
             attempt began",
        ),
    ] {
        let mut workflow = Workflow::builder("hangs");
        workflow
            .step("step")
            .heartbeat_timeout(3 * SECOND)
            .run_with(move |context| beats(context, times));
        let outcome = execute(&workflow.build().unwrap()).await;
        let (step, error) = outcome.failures().next().unwrap();
        let timeout = 3 * SECOND;
        assert_eq!(
            error.downcast_ref(),
            Some(&AttemptError::NoHeartbeat { timeout, last })
        );
        assert_eq!(error.to_string(), message);
        assert_eq!(step.duration, last.unwrap_or_default() + timeout);
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_gives_signs_of_life_may_take_its_time() {
    let mut workflow = Workflow::builder("long");
    workflow
        .step("step")
        .heartbeat_timeout(SECOND)
        .run_with(async |context: StepContext| {
            for _ in 0..100 {
                sleep(SECOND - Duration::from_millis(1)).await;
                context.heartbeat();
            }
            Ok::<_, StepError>(())
        });
    let outcome = execute(&workflow.build().unwrap()).await;
    assert!(outcome.is_completed(), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_hangs_is_retried_and_told_how_far_it_had_come() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    let mut workflow = Workflow::builder("import");
    workflow
        .step("step")
        .heartbeat_timeout(3 * SECOND)
        .retry(Retry::constant(SECOND).max_attempts(4))
        .run_with(move |context: StepContext| {
            let seen = Arc::clone(&seen);
            async move {
                let before = context.last_heartbeat::<u32>()?;
                seen.lock().unwrap().push(before);
                let row = before.unwrap_or(0) + 10;
                match context.attempt() {
                    1 => context.heartbeat_with(&row)?,
                    // It says nothing: what was known is known still.
                    2 => context.heartbeat(),
                    3 => {
                        context.heartbeat_with(&row)?;
                        return Err(StepError::message("it broke"));
                    }
                    _ => return Ok(row),
                }
                std::future::pending().await
            }
        });
    let workflow = workflow.build().unwrap();
    let outcome = execute(&workflow).await;
    assert!(outcome.is_completed(), "{outcome:?}");
    let expected = [None, Some(10), Some(10), Some(20)];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn what_a_sign_of_life_said_that_is_of_another_type_is_an_error_and_no_guess() {
    let mut workflow = Workflow::builder("typed");
    workflow
        .step("step")
        .retry(Retry::constant(SECOND).max_attempts(2))
        .run_with(async |context: StepContext| {
            context.last_heartbeat::<u32>()?;
            context.heartbeat_with(&"ten")?;
            Err::<(), _>(StepError::message("it broke"))
        });
    let outcome = execute(&workflow.build().unwrap()).await;
    let (_, error) = outcome.failures().next().unwrap();
    assert!(error.to_string().contains("invalid type"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_step_of_data_has_a_heartbeat_timeout_too() {
    let registry = Registry::new().handler("hangs", async |call: HandlerCall| {
        beats(call.context, 1).await?;
        Ok(json!(null))
    });
    let step = StepSpec::new("step", "hangs").heartbeat_timeout(3 * SECOND);
    let workflow = registry.workflow(Spec::new("data").step(step)).unwrap();
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    assert_eq!(outcome.duration, 4 * SECOND);
    assert_eq!(outcome.status, Status::Failed);
}

/// Says how far it has come, fails once, says more, and holds on where it is told to.
fn half_done(told: &Arc<Mutex<Vec<Option<u32>>>>, holds: bool) -> Workflow<(), Durable> {
    let told = Arc::clone(told);
    let mut workflow = Workflow::durable("half-done");
    workflow
        .step("step")
        .retry(Retry::constant(SECOND).max_attempts(3))
        .run_with(move |context: StepContext| {
            let told = Arc::clone(&told);
            async move {
                let before = context.last_heartbeat::<u32>()?;
                told.lock().unwrap().push(before);
                context.heartbeat_with(&(before.unwrap_or(0) + 7))?;
                match context.attempt() {
                    1 => Err(StepError::message("it broke")),
                    _ if holds => std::future::pending().await,
                    _ => Ok(()),
                }
            }
        });
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn how_far_a_failed_attempt_had_come_is_known_in_the_next_process_too() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let machine = Machine::new();
    let killed = machine.process();
    let id = RunId::named("a").unwrap();
    let workflow = half_done(&told, true);
    let started = killed.start_durable(&workflow, id.clone(), ()).await;
    started.unwrap();
    sleep(10 * SECOND).await;
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
    let next = machine.process();
    let workflow = half_done(&told, false);
    let run = next.resume_run(&workflow, &id).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    // What the attempt that was cut off had said is not: that is what a crash costs.
    assert_eq!(*told.lock().unwrap(), [None, Some(7), Some(7)]);
}

/// Has always something to do, and lets others run only as tokio makes it.
async fn is_busy() -> Result<(), StepError> {
    for _ in 0..1_000_000 {
        tokio::task::consume_budget().await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_step_that_has_always_something_to_do_has_its_limits_too() {
    let mut timed = Workflow::builder("timed");
    timed.step("busy").timeout(SECOND).run(is_busy);
    let mut beating = Workflow::builder("beating");
    let busy = beating.step("busy").heartbeat_timeout(SECOND);
    busy.run_with(|_: StepContext| is_busy());
    for workflow in [timed, beating] {
        let workflow = workflow.build().unwrap();
        let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
        let run = orchestrator.start_workflow(&workflow, ()).unwrap();
        // Time does not go on by itself while somebody is busy.
        for _ in 0..20 {
            advance(SECOND / 10).await;
        }
        let outcome = run.outcome().await.unwrap();
        assert_eq!(outcome.status, Status::Failed, "{}", workflow.name());
    }
}

#[tokio::test(start_paused = true)]
async fn each_item_that_is_done_and_each_round_that_begins_is_a_sign_of_life() {
    let mut workflow = Workflow::<Vec<u64>>::builder("lists");
    let list = workflow.input();
    let work = |seconds: u64| async move {
        sleep(Duration::from_secs(seconds)).await;
        Ok::<_, StepError>(())
    };
    workflow
        .step("items")
        .heartbeat_timeout(3 * SECOND)
        .for_each(list)
        .concurrency(NonZeroUsize::MIN)
        .run(work);
    workflow
        .step("rounds")
        .heartbeat_timeout(3 * SECOND)
        .repeat(Repeat::at_most(5))
        .run(move |round: Round<()>| async move {
            work(2).await?;
            Ok::<_, StepError>(match round.number() {
                5 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
        });
    let workflow = workflow.build().unwrap();
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let execute = async |list: Vec<u64>| {
        let outcome = orchestrator.execute_workflow(&workflow, list).await;
        outcome.unwrap()
    };
    let outcome = execute(vec![2; 8]).await;
    assert!(outcome.is_completed(), "{outcome:?}");
    let outcome = execute(vec![2, 2, 9, 2]).await;
    let (step, error) = outcome.failures().next().unwrap();
    assert_eq!((step.id, step.duration.as_secs()), ("items", 7));
    let (timeout, last) = (3 * SECOND, Some(4 * SECOND));
    let hung = AttemptError::NoHeartbeat { timeout, last };
    assert_eq!(error.downcast_ref(), Some(&hung));
}

#[test]
fn a_step_that_runs_a_workflow_has_no_heartbeat_timeout_and_is_told_what_to_use_instead() {
    let mut child = Workflow::durable("child");
    let nap = child.step("nap").sleep(SECOND);
    let child = child.build().unwrap();
    let mut workflow = Workflow::<Vec<()>, _>::durable("w");
    let list = workflow.input();
    let step = workflow.step("one").heartbeat_timeout(SECOND);
    step.workflow(&child, nap);
    let step = workflow.step("each").heartbeat_timeout(SECOND);
    step.for_each(list).workflow(&child, nap);
    let told = workflow.build().unwrap_err().to_string();
    let fault = |step: &str| {
        format!(
            "step \"{step}\" runs a workflow, which gives no signs of life, so it has no heartbeat timeout: give it a \
             timeout, or the steps of that workflow theirs"
        )
    };
    assert!(
        told.contains(&fault("one")) && told.contains(&fault("each")),
        "{told}"
    );
    let step = StepSpec::workflow("runs", "child");
    let spec = Spec::new("w").step(step.heartbeat_timeout(SECOND));
    let registry = Registry::new().with_workflow(&child);
    let told = registry.workflow(spec).unwrap_err();
    assert!(told.to_string().contains(&fault("runs")), "{told}");
}
