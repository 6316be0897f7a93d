//! Durable runs that are shut down, forgotten or done again at a moment that is easily overlooked.

use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::{sleep, timeout};
use coord_workflow::{
    Command, Durable, OnExhausted, Retry, RunId, Status, Step, StepContext, StepError, StepPhase,
    Workflow, WorkflowError,
};

use crate::durable::Machine;
use crate::keys::unmarked;

const HOUR: Duration = Duration::from_secs(3600);
const GRACE: Duration = Duration::from_secs(10);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

/// What the steps did.
#[derive(Clone, Default)]
struct Story(Arc<Mutex<Vec<String>>>);

impl Story {
    fn write(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn read(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Takes money and goods, each given back in a second, and then an hour.
fn pay(story: &Story) -> (Workflow<(), Durable>, Step<()>) {
    let mut pay = Workflow::durable("pay");
    let mut before = None;
    for name in ["charge", "stock"] {
        let (does, undoes) = (story.clone(), story.clone());
        let mut step = pay.step(name);
        if let Some(before) = before {
            step = step.after(&before);
        }
        let step = step.compensate(move |_: Arc<()>| {
            let undoes = undoes.clone();
            async move {
                sleep(Duration::from_secs(1)).await;
                undoes.write(format!("undo {name}"));
                Ok::<_, StepError>(())
            }
        });
        before = Some(step.run(move || {
            does.write(name);
            ready(Ok::<_, StepError>(()))
        }));
    }
    let shipped = pay.step("ship").after(&before.unwrap()).sleep(HOUR);
    (pay.build().unwrap(), shipped)
}

/// An order whose payment is a run of its own, beside a check that fails after a second if it is to.
fn order(story: &Story, is_fraud: bool) -> Workflow<(), Durable> {
    let mut order = Workflow::durable("order");
    let (pay, shipped) = pay(story);
    order.step("pay").workflow(&pay, shipped);
    order.step("check").run(move || async move {
        sleep(Duration::from_secs(1)).await;
        match is_fraud {
            true => Err(StepError::message("fraud")),
            false => Ok(()),
        }
    });
    order.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_undone_as_its_orchestrator_is_shut_down_is_undone_by_the_next() {
    for is_fraud in [true, false] {
        let (machine, story) = (Machine::new(), Story::default());
        let order = order(&story, is_fraud);
        let process = machine.process();
        let run = process.start_durable(&order, id(), ()).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        if !is_fraud {
            run.tell(Command::Cancel { reason: None }).await.unwrap();
        }
        sleep(Duration::from_millis(500)).await;
        process.shutdown(GRACE).await;
        let left = run.outcome().await;
        assert!(
            matches!(left, Err(WorkflowError::Suspended { .. })),
            "{left:?}"
        );
        let process = machine.process();
        let resumed = process.resume_runs(&order).await.unwrap();
        let outcome = resumed.runs[0].outcome().await.unwrap();
        let expected = if is_fraud {
            Status::Failed
        } else {
            Status::Cancelled
        };
        assert_eq!(outcome.status, expected);
        let undone = ["charge", "stock", "undo stock", "undo charge"];
        assert_eq!(story.read(), undone, "{is_fraud}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_as_its_run_is_suspended_leaves_the_run_to_the_next() {
    let machine = Machine::new();
    let mut workflow = Workflow::durable("w");
    workflow.step("stops").sleep(HOUR);
    let fails = workflow.step("fails").timeout(Duration::from_secs(1));
    fails.run_with(async |context: StepContext| {
        context.token().cancelled().await;
        sleep(Duration::from_millis(500)).await;
        Err::<(), _>(StepError::message("stopped"))
    });
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(Duration::from_millis(1_100)).await;
    process.shutdown(GRACE).await;
    let left = run.outcome().await;
    assert!(
        matches!(left, Err(WorkflowError::Suspended { .. })),
        "{left:?}"
    );
    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Failed);
    assert!(outcome.duration < HOUR);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_used_again_has_children_of_its_own_while_those_of_the_run_before_are_kept() {
    let (machine, story) = (Machine::new(), Story::default());
    let mut pay = Workflow::<u32>::durable("pay");
    let (amount, does) = (pay.input(), story.clone());
    let charged = pay
        .step("charge")
        .input(amount)
        .run(move |amount: Arc<u32>| {
            does.write(format!("charge {amount}"));
            ready(Ok::<_, StepError>(()))
        });
    let mut order = Workflow::durable("order");
    let input = order.input();
    let pay = pay.build().unwrap();
    order.step("pay").input(input).workflow(&pay, charged);
    let order: Workflow<u32, Durable> = order.build().unwrap();
    for amount in [100, 100, 200] {
        let process = machine.process();
        let run = process.start_durable(&order, id(), amount).await.unwrap();
        assert!(run.outcome().await.unwrap().is_completed());
        process.shutdown(GRACE).await;
        machine.log.forget("run.r").await.unwrap();
    }
    assert_eq!(story.read(), ["charge 100", "charge 100", "charge 200"]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_cut_off_counts_as_begun_also_where_it_is_not_made_again() {
    for failures in [0, 2] {
        let machine = Machine::new();
        let mut workflow = Workflow::<()>::durable("w");
        let step = workflow.step("step");
        let step = step.retry(Retry::constant(Duration::from_secs(1)).max_attempts(9));
        step.run_with(move |context: StepContext| async move {
            if context.attempt() <= failures {
                return Err(StepError::message("no"));
            }
            sleep(HOUR).await;
            Ok(())
        });
        let workflow: Workflow<(), Durable> = workflow.build().unwrap();
        let process = machine.process();
        process.start_durable(&workflow, id(), ()).await.unwrap();
        sleep(Duration::from_secs(10)).await;
        let attempts = async || {
            let view = machine.journal().view(&id()).await.unwrap();
            let step = view.step("step").unwrap();
            (step.attempts, step.started)
        };
        let begun = (failures + 1, Some(Duration::ZERO));
        assert_eq!(attempts().await, begun);
        drop(process);
        let reason = None;
        let cancel = Command::Cancel { reason };
        machine.journal().tell(&id(), cancel).await.unwrap();
        sleep(coord_workflow::DEFAULT_LEASE_TTL).await;
        let process = machine.process();
        let run = process.resume_run(&workflow, &id()).await.unwrap();
        let outcome = run.outcome().await.unwrap();
        assert_eq!(outcome.status, Status::Cancelled);
        assert_eq!(attempts().await, begun);
        let report = outcome.step("step").unwrap();
        assert_eq!((report.attempts, report.started), begun);
        let timeline = outcome.timeline().to_string();
        let in_attempt = match failures {
            0 => "step cancelled\n".to_owned(),
            _ => format!("step cancelled in attempt {}\n", failures + 1),
        };
        assert!(
            timeline.contains("step started\n") && timeline.contains(&in_attempt),
            "{timeline}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_could_not_be_undone_and_is_done_again_has_another_key() {
    let (machine, story) = (Machine::new(), Story::default());
    let mut workflow = Workflow::durable("w");
    let does = story.clone();
    let undo = async |_: Arc<()>| Err::<(), _>(StepError::message("no answer"));
    let charge = workflow.step("charge").compensate(undo);
    let charge = charge.run_with(move |context: StepContext| {
        does.write(unmarked(&context));
        ready(Ok::<_, StepError>(()))
    });
    let ship = workflow.step("ship").after(&charge);
    ship.run(async || Err::<(), _>(StepError::message("no ship")));
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    let run = process
        .retry_run(&workflow, &id(), Some("charge"))
        .await
        .unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    assert_eq!(story.read(), ["r/charge", "r/charge/1"]);
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_wait_counts_on_over_the_ends_of_processes_and_anew_for_each_attempt() {
    let machine = Machine::new();
    let mut workflow = Workflow::durable("w");
    let limit = Duration::from_secs(10);
    let approved = workflow.step("approved").timeout(limit);
    let approved = approved.retry(Retry::constant(Duration::from_secs(1)).max_attempts(2));
    approved.signal::<u32>("approved");
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(Duration::from_secs(4)).await;
    drop(run);
    process.shutdown(GRACE).await;
    // Two attempts of ten seconds, and the wait between them; the processes end every four.
    for _ in 0..4 {
        let process = machine.process();
        let run = process.resume_run(&workflow, &id()).await.unwrap();
        let ended = timeout(Duration::from_secs(4), run.outcome()).await;
        assert!(ended.is_err(), "{ended:?}");
        process.shutdown(GRACE).await;
    }
    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Failed);
    assert_eq!(outcome.duration.as_secs(), 21);
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_wait_begins_anew_where_its_run_was_paused_for_it_and_is_continued() {
    let machine = Machine::new();
    let mut workflow = Workflow::durable("w");
    let approved = workflow.step("approved").on_exhausted(OnExhausted::Pause);
    let approved = approved.timeout(Duration::from_secs(10));
    approved.signal::<u32>("approved");
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(HOUR).await;
    run.tell(Command::Continue).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    let view = machine.journal().view(&id()).await.unwrap();
    assert_eq!(view.step("approved").unwrap().phase, StepPhase::Running);
    // Also where another process goes on with what is left of it.
    process.shutdown(GRACE).await;
    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    sleep(Duration::from_secs(4)).await;
    let phase = || run.view().unwrap().step("approved").unwrap().phase;
    assert_eq!(phase(), StepPhase::Running);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(phase(), StepPhase::Exhausted);
}

#[tokio::test(start_paused = true)]
async fn a_durable_run_waits_for_weeks_where_it_was_given_no_limit() {
    let machine = Machine::new();
    let mut workflow = Workflow::durable("w");
    workflow.step("cool-off").sleep(24 * 14 * HOUR);
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.is_completed());
    assert_eq!(outcome.duration.as_secs(), 14 * 24 * 3600);
}

#[tokio::test(start_paused = true)]
async fn an_input_with_a_large_number_is_another_if_its_last_digit_is() {
    let machine = Machine::new();
    let mut workflow = Workflow::durable("w");
    workflow.step("one").run(async || Ok::<_, StepError>(()));
    let workflow: Workflow<u128, Durable> = workflow.build().unwrap();
    let process = machine.process();
    for (input, is_same) in [(u128::MAX, true), (u128::MAX - 1, false), (u128::MAX, true)] {
        let run = process.start_durable(&workflow, id(), input).await;
        assert_eq!(run.is_ok(), is_same, "{input}: {:?}", run.err());
    }
}
