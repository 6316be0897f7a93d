//! Of runs that are paused for a step of theirs, and whose parents have clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coord_bus::time::{sleep, timeout};
use coord_workflow::{
    AttemptError, Command, DEFAULT_LEASE_TTL, Durable, OnExhausted, PartError, Run, RunId,
    RunState, RunView, Status, Step, StepError, Why, Workflow,
};

use super::error_of;
use crate::crashes::{Failing, paused};
use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

/// How often the work of the innermost run was tried. The first attempt fails, and what becomes of the second is
/// said.
#[derive(Clone)]
struct World {
    tries: Arc<AtomicUsize>,
    second_takes: Duration,
}

impl World {
    fn new(second_takes: Duration) -> Self {
        let tries = Arc::default();
        Self {
            tries,
            second_takes,
        }
    }

    fn tries(&self) -> usize {
        self.tries.load(Ordering::SeqCst)
    }
}

/// A run that is paused for its step `work`, at once.
fn inner(world: &World) -> (Workflow<(), Durable>, Step<u32>) {
    let mut workflow = Workflow::durable("inner").timeout(60 * SECOND);
    let world = world.clone();
    let work = workflow
        .step("work")
        .on_exhausted(OnExhausted::Pause)
        .run(move || {
            let (tried, takes) = (
                world.tries.fetch_add(1, Ordering::SeqCst),
                world.second_takes,
            );
            async move {
                if tried == 0 {
                    return Err(StepError::message("no route to host"));
                }
                sleep(takes).await;
                Ok(7)
            }
        });
    (workflow.build().unwrap(), work)
}

/// That, as the work of the step `middle` of a run that is the work of the step `outer`: each with a limit to its
/// time, and so has each of the runs.
fn outer(world: &World) -> Workflow<(), Durable> {
    let (inner, work) = inner(world);
    let mut workflow = Workflow::durable("middle").timeout(60 * SECOND);
    let middle = workflow.step("middle").timeout(40 * SECOND);
    let middle = middle.workflow(&inner, work);
    let within = workflow.build().unwrap();
    let mut workflow = Workflow::durable("outer").timeout(60 * SECOND);
    let outer = workflow.step("outer").timeout(50 * SECOND);
    let outer = outer.workflow(&within, middle);
    workflow
        .step("after")
        .input(outer)
        .run(async |seven: Arc<u32>| Ok::<u32, StepError>(*seven));
    workflow.build().unwrap()
}

/// The run, the one within it, and the one within that.
async fn all(machine: &Machine) -> [RunView; 3] {
    let journal = machine.journal();
    let outer = journal.view(&id()).await.unwrap();
    let middle = outer.step("outer").unwrap().child.clone().unwrap();
    let middle = journal.view(&middle).await.unwrap();
    let inner = middle.step("middle").unwrap().child.clone().unwrap();
    let inner = journal.view(&inner).await.unwrap();
    [outer, middle, inner]
}

async fn goes_on(run: &Run) {
    assert!(timeout(Duration::ZERO, run.outcome()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn no_time_of_a_run_counts_while_one_within_it_is_paused_and_all_of_it_counts_anew_then() {
    let (machine, world) = (Machine::new(), World::new(30 * SECOND));
    let process = machine.process();
    let workflow = outer(&world);
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(HOUR).await;
    goes_on(&run).await;
    let [outer, middle, inner] = all(&machine).await;
    assert_eq!(inner.exhausted().count(), 1);
    // They are not the ones to be continued.
    assert!(inner.is_paused && !middle.is_paused && !outer.is_paused);
    for (around, step, within) in [(&outer, "outer", &middle), (&middle, "middle", &inner)] {
        assert!(around.step(step).unwrap().child_is_paused);
        let why = around.why(step).unwrap();
        assert_eq!(why, Why::ChildPaused(within.run.clone()));
        assert!(why.to_string().contains(within.run.as_str()), "{why}");
    }
    assert_eq!(run.why("outer"), outer.why("outer"));

    machine
        .journal()
        .tell(&inner.run, Command::Continue)
        .await
        .unwrap();
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.is_completed(), "{outcome:?}");
    assert_eq!(world.tries(), 2);
    assert!(outcome.duration >= HOUR + 30 * SECOND);
    let view = outcome.view();
    assert!(!view.step("outer").unwrap().child_is_paused);
    assert!(view.timed_from.is_some_and(|from| from >= HOUR));
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_for_too_long_after_a_pause_is_over_time_then() {
    let (machine, world) = (Machine::new(), World::new(HOUR));
    let process = machine.process();
    let workflow = outer(&world);
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(HOUR).await;
    let [_, _, inner] = all(&machine).await;
    let journal = machine.journal();
    let continued = journal.tell(&inner.run, Command::Continue);
    continued.await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Failed);
    let error = error_of(&outcome, "outer");
    let Some(PartError::ChildFailed { step, source, .. }) = error.downcast_ref() else {
        panic!("{error:?}");
    };
    assert_eq!(&**step, "middle");
    let timed_out = AttemptError::TimedOut(40 * SECOND);
    assert_eq!(source.downcast_ref(), Some(&timed_out));
    assert_eq!(outcome.duration.as_secs(), 3600 + 40);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_all_attempts_at_a_step_whose_run_is_paused_does_not_count_and_then_counts_anew()
 {
    for (takes, is_in_time) in [(30 * SECOND, true), (HOUR, false)] {
        let (machine, world) = (Machine::new(), World::new(takes));
        let process = machine.process();
        let (inner, work) = inner(&world);
        let mut workflow = Workflow::durable("outer");
        let outer = workflow.step("outer").total_timeout(40 * SECOND);
        outer.workflow(&inner, work);
        let workflow = workflow.build().unwrap();
        let run = process.start_durable(&workflow, id(), ()).await.unwrap();
        sleep(HOUR).await;
        goes_on(&run).await;
        let child = run.view().unwrap().step("outer").unwrap().child.clone();
        let journal = machine.journal();
        let child = child.unwrap();
        journal.tell(&child, Command::Continue).await.unwrap();
        let outcome = run.outcome().await.unwrap();
        assert_eq!(outcome.is_completed(), is_in_time, "{outcome:?}");
        if !is_in_time {
            let all = AttemptError::AllTimedOut(40 * SECOND);
            assert_eq!(error_of(&outcome, "outer").downcast_ref(), Some(&all));
            assert_eq!(outcome.duration.as_secs(), 3600 + 40);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_within_which_one_is_paused_is_cancelled_all_the_same_and_so_are_those_within() {
    let (machine, world) = (Machine::new(), World::new(SECOND));
    let process = machine.process();
    let workflow = outer(&world);
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(HOUR).await;
    run.tell(Command::Cancel { reason: None }).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
    for view in all(&machine).await {
        assert_eq!(view.state, RunState::Finished(Status::Cancelled));
        assert!(!view.steps.iter().any(|step| step.child_is_paused));
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_counts_where_somebody_cancels_or_skips_what_was_paused() {
    for skips in [false, true] {
        let (machine, world) = (Machine::new(), World::new(SECOND));
        let process = machine.process();
        let workflow = outer(&world);
        let run = process.start_durable(&workflow, id(), ()).await.unwrap();
        sleep(HOUR).await;
        let [_, _, inner] = all(&machine).await;
        let command = match skips {
            true => Command::Skip {
                step: "work".to_owned(),
            },
            false => Command::Cancel { reason: None },
        };
        machine.journal().tell(&inner.run, command).await.unwrap();
        // What the steps around it are to put out is not there.
        let outcome = run.outcome().await.unwrap();
        assert_eq!(outcome.status, Status::Failed);
        assert_eq!(outcome.duration.as_secs(), 3600);
        for view in all(&machine).await {
            assert!(!view.steps.iter().any(|step| step.child_is_paused));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_another_process_drives_and_that_is_paused_stops_the_clocks_here() {
    let (machine, world) = (Machine::new(), World::new(SECOND));
    let killed = machine.process();
    let workflow = outer(&world);
    killed.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(SECOND).await;
    let [_, middle, innermost] = all(&machine).await;
    killed.shutdown(HOUR).await;
    let (one, other) = (machine.process(), machine.process());
    let elsewhere = other
        .resume_run(&inner(&world).0, &innermost.run)
        .await
        .unwrap();
    let run = one.resume_run(&workflow, &id()).await.unwrap();
    sleep(HOUR).await;
    goes_on(&run).await;
    assert_eq!(run.why("outer"), Some(Why::ChildPaused(middle.run)));
    elsewhere.tell(Command::Continue).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
}

/// The run, whose process's journal fails after so many appends, and that is continued hours later where it is paused; with
/// how many there were.
async fn crashing(crash: usize) -> (World, usize) {
    let (machine, world) = (Machine::new(), World::new(10 * SECOND));
    let workflow = outer(&world);
    let log = Arc::new(Failing {
        log: Arc::clone(&machine.log),
        left: AtomicUsize::new(crash),
    });
    let process = machine.with_log(Arc::clone(&log) as _).process();
    let begun = process.start_durable(&workflow, id(), ()).await;
    sleep(SECOND).await;
    let appends = crash - log.left.load(Ordering::SeqCst);
    drop((begun, process));
    sleep(DEFAULT_LEASE_TTL).await;
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(SECOND).await;
    if all(&machine).await[2].exhausted().count() == 1 {
        // Nobody drives it for an hour, and nobody sees to it for another.
        process.shutdown(HOUR).await;
        sleep(HOUR).await;
        let process = machine.process();
        let run = process.start_durable(&workflow, id(), ()).await.unwrap();
        sleep(HOUR).await;
        goes_on(&run).await;
        let inner = &all(&machine).await[2].run;
        let journal = machine.journal();
        journal.tell(inner, Command::Continue).await.unwrap();
        assert!(
            run.outcome().await.unwrap().is_completed(),
            "crash at {crash}"
        );
    } else {
        // That it had failed was not kept, and it did not fail again.
        assert!(
            run.outcome().await.unwrap().is_completed(),
            "crash at {crash}"
        );
    }
    (world, appends)
}

#[test]
fn a_run_within_which_one_is_paused_may_crash_at_any_append_and_wait_for_hours() {
    let (world, appends) = paused(crashing(1_000));
    assert_eq!(world.tries(), 2);
    assert!(appends >= 6, "{appends}");
    for crash in 0..appends {
        let (world, _) = paused(crashing(crash));
        assert!(
            (2..=3).contains(&world.tries()),
            "crash at {crash}: {}",
            world.tries()
        );
    }
}
