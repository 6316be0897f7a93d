//! Of runs that are kept.

use std::collections::BTreeSet;
use std::time::Duration;

use coord_bus::time::sleep;
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, Retry, RunId, RunQuery, RunState, RunView, Status, Step,
    StepError, StepPhase, Workflow, WorkflowError,
};

use super::{SECOND, Ship, World, durable, once, orders};
use crate::durable::Machine;

const HOUR: Duration = Duration::from_secs(3600);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

fn three_at_once(world: &World) -> Workflow<Vec<u32>, Durable> {
    orders(world, durable, once(3)).0
}

/// All runs within the run, as any process sees them, in the order of their items.
async fn within(machine: &Machine) -> Vec<RunView> {
    let journal = machine.journal();
    let mut within = Vec::new();
    for run in journal.runs(&RunQuery::newest()).await.unwrap() {
        if run != id() {
            within.push(journal.view(&run).await.unwrap());
        }
    }
    within.sort_by_key(|view| view.parent.clone().unwrap().part);
    within
}

async fn states(machine: &Machine) -> Vec<RunState> {
    let within = within(machine).await;
    within.into_iter().map(|view| view.state).collect()
}

/// A run of the orders 1 to 5, three at once, of which 3 and 4 hold on; 1 and 2 are done, and 5 is under way when its
/// process is killed; with nobody's lease on it any more.
async fn killed() -> (Machine, World) {
    let (machine, world) = (Machine::new(), World::default());
    for order in [3, 4, 5] {
        world.set(order, Ship::Holds);
    }
    let process = machine.process();
    let workflow = three_at_once(&world);
    let run = process
        .start_durable(&workflow, id(), (1..6).collect())
        .await
        .unwrap();
    sleep(5 * SECOND).await;
    let journal = machine.journal().view(&id()).await.unwrap();
    assert_eq!(journal.step("deliver"), run.view().unwrap().step("deliver"));
    assert_eq!(journal.why("deliver"), run.why("deliver"));
    let why = journal.why("deliver").unwrap().to_string();
    assert!(
        why.contains("[3] `r.deliver.3-") && why.ends_with("2 of 5 items are done"),
        "{why}"
    );
    drop((run, process));
    sleep(DEFAULT_LEASE_TTL).await;
    assert_eq!(world.take().len(), 2 * 5);
    for order in [3, 4, 5] {
        world.set(order, Ship::Succeeds);
    }
    (machine, world)
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_each_item_goes_on_with_the_run_that_it_had_and_no_other_begins() {
    let (machine, world) = killed().await;
    let before: BTreeSet<_> = within(&machine)
        .await
        .into_iter()
        .map(|view| view.run)
        .collect();
    assert_eq!(before.len(), 5);
    let view = machine.journal().view(&id()).await.unwrap();
    let items = view.step("deliver").unwrap().children.iter();
    assert_eq!(items.map(|child| child.item).collect::<Vec<_>>(), [2, 3, 4]);

    let process = machine.process();
    let (workflow, parcels) = orders(&world, durable, once(3));
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    let all = ["parcel 1", "parcel 2", "parcel 3", "parcel 4", "parcel 5"];
    assert_eq!(*outcome.output(&parcels).unwrap(), all);
    assert_eq!(world.take(), ["ship 3", "ship 4", "ship 5", "thank for 5"]);
    let after: BTreeSet<_> = within(&machine)
        .await
        .into_iter()
        .map(|view| view.run)
        .collect();
    assert_eq!(after, before);
}

#[tokio::test(start_paused = true)]
async fn the_outcome_of_a_run_that_has_ended_is_taken_from_its_records() {
    let (machine, world) = (Machine::new(), World::default());
    world.set(1, Ship::Fails);
    world.set(2, Ship::Holds);
    let killed = machine.process();
    let workflow = three_at_once(&world);
    killed
        .start_durable(&workflow, id(), vec![1, 2])
        .await
        .unwrap();
    sleep(5 * SECOND).await;
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
    assert_eq!(
        world.take(),
        ["pack 1", "pack 2", "ship 1", "ship 2", "unpack 1"]
    );
    for order in [1, 2] {
        world.set(order, Ship::Succeeds);
    }

    // It has failed in this attempt, and is not run again in it.
    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    assert_eq!(world.take(), ["ship 2"]);
}

#[tokio::test(start_paused = true)]
async fn runs_are_suspended_with_the_one_that_they_are_within_and_go_on_with_it() {
    let (machine, world) = (Machine::new(), World::default());
    for order in [1, 2] {
        world.set(order, Ship::Holds);
    }
    let process = machine.process();
    let workflow = three_at_once(&world);
    let run = process
        .start_durable(&workflow, id(), vec![1, 2, 3])
        .await
        .unwrap();
    sleep(3 * SECOND).await;
    process.shutdown(HOUR).await;
    let suspended = run.outcome().await;
    assert!(
        matches!(suspended, Err(WorkflowError::Suspended { .. })),
        "{suspended:?}"
    );
    let done = RunState::Finished(Status::Completed);
    assert_eq!(
        states(&machine).await,
        [RunState::Interrupted, RunState::Interrupted, done]
    );
    world.take();

    for order in [1, 2] {
        world.set(order, Ship::Succeeds);
    }
    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(world.take(), ["ship 1", "ship 2", "thank for 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_once_its_process_is_gone_ends_those_within_it() {
    let (machine, world) = killed().await;
    machine
        .journal()
        .tell(&id(), Command::Cancel { reason: None })
        .await
        .unwrap();
    let process = machine.process();
    let run = process
        .resume_run(&three_at_once(&world), &id())
        .await
        .unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
    assert_eq!(world.take(), ["unpack 3", "unpack 4", "unpack 5"]);
    let (done, ended) = (Status::Completed, Status::Cancelled);
    let all = [done, done, ended, ended, ended];
    assert_eq!(states(&machine).await, all.map(RunState::Finished));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_as_soon_as_it_is_taken_up_ends_those_within_it() {
    let (machine, world) = killed().await;
    let process = machine.process();
    let run = process
        .resume_run(&three_at_once(&world), &id())
        .await
        .unwrap();
    run.cancel();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
    let unfinished = RunQuery::newest().unfinished();
    assert!(
        machine
            .journal()
            .runs(&unfinished)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_time_is_over_when_it_is_taken_up_ends_all_its_runs_also_where_fewer_go_on_at_once()
 {
    let (machine, world) = (Machine::new(), World::default());
    for order in 1..6 {
        world.set(order, Ship::Holds);
    }
    let build = |concurrency: usize| -> (Workflow<Vec<u32>, Durable>, Step<Vec<String>>) {
        let (child, parcel) = super::delivery(&world, Workflow::durable("delivery"));
        let mut workflow = Workflow::durable("orders");
        let list = workflow.input();
        let deliver = workflow.step("deliver").total_timeout(HOUR).for_each(list);
        let deliver = deliver.concurrency(concurrency.try_into().unwrap());
        let deliver = deliver.workflow(&child, parcel);
        (workflow.build().unwrap(), deliver)
    };
    let killed = machine.process();
    killed
        .start_durable(&build(5).0, id(), (1..6).collect())
        .await
        .unwrap();
    sleep(SECOND).await;
    drop(killed);
    sleep(2 * HOUR).await;
    assert_eq!(states(&machine).await, [RunState::Interrupted; 5]);
    let process = machine.process();
    let run = process.resume_run(&build(1).0, &id()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    assert_eq!(
        states(&machine).await,
        [RunState::Finished(Status::Cancelled); 5]
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_skipped_after_a_crash_ends_its_runs_first() {
    let (machine, world) = killed().await;
    let step = "deliver".to_owned();
    machine
        .journal()
        .tell(&id(), Command::Skip { step })
        .await
        .unwrap();
    let process = machine.process();
    let run = process
        .resume_run(&three_at_once(&world), &id())
        .await
        .unwrap();
    let outcome = run.outcome().await.unwrap();
    let names: Vec<_> = outcome.steps().map(|step| step.state.name()).collect();
    assert_eq!(names, ["skipped", "skipped"]);
    assert_eq!(world.take(), ["unpack 3", "unpack 4", "unpack 5"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_retried_runs_only_what_is_not_done_and_that_anew() {
    let (machine, world) = (Machine::new(), World::default());
    world.set(2, Ship::Fails);
    let process = machine.process();
    let (workflow, parcels) = orders(&world, durable, once(3));
    let run = process
        .start_durable(&workflow, id(), vec![1, 2, 3])
        .await
        .unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    let before = within(&machine).await;
    world.take();

    world.set(2, Ship::Succeeds);
    let run = process.retry_run(&workflow, &id(), None).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(
        *outcome.output(&parcels).unwrap(),
        ["parcel 1", "parcel 2", "parcel 3"]
    );
    assert_eq!(world.take(), ["pack 2", "ship 2", "thank for 3"]);
    let after = within(&machine).await;
    assert_eq!((before.len(), after.len()), (3, 4));

    // Named, it is done from its beginning: with a list that may be another by then, so with other runs.
    let run = process
        .retry_run(&workflow, &id(), Some("deliver"))
        .await
        .unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(within(&machine).await.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_be_gone_on_with_is_ended_with_those_within_it() {
    let (machine, _) = killed().await;
    let process = machine.process();
    process
        .terminate_run(&id(), "orders are by air now")
        .await
        .unwrap();
    let (done, ended) = (Status::Completed, Status::Failed);
    let all = [done, done, ended, ended, ended];
    assert_eq!(states(&machine).await, all.map(RunState::Finished));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_definition_has_changed_leaves_the_one_that_it_is_within_as_it_is_and_the_others_too()
 {
    let (machine, world) = killed().await;
    let mut changed = Workflow::durable("delivery");
    let order = changed.input();
    let ship = changed.step("ship").input(order);
    let ship = ship.run(async |_| Ok::<String, StepError>("by air".to_owned()));
    let changed: Workflow<u32, Durable> = changed.build().unwrap();
    let mut workflow = Workflow::durable("orders");
    let list = workflow.input();
    let deliver = workflow
        .step("deliver")
        .compensate(async |_| Ok::<_, StepError>(()));
    let deliver = deliver.for_each(list).workflow(&changed, ship);
    let thank = workflow.step("thank").input(deliver);
    thank.run(async |_| Ok::<(), StepError>(()));
    let workflow: Workflow<Vec<u32>, Durable> = workflow.build().unwrap();
    let process = machine.process();
    let left = process.resume_run(&workflow, &id()).await;
    let Err(WorkflowError::Child { child, .. }) = left else {
        panic!("{left:?}");
    };
    assert!(child.starts_with("r.deliver."), "{child}");
    let done = RunState::Finished(Status::Completed);
    let left = RunState::Interrupted;
    assert_eq!(states(&machine).await, [done, done, left, left, left]);

    let run = process
        .resume_run(&three_at_once(&world), &id())
        .await
        .unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
}

#[tokio::test(start_paused = true)]
async fn a_function_for_each_item_is_another_workflow_than_a_run_for_each() {
    let (machine, world) = killed().await;
    let mut workflow = Workflow::durable("orders");
    let list = workflow.input();
    let deliver = workflow
        .step("deliver")
        .compensate(async |_| Ok::<_, StepError>(()));
    let deliver = deliver.for_each(list);
    let deliver = deliver.run(async |_: u32| Ok::<_, StepError>(String::new()));
    let thank = workflow.step("thank").input(deliver);
    thank.run(async |_| Ok::<(), StepError>(()));
    let workflow: Workflow<Vec<u32>, Durable> = workflow.build().unwrap();
    let process = machine.process();
    let refused = process.resume_run(&workflow, &id()).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("`deliver` has changed (`for_each`)"),
        "{refused}"
    );
    let run = process
        .resume_run(&three_at_once(&world), &id())
        .await
        .unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
}

#[tokio::test(start_paused = true)]
async fn runs_at_items_are_left_to_the_one_that_they_are_within() {
    let (machine, world) = killed().await;
    let process = machine.process();
    let (child, _) = super::delivery(&world, Workflow::durable("delivery"));
    let resumed = process.resume_runs(&child).await.unwrap();
    assert!(resumed.runs.is_empty() && resumed.refused.is_empty());
    let resumed = process.resume_runs(&three_at_once(&world)).await.unwrap();
    assert!(resumed.runs[0].outcome().await.unwrap().is_completed());
}

#[tokio::test(start_paused = true)]
async fn the_longest_ids_have_runs_at_items_whose_ids_are_told_apart() {
    let (machine, world) = (Machine::new(), World::default());
    world.set(1, Ship::Holds);
    let long = RunId::named("r".repeat(100)).unwrap();
    let (child, parcel) = super::delivery(&world, Workflow::durable("delivery"));
    let mut workflow = Workflow::durable("orders");
    let list = workflow.input();
    for step in ["a", "b"] {
        let deliver = workflow.step(step.repeat(64)).for_each(list);
        deliver.retry(Retry::none()).workflow(&child, parcel);
    }
    let workflow: Workflow<Vec<u32>, Durable> = workflow.build().unwrap();
    let process = machine.process();
    let run = process
        .start_durable(&workflow, long.clone(), vec![0, 1, 1])
        .await
        .unwrap();
    sleep(5 * SECOND).await;
    let view = machine.journal().view(&long).await.unwrap();
    let mut ids = BTreeSet::new();
    for step in &view.steps {
        assert_eq!(step.phase, StepPhase::Running);
        // Each has its own, though they are named alike.
        let items: Vec<_> = step.children.iter().map(|child| child.item).collect();
        assert_eq!(items, [1, 2]);
        ids.extend(step.children.iter().map(|child| child.run.to_string()));
    }
    assert_eq!(ids.len(), 4);
    assert!(
        ids.iter()
            .all(|id| id.len() <= 64 && RunId::named(id.as_str()).is_ok()),
        "{ids:?}"
    );
    run.cancel();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
}
