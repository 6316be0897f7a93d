//! What a definition may have changed in while its run was interrupted, and what not.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::{AppendTo, Record};
use coord_workflow::{Durable, RunId, StepError, Workflow, WorkflowBuilder, WorkflowError};

use crate::durable::Machine;

const HOUR: Duration = Duration::from_secs(3600);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

fn cooling(add: impl FnOnce(&mut WorkflowBuilder<(), Durable>)) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("cooling");
    add(&mut workflow);
    workflow.build().unwrap()
}

fn sleeping(time: Duration) -> Workflow<(), Durable> {
    cooling(|workflow| {
        workflow.step("cool").sleep(time);
    })
}

fn working() -> Workflow<(), Durable> {
    cooling(|workflow| {
        workflow.step("cool").run(async || Ok::<_, StepError>(()));
    })
}

/// What differs for a run that was started with one and is taken up with another.
async fn differences(
    machine: &Machine,
    was: &Workflow<(), Durable>,
    is: &Workflow<(), Durable>,
) -> Vec<String> {
    let process = machine.process();
    process.start_durable(was, id(), ()).await.unwrap();
    process.shutdown(Duration::ZERO).await;
    match machine.process().resume_run(is, &id()).await {
        Err(WorkflowError::Changed { differences, .. }) => differences,
        Ok(_) => Vec::new(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_slept_and_works_now_or_the_other_way_round_has_changed() {
    let changed = ["`cool` has changed (`sleep`)"];
    let machine = Machine::new();
    assert_eq!(
        differences(&machine, &sleeping(HOUR), &working()).await,
        changed
    );
    let endless = cooling(|workflow| {
        let step = workflow.step("cool");
        step.run(std::future::pending::<Result<(), StepError>>);
    });
    let machine = Machine::new();
    assert_eq!(
        differences(&machine, &endless, &sleeping(HOUR)).await,
        changed
    );
    let machine = Machine::new();
    let longer = differences(&machine, &sleeping(HOUR), &sleeping(HOUR * 2)).await;
    assert_eq!(longer, [""; 0], "how long may be changed");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_takes_the_same_in_another_order_has_changed() {
    let machine = Machine::new();
    let differences = differences(&machine, &slow(true), &slow(false)).await;
    assert_eq!(differences, ["`take` has changed (`input`)"]);
}

/// What an earlier version kept of `slow` as it was started, which looked at less.
const STARTED: &str = r#"{
    "version": 1, "workflow": "slow", "started_at": "1970-01-01T00:00:00Z", "input": null,
    "steps": [
        { "id": "from", "print": "7cd32df6b12c6ad9" },
        { "id": "to", "print": "36c58b584cad1332" },
        { "id": "take", "needs": [0, 1], "print": "5d378209c5615652" },
        { "id": "cool", "needs": [2], "sleeps": true, "sleeps_for": 3600000000000, "print": "ce9fcec62983bc76" }
    ],
    "owner": { "lease": "gone", "token": 1, "holder": "process 1" }
}"#;

/// Two numbers, what takes them in this order, and a sleep.
fn slow(in_order: bool) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("slow");
    let from = workflow
        .step("from")
        .run(async || Ok::<_, StepError>(1_u64));
    let to = workflow.step("to").run(async || Ok::<_, StepError>(2_u64));
    let inputs = if in_order { (from, to) } else { (to, from) };
    let take = workflow.step("take").input(inputs);
    let take = take.run(async |_: (Arc<u64>, Arc<u64>)| Ok::<_, StepError>(()));
    workflow.step("cool").after(&take).sleep(HOUR);
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_started_by_an_earlier_version_goes_on_with_its_definition() {
    for in_order in [true, false] {
        let machine = Machine::new();
        let started = Record::new("run-started", STARTED);
        let append = AppendTo::stream("run.r").record(started);
        machine.log.append(append).await.unwrap();
        let process = machine.process();
        let run = process.resume_run(&slow(in_order), &id()).await.unwrap();
        assert!(run.outcome().await.unwrap().is_completed());
    }
}
