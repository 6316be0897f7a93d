//! Of runs that are kept: what becomes of them in crashes, and when they are taken up.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use coord_bus::time::{sleep, timeout};
use coord_bus::{AppendTo, EventLog, EventLogError, Record, StreamQuery};
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, OnExhausted, Outcome, Retry, RunId, RunQuery, RunState,
    RunView, Status, StepError, StepPhase, Workflow, WorkflowError,
};

use super::{ALL, Ship, World, delivery, once, order};
use crate::crashes::{Failing, paused};
use crate::durable::Machine;

const HOUR: Duration = Duration::from_secs(3600);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

/// Where the step `deliver` and its run are, as any process sees it.
async fn child_of(machine: &Machine) -> (RunView, RunView) {
    let parent = machine.journal().view(&id()).await.unwrap();
    let child = parent.step("deliver").unwrap().child.clone().unwrap();
    let child = machine.journal().view(&child).await.unwrap();
    (parent, child)
}

/// A run whose process was killed while the run within it held the ship; with nobody's lease on it any more.
async fn killed_while_its_child_holds() -> (Machine, World) {
    let (machine, world) = (Machine::new(), World::default());
    world.ship(Ship::Holds);
    let killed = machine.process();
    killed.start_durable(&once(&world), id(), 7).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
    assert_eq!(world.take(), ["charge", "pack", "hold"]);
    (machine, world)
}

#[tokio::test(start_paused = true)]
async fn another_attempt_is_another_run() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    world.ship(Ship::Fails);
    let workflow = order(
        &world,
        Retry::constant(Duration::from_secs(1)).max_attempts(2),
    );
    let run = process.start_durable(&workflow, id(), 7).await.unwrap();
    sleep(Duration::from_millis(500)).await;
    let (_, first) = child_of(&machine).await;
    assert_eq!(first.state, RunState::Finished(Status::Failed));
    world.ship(Ship::Succeeds);
    assert!(run.outcome().await.unwrap().is_completed());
    let (_, second) = child_of(&machine).await;
    assert_ne!(first.run, second.run);
    assert_eq!(
        world.take(),
        [
            "charge",
            "pack",
            "unpack",
            "pack",
            "ship",
            "thank for parcel 8"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_within_another_is_retried_once_that_has_finished() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    world.ship(Ship::Fails);
    let retry = Retry::constant(HOUR).max_attempts(2);
    let run = process.start_durable(&order(&world, retry), id(), 7).await;
    let run = run.unwrap();
    sleep(Duration::from_secs(1)).await;
    let (_, child) = child_of(&machine).await;
    assert_eq!(child.state, RunState::Finished(Status::Failed));
    world.ship(Ship::Succeeds);
    world.take();
    let delivery = delivery(&world).0;
    let journal = machine.journal();
    let refused = [
        process
            .retry_run(&delivery, &child.run, None)
            .await
            .map(drop),
        journal.view_retried(&child.run, None).await.map(drop),
    ];
    for refused in refused {
        let Err(WorkflowError::WithinUnfinished { parent, step, .. }) = &refused else {
            panic!("{refused:?}");
        };
        assert_eq!((&**parent, &**step), ("r", "deliver"));
    }
    assert!(world.take().is_empty());
    run.cancel();
    run.outcome().await.unwrap();
    let retried = process.retry_run(&delivery, &child.run, None).await;
    assert!(retried.unwrap().outcome().await.unwrap().is_completed());
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_the_step_goes_on_with_the_run_that_it_had() {
    let (machine, world) = (Machine::new(), World::default());
    world.ship(Ship::Holds);
    let killed = machine.process();
    killed.start_durable(&once(&world), id(), 7).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let (parent, before) = child_of(&machine).await;
    let within = before.parent.clone().unwrap();
    assert_eq!(
        (&*within.run, &*within.step, within.depth),
        ("r", "deliver", 1)
    );
    assert_eq!(parent.parent, None);
    assert_eq!(before.step("ship").unwrap().phase, StepPhase::Running);
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;

    world.ship(Ship::Succeeds);
    let process = machine.process();
    // The child is its parent's business.
    let children = process.resume_runs(&delivery(&world).0).await.unwrap();
    assert!(children.runs.is_empty() && children.refused.is_empty());
    let parents = process.resume_runs(&once(&world)).await.unwrap();
    let outcome = parents.runs[0].outcome().await.unwrap();
    assert!(outcome.is_completed());
    assert_eq!(
        world.take(),
        ["charge", "pack", "hold", "ship", "thank for parcel 8"]
    );
    let (_, after) = child_of(&machine).await;
    assert_eq!(after.run, before.run);
    let runs = machine.journal().runs(&RunQuery::newest()).await.unwrap();
    assert_eq!(runs.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_suspended_with_its_child_and_neither_is_undone() {
    let (machine, world) = (Machine::new(), World::default());
    world.ship(Ship::Holds);
    let process = machine.process();
    let run = process.start_durable(&once(&world), id(), 7).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    process.shutdown(HOUR).await;
    let suspended = run.outcome().await;
    assert!(
        matches!(suspended, Err(WorkflowError::Suspended { .. })),
        "{suspended:?}"
    );
    let (parent, child) = child_of(&machine).await;
    assert_eq!(
        (parent.state, child.state),
        (RunState::Interrupted, RunState::Interrupted)
    );
    assert_eq!(world.take(), ["charge", "pack", "hold", "let go"]);

    world.ship(Ship::Succeeds);
    let process = machine.process();
    let run = process.resume_run(&once(&world), &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(world.take(), ["ship", "thank for parcel 8"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_cancelled_when_it_crashed_ends_its_child_before_it_is_undone() {
    let (machine, world) = (Machine::new(), World::default());
    world.ship(Ship::Holds);
    let killed = machine.process();
    let run = killed.start_durable(&once(&world), id(), 7).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    run.cancel();
    // Both know that they are stopped, and the child holds on.
    sleep(Duration::from_secs(1)).await;
    assert!(machine.kinds("r").await.contains(&"run-stopped".to_owned()));
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
    assert_eq!(world.take(), ["charge", "pack", "hold"]);

    let process = machine.process();
    let run = process.resume_run(&once(&world), &id()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
    assert_eq!(world.take(), ["unpack", "refund"]);
    let (_, child) = child_of(&machine).await;
    assert_eq!(child.state, RunState::Finished(Status::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_as_soon_as_it_is_taken_up_ends_its_child_before_it_is_undone() {
    let (machine, world) = killed_while_its_child_holds().await;

    let process = machine.process();
    let run = process.resume_run(&once(&world), &id()).await.unwrap();
    run.cancel();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
    assert_eq!(world.take().pop().as_deref(), Some("refund"));
    let (_, child) = child_of(&machine).await;
    assert_eq!(child.state, RunState::Finished(Status::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_skipped_after_a_crash_ends_its_child_first() {
    let (machine, world) = killed_while_its_child_holds().await;

    let step = "deliver".to_owned();
    let skip = Command::Skip { step };
    machine.journal().tell(&id(), skip).await.unwrap();
    let process = machine.process();
    let run = process.resume_run(&once(&world), &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.is_completed());
    let names: Vec<_> = outcome.steps().map(|step| step.state.name()).collect();
    assert_eq!(names, ["completed", "skipped", "skipped"]);
    assert_eq!(world.take(), ["unpack"]);
    let (_, child) = child_of(&machine).await;
    assert_eq!(child.state, RunState::Finished(Status::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_definition_has_changed_leaves_its_parent_as_it_is() {
    let (machine, world) = (Machine::new(), World::default());
    world.ship(Ship::Holds);
    let killed = machine.process();
    killed.start_durable(&once(&world), id(), 7).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;

    world.ship(Ship::Succeeds);
    let mut changed = Workflow::durable("delivery");
    let order = changed.input();
    let parcel = changed
        .step("ship")
        .input(order)
        .run(async |_: Arc<u32>| Ok::<String, StepError>("by air".to_owned()));
    let changed: Workflow<u32, Durable> = changed.build().unwrap();
    let mut workflow = Workflow::durable("order");
    let order = workflow.input();
    let charge = workflow
        .step("charge")
        .input(order)
        .compensate(async |_: Arc<u32>| Ok::<_, StepError>(()))
        .run(async |order: Arc<u32>| Ok::<u32, StepError>(*order + 1));
    let deliver = workflow
        .step("deliver")
        .input(charge)
        .workflow(&changed, parcel);
    workflow
        .step("thank")
        .input(deliver)
        .run(async |_: Arc<String>| Ok::<_, StepError>(()));
    let workflow: Workflow<u32, Durable> = workflow.build().unwrap();
    let process = machine.process();
    let left = process.resume_run(&workflow, &id()).await;
    let Err(WorkflowError::Child { step, source, .. }) = left else {
        panic!("{left:?}");
    };
    assert_eq!(step, "deliver");
    assert!(
        matches!(*source, WorkflowError::Changed { .. }),
        "{source:?}"
    );

    // With the right one it goes on, in the same process.
    let run = process.resume_run(&once(&world), &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(
        world.take(),
        ["charge", "pack", "hold", "ship", "thank for parcel 8"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_waits_for_a_child_that_another_process_goes_on_with() {
    for cancelled in [false, true] {
        let (machine, world) = (Machine::new(), World::default());
        world.ship(Ship::Holds);
        let killed = machine.process();
        killed.start_durable(&once(&world), id(), 7).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        drop(killed);
        sleep(DEFAULT_LEASE_TTL).await;
        let (_, child) = child_of(&machine).await;

        let (one, other) = (machine.process(), machine.process());
        let elsewhere = other
            .resume_run(&delivery(&world).0, &child.run)
            .await
            .unwrap();
        sleep(Duration::from_secs(1)).await;
        world.ship(Ship::Succeeds);
        let run = one.resume_run(&once(&world), &id()).await.unwrap();
        sleep(Duration::from_secs(60)).await;
        assert!(run.view().unwrap().step("deliver").unwrap().phase == StepPhase::Running);
        if cancelled {
            run.cancel();
            assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
            assert_eq!(elsewhere.outcome().await.unwrap().status, Status::Cancelled);
            assert_eq!(
                world.take(),
                [
                    "charge", "pack", "hold", "hold", "let go", "unpack", "refund"
                ]
            );
        } else {
            // Who has it goes, and the step has it again.
            other.shutdown(HOUR).await;
            assert!(run.outcome().await.unwrap().is_completed());
            let all = [
                "charge",
                "pack",
                "hold",
                "hold",
                "let go",
                "ship",
                "thank for parcel 8",
            ];
            assert_eq!(world.take(), all);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_another_process_goes_on_with_is_told_once_that_it_is_cancelled() {
    let (machine, world) = (Machine::new(), World::default());
    world.ship(Ship::Holds);
    let process = machine.process();
    let run = process.start_durable(&once(&world), id(), 7).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    let (_, child) = child_of(&machine).await;
    // Somebody who takes an hour to hear of anything.
    let other = machine.leases.acquire("other", "other", HOUR);
    let token = other.await.unwrap().token;
    let owner = serde_json::json!({ "lease": "other", "token": token, "holder": "other" });
    let stream = format!("run.{}", child.run);
    let claim = Record::new("run-claimed", owner.to_string());
    let claim = AppendTo::stream(&stream).record(claim);
    machine.log.append(claim).await.unwrap();

    let process = machine.process();
    let run = process.resume_run(&once(&world), run.id()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    run.cancel();
    sleep(HOUR / 2).await;
    let ended = timeout(Duration::ZERO, run.outcome()).await;
    assert!(ended.is_err(), "{ended:?}");
    let kinds = machine.kinds(child.run.as_str()).await;
    let told = kinds.iter().filter(|kind| *kind == "command").count();
    assert_eq!(told, 1, "{kinds:?}");
    sleep(HOUR).await;
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_retried_has_a_new_child() {
    let (machine, world) = (Machine::new(), World::default());
    world.ship(Ship::Fails);
    let process = machine.process();
    let run = process.start_durable(&once(&world), id(), 7).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    let (_, first) = child_of(&machine).await;
    world.ship(Ship::Succeeds);
    world.take();
    let run = process.retry_run(&once(&world), &id(), None).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(world.take(), ALL);
    let (_, second) = child_of(&machine).await;
    assert_ne!(first.run, second.run);
    // What is kept keeps its child.
    let run = process.retry_run(&once(&world), &id(), Some("thank")).await;
    assert!(run.unwrap().outcome().await.unwrap().is_completed());
    assert_eq!(child_of(&machine).await.1.run, second.run);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_paused_for_its_child_has_a_new_one_when_it_is_continued() {
    let (machine, world) = (Machine::new(), World::default());
    world.ship(Ship::Fails);
    let (child, parcel) = delivery(&world);
    let mut workflow = Workflow::durable("order");
    let order = workflow.input();
    workflow
        .step("deliver")
        .input(order)
        .on_exhausted(OnExhausted::Pause)
        .workflow(&child, parcel);
    let workflow = workflow.build().unwrap();
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), 7).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let (parent, first) = child_of(&machine).await;
    assert!(parent.is_paused);
    world.ship(Ship::Succeeds);
    run.tell(Command::Continue).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    let (_, second) = child_of(&machine).await;
    assert_ne!(first.run, second.run);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_was_retried_by_itself_is_resumed_by_itself() {
    let (machine, world) = (Machine::new(), World::default());
    world.ship(Ship::Fails);
    let process = machine.process();
    let run = process.start_durable(&once(&world), id(), 7).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    let (_, child) = child_of(&machine).await;
    world.take();

    world.ship(Ship::Holds);
    let workflow = delivery(&world).0;
    process
        .retry_run(&workflow, &child.run, None)
        .await
        .unwrap();
    sleep(Duration::from_secs(1)).await;
    process.shutdown(HOUR).await;
    world.ship(Ship::Succeeds);
    let process = machine.process();
    let parents = process.resume_runs(&once(&world)).await.unwrap();
    assert!(parents.runs.is_empty(), "{parents:?}");
    let children = process.resume_runs(&workflow).await.unwrap();
    assert_eq!(children.runs.len(), 1, "{children:?}");
    assert!(children.runs[0].outcome().await.unwrap().is_completed());
    assert_eq!(world.take(), ["pack", "hold", "let go", "ship"]);
}

/// The run, whose processes' journals fail after so many appends each.
async fn crash(ship: Ship, crashes: &[usize]) -> (Arc<Outcome>, World, usize) {
    let (machine, world) = (Machine::new(), World::default());
    world.ship(ship);
    let workflow = once(&world);
    for &left in crashes {
        let log = Arc::new(Failing {
            log: Arc::clone(&machine.log),
            left: AtomicUsize::new(left),
        });
        let process = machine.with_log(log).process();
        if let Ok(run) = process.start_durable(&workflow, id(), 7).await {
            let _ = run.outcome().await;
        }
        drop(process);
        sleep(DEFAULT_LEASE_TTL).await;
    }
    let log = Arc::new(Failing {
        log: Arc::clone(&machine.log),
        left: AtomicUsize::new(usize::MAX),
    });
    let process = machine.with_log(Arc::clone(&log) as _).process();
    let run = process.start_durable(&workflow, id(), 7).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    let unfinished = machine
        .journal()
        .runs(&RunQuery::newest().unfinished())
        .await;
    assert!(unfinished.unwrap().is_empty(), "a child was left behind");
    let left = log.left.load(std::sync::atomic::Ordering::SeqCst);
    (outcome, world, usize::MAX - left)
}

/// Forgets every stream that may be, as a retention of none does.
async fn forget_all(log: &dyn EventLog) {
    for stream in log.streams(&StreamQuery::by_name()).await.unwrap() {
        match log.forget(&stream.name).await {
            Ok(_) | Err(EventLogError::StillOpen { .. }) => {}
            Err(EventLogError::StillNeeded { by, .. }) => assert_eq!(by, "run.r"),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// What of the child is kept as done, once the journal has failed after so many appends. Then all is forgotten
/// that may be, and the run goes on to its end.
async fn crash_and_forget(left: usize) -> (Vec<String>, World) {
    let (machine, world) = (Machine::new(), World::default());
    let workflow = once(&world);
    let log = Arc::new(Failing {
        log: Arc::clone(&machine.log),
        left: AtomicUsize::new(left),
    });
    let process = machine.with_log(log).process();
    if let Ok(run) = process.start_durable(&workflow, id(), 7).await {
        let _ = run.outcome().await;
    }
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    let journal = machine.journal();
    let mut done = Vec::new();
    for run in journal.runs(&RunQuery::newest()).await.unwrap() {
        let view = journal.view(&run).await.unwrap();
        let completed = view.steps.into_iter();
        let completed = completed.filter(|step| step.phase == StepPhase::Completed);
        done.extend(completed.map(|step| step.id));
    }
    forget_all(&*machine.log).await;
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), 7).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    forget_all(&*machine.log).await;
    let runs = journal.runs(&RunQuery::newest()).await.unwrap();
    assert!(runs.is_empty(), "nobody needs them any more: {runs:?}");
    (done, world)
}

#[test]
fn what_is_done_of_a_child_is_not_done_again_where_all_that_may_be_is_forgotten_after_a_crash() {
    let (_, _, appends) = paused(crash(Ship::Succeeds, &[]));
    // At the last one all has ended, and is forgotten: the run that is started then is another one.
    for left in 0..appends {
        let (done, world) = paused(crash_and_forget(left));
        for step in done {
            let count = world.count(&step);
            assert!(
                step == "deliver" || count == 1 || step == "thank",
                "{left}: {step}, {count}"
            );
        }
    }
}

#[test]
fn a_run_with_a_child_that_crashes_at_any_append_comes_to_the_same_end() {
    for ship in [Ship::Succeeds, Ship::Fails] {
        let (undisturbed, world, appends) = paused(crash(ship, &[]));
        let expected = world.take();
        assert!(appends > 5, "{appends}");
        for first in 0..appends {
            for crashes in [vec![first], vec![first, first / 2]] {
                let (outcome, world, _) = paused(crash(ship, &crashes));
                assert_eq!(outcome.status, undisturbed.status, "{crashes:?}");
                let mut seen = world.take();
                for what in &expected {
                    let count = seen.iter().filter(|seen| *seen == what).count();
                    assert!(
                        (1..=1 + crashes.len()).contains(&count),
                        "{what}: {count}, {crashes:?}"
                    );
                }
                seen.dedup();
                assert_eq!(seen, expected, "{crashes:?}");
            }
        }
    }
}
