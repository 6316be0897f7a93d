//! No run within a run is left open, or half undone, once that has finished: whenever the process ends, or its
//! orchestrator is shut down.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::BoxFuture;
use coord_bus::time::{Instant, sleep};
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, Repeat, RunId, RunQuery, Status, Step, StepError,
    Workflow, WorkflowBuilder, WorkflowError, WorkflowOrchestrator,
};
use futures_util::poll;
use tokio::task::{JoinSet, yield_now};

use super::{Ship, World, once};
use crate::durable::Machine;
use crate::hung_up::slow;
use crate::ownership::reached;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

async fn open(machine: &Machine) -> Vec<RunId> {
    let open = RunQuery::newest().unfinished();
    machine.journal().runs(&open).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_child_that_had_just_begun_when_its_process_ended_is_ended_with_its_parent() {
    let (machine, world) = (Machine::new(), World::default());
    world.ship(Ship::Holds);
    let killed = machine.process();
    killed.start_durable(&once(&world), id(), 7).await.unwrap();
    // No time passes in which anything could be written that was left for later.
    while world.count("hold") == 0 {
        yield_now().await;
    }
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
    let cancel = Command::Cancel { reason: None };
    machine.journal().tell(&id(), cancel).await.unwrap();
    world.take();

    let process = machine.process();
    let run = process.resume_run(&once(&world), &id()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
    assert_eq!(open(&machine).await, []);
    assert_eq!(world.take(), ["unpack", "refund"]);
}

/// What takes ten seconds, and says then that it was done.
fn undoing(
    world: &World,
    what: &'static str,
) -> impl Fn(Arc<u32>) -> BoxFuture<'static, Result<(), StepError>> + Send + Sync + 'static {
    let world = world.clone();
    move |_| {
        let world = world.clone();
        Box::pin(async move {
            sleep(10 * SECOND).await;
            world.see(what);
            Ok(())
        })
    }
}

/// What pays, in two steps, each of which takes ten seconds to be undone. Then it hangs, if it is to.
fn payment(world: &World, hangs: bool) -> (Workflow<u32, Durable>, Step<u32>) {
    let mut workflow = Workflow::durable("payment");
    let order = workflow.input();
    let reserve = workflow.step("reserve").input(order);
    let reserve = reserve.compensate(undoing(world, "freed"));
    let reserve = reserve.run(async |order: Arc<u32>| Ok::<u32, StepError>(*order));
    let charges = world.clone();
    let charge = workflow.step("charge").input(reserve);
    let charge = charge.compensate(undoing(world, "refunded"));
    let charge = charge.run(move |order: Arc<u32>| {
        charges.see("charged");
        async move { Ok::<u32, StepError>(*order) }
    });
    let book = workflow.step("book").input(charge);
    let book = book.run(move |order: Arc<u32>| async move {
        match hangs {
            true => std::future::pending().await,
            false => Ok::<u32, StepError>(*order),
        }
    });
    (workflow.build().unwrap(), book)
}

/// How the work of a step is a run, or more.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    One,
    Items,
    Rounds,
}

const SHAPES: [Shape; 3] = [Shape::One, Shape::Items, Shape::Rounds];

/// A step that is a payment, with such limits.
fn paying(
    world: &World,
    shape: Shape,
    hangs: bool,
    (timeout, total): (Duration, Duration),
) -> Workflow<u32, Durable> {
    let (payment, book) = payment(world, hangs);
    let mut workflow: WorkflowBuilder<u32, Durable> = Workflow::durable("order");
    let order = workflow.input();
    let orders = workflow.step("orders").input(order);
    let orders = orders.run(|order: Arc<u32>| async move { Ok::<_, StepError>(vec![*order]) });
    let pay = workflow.step("pay").timeout(timeout).total_timeout(total);
    match shape {
        Shape::One => drop(pay.input(order).workflow(&payment, book)),
        Shape::Items => drop(pay.for_each(orders).workflow(&payment, book)),
        Shape::Rounds => {
            let repeated = pay.input(order).repeat(Repeat::at_most(3));
            repeated.workflow(&payment, book, |round| {
                std::ops::ControlFlow::Break(*round.output)
            });
        }
    }
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_just_as_a_child_begins_is_over_at_once_and_it_goes_on_later() {
    for shape in SHAPES {
        for after in (0..32).map(|quarters| quarters * SECOND / 4) {
            let (machine, world) = (Machine::new(), World::default());
            let process = slow(&machine).process();
            let workflow = paying(&world, shape, false, (HOUR, HOUR));
            let run = process.start_durable(&workflow, id(), 7).await.unwrap();
            sleep(after).await;
            let begun = Instant::now();
            let report = process.shutdown(HOUR).await;
            assert!(report.is_complete(), "{shape:?} {after:?}: {report:?}");
            assert!(begun.elapsed() < 10 * SECOND, "{shape:?} {after:?}");
            drop(run);
            let process = machine.process();
            let run = process.resume_run(&workflow, &id()).await.unwrap();
            assert!(run.outcome().await.unwrap().is_completed());
            assert_eq!(world.take(), ["charged"], "{shape:?} {after:?}");
            assert_eq!(open(&machine).await, []);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_undone_as_its_step_has_timed_out_is_undone_to_its_end_after_a_shutdown() {
    for shape in SHAPES {
        for times in [(SECOND, HOUR), (HOUR, SECOND)] {
            let (machine, world) = (Machine::new(), World::default());
            let process = machine.process();
            let workflow = paying(&world, shape, true, times);
            process.start_durable(&workflow, id(), 7).await.unwrap();
            sleep(5 * SECOND).await;
            assert_eq!(world.take(), ["charged"]);
            assert!(process.shutdown(HOUR).await.is_complete());
            // What is being undone is, and the rest later.
            assert_eq!(world.take(), ["refunded"]);
            let process = machine.process();
            let run = process.resume_run(&workflow, &id()).await.unwrap();
            let outcome = run.outcome().await.unwrap();
            assert_eq!(outcome.status, Status::Failed, "{shape:?} {times:?}");
            assert_eq!(open(&machine).await, [], "{shape:?} {times:?}");
            assert_eq!(world.take(), ["freed"], "{shape:?} {times:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_within_a_run_goes_with_it_when_it_is_begun_anew() {
    for shape in SHAPES {
        let (machine, world) = (Machine::new(), World::default());
        let process = machine.process();
        let workflow = paying(&world, shape, false, (HOUR, HOUR));
        for _ in 0..3 {
            let run = process.start_durable_anew(&workflow, id(), 7).await;
            run.unwrap().outcome().await.unwrap();
            let runs = machine.journal().runs(&RunQuery::newest()).await.unwrap();
            assert_eq!(runs.len(), 2, "{shape:?}: {runs:?}");
        }
        // One that is only named alike stays.
        let alike = RunId::named("r.pay-alike").unwrap();
        process
            .start_durable(&workflow, alike.clone(), 7)
            .await
            .unwrap();
        sleep(SECOND).await;
        process
            .start_durable_anew(&workflow, id(), 7)
            .await
            .unwrap();
        assert!(machine.journal().view(&alike).await.is_ok());
    }
}

/// An orchestrator for which to acquire its lease takes a second.
fn with_slow_leases(machine: &Machine) -> WorkflowOrchestrator {
    let (machine, reached) = reached(machine);
    reached.takes(SECOND);
    machine.process()
}

#[tokio::test(start_paused = true)]
async fn first_starts_that_meet_a_shutdown_are_refused_and_leave_nothing() {
    let (machine, world) = (Machine::new(), World::default());
    let process = Arc::new(with_slow_leases(&machine));
    let mut starts = JoinSet::new();
    for number in 0..3 {
        let process = Arc::clone(&process);
        let workflow = paying(&world, Shape::One, false, (HOUR, HOUR));
        let id = RunId::named(format!("r-{number}")).unwrap();
        starts.spawn(async move { process.start_durable(&workflow, id, 7).await });
    }
    sleep(SECOND / 2).await;
    let begun = Instant::now();
    assert!(process.shutdown(HOUR).await.is_complete());
    while let Some(started) = starts.join_next().await {
        let refused = started.unwrap();
        assert!(
            matches!(refused, Err(WorkflowError::ShutDown { .. })),
            "{refused:?}"
        );
    }
    assert!(begun.elapsed() < 5 * SECOND);
    assert_eq!(open(&machine).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_not_polled_for_a_while_holds_up_no_other() {
    let (machine, world) = (Machine::new(), World::default());
    let process = with_slow_leases(&machine);
    let workflow = paying(&world, Shape::One, false, (HOUR, HOUR));
    let mut first = pin!(process.start_durable(&workflow, id(), 7));
    assert!(poll!(&mut first).is_pending());
    for number in 0..3 {
        let other = RunId::named(format!("other-{number}")).unwrap();
        let started = process.start_durable(&workflow, other, 7).await.unwrap();
        assert!(started.outcome().await.unwrap().is_completed());
    }
    assert!(first.await.unwrap().outcome().await.unwrap().is_completed());
}
