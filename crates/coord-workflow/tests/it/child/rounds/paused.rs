//! Of rounds that are paused for a step of theirs, in runs and steps that have clocks.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{sleep, timeout};
use coord_workflow::{
    AttemptError, Command, DEFAULT_LEASE_TTL, Durable, OnExhausted, PartError, Repeat, Run, RunId,
    StepError, Why, Workflow,
};

use super::super::error_of;
use super::{SECOND, World};
use crate::durable::Machine;

const HOUR: Duration = Duration::from_secs(3600);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

/// Rounds of 30 seconds, of which the second is paused at first, and then takes so long; with a minute for each round,
/// and for the run.
fn outer(world: &World, takes: Duration) -> Workflow<u32, Durable> {
    let mut workflow = Workflow::durable("inner");
    let (round, world) = (workflow.input(), world.clone());
    let work = workflow.step("work").input(round);
    let work = work
        .on_exhausted(OnExhausted::Pause)
        .run(move |round: Arc<u32>| {
            let tried = format!("try {round}");
            let is_first = !world.seen.lock().unwrap().contains(&tried);
            world.see(tried);
            async move {
                if is_first && *round == 1 {
                    return Err(StepError::message("no route to host"));
                }
                sleep(if *round == 1 { takes } else { 10 * SECOND }).await;
                Ok::<u32, StepError>(*round)
            }
        });
    let inner = workflow.build().unwrap();
    let mut workflow = Workflow::durable("outer").timeout(60 * SECOND);
    let first = workflow.input();
    let rounds = workflow.step("rounds").timeout(40 * SECOND).input(first);
    let rounds = rounds.repeat(Repeat::at_most(5));
    rounds.workflow(&inner, work, |round| match *round.output {
        2 => Break(()),
        round => Continue(round + 1),
    });
    workflow.build().unwrap()
}

/// The run of the second round, which is paused, and for which the step waits.
async fn paused(machine: &Machine, run: &Run) -> RunId {
    assert!(timeout(Duration::ZERO, run.outcome()).await.is_err());
    let view = machine.journal().view(&id()).await.unwrap();
    let rounds = view.step("rounds").unwrap();
    assert!(rounds.child_is_paused && rounds.children.is_empty() && !view.is_paused);
    let child = rounds.child.clone().unwrap();
    assert!(child.as_str().starts_with("r.rounds.1-"), "{child}");
    assert_eq!(view.why("rounds"), Some(Why::ChildPaused(child.clone())));
    assert_eq!(run.why("rounds"), view.why("rounds"));
    child
}

#[tokio::test(start_paused = true)]
async fn no_time_counts_while_a_round_is_paused_also_for_who_takes_the_run_up() {
    let (machine, world) = (Machine::new(), World::default());
    let workflow = outer(&world, 35 * SECOND);
    let killed = machine.process();
    let run = killed.start_durable(&workflow, id(), 0).await.unwrap();
    sleep(HOUR).await;
    paused(&machine, &run).await;
    drop((run, killed));
    sleep(DEFAULT_LEASE_TTL).await;

    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    sleep(HOUR).await;
    let child = paused(&machine, &run).await;
    let journal = machine.journal();
    journal.tell(&child, Command::Continue).await.unwrap();
    // The round has its 40 seconds anew, and the run its minute.
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.is_completed(), "{outcome:?}");
    assert_eq!(world.take(), ["try 0", "try 1", "try 1", "try 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_round_that_takes_too_long_after_its_pause_is_over_its_own_time() {
    let (machine, world) = (Machine::new(), World::default());
    let workflow = outer(&world, HOUR);
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), 0).await.unwrap();
    sleep(HOUR).await;
    let child = paused(&machine, &run).await;
    let journal = machine.journal();
    journal.tell(&child, Command::Continue).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    let error = error_of(&outcome, "rounds");
    let timed_out = AttemptError::TimedOut(40 * SECOND);
    assert_eq!(error.downcast_ref(), Some(&timed_out));
    assert_eq!(outcome.duration, HOUR + 40 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_round_that_is_cancelled_by_itself_fails_the_attempt() {
    let (machine, world) = (Machine::new(), World::default());
    let workflow = outer(&world, SECOND);
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), 0).await.unwrap();
    sleep(HOUR).await;
    let child = paused(&machine, &run).await;
    let cancel = Command::Cancel { reason: None };
    machine.journal().tell(&child, cancel).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    let error = error_of(&outcome, "rounds");
    assert!(
        matches!(error.downcast_ref(), Some(PartError::ChildEnded { run, .. }) if *run == child.to_string()),
        "{error:?}"
    );
}
