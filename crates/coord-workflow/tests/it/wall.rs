//! The time of a durable run is that of the clock on the wall, which goes on while the machine sleeps and timers
//! stand still.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::Timestamp;
use coord_bus::time::{Instant, ManualClock, sleep};
use coord_workflow::{
    AttemptError, Durable, Outcome, Repeat, Retry, Round, RunId, Status, StepError, StepState,
    Workflow, WorkflowBuilder,
};

use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn built(add: impl FnOnce(&mut WorkflowBuilder<(), Durable>)) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("waiting");
    add(&mut workflow);
    workflow.build().unwrap()
}

/// What comes of a run during which the machine sleeps for so long; and for how long it was awake for that.
async fn asleep(workflow: &Workflow<(), Durable>, time: Duration) -> (Arc<Outcome>, Duration) {
    // It stands still but for that: so who goes by it waits no less than by timers.
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let machine = Machine {
        clock: clock.clone(),
        ..Machine::new()
    };
    let process = machine.process();
    let began = Instant::now();
    let run = process.start_durable(workflow, RunId::unique(), ()).await;
    sleep(SECOND).await;
    clock.advance(time);
    let outcome = run.unwrap().outcome().await.unwrap();
    (outcome, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_sleep_ends_when_the_clock_on_the_wall_says_so() {
    let sleeping = built(|workflow| {
        workflow.step("cool").sleep(HOUR);
    });
    let (outcome, awake) = asleep(&sleeping, 2 * HOUR).await;
    assert!(outcome.is_completed());
    assert!(awake <= 2 * MINUTE, "{awake:?}");
    assert!(outcome.duration >= 2 * HOUR, "{:?}", outcome.duration);
    // Of half an hour it is not over: then the rest is waited for.
    let (_, awake) = asleep(&sleeping, HOUR / 2).await;
    let rest = HOUR / 2..HOUR / 2 + 2 * MINUTE;
    assert!(rest.contains(&awake), "{awake:?}");
    // Nor where the clock does not go on at all.
    let (_, awake) = asleep(&sleeping, Duration::ZERO).await;
    assert_eq!(awake, HOUR);
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_wait_is_over_when_the_clock_on_the_wall_says_so() {
    let waiting = built(|workflow| {
        workflow.step("go").timeout(HOUR).signal::<u32>("go");
    });
    let (outcome, awake) = asleep(&waiting, 2 * HOUR).await;
    let StepState::Failed(error) = outcome.step("go").unwrap().state else {
        panic!("{outcome:?}");
    };
    let error = error.downcast_ref::<AttemptError>();
    assert_eq!(error, Some(&AttemptError::TimedOut(HOUR)));
    assert!(awake <= 2 * MINUTE, "{awake:?}");
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_run_is_over_when_the_clock_on_the_wall_says_so() {
    let mut limited = Workflow::<()>::durable("limited").timeout(HOUR);
    limited.step("go").signal::<u32>("go");
    let (outcome, awake) = asleep(&limited.build().unwrap(), 2 * HOUR).await;
    assert_eq!(outcome.status, Status::TimedOut);
    assert!(awake <= 2 * MINUTE, "{awake:?}");
}

#[tokio::test(start_paused = true)]
async fn another_attempt_is_made_when_the_clock_on_the_wall_says_so() {
    let retrying = built(|workflow| {
        let step = workflow.step("asks");
        let step = step.retry(Retry::constant(HOUR).max_attempts(2));
        step.run(async || Err::<(), _>(StepError::message("no")));
    });
    let (outcome, awake) = asleep(&retrying, 2 * HOUR).await;
    assert_eq!(outcome.step("asks").unwrap().attempts, 2);
    assert!(awake <= 2 * MINUTE, "{awake:?}");
}

#[tokio::test(start_paused = true)]
async fn another_round_begins_when_the_clock_on_the_wall_says_so() {
    let repeating = built(|workflow| {
        let step = workflow.step("asks");
        let step = step.repeat(Repeat::at_most(2).every(HOUR));
        step.run(async |round: Round<()>| {
            Ok::<ControlFlow<(), ()>, StepError>(match round.number() {
                1 => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            })
        });
    });
    let (outcome, awake) = asleep(&repeating, 2 * HOUR).await;
    assert!(outcome.is_completed());
    assert!(awake <= 2 * MINUTE, "{awake:?}");
    // Of half an hour it is not time for it: then the rest is waited for.
    let (_, awake) = asleep(&repeating, HOUR / 2).await;
    let rest = HOUR / 2..HOUR / 2 + 2 * MINUTE;
    assert!(rest.contains(&awake), "{awake:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_where_the_clock_on_the_wall_is_ahead_by_centuries() {
    let sleeping = built(|workflow| {
        let slept = workflow.step("cool").sleep(HOUR);
        workflow.step("cool-again").after(&slept).sleep(HOUR);
    });
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let machine = Machine {
        clock: clock.clone(),
        ..Machine::new()
    };
    // To the end of time: before somebody takes the run up, and while it goes on.
    for is_taken_up in [true, false] {
        let id = RunId::unique();
        let process = machine.process();
        let run = process.start_durable(&sleeping, id.clone(), ()).await;
        let run = run.unwrap();
        sleep(SECOND).await;
        if is_taken_up {
            drop(process);
            clock.advance(Duration::MAX);
            let process = machine.process();
            let run = process.resume_run(&sleeping, &id).await.unwrap();
            assert!(run.outcome().await.unwrap().is_completed());
        } else {
            assert!(run.outcome().await.unwrap().is_completed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_works_is_not_out_of_time_because_the_machine_slept() {
    let working = built(|workflow| {
        let step = workflow.step("works").timeout(5 * MINUTE);
        step.run(async || {
            sleep(3 * MINUTE).await;
            Ok::<_, StepError>(())
        });
    });
    let (outcome, awake) = asleep(&working, 2 * HOUR).await;
    assert!(outcome.is_completed());
    assert_eq!(awake, 3 * MINUTE);
}
