//! Which errors are worth another attempt, and when the error says so itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::{Instant, sleep};
use coord_workflow::{
    AttemptError, DEFAULT_LEASE_TTL, Durable, OnExhausted, Outcome, PartError, Retry, RunId,
    Status, StepContext, StepError, StepState, Workflow, WorkflowBuilder, WorkflowOrchestrator,
};

use crate::durable::Machine;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
enum Answer {
    #[error("busy")]
    Busy,
    #[error("not found")]
    NotFound,
}

/// What steps answer, one attempt after another, and when they were asked.
#[derive(Clone)]
struct Server {
    answers: Arc<Mutex<Vec<StepError>>>,
    asked: Arc<Mutex<Vec<u64>>>,
    since: Instant,
}

impl Server {
    /// These answers, and then that all is well.
    fn new(answers: impl IntoIterator<Item = StepError>) -> Self {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        Self {
            answers: Arc::new(Mutex::new(answers)),
            asked: Arc::default(),
            since: Instant::now(),
        }
    }

    fn ask(&self) -> Result<(), StepError> {
        let now = self.since.elapsed().as_secs();
        self.asked.lock().unwrap().push(now);
        self.answers.lock().unwrap().pop().map_or(Ok(()), Err)
    }

    fn step(&self) -> impl Fn(StepContext) -> std::future::Ready<Result<(), StepError>> + use<> {
        let server = self.clone();
        move |_| std::future::ready(server.ask())
    }

    /// When it was asked, in seconds.
    fn asked(&self) -> Vec<u64> {
        self.asked.lock().unwrap().clone()
    }
}

fn after(answer: Answer, seconds: u64) -> StepError {
    StepError::from(answer).retry_after(Duration::from_secs(seconds))
}

/// Up to five attempts, a second apart.
fn retry() -> Retry {
    Retry::constant(Duration::from_secs(1)).max_attempts(5)
}

fn is_busy(error: &StepError) -> bool {
    error.downcast_ref() == Some(&Answer::Busy)
}

async fn outcome(workflow: WorkflowBuilder<()>) -> Arc<Outcome> {
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let workflow = workflow.build().unwrap();
    orchestrator.execute_workflow(&workflow, ()).await.unwrap()
}

fn error_of(outcome: &Outcome) -> StepError {
    match outcome.step("ask").unwrap().state {
        StepState::Failed(error) => error.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_is_tried_again_only_after_errors_that_it_says_are_worth_it() {
    let server = Server::new([
        Answer::Busy.into(),
        Answer::NotFound.into(),
        Answer::Busy.into(),
    ]);
    let mut workflow = Workflow::builder("ask");
    let step = workflow.step("ask").retry(retry()).retry_if(is_busy);
    step.run_with(server.step());
    let outcome = outcome(workflow).await;
    assert_eq!(server.asked(), [0, 1]);
    let error = error_of(&outcome);
    assert_eq!(error.downcast_ref(), Some(&Answer::NotFound));
    assert!(error.is_permanent());
}

#[tokio::test(start_paused = true)]
async fn what_the_orchestrator_finds_wrong_is_asked_about_too() {
    let server = Server::new([]);
    let mut workflow = Workflow::<()>::builder("ask");
    let asked = server.clone();
    workflow
        .step("ask")
        .timeout(Duration::from_secs(7))
        .retry(retry())
        .retry_if(|error| !matches!(error.downcast_ref(), Some(AttemptError::TimedOut(_))))
        .run(move || {
            let asked = asked.ask();
            async {
                asked?;
                std::future::pending::<Result<(), StepError>>().await
            }
        });
    let outcome = outcome(workflow).await;
    assert_eq!(server.asked(), [0]);
    assert!(error_of(&outcome).downcast_ref::<AttemptError>().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_run_is_not_paused_for_an_error_that_is_not_worth_another_attempt() {
    let server = Server::new([Answer::NotFound.into()]);
    let mut workflow = Workflow::builder("ask");
    let step = workflow.step("ask").retry(retry()).retry_if(is_busy);
    step.on_exhausted(OnExhausted::Pause)
        .run_with(server.step());
    assert_eq!(outcome(workflow).await.status, Status::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_predicate_that_panics_fails_the_step_and_nothing_else() {
    let server = Server::new([Answer::Busy.into()]);
    let mut workflow = Workflow::builder("ask");
    let step = workflow.step("ask").retry(retry());
    step.retry_if(|_| panic!("no idea")).run_with(server.step());
    let error = error_of(&*outcome(workflow).await);
    assert_eq!(error.to_string(), "it panicked: no idea");
    assert_eq!(server.asked(), [0]);
}

#[tokio::test(start_paused = true)]
async fn of_a_list_each_item_that_fails_is_asked_about() {
    let run = |second: Answer| async move {
        let server = Server::new([Answer::Busy.into(), second.into()]);
        let asked = server.clone();
        let mut workflow = Workflow::builder("ask");
        let list = workflow
            .step("list")
            .run(|| async { Ok::<_, StepError>(vec![1, 2]) });
        let step = workflow.step("ask").retry(retry()).retry_if(is_busy);
        step.for_each(list).run(move |_: u32| {
            let asked = asked.ask();
            async { asked }
        });
        (outcome(workflow).await, server.asked())
    };
    let (done, asked) = run(Answer::Busy).await;
    assert!(done.is_completed());
    assert_eq!(asked, [0, 0, 1, 1]);
    // That the first would be worth it does not count.
    let (failed, asked) = run(Answer::NotFound).await;
    assert_eq!(asked, [0, 0]);
    let error = error_of(&failed);
    assert!(matches!(
        error.downcast_ref(),
        Some(PartError::ItemsFailed { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_step_waits_as_long_as_its_error_says_and_then_by_its_backoff_again() {
    let busy = after(Answer::Busy, 40);
    let soon = after(Answer::Busy, 0);
    let server = Server::new([Answer::Busy.into(), busy, soon, Answer::Busy.into()]);
    let mut workflow = Workflow::builder("ask");
    workflow.step("ask").retry(retry()).run_with(server.step());
    assert!(outcome(workflow).await.is_completed());
    assert_eq!(server.asked(), [0, 1, 41, 41, 42]);
}

#[tokio::test(start_paused = true)]
async fn of_a_list_the_item_that_wants_to_be_waited_for_longest_is() {
    let server = Server::new([
        after(Answer::Busy, 5),
        after(Answer::Busy, 30),
        Answer::Busy.into(),
    ]);
    let asked = server.clone();
    let mut workflow = Workflow::builder("ask");
    let list = workflow
        .step("list")
        .run(|| async { Ok::<_, StepError>(vec![1, 2, 3]) });
    let step = workflow.step("ask").retry(retry()).for_each(list);
    step.run(move |_: u32| {
        let asked = asked.ask();
        async { asked }
    });
    assert!(outcome(workflow).await.is_completed());
    assert_eq!(server.asked(), [0, 0, 0, 30, 30, 30]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_an_error_wants_ends_with_the_time_of_the_run() {
    let server = Server::new([after(Answer::Busy, u64::MAX)]);
    let mut workflow = Workflow::builder("ask").timeout(Duration::from_secs(60));
    workflow.step("ask").retry(retry()).run_with(server.step());
    assert_eq!(outcome(workflow).await.status, Status::TimedOut);
    assert_eq!(server.since.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn what_undoes_a_step_waits_as_long_as_its_error_says() {
    let server = Server::new([after(Answer::Busy, 20)]);
    let undone = server.clone();
    let mut workflow = Workflow::<()>::builder("ask");
    let done = workflow
        .step("do")
        .compensate(move |_: Arc<()>| std::future::ready(undone.ask()))
        .run(|| async { Ok::<_, StepError>(()) });
    let fails = workflow.step("ask").after(&done);
    fails.run(|| async { Err::<(), _>(StepError::message("no")) });
    assert_eq!(outcome(workflow).await.status, Status::Failed);
    assert_eq!(server.asked(), [0, 20]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_an_error_wants_and_what_is_not_worth_it_outlive_the_process() {
    let machine = Machine::new();
    let server = Server::new([after(Answer::Busy, 100), Answer::NotFound.into()]);
    let build = || -> Workflow<(), Durable> {
        let mut workflow = Workflow::durable("ask");
        let step = workflow.step("ask").retry(retry()).retry_if(is_busy);
        step.run_with(server.step());
        workflow.build().unwrap()
    };
    let id = RunId::named("a").unwrap();
    let killed = machine.process();
    killed
        .start_durable(&build(), id.clone(), ())
        .await
        .unwrap();
    sleep(Duration::from_secs(60)).await;
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
    let next = machine.process();
    let run = next.resume_run(&build(), &id).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    assert_eq!(server.asked(), [0, 100]);
    next.shutdown(Duration::from_secs(1)).await;
    // Read back from its records alone.
    let again = machine.process().resume_run(&build(), &id).await.unwrap();
    let outcome = again.outcome().await.unwrap();
    let error = error_of(&outcome);
    assert!(error.is_permanent(), "{error}");
}
