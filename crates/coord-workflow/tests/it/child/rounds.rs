//! Steps whose rounds are runs of another workflow.

mod crashing;
mod kept;
mod paused;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{
    AttemptError, Fault, Keeps, PartError, Progress, Repeat, Retry, RoundRun, Status, Step,
    StepContext, StepError, Why, Workflow, WorkflowBuilder, WorkflowOrchestrator,
};

use super::error_of;

const SECOND: Duration = Duration::from_secs(1);

/// How the work at a draft goes: a second, where nothing else is said.
#[derive(Clone, Copy, Default, PartialEq)]
enum Review {
    #[default]
    Succeeds,
    Fails,
    /// Until it is told to end, and then two seconds more.
    Holds,
}

/// What is done of drafts, in the order in which it is, and how it goes.
#[derive(Clone, Default)]
struct World {
    seen: Arc<Mutex<Vec<String>>>,
    reviews: Arc<Mutex<HashMap<u32, Review>>>,
}

impl World {
    fn see(&self, what: impl Into<String>) {
        self.seen.lock().unwrap().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    fn set(&self, draft: u32, review: Review) {
        self.reviews.lock().unwrap().insert(draft, review);
    }

    fn review(&self, draft: u32) -> Review {
        let reviews = self.reviews.lock().unwrap();
        reviews.get(&draft).copied().unwrap_or_default()
    }
}

/// `send`, which is undone, then `review`, which puts out ten times the number of the draft.
fn reviewing<K: Keeps<u32>>(
    world: &World,
    mut workflow: WorkflowBuilder<u32, K>,
) -> (Workflow<u32, K>, Step<u32>) {
    let draft = workflow.input();
    let (sends, takes_back, reviews) = (world.clone(), world.clone(), world.clone());
    let send = workflow
        .step("send")
        .input(draft)
        .compensate(move |draft: Arc<u32>| {
            takes_back.see(format!("take back {draft}"));
            async { Ok::<_, StepError>(()) }
        })
        .run(move |draft: Arc<u32>| {
            sends.see(format!("send {draft}"));
            async move { Ok::<u32, StepError>(*draft) }
        });
    let review = workflow.step("review").input(send);
    let review = review.run_with(move |context: StepContext, draft: Arc<u32>| {
        let world = reviews.clone();
        async move {
            world.see(format!("review {draft}"));
            match world.review(*draft) {
                Review::Holds => {
                    context.token().cancelled().await;
                    sleep(2 * SECOND).await;
                    world.see(format!("let go {draft}"));
                }
                _ => sleep(SECOND).await,
            }
            match world.review(*draft) {
                Review::Succeeds => Ok(*draft * 10),
                _ => Err(StepError::message(format!("nobody has read {draft}"))),
            }
        }
    });
    (workflow.build().unwrap(), review)
}

/// A builder of what has the rounds, and one of what is run.
type Builders<K> = (WorkflowBuilder<u32, K>, WorkflowBuilder<u32, K>);

/// `approve`, which is a run of `review` each round until the third draft, and is undone; then `print`.
fn approving<K>(
    world: &World,
    (mut workflow, child): Builders<K>,
    (repeat, retry): (Repeat, Retry),
) -> (Workflow<u32, K>, Step<String>)
where
    K: Keeps<u32> + Keeps<String> + Keeps<()>,
{
    let (child, reviewed) = reviewing(world, child);
    let draft = workflow.input();
    let (burns, prints) = (world.clone(), world.clone());
    let approve = workflow
        .step("approve")
        .input(draft)
        .retry(retry)
        .compensate(move |approved: Arc<String>| {
            burns.see(format!("burn {approved}"));
            async { Ok::<_, StepError>(()) }
        })
        .repeat(repeat)
        .workflow(&child, reviewed, until_three);
    let print = workflow.step("print").input(approve);
    print.run(move |approved: Arc<String>| {
        prints.see(format!("print {approved}"));
        let fails = approved.starts_with("draft 9");
        async move {
            match fails {
                true => Err(StepError::message("no paper")),
                false => Ok(()),
            }
        }
    });
    (workflow.build().unwrap(), approve)
}

/// Draft after draft, until the third.
fn until_three(round: &RoundRun<u32, u32>) -> ControlFlow<String, u32> {
    assert_eq!(*round.output, *round.given * 10);
    match round.number() {
        3 => Break(format!(
            "draft {}, reviewed as {}",
            round.given, round.output
        )),
        _ => Continue(*round.given + 1),
    }
}

fn in_memory() -> Builders<coord_workflow::Volatile> {
    (Workflow::builder("approving"), Workflow::builder("review"))
}

fn once(rounds: u32) -> (Repeat, Retry) {
    (Repeat::at_most(rounds), Retry::none())
}

fn orchestrator() -> WorkflowOrchestrator {
    WorkflowOrchestrator::new(&LocalBus::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_round_is_a_run_that_is_started_with_what_the_one_before_led_to_until_one_is_the_last()
{
    let world = World::default();
    let (workflow, approved) = approving(&world, in_memory(), once(3));
    let graph = workflow.graph().to_string();
    assert!(
        graph.contains("approve (repeats workflow review)"),
        "{graph}"
    );
    let orchestrator = orchestrator();
    let run = orchestrator.start_workflow(&workflow, 4).unwrap();
    sleep(3 * SECOND / 2).await;
    let view = run.view().unwrap();
    let approve = view.step("approve").unwrap();
    assert_eq!(
        approve.progress,
        Some(Progress::Rounds { done: 1, limit: 3 })
    );
    assert!(approve.children.is_empty());
    let child = approve.child.clone().unwrap();
    let begins = format!("{}.approve.1-", run.id());
    assert!(child.as_str().starts_with(&begins), "{child}");
    assert_eq!(run.why("approve"), Some(Why::Child(child)));

    let outcome = run.outcome().await.unwrap();
    assert_eq!(
        *outcome.output(&approved).unwrap(),
        "draft 6, reviewed as 60"
    );
    assert_eq!(outcome.duration, 3 * SECOND);
    assert_eq!(outcome.view().step("approve").unwrap().child, None);
    let done = [
        "send 4",
        "review 4",
        "send 5",
        "review 5",
        "send 6",
        "review 6",
        "print draft 6, reviewed as 60",
    ];
    assert_eq!(world.take(), done);
}

#[tokio::test(start_paused = true)]
async fn a_step_without_an_input_repeats_a_workflow_that_is_started_with_nothing() {
    let mut tossing = Workflow::builder("tossing");
    let tosses = Arc::new(Mutex::new(0));
    let toss = tossing.step("toss").run(move || {
        let mut tosses = tosses.lock().unwrap();
        *tosses += 1;
        std::future::ready(Ok::<u32, StepError>(*tosses))
    });
    let tossing = tossing.build().unwrap();
    let mut workflow = Workflow::builder("until-four");
    let rounds = workflow.step("toss").repeat(Repeat::default());
    let rounds = rounds.workflow(&tossing, toss, |round| match *round.output {
        4 => Break(round.context.part()),
        _ => Continue(()),
    });
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator().execute_workflow(&workflow, ()).await;
    assert_eq!(*outcome.unwrap().output(&rounds).unwrap(), Some(3));
}

#[tokio::test(start_paused = true)]
async fn between_rounds_is_a_wait_in_which_there_is_no_run_and_there_are_no_more_than_may_be() {
    let world = World::default();
    let repeat = Repeat::at_most(2).every(60 * SECOND);
    let (workflow, _) = approving(&world, in_memory(), (repeat, Retry::none()));
    let orchestrator = orchestrator();
    let run = orchestrator.start_workflow(&workflow, 4).unwrap();
    sleep(30 * SECOND).await;
    let view = run.view().unwrap();
    assert_eq!(view.step("approve").unwrap().child, None);
    let why = Progress::Rounds { done: 1, limit: 2 };
    assert_eq!(run.why("approve"), Some(Why::Progress(why)));
    assert_eq!(orchestrator.active_runs(), 1);
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.duration, 62 * SECOND);
    let error = error_of(&outcome, "approve");
    assert!(matches!(
        error.downcast_ref(),
        Some(PartError::RoundsExhausted { limit: 2 })
    ));
    // They have completed, as has no step around them.
    assert_eq!(world.take(), ["send 4", "review 4", "send 5", "review 5"]);
}

#[tokio::test(start_paused = true)]
async fn a_round_that_fails_is_undone_and_another_attempt_is_at_that_round() {
    let world = World::default();
    world.set(5, Review::Fails);
    let retry = Retry::constant(SECOND).max_attempts(2);
    let (workflow, approved) = approving(&world, in_memory(), (Repeat::at_most(3), retry));
    let orchestrator = orchestrator();
    let run = orchestrator.start_workflow(&workflow, 4).unwrap();
    sleep(5 * SECOND / 2).await;
    let begun = ["send 4", "review 4", "send 5", "review 5", "take back 5"];
    assert_eq!(world.take(), begun);
    let error = run.view().unwrap().step("approve").unwrap().error.clone();
    let error = error.unwrap();
    assert!(
        error.contains(".approve.1-") && error.ends_with("nobody has read 5"),
        "{error}"
    );
    world.set(5, Review::Succeeds);
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.output(&approved).is_some());
    assert_eq!(world.take()[..3], ["send 5", "review 5", "send 6"]);
}

#[tokio::test(start_paused = true)]
async fn who_cancels_the_run_cancels_the_round_under_way_and_those_before_are_not_undone() {
    let world = World::default();
    world.set(5, Review::Holds);
    let (workflow, _) = approving(&world, in_memory(), once(3));
    let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new())
        .grace(3 * SECOND)
        .build()
        .unwrap();
    let run = orchestrator.start_workflow(&workflow, 4).unwrap();
    sleep(2 * SECOND).await;
    world.take();
    run.cancel();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
    assert_eq!(world.take(), ["let go 5", "take back 5"]);
    assert_eq!(orchestrator.active_runs(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_the_step_is_that_of_each_round_and_waits_for_its_end() {
    let world = World::default();
    world.set(6, Review::Holds);
    let (child, reviewed) = reviewing(&world, Workflow::builder("review"));
    let mut workflow = Workflow::builder("approving");
    let draft = workflow.input();
    let approve = workflow
        .step("approve")
        .timeout(3 * SECOND / 2)
        .input(draft);
    let approve = approve.repeat(Repeat::at_most(9));
    approve.workflow(&child, reviewed, until_three);
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator().execute_workflow(&workflow, 4).await.unwrap();
    let error = error_of(&outcome, "approve");
    let timed_out = AttemptError::TimedOut(3 * SECOND / 2);
    assert_eq!(error.downcast_ref(), Some(&timed_out));
    // Two rounds of a second, the third's timeout, and two seconds until its run let go.
    assert_eq!(outcome.duration, 2 * SECOND + 3 * SECOND / 2 + 2 * SECOND);
    assert_eq!(world.take()[6..], ["let go 6", "take back 6"]);
}

#[tokio::test(start_paused = true)]
async fn the_total_timeout_of_the_step_is_that_of_all_rounds() {
    let world = World::default();
    let (child, reviewed) = reviewing(&world, Workflow::builder("review"));
    let mut workflow = Workflow::builder("approving");
    let draft = workflow.input();
    let approve = workflow.step("approve").input(draft);
    let approve = approve.total_timeout(3 * SECOND / 2);
    let approve = approve.repeat(Repeat::at_most(9));
    approve.workflow(&child, reviewed, until_three);
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator().execute_workflow(&workflow, 4).await.unwrap();
    let error = error_of(&outcome, "approve");
    let timed_out = AttemptError::AllTimedOut(3 * SECOND / 2);
    assert_eq!(error.downcast_ref(), Some(&timed_out));
    assert_eq!(world.take()[4..], ["take back 5"]);
}

#[tokio::test(start_paused = true)]
async fn what_undoes_the_step_is_given_its_output() {
    let world = World::default();
    let (workflow, _) = approving(&world, in_memory(), once(3));
    let outcome = orchestrator().execute_workflow(&workflow, 7).await.unwrap();
    assert_eq!(outcome.status, Status::Failed);
    let last = [
        "print draft 9, reviewed as 90",
        "burn draft 9, reviewed as 90",
    ];
    assert_eq!(world.take()[6..], last);
}

#[tokio::test(start_paused = true)]
async fn what_says_how_a_round_ended_may_panic_and_that_does_no_round_again() {
    let world = World::default();
    let (child, reviewed) = reviewing(&world, Workflow::builder("review"));
    let mut workflow = Workflow::builder("approving");
    let draft = workflow.input();
    let approve = workflow
        .step("approve")
        .input(draft)
        .retry(Retry::constant(Duration::ZERO).max_attempts(3))
        .repeat(Repeat::at_most(9));
    approve.workflow(&child, reviewed, |round| match *round.given {
        5 => panic!("no word for {}", round.output),
        4 => Continue(5),
        _ => Break(()),
    });
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator().execute_workflow(&workflow, 4).await.unwrap();
    let error = error_of(&outcome, "approve").to_string();
    assert!(error.contains("no word for 50"), "{error}");
    assert_eq!(world.take(), ["send 4", "review 4", "send 5", "review 5"]);
}

#[tokio::test(start_paused = true)]
async fn such_a_step_takes_no_place_that_its_runs_need_and_no_resource() {
    let world = World::default();
    let (workflow, approved) = approving(&world, in_memory(), once(3));
    let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new())
        .total_concurrency(NonZeroUsize::MIN)
        .concurrency(NonZeroUsize::MIN)
        .build()
        .unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, 4).await.unwrap();
    assert!(outcome.output(&approved).is_some());

    let (child, _) = reviewing(&world, Workflow::builder("review"));
    let (_, of_another) = reviewing(&world, Workflow::builder("review"));
    let mut workflow = Workflow::builder("approving");
    let draft = workflow.input();
    let approve = workflow.step("approve").resource("desk", 1).input(draft);
    let approve = approve.repeat(Repeat::at_most(3));
    approve.workflow(&child, of_another, until_three);
    let faults = workflow.build().unwrap_err();
    assert!(matches!(
        faults.0[..],
        [Fault::ForeignStep { .. }, Fault::ResourceOfWorkflow { .. }]
    ));
}
