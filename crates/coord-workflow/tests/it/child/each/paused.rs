//! Of runs that are paused for a step of theirs, or told to pause, and whose parents have clocks.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{sleep, timeout};
use coord_workflow::{
    AttemptError, Command, DEFAULT_LEASE_TTL, Durable, OnExhausted, Progress, RunId, Status,
    StepError, Why, Workflow,
};

use super::super::error_of;
use super::{SECOND, World, durable, once, orders};
use crate::durable::Machine;

const HOUR: Duration = Duration::from_secs(3600);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

/// A run for each of three, of which the first is done after 30 seconds, and the others are paused at first, and then
/// take so long; with a minute for the step, and for the run.
fn outer(world: &World, takes: Duration) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("inner");
    let (item, world) = (workflow.input(), world.clone());
    let work = workflow.step("work").input(item);
    let work = work
        .on_exhausted(OnExhausted::Pause)
        .run(move |item: Arc<u32>| {
            let tried = format!("try {item}");
            let is_first = !world.0.lock().unwrap().seen.contains(&tried);
            world.see(tried);
            async move {
                if is_first && *item > 0 {
                    return Err(StepError::message("no route to host"));
                }
                sleep(if *item > 0 { takes } else { 30 * SECOND }).await;
                Ok::<u32, StepError>(*item * 10)
            }
        });
    let inner = workflow.build().unwrap();
    let mut workflow = Workflow::durable("outer").timeout(60 * SECOND);
    let list = workflow
        .step("list")
        .run(async || Ok::<Vec<u32>, StepError>(vec![0, 1, 2]));
    let each = workflow.step("each").timeout(60 * SECOND).for_each(list);
    each.workflow(&inner, work);
    workflow.build().unwrap()
}

/// The runs for which a step waits that are paused: with their items.
fn paused(why: Option<Why>) -> Vec<(usize, RunId)> {
    let Some(Why::ChildrenPaused(children)) = why else {
        panic!("{why:?}");
    };
    let children = children.first.into_iter();
    let paused = children.filter(|child| child.is_paused);
    paused.map(|child| (child.item, child.run)).collect()
}

#[tokio::test(start_paused = true)]
async fn no_time_counts_while_one_of_the_runs_is_paused_also_for_who_takes_the_run_up() {
    let (machine, world) = (Machine::new(), World::default());
    let workflow = outer(&world, 40 * SECOND);
    let killed = machine.process();
    killed.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(HOUR).await;
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
    let view = machine.journal().view(&id()).await.unwrap();
    let each = view.step("each").unwrap();
    assert!(each.child_is_paused && !view.is_paused);
    let items: Vec<_> = each
        .children
        .iter()
        .map(|child| (child.item, child.is_paused))
        .collect();
    assert_eq!(items, [(1, true), (2, true)]);

    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    sleep(HOUR).await;
    assert!(timeout(Duration::ZERO, run.outcome()).await.is_err());
    let why = run.why("each");
    assert_eq!(machine.journal().why(&id(), "each").await.unwrap(), why);
    let text = why.as_ref().unwrap().to_string();
    assert!(
        text.contains("[1] `r.each.1-") && text.contains("are paused for a step"),
        "{text}"
    );
    let [(1, one), (2, two)] = &paused(why)[..] else {
        panic!("{text}");
    };
    let journal = machine.journal();
    journal.tell(one, Command::Continue).await.unwrap();
    // That it goes on is not enough: another one is still paused.
    sleep(HOUR).await;
    assert_eq!(paused(run.why("each")), [(2, two.clone())]);
    journal.tell(two, Command::Continue).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.is_completed(), "{outcome:?}");
    assert_eq!(outcome.value_of("each"), None);
    assert_eq!(world.take(), ["try 0", "try 1", "try 1", "try 2", "try 2"]);
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_for_too_long_once_none_is_paused_is_over_time_then() {
    let (machine, world) = (Machine::new(), World::default());
    let workflow = outer(&world, HOUR);
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(HOUR).await;
    for (_, paused) in paused(run.why("each")) {
        machine
            .journal()
            .tell(&paused, Command::Continue)
            .await
            .unwrap();
    }
    let outcome = run.outcome().await.unwrap();
    assert_ne!(outcome.status, Status::Completed);
    if outcome.status == Status::Failed {
        let timed_out = AttemptError::TimedOut(60 * SECOND);
        assert_eq!(error_of(&outcome, "each").downcast_ref(), Some(&timed_out));
    }
    assert_eq!(outcome.duration.as_secs(), 3600 + 60);
}

#[tokio::test(start_paused = true)]
async fn no_run_at_an_item_begins_while_the_one_around_it_is_told_to_pause() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    let (workflow, parcels) = orders(&world, durable, once(2));
    let run = process
        .start_durable(&workflow, id(), (1..5).collect())
        .await
        .unwrap();
    sleep(SECOND / 2).await;
    run.tell(Command::Pause).await.unwrap();
    sleep(HOUR).await;
    // What was under way is done, and no other has begun.
    assert_eq!(world.take(), ["pack 1", "pack 2", "ship 1", "ship 2"]);
    let view = machine.journal().view(&id()).await.unwrap();
    assert!(view.step("deliver").unwrap().children.is_empty());
    let paused = Why::PausedParts {
        run: id(),
        progress: Some(Progress::Items { done: 2, of: 4 }),
    };
    assert_eq!(view.why("deliver"), Some(paused));
    run.tell(Command::Continue).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.output(&parcels).unwrap().len(), 4);
}
