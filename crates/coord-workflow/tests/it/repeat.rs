//! Steps that repeat, round after round: in memory, kept, and as data.

use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{Backoff, LocalBus};
use coord_workflow::{
    AttemptError, Call, DEFAULT_LEASE_TTL, Durable, Fault, ForEachSpec, HandlerCall, Items,
    Outcome, PartError, Progress, Registry, Repeat, RepeatSpec, Retry, Round, RunId, Spec, Status,
    Step, StepContext, StepError, StepSpec, StepState, Workflow, WorkflowOrchestrator,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::crashes::{Failing, paused};
use crate::durable::Machine;
use crate::keys::unmarked;

const SECOND: Duration = Duration::from_secs(1);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

async fn execute<I: Send + Sync + 'static, K>(workflow: &Workflow<I, K>, input: I) -> Arc<Outcome> {
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    orchestrator
        .execute_workflow(workflow, input)
        .await
        .unwrap()
}

fn error_of(outcome: &Outcome, step: &str) -> StepError {
    match outcome.step(step).unwrap().state {
        StepState::Failed(error) => error.clone(),
        other => panic!("{other:?}"),
    }
}

/// The keys of rounds, as they began, and whether the third is to fail or to hold on.
#[derive(Clone, Default)]
struct World {
    began: Arc<Mutex<Vec<String>>>,
    third: Arc<Mutex<Third>>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Third {
    #[default]
    Succeeds,
    Fails,
    Holds,
}

impl World {
    fn third(&self, third: Third) {
        *self.third.lock().unwrap() = third;
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.began.lock().unwrap())
    }
}

/// Counts up to what the run is started with, a round each.
fn counting(world: &World, repeat: Repeat) -> (Workflow<u64, Durable>, Step<String>) {
    let mut workflow = Workflow::durable("counting");
    let (until, world) = (workflow.input(), world.clone());
    let counted = workflow
        .step("count")
        .input(until)
        .retry(Retry::constant(Duration::ZERO).max_attempts(2))
        .repeat(repeat)
        .run(move |round: Round<u64>, until: Arc<u64>| {
            let third = *world.third.lock().unwrap();
            let key = unmarked(&round.context);
            world.began.lock().unwrap().push(key);
            async move {
                match third {
                    Third::Fails if round.number() == 3 => {
                        return Err(StepError::message("it was to fail"));
                    }
                    Third::Holds if round.number() == 3 => sleep(3600 * SECOND).await,
                    _ => {}
                }
                let count = round.last.map_or(0, |last| *last) + 1;
                Ok::<ControlFlow<String, u64>, StepError>(match count >= *until {
                    true => Break(format!("{count} in {}", round.context.part().unwrap() + 1)),
                    false => Continue(count),
                })
            }
        });
    (workflow.build().unwrap(), counted)
}

#[tokio::test(start_paused = true)]
async fn each_round_begins_where_the_one_before_left_it_until_one_is_the_last() {
    let (world, waits) = (World::default(), Repeat::at_most(10).every(SECOND));
    let (workflow, counted) = counting(&world, waits);
    let outcome = execute(&workflow, 4).await;
    assert_eq!(*outcome.output(&counted).unwrap(), "4 in 4");
    assert_eq!(outcome.duration, 3 * SECOND, "there is a wait between two");
    assert_eq!(outcome.step("count").unwrap().attempts, 1);
    assert!(workflow.graph().to_string().contains("count (repeats)"));
    let outcome = execute(&workflow, 1).await;
    assert_eq!(outcome.duration, Duration::ZERO);
    let growing = Repeat::at_most(10).backoff(Backoff::exponential(SECOND));
    let outcome = execute(&counting(&world, growing).0, 4).await;
    assert_eq!(outcome.duration, (1 + 2 + 4) * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_comes_to_no_end_fails_at_its_limit_and_is_not_tried_again() {
    let world = World::default();
    let outcome = execute(&counting(&world, Repeat::at_most(3)).0, 4).await;
    let error = error_of(&outcome, "count");
    assert!(matches!(
        error.downcast_ref(),
        Some(PartError::RoundsExhausted { limit: 3 })
    ));
    assert_eq!(world.take().len(), 3);
    assert_eq!(outcome.step("count").unwrap().attempts, 1);
    let outcome = execute(&counting(&world, Repeat::default()).0, 1_000).await;
    let text = "it is not done after 100 rounds, its limit";
    assert_eq!(error_of(&outcome, "count").to_string(), text);
}

#[tokio::test(start_paused = true)]
async fn another_attempt_goes_on_with_the_round_that_failed() {
    let (machine, world) = (Machine::new(), World::default());
    world.third(Third::Fails);
    let (workflow, counted) = counting(&world, Repeat::at_most(10));
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), 4).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    assert_eq!(
        world.take(),
        ["r/count:0", "r/count:1", "r/count:2", "r/count:2"]
    );
    let view = machine.journal().view(&id()).await.unwrap();
    let progress = view.step("count").unwrap().progress.unwrap();
    assert_eq!(progress, Progress::Rounds { done: 2, limit: 10 });
    assert_eq!(progress.to_string(), "round 3 of at most 10");

    // So does a run that is retried; from the step it begins anew, with other keys.
    world.third(Third::Succeeds);
    let run = process.retry_run(&workflow, &id(), None).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(*outcome.output(&counted).unwrap(), "4 in 4");
    assert_eq!(world.take(), ["r/count:2", "r/count:3"]);
    let run = process.retry_run(&workflow, &id(), Some("count")).await;
    assert!(run.unwrap().outcome().await.unwrap().is_completed());
    let anew = ["r/count/1:0", "r/count/1:1", "r/count/1:2", "r/count/1:3"];
    assert_eq!(world.take(), anew);
}

#[tokio::test(start_paused = true)]
async fn a_retried_loop_goes_on_once_its_limit_is_raised() {
    let (machine, world) = (Machine::new(), World::default());
    let process = machine.process();
    let (workflow, _) = counting(&world, Repeat::at_most(3));
    let run = process.start_durable(&workflow, id(), 5).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    world.take();
    // The limit is no part of what a run is.
    let (workflow, counted) = counting(&world, Repeat::at_most(5));
    let run = process.retry_run(&workflow, &id(), None).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(*outcome.output(&counted).unwrap(), "5 in 5");
    assert_eq!(world.take(), ["r/count:3", "r/count:4"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_a_loop_goes_on_after_its_last_round_and_waits_only_for_the_rest() {
    let (machine, world) = (Machine::new(), World::default());
    world.third(Third::Holds);
    let waits = Repeat::at_most(10).every(DEFAULT_LEASE_TTL + 10 * SECOND);
    let killed = machine.process();
    let (workflow, _) = counting(&world, waits);
    killed.start_durable(&workflow, id(), 4).await.unwrap();
    // While it waits for the second round.
    sleep(5 * SECOND).await;
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
    assert_eq!(world.take(), ["r/count:0"]);
    let killed = machine.process();
    let run = killed.resume_run(&workflow, &id()).await.unwrap();
    sleep(4 * SECOND).await;
    assert_eq!(world.take(), [""; 0]);
    sleep(2 * SECOND).await;
    assert_eq!(world.take(), ["r/count:1"]);
    // In the third.
    sleep(DEFAULT_LEASE_TTL + 10 * SECOND).await;
    assert_eq!(world.take(), ["r/count:2"]);
    let why = run.view().unwrap().why("count").unwrap().to_string();
    assert_eq!(why, "it is running: round 3 of at most 10");
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;

    world.third(Third::Succeeds);
    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(world.take(), ["r/count:2", "r/count:3"]);
}

#[tokio::test(start_paused = true)]
async fn the_timeout_is_that_of_a_round_and_who_cancels_reaches_rounds_and_waits() {
    let mut workflow = Workflow::builder("slow");
    let (told, counted) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let rounds = Arc::clone(&told);
    let slow = workflow
        .step("slow")
        .timeout(2 * SECOND)
        .repeat(Repeat::at_most(4).every(10 * SECOND))
        .run(move |round: Round<()>| {
            counted.fetch_add(1, Ordering::SeqCst);
            let rounds = Arc::clone(&rounds);
            async move {
                match round.number() {
                    4 => {
                        round.context.token().cancelled().await;
                        rounds.fetch_add(1, Ordering::SeqCst);
                        sleep(SECOND).await;
                        Err(StepError::message("let go"))
                    }
                    _ => {
                        sleep(SECOND).await;
                        Ok::<ControlFlow<u32, ()>, _>(Continue(()))
                    }
                }
            }
        });
    let workflow = workflow.build().unwrap();
    let outcome = execute(&workflow, ()).await;
    let error = error_of(&outcome, "slow");
    let timed_out = AttemptError::TimedOut(2 * SECOND);
    assert_eq!(error.downcast_ref(), Some(&timed_out));
    // Three rounds and waits, and the fourth with its grace.
    assert_eq!(outcome.duration, 3 * 11 * SECOND + 3 * SECOND);
    assert_eq!(told.load(Ordering::SeqCst), 1);

    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    // In the first round, in a wait, and in the fourth round, which has its grace.
    for (cancelled, ended) in [(500, 500), (5_000, 5_000), (33_500, 34_500)] {
        let run = orchestrator.start_workflow(&workflow, ()).unwrap();
        sleep(Duration::from_millis(cancelled)).await;
        run.cancel();
        let outcome = run.outcome().await.unwrap();
        assert_eq!(outcome.status, Status::Cancelled);
        assert_eq!(outcome.duration, Duration::from_millis(ended));
        assert_eq!(outcome.output(&slow), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_round_that_panics_fails_the_attempt() {
    let mut workflow = Workflow::builder("panics");
    workflow
        .step("panics")
        .retry(Retry::constant(Duration::ZERO).max_attempts(2))
        .repeat(Repeat::default())
        .run(async |round: Round<u32>| {
            assert!(round.number() < 3, "it was to panic");
            Ok::<ControlFlow<(), u32>, StepError>(Continue(1))
        });
    let outcome = execute(&workflow.build().unwrap(), ()).await;
    assert_eq!(outcome.step("panics").unwrap().attempts, 2);
    let error = error_of(&outcome, "panics").to_string();
    assert_eq!(error, "it panicked: it was to panic");
}

/// The run, whose processes' journals fail after so many appends each; the keys of its rounds.
async fn crash(until: u64, third: Third, crashes: &[usize]) -> (Status, Vec<String>, usize) {
    let (machine, world) = (Machine::new(), World::default());
    world.third(third);
    let (workflow, counted) = counting(&world, Repeat::at_most(6).every(Duration::from_millis(1)));
    for &left in crashes {
        let log = Arc::new(Failing {
            log: Arc::clone(&machine.log),
            left: AtomicUsize::new(left),
        });
        let process = machine.with_log(log).process();
        if let Ok(run) = process.start_durable(&workflow, id(), until).await {
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
    let run = process.start_durable(&workflow, id(), until).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    if outcome.is_completed() {
        let expected = format!("{until} in {until}");
        assert_eq!(*outcome.output(&counted).unwrap(), expected);
    }
    let appends = usize::MAX - log.left.load(Ordering::SeqCst);
    (outcome.status, world.take(), appends)
}

#[test]
fn a_loop_that_crashes_at_any_append_comes_to_the_same_end_and_goes_back_by_no_more_than_a_round() {
    for (until, third) in [
        (5, Third::Succeeds),
        (9, Third::Succeeds),
        (4, Third::Fails),
    ] {
        let (status, rounds, appends) = paused(crash(until, third, &[]));
        assert!(appends >= 4, "{appends}");
        for left in 0..appends {
            let (disturbed, again, _) = paused(crash(until, third, &[left]));
            assert_eq!(disturbed, status, "crash at {left}");
            // That an attempt failed may be lost with the next: then both are made again.
            let more = if third == Third::Fails { 2 } else { 1 };
            assert!(
                again.len() <= rounds.len() + more,
                "{again:?} for {rounds:?}"
            );
            let mut again = again;
            again.dedup();
            let mut rounds = rounds.clone();
            rounds.dedup();
            assert_eq!(again, rounds, "crash at {left}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_loop_that_crashes_anywhere_has_its_rounds_in_order(
        until in 1..9_u64,
        crashes in prop::collection::vec(0..9_usize, 0..5),
    ) {
        let (status, mut rounds, _) = paused(crash(until, Third::Succeeds, &crashes));
        prop_assert_eq!(status == Status::Completed, until <= 6);
        let expected = until.min(6) as usize;
        prop_assert!(rounds.len() <= expected + crashes.len());
        rounds.dedup();
        let expected: Vec<_> = (0..expected).map(|round| format!("r/count:{round}")).collect();
        prop_assert_eq!(rounds, expected);
    }
}

fn data() -> Registry {
    let last = |call: &HandlerCall| call.last.as_deref().and_then(Value::as_i64);
    Registry::new()
        .handler("count", move |call: HandlerCall| async move {
            Ok(json!(last(&call).unwrap_or_default() + 1))
        })
        .handler("is", move |call: HandlerCall| async move {
            Ok(json!(last(&call) == call.input.as_i64()))
        })
}

#[tokio::test(start_paused = true)]
async fn as_data_a_handler_is_called_until_another_says_that_it_is_done() {
    let until =
        |number: u32, limit| RepeatSpec::until(Call::new("is", number), Repeat::at_most(limit));
    let spec = Spec::new("loops").step(StepSpec::new("count", "count").repeat(until(3, 5)));
    let outcome = execute(&data().workflow(spec).unwrap(), ()).await;
    assert_eq!(outcome.value_of("count").as_deref(), Some(&json!(3)));
    let spec = Spec::new("loops").step(StepSpec::new("count", "count").repeat(until(3, 2)));
    let outcome = execute(&data().workflow(spec).unwrap(), ()).await;
    assert_eq!(outcome.status, Status::Failed);

    let unknown = RepeatSpec::until(Call::new("iss", 1), Repeat::default());
    let both = StepSpec::new("both", "count").repeat(until(1, 1));
    let spec = Spec::new("wrong")
        .step(StepSpec::new("unknown", "count").repeat(unknown))
        .step(StepSpec::signal("signal", "go").repeat(until(1, 1)))
        .step(both.for_each(ForEachSpec::from(Items::List(vec![]))));
    let faults = data().workflow(spec).unwrap_err();
    assert!(
        matches!(
            &faults.0[..],
            [
                Fault::UnknownHandler { step: 0, nearest: Some(nearest), .. },
                Fault::WithoutHandler { step: 1, what: "repeat", .. },
                Fault::TwoShapes { step: 2, .. },
            ] if nearest == "is"
        ),
        "{faults}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_round_may_be_told_of_its_run_and_attempt_as_any_other_work() {
    let mut workflow = Workflow::durable("rounds");
    let until = workflow.input();
    let alone = workflow.step("alone").repeat(Repeat::at_most(9));
    let alone = alone.run_with(async |context: StepContext, round: Round<()>| {
        assert_eq!(context.part(), round.context.part());
        Ok::<ControlFlow<String>, StepError>(match round.number() {
            3 => Break(format!("{} {}", context.step(), context.attempt())),
            _ => Continue(()),
        })
    });
    let given = workflow.step("given").input(until);
    let given = given.repeat(Repeat::at_most(9)).run_with(
        async |context: StepContext, round: Round<()>, until: Arc<u64>| {
            let is_last = round.number() as u64 == *until;
            Ok::<ControlFlow<String>, StepError>(match is_last {
                true => Break(context.step().to_owned()),
                false => Continue(()),
            })
        },
    );
    let workflow: Workflow<u64, Durable> = workflow.build().unwrap();
    let outcome = execute(&workflow, 2).await;
    assert_eq!(*outcome.output(&alone).unwrap(), "alone 1");
    assert_eq!(*outcome.output(&given).unwrap(), "given");
}
