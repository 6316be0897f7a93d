//! Whether further items, and rounds, begin: not in a run that is paused, and no more where somebody says so.

use std::num::NonZeroUsize;
use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{
    AttemptError, Command, Outcome, Progress, Repeat, Retry, Round, Run, Status, Step, StepContext,
    StepError, Why, Workflow, WorkflowBuilder, WorkflowOrchestrator,
};

use super::{Seen, error_of, id};
use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Items that take a second each, two at once, in an attempt that has so long, the first of so many.
fn items(seen: &Seen, listens: bool, (timeout, attempts): (Duration, u32)) -> Workflow<Vec<u32>> {
    let mut workflow = Workflow::builder("items").timeout(3 * HOUR);
    let (list, seen) = (workflow.input(), seen.clone());
    workflow
        .step("each")
        .timeout(timeout)
        .heartbeat_timeout(3 * SECOND / 2)
        .retry(Retry::constant(Duration::ZERO).max_attempts(attempts))
        .for_each(list)
        .concurrency(NonZeroUsize::new(2).unwrap())
        .run_with(move |context: StepContext, item: u32| {
            let told = listens.then(|| context.token());
            seen.see(format!("{item}"));
            async move {
                tokio::select! {
                    () = sleep(SECOND) => Ok(()),
                    () = async { told.unwrap().cancelled().await }, if listens => {
                        Err(StepError::message("it was told"))
                    }
                }
            }
        });
    workflow.build().unwrap()
}

fn start(orchestrator: &WorkflowOrchestrator, workflow: &Workflow<Vec<u32>>) -> Run {
    let list = (0..6).collect();
    orchestrator.start_workflow(workflow, list).unwrap()
}

fn orchestrator() -> WorkflowOrchestrator {
    WorkflowOrchestrator::new(&LocalBus::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn no_further_item_begins_in_a_run_that_is_paused_and_those_that_run_go_on() {
    let (seen, orchestrator) = (Seen::default(), orchestrator());
    let workflow = items(&seen, false, (2 * HOUR, 1));
    let run = start(&orchestrator, &workflow);
    sleep(SECOND / 2).await;
    run.tell(Command::Pause).await.unwrap();
    let why = |view: &coord_workflow::RunView| view.why("each").unwrap();
    let paused = |progress| Why::PausedParts {
        run: run.id().clone(),
        progress,
    };
    assert_eq!(why(&run.view().unwrap()), paused(None));
    // It gives no sign of life meanwhile, and need not.
    sleep(HOUR).await;
    assert_eq!(seen.take(), ["0", "1"]);
    let done = Progress::Items { done: 2, of: 6 };
    let told = why(&run.view().unwrap());
    assert_eq!(told, paused(Some(done)));
    let text = format!(
        "it is running: 2 of 6 items are done, and no further one begins while run `{}` is paused",
        run.id()
    );
    assert_eq!(told.to_string(), text);

    run.tell(Command::Continue).await.unwrap();
    sleep(SECOND / 2).await;
    assert_eq!(seen.take(), ["2", "3"]);
    run.tell(Command::Pause).await.unwrap();
    run.tell(Command::Continue).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.is_completed());
    assert_eq!(outcome.duration, HOUR + 5 * SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_of_a_run_that_is_paused_ends_in_its_time_and_with_the_run() {
    for listens in [false, true] {
        let (seen, orchestrator) = (Seen::default(), orchestrator());
        let workflow = items(&seen, listens, (60 * SECOND, 1));
        let run = start(&orchestrator, &workflow);
        sleep(SECOND / 2).await;
        run.tell(Command::Pause).await.unwrap();
        let outcome = run.outcome().await.unwrap();
        let timed_out = AttemptError::TimedOut(60 * SECOND);
        assert_eq!(error_of(&outcome, "each").downcast_ref(), Some(&timed_out));
        // Nobody who waits to begin needs the grace of those that listen.
        assert_eq!(outcome.duration, 60 * SECOND);

        let run = start(&orchestrator, &workflow);
        sleep(SECOND / 2).await;
        run.tell(Command::Pause).await.unwrap();
        sleep(5 * SECOND).await;
        run.cancel();
        let outcome = run.outcome().await.unwrap();
        assert_eq!(outcome.status, Status::Cancelled);
        assert_eq!(outcome.duration, 11 * SECOND / 2);
        assert_eq!(seen.take(), ["0", "0", "1", "1"]);
    }
}

/// A loop of five rounds that take a second each.
fn rounds<K: coord_workflow::Keeps<u32>>(
    seen: &Seen,
    mut workflow: WorkflowBuilder<(), K>,
) -> (Workflow<(), K>, Step<u32>) {
    let seen = seen.clone();
    let done = workflow
        .step("loop")
        .retry(Retry::default())
        .repeat(Repeat::at_most(9))
        .run(move |round: Round<u32>| {
            let number = u32::try_from(round.number()).unwrap();
            seen.see(format!("{number}"));
            async move {
                sleep(SECOND).await;
                Ok::<_, StepError>(match number {
                    5 => Break(number),
                    _ => Continue(number),
                })
            }
        });
    (workflow.build().unwrap(), done)
}

#[tokio::test(start_paused = true)]
async fn no_further_round_begins_in_a_run_that_is_paused_or_is_within_one() {
    let (machine, seen) = (Machine::new(), Seen::default());
    let (inner, done) = rounds(&seen, Workflow::durable("inner"));
    let mut outer = Workflow::durable("outer");
    outer.step("inner").workflow(&inner, done);
    let outer = outer.build().unwrap();
    let process = machine.process();
    let run = process.start_durable(&outer, id(), ()).await.unwrap();
    sleep(3 * SECOND / 2).await;
    run.tell(Command::Pause).await.unwrap();
    sleep(HOUR).await;
    assert_eq!(seen.take(), ["1", "2"]);
    let within = run.view().unwrap().step("inner").unwrap().child.clone();
    let why = machine.journal().why(&within.unwrap(), "loop").await;
    let paused = Why::PausedParts {
        run: id(),
        progress: Some(Progress::Rounds { done: 2, limit: 9 }),
    };
    assert_eq!(why.unwrap(), Some(paused));
    run.tell(Command::Continue).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(seen.take(), ["3", "4", "5"]);
}

fn stopped() -> StepError {
    StepError::message("it was stopped").permanent()
}

fn has_stopped(outcome: &Arc<Outcome>, step: &str, why: &str) {
    assert_eq!(outcome.status, Status::Failed);
    assert_eq!(error_of(outcome, step).to_string(), why);
    assert_eq!(outcome.step(step).unwrap().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn no_further_item_begins_once_somebody_says_so_also_in_a_run_that_is_paused() {
    for pauses in [false, true] {
        let (seen, orchestrator) = (Seen::default(), orchestrator());
        let workflow = items(&seen, false, (2 * HOUR, 9));
        let run = start(&orchestrator, &workflow);
        assert!(!run.begin_no_more("each", stopped()), "it has not begun");
        sleep(SECOND / 2).await;
        if pauses {
            run.tell(Command::Pause).await.unwrap();
            sleep(HOUR).await;
        }
        assert!(!run.begin_no_more("other", stopped()));
        assert!(run.begin_no_more("each", stopped()));
        let outcome = run.outcome().await.unwrap();
        assert_eq!(seen.take(), ["0", "1"]);
        let why = "items [2], [3], [4], [5] of 6 failed, the first of them because: it was stopped";
        has_stopped(&outcome, "each", why);
        assert!(!run.begin_no_more("each", stopped()));
    }
}

#[tokio::test(start_paused = true)]
async fn no_further_round_begins_once_somebody_says_so_and_another_attempt_has_all() {
    let (seen, orchestrator) = (Seen::default(), orchestrator());
    let (workflow, _) = rounds(&seen, Workflow::<()>::builder("rounds"));
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    sleep(3 * SECOND / 2).await;
    assert!(run.begin_no_more("loop", stopped()));
    let outcome = run.outcome().await.unwrap();
    assert_eq!(seen.take(), ["1", "2"]);
    has_stopped(&outcome, "loop", "it was stopped");

    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    sleep(3 * SECOND / 2).await;
    assert!(run.begin_no_more("loop", StepError::message("not now")));
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(seen.take(), ["1", "2", "3", "4", "5"]);
}
