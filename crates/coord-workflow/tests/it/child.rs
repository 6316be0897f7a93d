//! Steps whose work is a run of another workflow.

mod data;
mod each;
mod kept;
mod left_open;
mod other_worker;
mod paused;
mod rounds;
mod told_to_pause;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::vocabulary::{Transition, WORKFLOW_EVENTS};
use coord_bus::{BusExt, LocalBus};
use coord_workflow::{
    AttemptError, Durable, Fault, MAX_DEPTH, Outcome, PartError, Retry, Status, StepContext,
    StepError, StepState, Why, Workflow, WorkflowOrchestrator,
};

fn error_of(outcome: &Outcome, step: &str) -> StepError {
    match outcome.step(step).unwrap().state {
        StepState::Failed(error) => error.clone(),
        other => panic!("{other:?}"),
    }
}

/// What is done, in the order in which it is, and how the work of the child's `ship` goes.
#[derive(Clone, Default)]
struct World {
    done: Arc<Mutex<Vec<String>>>,
    ship: Arc<Mutex<Ship>>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Ship {
    #[default]
    Succeeds,
    Fails,
    Holds,
}

impl World {
    fn see(&self, what: impl Into<String>) {
        self.done.lock().unwrap().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.done.lock().unwrap())
    }

    fn ship(&self, ship: Ship) {
        *self.ship.lock().unwrap() = ship;
    }

    fn count(&self, what: &str) -> usize {
        let done = self.done.lock().unwrap();
        done.iter().filter(|done| *done == what).count()
    }
}

/// `pack`, which is undone, then `ship`.
fn delivery(world: &World) -> (Workflow<u32, Durable>, coord_workflow::Step<String>) {
    let mut workflow = Workflow::durable("delivery");
    let order = workflow.input();
    let (packs, unpacks, ships) = (world.clone(), world.clone(), world.clone());
    let pack = workflow
        .step("pack")
        .input(order)
        .compensate(move |_: Arc<u32>| {
            unpacks.see("unpack");
            async { Ok::<_, StepError>(()) }
        })
        .run(move |order: Arc<u32>| {
            packs.see("pack");
            async move { Ok::<u32, StepError>(*order) }
        });
    let ship =
        workflow
            .step("ship")
            .input(pack)
            .run_with(move |context: StepContext, pack: Arc<u32>| {
                let world = ships.clone();
                async move {
                    let how = *world.ship.lock().unwrap();
                    match how {
                        Ship::Succeeds => {}
                        Ship::Fails => {
                            return Err(AttemptError::Unwritable("no ship".into()).into());
                        }
                        Ship::Holds => {
                            world.see("hold");
                            context.token().cancelled().await;
                            sleep(Duration::from_secs(2)).await;
                            world.see("let go");
                            return Err(StepError::message("let go"));
                        }
                    }
                    world.see("ship");
                    Ok(format!("parcel {pack}"))
                }
            });
    (workflow.build().unwrap(), ship)
}

/// `charge`, which is undone, then `deliver`, which is a run of `delivery`, then `thank`.
fn order(world: &World, retry: Retry) -> Workflow<u32, Durable> {
    let (child, parcel) = delivery(world);
    let mut workflow = Workflow::durable("order");
    let order = workflow.input();
    let (charges, refunds, thanks) = (world.clone(), world.clone(), world.clone());
    let charge = workflow
        .step("charge")
        .input(order)
        .compensate(move |_: Arc<u32>| {
            refunds.see("refund");
            async { Ok::<_, StepError>(()) }
        })
        .run(move |order: Arc<u32>| {
            charges.see("charge");
            async move { Ok::<u32, StepError>(*order + 1) }
        });
    let deliver = workflow
        .step("deliver")
        .input(charge)
        .retry(retry)
        .workflow(&child, parcel);
    workflow
        .step("thank")
        .input(deliver)
        .run(move |parcel: Arc<String>| {
            thanks.see(format!("thank for {parcel}"));
            async { Ok::<_, StepError>(()) }
        });
    workflow.build().unwrap()
}

fn once(world: &World) -> Workflow<u32, Durable> {
    order(world, Retry::none())
}

const ALL: [&str; 4] = ["charge", "pack", "ship", "thank for parcel 8"];

#[tokio::test(start_paused = true)]
async fn a_step_puts_out_what_a_step_of_the_workflow_that_it_runs_does() {
    let world = World::default();
    let bus = LocalBus::new();
    let mut events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let orchestrator = WorkflowOrchestrator::new(&bus).unwrap();
    let workflow = once(&world);
    assert!(
        workflow
            .graph()
            .to_string()
            .contains("deliver (workflow delivery)")
    );
    let outcome = orchestrator.execute_workflow(&workflow, 7).await.unwrap();
    assert!(outcome.is_completed());
    assert_eq!(world.take(), ALL);
    let child = outcome.view().step("deliver").unwrap().child.clone();
    let child = child.unwrap().to_string();
    assert!(
        child.starts_with(&format!("{}.deliver-", outcome.run)),
        "{child}"
    );
    orchestrator.shutdown(Duration::from_secs(1)).await;
    drop((orchestrator, bus));
    let mut told = Vec::new();
    while let Some(event) = events.recv().await {
        match &event.transition {
            Transition::ChildStarted { step, child: run } if *run == child => {
                told.push(format!("{step} has its child"));
            }
            Transition::StepCompleted { step, .. } if event.run == child => {
                told.push(format!("{step} of the child"));
            }
            Transition::StepCompleted { step, .. } => told.push(step.clone()),
            _ => {}
        }
    }
    let story = [
        "charge",
        "deliver has its child",
        "pack of the child",
        "ship of the child",
        "deliver",
        "thank",
    ];
    assert_eq!(told, story);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_fails_is_undone_and_fails_the_step_with_its_error() {
    let world = World::default();
    world.ship(Ship::Fails);
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let outcome = orchestrator
        .execute_workflow(&once(&world), 7)
        .await
        .unwrap();
    assert_eq!(outcome.status, Status::Failed);
    assert_eq!(world.take(), ["charge", "pack", "unpack", "refund"]);
    let error = error_of(&outcome, "deliver");
    let Some(PartError::ChildFailed {
        workflow,
        step,
        source,
        ..
    }) = error.downcast_ref()
    else {
        panic!("{error:?}");
    };
    assert_eq!((&**workflow, &**step), ("delivery", "ship"));
    let source = source.downcast_ref::<AttemptError>();
    assert_eq!(source, Some(&AttemptError::Unwritable("no ship".into())));
    assert!(
        error.to_string().ends_with(
            "of `delivery` failed at its step `ship`: its output cannot be written as JSON: no ship"
        ),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_cancels_the_run_cancels_its_child_which_is_undone_first() {
    let world = World::default();
    world.ship(Ship::Holds);
    let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new())
        .grace(Duration::from_secs(3))
        .build()
        .unwrap();
    let run = orchestrator.start_workflow(&once(&world), 7).unwrap();
    sleep(Duration::from_secs(1)).await;
    let view = run.view().unwrap();
    let child = view.step("deliver").unwrap().child.clone().unwrap();
    assert_eq!(view.why("deliver"), Some(Why::Child(child)));
    run.cancel();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Cancelled);
    assert_eq!(
        world.take(),
        ["charge", "pack", "hold", "let go", "unpack", "refund"]
    );
    assert_eq!(orchestrator.active_runs(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_the_step_cancels_its_child_and_waits_for_that() {
    let world = World::default();
    world.ship(Ship::Holds);
    let (child, parcel) = delivery(&world);
    let mut workflow = Workflow::durable("order");
    let order = workflow.input();
    workflow
        .step("deliver")
        .input(order)
        .timeout(Duration::from_secs(60))
        .workflow(&child, parcel);
    let workflow = workflow.build().unwrap();
    // The child's grace is enough for it, and the step's would not be.
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, 7).await.unwrap();
    let error = error_of(&outcome, "deliver");
    let timed_out = AttemptError::TimedOut(Duration::from_secs(60));
    assert_eq!(error.downcast_ref(), Some(&timed_out));
    assert_eq!(outcome.duration, Duration::from_secs(62));
    assert_eq!(world.take(), ["pack", "hold", "let go", "unpack"]);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_waits_for_its_child_takes_no_place_that_the_child_needs() {
    let world = World::default();
    let (child, parcel) = delivery(&world);
    let mut workflow = Workflow::durable("order").concurrency(NonZeroUsize::MIN);
    let order = workflow.input();
    for step in ["one", "two", "three"] {
        workflow.step(step).input(order).workflow(&child, parcel);
    }
    let workflow = workflow.build().unwrap();
    let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new())
        .total_concurrency(NonZeroUsize::MIN)
        .concurrency(NonZeroUsize::MIN)
        .build()
        .unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, 7).await.unwrap();
    assert!(outcome.is_completed());
    assert_eq!(world.count("ship"), 3);
}

#[test]
fn a_step_that_runs_a_workflow_takes_no_resources_and_only_what_that_puts_out() {
    let world = World::default();
    let (child, _) = delivery(&world);
    let (_, of_another) = delivery(&world);
    let mut workflow = Workflow::durable("order");
    let order = workflow.input();
    workflow
        .step("deliver")
        .input(order)
        .resource("gpu", 1)
        .workflow(&child, of_another);
    let faults = workflow.build().unwrap_err();
    assert!(matches!(
        faults.0[..],
        [Fault::ForeignStep { .. }, Fault::ResourceOfWorkflow { .. }]
    ));
}

#[tokio::test(start_paused = true)]
async fn runs_are_within_each_other_so_deep_and_no_deeper() {
    let mut workflow = Workflow::builder("w0");
    let mut output = workflow.step("end").run(async || Ok::<u32, StepError>(1));
    let mut workflow: Workflow = workflow.build().unwrap();
    let mut outcomes = Vec::new();
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    for depth in 1..=MAX_DEPTH + 1 {
        let mut outer = Workflow::builder(format!("w{depth}"));
        output = outer.step("inner").workflow(&workflow, output);
        workflow = outer.build().unwrap();
        if depth >= MAX_DEPTH {
            let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
            outcomes.push(outcome);
        }
    }
    assert!(outcomes[0].is_completed());
    assert_eq!(outcomes[1].status, Status::Failed);
    let error = error_of(&outcomes[1], "inner").to_string();
    let text = "workflow `w0` would be run within 32 other runs, the most there may be: does it run itself?";
    assert!(error.ends_with(text), "{error}");
}
