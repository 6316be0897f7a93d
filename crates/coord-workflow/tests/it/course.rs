//! The course of a run: order, limits, retries, timeouts, failures, cancellation, compensation.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::{Instant, sleep};
use coord_workflow::{
    AttemptError, Compensation, Outcome, Retry, SkipReason, Status, StepContext, StepError,
    StepState, Workflow, WorkflowBuilder, WorkflowError, WorkflowOrchestrator,
};

const SECOND: Duration = Duration::from_secs(1);

fn orchestrator() -> WorkflowOrchestrator {
    WorkflowOrchestrator::new(&LocalBus::new()).expect("the topic opens")
}

/// Builds a workflow and runs it to its end.
async fn outcome_of(workflow: WorkflowBuilder<()>) -> Arc<Outcome> {
    let workflow = workflow.build().unwrap();
    let execution = orchestrator();
    execution.execute_workflow(&workflow, ()).await.unwrap()
}

/// What steps write down as they go.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn write(&self, entry: impl Into<String>) {
        self.0.lock().unwrap().push(entry.into());
    }

    fn entries(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn state<'o>(outcome: &'o Outcome, step: &str) -> StepState<'o> {
    outcome.step(step).unwrap().state
}

#[tokio::test(start_paused = true)]
async fn steps_run_side_by_side_after_all_that_they_need() {
    let diary = Diary::default();
    let mut workflow = Workflow::builder("diamond");
    let write = |entry: &'static str, takes: u64| {
        let diary = diary.clone();
        move || {
            let diary = diary.clone();
            async move {
                sleep(SECOND * takes as u32).await;
                diary.write(entry);
                Ok::<_, StepError>(())
            }
        }
    };
    let a = workflow.step("a").run(write("a", 1));
    let b = workflow.step("b").after(&a).run(write("b", 3));
    let c = workflow.step("c").after(&a).run(write("c", 2));
    workflow.step("d").after(&b).after(&c).run(write("d", 1));
    let workflow = workflow.build().unwrap();

    let start = Instant::now();
    let outcome = orchestrator()
        .execute_workflow(&workflow, ())
        .await
        .unwrap();
    assert_eq!(outcome.status, Status::Completed);
    assert_eq!(diary.entries(), ["a", "c", "b", "d"]);
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(outcome.step("b").unwrap().started.unwrap().as_secs(), 1);
    assert_eq!(outcome.step("b").unwrap().duration.as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn no_more_steps_run_at_once_than_the_limit_says() {
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let mut workflow = Workflow::builder("limited").concurrency(NonZeroUsize::new(3).unwrap());
    for step in 0..20 {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        workflow.step(format!("s{step}")).run(move || {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(SECOND).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, StepError>(())
            }
        });
    }
    let start = Instant::now();
    let outcome = outcome_of(workflow).await;
    assert!(outcome.is_completed());
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert_eq!(start.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_failing_step_is_retried_with_growing_waits_and_told_its_attempt() {
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&attempts);
    let mut workflow = Workflow::builder("flaky");
    workflow
        .step("flaky")
        .retry(Retry::exponential().initial(SECOND).max_attempts(4))
        .run_with(move |context: StepContext| {
            let seen = Arc::clone(&seen);
            async move {
                seen.lock().unwrap().push(context.attempt());
                match context.attempt() {
                    3 => Ok(()),
                    _ => Err(StepError::message("not yet")),
                }
            }
        });
    let start = Instant::now();
    let outcome = outcome_of(workflow).await;
    assert!(outcome.is_completed());
    assert_eq!(*attempts.lock().unwrap(), [1, 2, 3]);
    assert_eq!(start.elapsed().as_secs(), 1 + 2);
    assert_eq!(outcome.step("flaky").unwrap().attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_somebody_wants_at_once_is_made_at_once_and_only_that_one() {
    let mut workflow = Workflow::builder("hurried");
    workflow
        .step("flaky")
        .retry(Retry::constant(60 * SECOND).max_attempts(3))
        .run(async || Err::<(), _>(StepError::message("not yet")));
    let workflow: Workflow = workflow.build().unwrap();
    let orchestrator = orchestrator();
    let start = Instant::now();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    assert!(!run.try_now("flaky"), "it has not begun");
    sleep(SECOND).await;
    assert!(!run.try_now("flacky"));
    assert!(run.try_now("flaky"));
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    assert_eq!(start.elapsed().as_secs(), 1 + 60);
    assert!(!run.try_now("flaky"), "it is over");
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.step("flaky").unwrap().attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_not_retried() {
    let mut workflow = Workflow::builder("permanent");
    workflow
        .step("p")
        .retry(Retry::exponential().max_attempts(5))
        .run(async || Err::<(), _>(StepError::message("bad input").permanent()));
    let outcome = outcome_of(workflow).await;
    assert_eq!(outcome.status, Status::Failed);
    assert_eq!(outcome.step("p").unwrap().attempts, 1);
    let (_, error) = outcome.failures().next().unwrap();
    assert_eq!(error.to_string(), "bad input");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_fails() {
    let mut workflow = Workflow::builder("slow");
    workflow
        .step("slow")
        .timeout(2 * SECOND)
        .retry(Retry::constant(SECOND).max_attempts(2))
        .run(std::future::pending::<Result<(), StepError>>);
    let start = Instant::now();
    let outcome = outcome_of(workflow).await;
    assert_eq!(start.elapsed().as_secs(), 2 + 1 + 2);
    let (_, error) = outcome.failures().next().unwrap();
    let error = error.downcast_ref::<AttemptError>();
    assert_eq!(error, Some(&AttemptError::TimedOut(2 * SECOND)));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_watches_its_token_has_grace_when_its_time_is_up() {
    let mut workflow = Workflow::builder("polite");
    let polite =
        workflow
            .step("polite")
            .timeout(SECOND)
            .run_with(|context: StepContext| async move {
                context.token().cancelled().await;
                sleep(3 * SECOND).await;
                Ok::<_, StepError>("saved what it had")
            });
    let outcome = outcome_of(workflow).await;
    assert!(outcome.is_completed(), "what is done is done");
    assert_eq!(*outcome.output(&polite).unwrap(), "saved what it had");
}

#[tokio::test(start_paused = true)]
async fn grace_is_limited() {
    let mut workflow = Workflow::builder("stubborn");
    workflow
        .step("stubborn")
        .timeout(SECOND)
        .run_with(|context: StepContext| async move {
            let _token = context.token();
            std::future::pending::<Result<(), StepError>>().await
        });
    let start = Instant::now();
    let outcome = outcome_of(workflow).await;
    assert_eq!(outcome.status, Status::Failed);
    assert_eq!(start.elapsed().as_secs(), 1 + 10);
}

#[tokio::test(start_paused = true)]
async fn a_workflow_that_takes_too_long_times_out() {
    let mut workflow = Workflow::builder("endless").timeout(3 * SECOND);
    let first = workflow
        .step("endless")
        .run(std::future::pending::<Result<(), StepError>>);
    workflow
        .step("after")
        .after(&first)
        .run(async || Ok::<_, StepError>(()));
    let start = Instant::now();
    let outcome = outcome_of(workflow).await;
    assert_eq!(outcome.status, Status::TimedOut);
    assert_eq!(start.elapsed().as_secs(), 3);
    assert!(matches!(state(&outcome, "endless"), StepState::Cancelled));
    assert!(matches!(state(&outcome, "after"), StepState::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_of_its_step_and_of_nothing_else() {
    let mut workflow = Workflow::builder("panics");
    workflow
        .step("panics")
        .optional()
        .run(async || -> Result<(), StepError> { panic!("out of cheese") });
    let at_once =
        |_: StepContext| -> std::future::Ready<Result<(), StepError>> { panic!("before it began") };
    workflow.step("at-once").optional().run_with(at_once);
    workflow.step("other").run(async || Ok::<_, StepError>(()));
    let outcome = outcome_of(workflow).await;
    assert!(outcome.is_completed());
    for (step, message) in [("panics", "out of cheese"), ("at-once", "before it began")] {
        let StepState::Failed(error) = state(&outcome, step) else {
            panic!("{step} should have failed");
        };
        assert_eq!(error.to_string(), format!("it panicked: {message}"));
    }
}

#[tokio::test(start_paused = true)]
async fn of_the_steps_that_may_begin_the_earliest_in_the_workflow_does() {
    let diary = Diary::default();
    let one = NonZeroUsize::new(1).unwrap();
    let mut workflow = Workflow::builder("order").concurrency(one);
    let write = |entry: &'static str| {
        let diary = diary.clone();
        move || {
            diary.write(entry);
            async { Ok::<_, StepError>(()) }
        }
    };
    let first = workflow.step("first").run(write("first"));
    workflow.step("early").after(&first).run(write("early"));
    for step in 0..200 {
        let id = format!("between-{step}");
        workflow.step(id).run(async || Ok::<_, StepError>(()));
    }
    workflow.step("late").run(write("late"));
    assert!(outcome_of(workflow).await.is_completed());
    assert_eq!(diary.entries(), ["first", "early", "late"]);
}

#[tokio::test(start_paused = true)]
async fn an_optional_failure_harms_neither_the_run_nor_what_comes_after() {
    let mut workflow = Workflow::builder("optional");
    let lint = workflow
        .step("lint")
        .optional()
        .run(async || Err::<u32, _>(StepError::message("untidy")));
    let build = workflow
        .step("build")
        .after(&lint)
        .run(async || Ok::<_, StepError>(()));
    let report = workflow
        .step("report")
        .input(lint)
        .run(|found: Arc<u32>| async move { Ok::<_, StepError>(*found) });
    let outcome = outcome_of(workflow).await;
    assert!(outcome.is_completed());
    assert!(outcome.output(&build).is_some());
    assert!(outcome.output(&report).is_none());
    let StepState::Skipped(reason) = state(&outcome, "report") else {
        panic!("report should have been skipped");
    };
    assert_eq!(reason, SkipReason::MissingInput("lint"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_stops_the_rest_and_undoes_what_was_done_in_reverse() {
    let diary = Diary::default();
    let mut workflow = Workflow::builder("saga");
    let done = |takes: u32| {
        move || async move {
            sleep(SECOND * takes).await;
            Ok::<u32, StepError>(takes)
        }
    };
    let undo = |entry: &'static str| {
        let diary = diary.clone();
        move |takes: Arc<u32>| {
            diary.write(format!("undo {entry} {takes}"));
            async { Ok::<_, StepError>(()) }
        }
    };
    let slow = workflow.step("slow").compensate(undo("slow")).run(done(2));
    let quick = workflow
        .step("quick")
        .compensate(undo("quick"))
        .run(done(1));
    workflow
        .step("running")
        .compensate(undo("running"))
        .run(done(100));
    let fails = workflow
        .step("fails")
        .after(&slow)
        .after(&quick)
        .run(async || Err::<(), _>(StepError::message("no")));
    workflow.step("never").after(&fails).run(done(1));
    let workflow = workflow.build().unwrap();

    let start = Instant::now();
    let outcome = orchestrator()
        .execute_workflow(&workflow, ())
        .await
        .unwrap();
    assert_eq!(outcome.status, Status::Failed);
    assert_eq!(start.elapsed().as_secs(), 2);
    assert_eq!(diary.entries(), ["undo slow 2", "undo quick 1"]);
    assert!(matches!(state(&outcome, "running"), StepState::Cancelled));
    assert!(matches!(state(&outcome, "never"), StepState::Cancelled));
    let slow = outcome.step("slow").unwrap();
    assert!(matches!(slow.compensation, Some(Compensation::Completed)));
}

#[tokio::test(start_paused = true)]
async fn a_compensation_that_fails_is_retried_and_then_reported_and_the_rest_go_on() {
    let diary = Diary::default();
    let (first, second) = (diary.clone(), diary.clone());
    let mut workflow = Workflow::builder("stuck");
    let a = workflow
        .step("a")
        .compensate(move |_: Arc<()>| {
            first.write("a");
            async { Ok::<_, StepError>(()) }
        })
        .run(async || Ok::<_, StepError>(()));
    let b = workflow
        .step("b")
        .after(&a)
        .compensate(move |_: Arc<()>| {
            second.write("b");
            async { Err::<(), _>(StepError::message("locked")) }
        })
        .run(async || Ok::<_, StepError>(()));
    workflow
        .step("fails")
        .after(&b)
        .run(async || Err::<(), _>(StepError::message("no")));
    let outcome = outcome_of(workflow).await;
    assert_eq!(diary.entries(), ["b", "b", "b", "a"]);
    let Some(Compensation::Failed(error)) = outcome.step("b").unwrap().compensation else {
        panic!("b should not have been undone");
    };
    assert_eq!(error.to_string(), "locked");
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_run_tells_its_steps_and_undoes_what_was_done() {
    let diary = Diary::default();
    let (undone, told) = (diary.clone(), diary.clone());
    let mut workflow = Workflow::builder("cancelled");
    let done = workflow
        .step("done")
        .compensate(move |_: Arc<()>| {
            undone.write("undone");
            async { Ok::<_, StepError>(()) }
        })
        .run(async || Ok::<_, StepError>(()));
    workflow
        .step("polite")
        .after(&done)
        .run_with(move |context: StepContext| {
            let told = told.clone();
            async move {
                context.token().cancelled().await;
                sleep(SECOND).await;
                told.write("told");
                Err::<(), _>(StepError::message("interrupted"))
            }
        });
    let workflow = workflow.build().unwrap();
    let orchestrator = orchestrator();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    sleep(5 * SECOND).await;
    run.cancel();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Cancelled);
    assert_eq!(diary.entries(), ["told", "undone"]);
    assert_eq!(outcome.duration.as_secs(), 6);
    assert_eq!(orchestrator.active_runs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_as_soon_as_it_is_told_to_stop_has_not_failed_the_run() {
    let mut workflow = Workflow::builder("cancelled");
    workflow
        .step("prompt")
        .run_with(|context: StepContext| async move {
            context.token().cancelled().await;
            Err::<(), _>(StepError::message("interrupted"))
        });
    let workflow = workflow.build().unwrap();
    let orchestrator = orchestrator();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    sleep(SECOND).await;
    run.cancel();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Cancelled);
    let state = outcome.step("prompt").unwrap().state;
    assert!(matches!(state, StepState::Cancelled), "{state:?}");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_done_as_soon_as_it_is_told_to_stop_is_done() {
    let mut workflow = Workflow::builder("cancelled");
    workflow
        .step("prompt")
        .run_with(|context: StepContext| async move {
            context.token().cancelled().await;
            Ok::<_, StepError>(())
        });
    let workflow = workflow.build().unwrap();
    let orchestrator = orchestrator();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    sleep(SECOND).await;
    run.cancel();
    let outcome = run.outcome().await.unwrap();
    let state = outcome.step("prompt").unwrap().state;
    assert!(matches!(state, StepState::Completed), "{state:?}");
}

#[tokio::test(start_paused = true)]
async fn dropping_execute_cancels_the_run_which_is_undone_in_the_background() {
    let (undone, mut was_undone) = tokio::sync::mpsc::channel(1);
    let mut workflow = Workflow::builder("dropped");
    let done = workflow
        .step("done")
        .compensate(move |_: Arc<()>| {
            let undone = undone.clone();
            async move {
                undone.send(()).await?;
                Ok::<_, StepError>(())
            }
        })
        .run(async || Ok::<_, StepError>(()));
    workflow
        .step("waits")
        .after(&done)
        .run(std::future::pending::<Result<(), StepError>>);
    let workflow = workflow.build().unwrap();
    let orchestrator = orchestrator();
    let execution = orchestrator.execute_workflow(&workflow, ());
    assert!(coord_bus::time::timeout(SECOND, execution).await.is_err());
    was_undone.recv().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropping_the_orchestrator_aborts_its_runs_and_drops_their_steps() {
    struct Dropped(tokio::sync::mpsc::Sender<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.try_send(()).unwrap();
        }
    }
    let (sender, mut dropped) = tokio::sync::mpsc::channel(1);
    let mut workflow = Workflow::builder("aborted");
    workflow.step("waits").run(move || {
        let guard = Dropped(sender.clone());
        async move {
            let _guard = guard;
            std::future::pending::<Result<(), StepError>>().await
        }
    });
    let workflow = workflow.build().unwrap();
    let orchestrator = orchestrator();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    sleep(SECOND).await;
    drop(orchestrator);
    dropped.recv().await.unwrap();
    let error = run.outcome().await.unwrap_err();
    assert!(matches!(error, WorkflowError::Aborted { .. }));
}

#[tokio::test(start_paused = true)]
async fn shutdown_cancels_runs_and_starts_no_more() {
    let mut workflow = Workflow::builder("service");
    workflow
        .step("waits")
        .run(std::future::pending::<Result<(), StepError>>);
    let workflow = workflow.build().unwrap();
    let orchestrator = orchestrator();
    let run = orchestrator.start_workflow(&workflow, ()).unwrap();
    sleep(SECOND).await;
    let report = orchestrator.shutdown(SECOND).await;
    assert!(report.aborted.is_empty());
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
}
