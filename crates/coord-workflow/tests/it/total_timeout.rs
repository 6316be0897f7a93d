//! A limit to the time of all attempts at a step together, with the waits between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{
    AttemptError, Command, DEFAULT_LEASE_TTL, DEFAULT_WORKFLOW_TIMEOUT, Durable, OnExhausted,
    Outcome, Registry, Retry, Run, RunId, RunView, Spec, Status, StepError, StepPhase, StepSpec,
    StepState, Why, Workflow, WorkflowOrchestrator,
};

use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

/// `build`, which can be undone, and `ask`, which fails after so long each time, is tried a second later, and has so
/// much time in all. How often `ask` was called, and `build` undone.
struct Asks {
    calls: Arc<AtomicUsize>,
    undone: Arc<AtomicUsize>,
    workflow: Workflow<(), Durable>,
}

fn asks(takes: Duration, total: Duration, on_exhausted: OnExhausted) -> Asks {
    limited(takes, total, on_exhausted, Duration::MAX)
}

/// The same, in a run that has so much time.
fn limited(takes: Duration, total: Duration, on_exhausted: OnExhausted, all: Duration) -> Asks {
    let (calls, undone) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let (calling, undoing) = (Arc::clone(&calls), Arc::clone(&undone));
    let mut workflow = Workflow::durable("asks").timeout(all);
    let build = workflow.step("build").compensate(move |_| {
        undoing.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, StepError>(()) }
    });
    let build = build.run(async || Ok::<_, StepError>(()));
    let ask = workflow.step("ask").after(&build);
    ask.retry(Retry::constant(SECOND).max_attempts(100))
        .total_timeout(total)
        .on_exhausted(on_exhausted)
        .run(move || {
            calling.fetch_add(1, Ordering::SeqCst);
            async move {
                sleep(takes).await;
                Err::<(), _>(StepError::message("too busy"))
            }
        });
    let workflow = workflow.build().unwrap();
    Asks {
        calls,
        undone,
        workflow,
    }
}

fn error_of(outcome: &Outcome, step: &str) -> StepError {
    match outcome.step(step).unwrap().state {
        StepState::Failed(error) => error.clone(),
        state => panic!("{state:?}"),
    }
}

async fn in_memory(asks: &Asks) -> Arc<Outcome> {
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let outcome = orchestrator.execute_workflow(&asks.workflow, ()).await;
    outcome.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_attempt_that_is_under_way_when_all_time_is_over_is_stopped_and_is_the_last() {
    // From 0 to 4, from 5 to 9, and from 10 on.
    let asks = asks(4 * SECOND, 12 * SECOND, OnExhausted::Fail);
    let outcome = in_memory(&asks).await;
    assert_eq!(outcome.status, Status::Failed);
    let error = error_of(&outcome, "ask");
    let all = AttemptError::AllTimedOut(12 * SECOND);
    assert_eq!(error.downcast_ref(), Some(&all));
    assert_eq!(
        error.to_string(),
        "it was not done after 12s, its total timeout"
    );
    let ask = outcome.step("ask").unwrap();
    assert_eq!((ask.attempts, ask.duration), (3, 12 * SECOND));
    assert_eq!(asks.calls.load(Ordering::SeqCst), 3);
    assert_eq!(
        asks.undone.load(Ordering::SeqCst),
        1,
        "it is undone as ever"
    );
}

#[tokio::test(start_paused = true)]
async fn there_is_no_other_attempt_where_it_would_begin_when_all_time_is_over() {
    // From 0 to 4, and from 5 to 9: the next would begin at 10.
    let asks = asks(4 * SECOND, 10 * SECOND, OnExhausted::Fail);
    let outcome = in_memory(&asks).await;
    let error = error_of(&outcome, "ask").to_string();
    assert_eq!(
        error,
        "no other attempt begins within 10s, its total timeout: too busy"
    );
    let ask = outcome.step("ask").unwrap();
    assert_eq!((ask.attempts, ask.duration), (2, 9 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn one_attempt_has_its_own_limit_within_that_of_all() {
    let mut workflow = Workflow::<()>::builder("hangs");
    workflow
        .step("hangs")
        .retry(Retry::constant(SECOND).max_attempts(3))
        .timeout(4 * SECOND)
        .total_timeout(60 * SECOND)
        .run(std::future::pending::<Result<(), StepError>>);
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    let one = AttemptError::TimedOut(4 * SECOND);
    assert_eq!(error_of(&outcome, "hangs").downcast_ref(), Some(&one));
    assert_eq!(outcome.duration, 14 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_paused_for_a_step_whose_time_is_over_and_continued_with_all_of_it() {
    let machine = Machine::new();
    let asks = asks(4 * SECOND, 12 * SECOND, OnExhausted::Pause);
    let process = machine.process();
    let run = process
        .start_durable(&asks.workflow, id(), ())
        .await
        .unwrap();
    sleep(100 * SECOND).await;
    let why = machine.journal().why(&id(), "ask").await.unwrap().unwrap();
    let error = "it was not done after 12s, its total timeout";
    assert!(
        matches!(&why, Why::Exhausted { error: told } if told == error),
        "{why}"
    );
    assert_eq!(asks.calls.load(Ordering::SeqCst), 3);
    run.tell(Command::Continue).await.unwrap();
    sleep(11 * SECOND).await;
    assert_eq!(asks.calls.load(Ordering::SeqCst), 6);
    assert_eq!(
        run.view().unwrap().step("ask").unwrap().phase,
        StepPhase::Running
    );
    sleep(2 * SECOND).await;
    assert_eq!(
        run.view().unwrap().step("ask").unwrap().phase,
        StepPhase::Exhausted
    );
}

#[tokio::test(start_paused = true)]
async fn who_takes_a_step_up_has_what_is_left_of_its_time() {
    let machine = Machine::new();
    let asks = asks(9 * SECOND, 60 * SECOND, OnExhausted::Fail);
    let process = machine.process();
    process
        .start_durable(&asks.workflow, id(), ())
        .await
        .unwrap();
    sleep(15 * SECOND).await;
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    assert_eq!(asks.calls.load(Ordering::SeqCst), 2);
    // The second attempt is made again, from 45 to 54, and the third is stopped at 60.
    let process = machine.process();
    let run = process.resume_run(&asks.workflow, &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.duration, 60 * SECOND);
    assert_eq!(outcome.step("ask").unwrap().attempts, 3);
    assert_eq!(asks.calls.load(Ordering::SeqCst), 4);
    let all = AttemptError::AllTimedOut(60 * SECOND);
    assert_eq!(error_of(&outcome, "ask").downcast_ref(), Some(&all));
}

/// When the time of `ask` is over, and that of its run, as whoever looks at it is told.
async fn over_at(machine: &Machine, run: &Run) -> (Option<u64>, Option<u64>) {
    let told = |view: RunView| {
        let step = view.step("ask").unwrap().times_out_at;
        let seconds = |at: Duration| at.as_secs();
        (step.map(seconds), view.times_out_at.map(seconds))
    };
    let elsewhere = told(machine.journal().view(&id()).await.unwrap());
    if let Some(view) = run.view() {
        assert_eq!(told(view), elsewhere);
    }
    elsewhere
}

#[tokio::test(start_paused = true)]
async fn when_the_time_of_a_step_and_of_its_run_is_over_is_told_as_long_as_it_counts() {
    let machine = Machine::new();
    // From 0 to 4, from 5 to 9, and from 10 to 12.
    let asks = limited(4 * SECOND, 12 * SECOND, OnExhausted::Pause, 60 * SECOND);
    let process = machine.process();
    let run = process.start_durable(&asks.workflow, id(), ()).await;
    let run = run.unwrap();
    sleep(SECOND).await;
    assert_eq!(over_at(&machine, &run).await, (Some(12), Some(60)));
    // It waits for its second attempt.
    sleep(3 * SECOND + SECOND / 2).await;
    assert_eq!(over_at(&machine, &run).await, (Some(12), Some(60)));
    sleep(15 * SECOND + SECOND / 2).await;
    assert_eq!(over_at(&machine, &run).await, (None, None), "it is paused");
    run.tell(Command::Continue).await.unwrap();
    sleep(SECOND).await;
    assert_eq!(over_at(&machine, &run).await, (Some(32), Some(80)));

    // Whoever takes it up may give it more time, or no limit.
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    assert_eq!(over_at(&machine, &run).await, (Some(32), Some(80)));
    let more = limited(4 * SECOND, 200 * SECOND, OnExhausted::Fail, 500 * SECOND);
    let process = machine.process();
    let run = process.resume_run(&more.workflow, &id()).await.unwrap();
    sleep(SECOND).await;
    assert_eq!(over_at(&machine, &run).await, (Some(220), Some(520)));
    run.cancel();
    run.outcome().await.unwrap();
    assert_eq!(over_at(&machine, &run).await, (None, None));
}

#[tokio::test(start_paused = true)]
async fn what_has_no_limit_has_no_time_that_is_over() {
    let machine = Machine::new();
    let mut workflow = Workflow::durable("asks");
    let ask = workflow.step("ask");
    ask.run(std::future::pending::<Result<(), StepError>>);
    let workflow = workflow.build().unwrap();
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(SECOND).await;
    assert_eq!(over_at(&machine, &run).await, (None, None));
    // A run in memory has one.
    let run = process.start_workflow(&workflow, ()).unwrap();
    sleep(SECOND).await;
    let view = run.view().unwrap();
    assert_eq!(view.times_out_at, Some(DEFAULT_WORKFLOW_TIMEOUT));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_taken_up_when_its_time_is_over_is_not_called_again() {
    let machine = Machine::new();
    let asks = asks(9 * SECOND, 20 * SECOND, OnExhausted::Fail);
    let process = machine.process();
    process
        .start_durable(&asks.workflow, id(), ())
        .await
        .unwrap();
    sleep(15 * SECOND).await;
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    let process = machine.process();
    let run = process.resume_run(&asks.workflow, &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(asks.calls.load(Ordering::SeqCst), 2);
    let all = AttemptError::AllTimedOut(20 * SECOND);
    assert_eq!(error_of(&outcome, "ask").downcast_ref(), Some(&all));
    // Retried, it has all of its time.
    let again = process
        .retry_run(&asks.workflow, &id(), None)
        .await
        .unwrap();
    let outcome = again.outcome().await.unwrap();
    assert_eq!(outcome.step("ask").unwrap().duration, 19 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_step_of_data_that_only_waits_has_that_limit_too_whoever_drives_its_run() {
    let machine = Machine::new();
    let step = StepSpec::signal("wait", "go").total_timeout(60 * SECOND);
    let spec = Spec::new("waits").step(step);
    let workflow: Workflow<(), Durable> = Registry::new().workflow_with_input(spec).unwrap();
    let process = machine.process();
    process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(15 * SECOND).await;
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    let process = machine.process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.duration, 60 * SECOND);
    let all = AttemptError::AllTimedOut(60 * SECOND);
    assert_eq!(error_of(&outcome, "wait").downcast_ref(), Some(&all));
}
