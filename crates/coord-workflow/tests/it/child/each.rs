//! Steps whose work at each item of a list is a run of another workflow.

mod crashing;
mod kept;
mod paused;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{BoxFuture, LocalBus};
use coord_workflow::{
    AttemptError, Durable, Fault, Keeps, PartError, Retry, Status, Step, StepContext, StepError,
    Why, Workflow, WorkflowBuilder, WorkflowOrchestrator,
};

use super::error_of;

const SECOND: Duration = Duration::from_secs(1);

/// How the work at an order goes: a second, less a tenth for each before it, where nothing else is said.
#[derive(Clone, Copy, Default, PartialEq)]
enum Ship {
    #[default]
    Succeeds,
    Fails,
    /// Until it is told to end, and then two seconds more.
    Holds,
}

/// What is done of orders, and how it goes.
#[derive(Clone, Default)]
struct World(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    seen: Vec<String>,
    ships: HashMap<u32, Ship>,
    at_once: usize,
    at_once_max: usize,
}

impl World {
    fn see(&self, what: impl Into<String>) {
        self.0.lock().unwrap().seen.push(what.into());
    }

    /// What was done since, sorted.
    fn take(&self) -> Vec<String> {
        let mut seen = std::mem::take(&mut self.0.lock().unwrap().seen);
        seen.sort();
        seen
    }

    fn set(&self, order: u32, ship: Ship) {
        self.0.lock().unwrap().ships.insert(order, ship);
    }

    fn ship(&self, order: u32) -> Ship {
        let world = self.0.lock().unwrap();
        world.ships.get(&order).copied().unwrap_or_default()
    }

    fn is_under_way(&self, begins: bool) {
        let mut world = self.0.lock().unwrap();
        match begins {
            true => world.at_once += 1,
            false => world.at_once -= 1,
        }
        world.at_once_max = world.at_once_max.max(world.at_once);
    }

    fn work(
        &self,
        context: &StepContext,
        order: u32,
    ) -> BoxFuture<'static, Result<String, StepError>> {
        let (world, token) = (self.clone(), context.token());
        Box::pin(async move {
            world.see(format!("ship {order}"));
            world.is_under_way(true);
            match world.ship(order) {
                Ship::Holds => {
                    token.cancelled().await;
                    sleep(2 * SECOND).await;
                    world.see(format!("let go {order}"));
                }
                _ => sleep(SECOND - SECOND / 10 * order).await,
            }
            world.is_under_way(false);
            match world.ship(order) {
                Ship::Succeeds => Ok(format!("parcel {order}")),
                _ => Err(AttemptError::Unwritable(format!("no ship for {order}")).into()),
            }
        })
    }
}

/// `pack`, which is undone, then `ship`.
fn delivery<K: Keeps<u32> + Keeps<String>>(
    world: &World,
    mut workflow: WorkflowBuilder<u32, K>,
) -> (Workflow<u32, K>, Step<String>) {
    let order = workflow.input();
    let (packs, unpacks, ships) = (world.clone(), world.clone(), world.clone());
    let pack = workflow
        .step("pack")
        .input(order)
        .compensate(move |order: Arc<u32>| {
            unpacks.see(format!("unpack {order}"));
            async { Ok::<_, StepError>(()) }
        })
        .run(move |order: Arc<u32>| {
            packs.see(format!("pack {order}"));
            async move { Ok::<u32, StepError>(*order) }
        });
    let ship = workflow.step("ship").input(pack);
    let ship =
        ship.run_with(move |context: StepContext, order: Arc<u32>| ships.work(&context, *order));
    (workflow.build().unwrap(), ship)
}

/// A builder of what runs for each order, and one of what is run.
type Builders<K> = (WorkflowBuilder<Vec<u32>, K>, WorkflowBuilder<u32, K>);

/// `deliver`, which is a run of `delivery` for each order, so many at once, and is undone; then `thank`.
fn orders<K>(
    world: &World,
    begin: fn(&str) -> Builders<K>,
    (concurrency, retry): (usize, Retry),
) -> (Workflow<Vec<u32>, K>, Step<Vec<String>>)
where
    K: Keeps<u32> + Keeps<String> + Keeps<Vec<u32>> + Keeps<Vec<String>> + Keeps<()>,
{
    let (mut workflow, child) = begin("orders");
    let (child, parcel) = delivery(world, child);
    let orders = workflow.input();
    let (returns, thanks) = (world.clone(), world.clone());
    let deliver = workflow
        .step("deliver")
        .retry(retry)
        .compensate(move |parcels: Arc<Vec<String>>| {
            returns.see(format!("return {}", parcels.join(", ")));
            async { Ok::<_, StepError>(()) }
        })
        .for_each(orders)
        .concurrency(NonZeroUsize::new(concurrency).unwrap())
        .workflow(&child, parcel);
    workflow
        .step("thank")
        .input(deliver)
        .run(move |parcels: Arc<Vec<String>>| {
            let fails = parcels.iter().any(|parcel| parcel == "parcel 9");
            thanks.see(format!("thank for {}", parcels.len()));
            async move {
                match fails {
                    true => Err(StepError::message("nobody thanks for 9")),
                    false => Ok(()),
                }
            }
        });
    (workflow.build().unwrap(), deliver)
}

fn in_memory(name: &str) -> (WorkflowBuilder<Vec<u32>>, WorkflowBuilder<u32>) {
    (Workflow::builder(name), Workflow::builder("delivery"))
}

fn durable(
    name: &str,
) -> (
    WorkflowBuilder<Vec<u32>, Durable>,
    WorkflowBuilder<u32, Durable>,
) {
    (Workflow::durable(name), Workflow::durable("delivery"))
}

fn once(concurrency: usize) -> (usize, Retry) {
    (concurrency, Retry::none())
}

#[tokio::test(start_paused = true)]
async fn outputs_are_in_the_order_of_the_items_and_so_many_runs_go_on_at_once() {
    let world = World::default();
    let (workflow, parcels) = orders(&world, in_memory, once(2));
    let graph = workflow.graph().to_string();
    assert!(
        graph.contains("deliver (for each workflow delivery)"),
        "{graph}"
    );
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let run = orchestrator
        .start_workflow(&workflow, (1..6).collect())
        .unwrap();
    sleep(SECOND / 2).await;
    let view = run.view().unwrap();
    let deliver = view.step("deliver").unwrap();
    assert_eq!(deliver.child, None);
    let items: Vec<_> = deliver.children.iter().map(|child| child.item).collect();
    assert_eq!(items, [0, 1]);
    let id = deliver.children[1].run.to_string();
    assert!(id.starts_with(&format!("{}.deliver.1-", run.id())), "{id}");
    let why = view.why("deliver").unwrap();
    assert!(matches!(&why, Why::Children(children) if children.first == deliver.children));
    let text = format!(
        "it waits for the runs of its items: [0] `{}`, [1] `{id}`",
        deliver.children[0].run
    );
    assert_eq!(why.to_string(), text);
    assert_eq!(run.why("deliver"), Some(why));

    let outcome = run.outcome().await.unwrap();
    let all = ["parcel 1", "parcel 2", "parcel 3", "parcel 4", "parcel 5"];
    assert_eq!(*outcome.output(&parcels).unwrap(), all);
    assert_eq!(world.0.lock().unwrap().at_once_max, 2);
    assert!(outcome.view().step("deliver").unwrap().children.is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_an_empty_list_there_is_no_run() {
    let (world, orchestrator) = (
        World::default(),
        WorkflowOrchestrator::new(&LocalBus::new()).unwrap(),
    );
    let (workflow, parcels) = orders(&world, in_memory, once(2));
    let outcome = orchestrator
        .execute_workflow(&workflow, Vec::new())
        .await
        .unwrap();
    assert!(outcome.output(&parcels).unwrap().is_empty());
    assert_eq!(world.take(), ["thank for 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_fails_is_undone_and_leaves_the_others_alone() {
    let world = World::default();
    world.set(2, Ship::Fails);
    let (workflow, _) = orders(&world, in_memory, once(2));
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let outcome = orchestrator
        .execute_workflow(&workflow, vec![1, 2, 3])
        .await
        .unwrap();
    assert_eq!(outcome.status, Status::Failed);
    let all = [
        "pack 1", "pack 2", "pack 3", "ship 1", "ship 2", "ship 3", "unpack 2",
    ];
    assert_eq!(world.take(), all);
    let error = error_of(&outcome, "deliver");
    let Some(PartError::ItemsFailed {
        failed,
        of: 3,
        source,
    }) = error.downcast_ref()
    else {
        panic!("{error:?}");
    };
    assert_eq!(failed, &[1]);
    assert!(
        matches!(source.downcast_ref(), Some(PartError::ChildFailed { .. })),
        "{source:?}"
    );
    let text = error.to_string();
    assert!(
        text.starts_with("items [1] of 3 failed, the first of them because: run `"),
        "{text}"
    );
    assert!(text.ends_with("no ship for 2"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn another_attempt_runs_only_what_has_failed_anew() {
    let world = World::default();
    world.set(2, Ship::Fails);
    let retry = Retry::constant(SECOND).max_attempts(2);
    let (workflow, parcels) = orders(&world, in_memory, (3, retry));
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let run = orchestrator
        .start_workflow(&workflow, vec![1, 2, 3])
        .unwrap();
    sleep(3 * SECOND / 2).await;
    world.set(2, Ship::Succeeds);
    world.take();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(
        *outcome.output(&parcels).unwrap(),
        ["parcel 1", "parcel 2", "parcel 3"]
    );
    assert_eq!(world.take(), ["pack 2", "ship 2", "thank for 3"]);
}

#[tokio::test(start_paused = true)]
async fn who_cancels_the_run_cancels_those_that_go_on_and_no_other_begins() {
    let world = World::default();
    for order in [2, 3] {
        world.set(order, Ship::Holds);
    }
    let (workflow, _) = orders(&world, in_memory, once(2));
    let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new())
        .grace(3 * SECOND)
        .build()
        .unwrap();
    let run = orchestrator
        .start_workflow(&workflow, (1..9).collect())
        .unwrap();
    sleep(2 * SECOND).await;
    assert_eq!(
        world.take(),
        ["pack 1", "pack 2", "pack 3", "ship 1", "ship 2", "ship 3"]
    );
    run.cancel();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
    // What was done is not undone, as with any step that fails halfway.
    assert_eq!(
        world.take(),
        ["let go 2", "let go 3", "unpack 2", "unpack 3"]
    );
    assert_eq!(orchestrator.active_runs(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_the_step_ends_all_and_waits_for_that() {
    let world = World::default();
    for order in 1..4 {
        world.set(order, Ship::Holds);
    }
    let (child, parcel) = delivery(&world, Workflow::builder("delivery"));
    let mut workflow = Workflow::builder("orders");
    let list = workflow.input();
    let deliver = workflow.step("deliver").timeout(60 * SECOND).for_each(list);
    deliver
        .concurrency(NonZeroUsize::MIN.saturating_add(1))
        .workflow(&child, parcel);
    let workflow = workflow.build().unwrap();
    // The runs' grace is enough for them, and the step's would not be.
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let outcome = orchestrator
        .execute_workflow(&workflow, vec![1, 2, 3])
        .await
        .unwrap();
    let error = error_of(&outcome, "deliver");
    let timed_out = AttemptError::TimedOut(60 * SECOND);
    assert_eq!(error.downcast_ref(), Some(&timed_out));
    assert_eq!(outcome.duration, 62 * SECOND);
    let all = [
        "let go 1", "let go 2", "pack 1", "pack 2", "ship 1", "ship 2", "unpack 1", "unpack 2",
    ];
    assert_eq!(world.take(), all);
}

#[tokio::test(start_paused = true)]
async fn what_undoes_the_step_is_given_all_outputs() {
    let world = World::default();
    let (workflow, _) = orders(&world, in_memory, once(2));
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let outcome = orchestrator
        .execute_workflow(&workflow, vec![8, 9])
        .await
        .unwrap();
    assert_eq!(outcome.status, Status::Failed);
    let all = [
        "pack 8",
        "pack 9",
        "return parcel 8, parcel 9",
        "ship 8",
        "ship 9",
        "thank for 2",
    ];
    assert_eq!(world.take(), all);
}

#[tokio::test(start_paused = true)]
async fn such_a_step_takes_no_place_that_its_runs_need_and_no_resource() {
    let world = World::default();
    let (workflow, parcels) = orders(&world, in_memory, once(3));
    let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new())
        .total_concurrency(NonZeroUsize::MIN)
        .concurrency(NonZeroUsize::MIN)
        .build()
        .unwrap();
    let outcome = orchestrator
        .execute_workflow(&workflow, vec![1, 2, 3])
        .await
        .unwrap();
    assert_eq!(outcome.output(&parcels).unwrap().len(), 3);
    assert_eq!(world.0.lock().unwrap().at_once_max, 1);

    let (child, _) = delivery(&world, Workflow::builder("delivery"));
    let (_, of_another) = delivery(&world, Workflow::builder("delivery"));
    let mut workflow = Workflow::builder("orders");
    let list = workflow.input();
    let deliver = workflow.step("deliver").resource("gpu", 1).for_each(list);
    deliver.workflow(&child, of_another);
    let faults = workflow.build().unwrap_err();
    assert!(matches!(
        faults.0[..],
        [Fault::ForeignStep { .. }, Fault::ResourceOfWorkflow { .. }]
    ));
}
