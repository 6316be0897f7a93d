//! Runs that nobody can go on with, as their workflow is another one by now: they can be ended.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, RunId, RunQuery, RunState, Status, StepError, StepPhase,
    Workflow, WorkflowError,
};

use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

/// How often something was done, and undone.
#[derive(Clone, Default)]
struct Counts {
    done: Arc<AtomicU32>,
    undone: Arc<AtomicU32>,
}

/// A step that can be undone, and one that waits; with another one in `changed`.
fn order(counts: &Counts, changed: bool, undo_hangs: bool) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("order");
    let (done, undone) = (Arc::clone(&counts.done), Arc::clone(&counts.undone));
    let charge = workflow
        .step("charge")
        .compensate(move |_: Arc<u32>| {
            undone.fetch_add(1, Ordering::SeqCst);
            async move {
                match undo_hangs {
                    true => pending().await,
                    false => Ok::<_, StepError>(()),
                }
            }
        })
        .run(move || {
            let done = done.fetch_add(1, Ordering::SeqCst);
            async move { Ok::<_, StepError>(done) }
        });
    workflow.step("paid").after(&charge).signal::<u32>("paid");
    if changed {
        workflow
            .step("new")
            .run(|| async { Ok::<_, StepError>(()) });
    }
    workflow.build().unwrap()
}

/// A run of which a step is done, and whose process is gone.
async fn left(machine: &Machine, workflow: &Workflow<(), Durable>) {
    let killed = machine.process();
    killed.start_durable(workflow, id(), ()).await.unwrap();
    sleep(SECOND).await;
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_workflow_has_changed_is_ended_and_nothing_of_it_is_undone() {
    let (machine, counts) = (Machine::new(), Counts::default());
    left(&machine, &order(&counts, false, false)).await;
    let (process, journal) = (machine.process(), machine.journal());
    let changed = order(&counts, true, false);
    let refused = process.resume_runs(&changed).await.unwrap().refused;
    let [(_, error @ WorkflowError::Changed { .. })] = &*refused else {
        panic!("{refused:?}")
    };
    assert!(error.to_string().contains("terminate_run"), "{error}");

    process
        .terminate_run(&id(), "orders changed")
        .await
        .unwrap();
    let view = journal.view(&id()).await.unwrap();
    assert_eq!(view.state, RunState::Finished(Status::Failed));
    assert_eq!(view.error.as_deref(), Some("orders changed"));
    let phases = view.steps.iter().map(|step| step.phase);
    assert_eq!(
        phases.collect::<Vec<_>>(),
        [StepPhase::Completed, StepPhase::Cancelled]
    );
    let summary = journal.summary(&id()).await.unwrap();
    assert_eq!((summary.state, summary.done), (view.state, 1));
    assert_eq!(counts.undone.load(Ordering::SeqCst), 0);
    let unfinished = journal.runs(&RunQuery::newest().unfinished()).await;
    assert_eq!(unfinished.unwrap(), []);
    let resumed = process.resume_runs(&changed).await.unwrap();
    assert!(resumed.runs.is_empty() && resumed.refused.is_empty());
    let again = process.terminate_run(&id(), "again").await;
    assert!(matches!(again, Err(WorkflowError::RunFinished { .. })));
}

#[tokio::test(start_paused = true)]
async fn who_still_has_the_definition_reads_a_run_that_was_ended_so_and_can_retry_it() {
    let (machine, counts) = (Machine::new(), Counts::default());
    let workflow = order(&counts, false, false);
    left(&machine, &workflow).await;
    let process = machine.process();
    process.terminate_run(&id(), "by mistake").await.unwrap();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    let run = process.retry_run(&workflow, &id(), None).await.unwrap();
    let paid = Command::Signal {
        name: "paid".to_owned(),
        payload: 1.into(),
        id: None,
    };
    run.tell(paid).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(counts.done.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_somebody_drives_is_not_ended_like_that() {
    let (machine, counts) = (Machine::new(), Counts::default());
    let driver = machine.process();
    let workflow = order(&counts, false, false);
    let run = driver.start_durable(&workflow, id(), ()).await.unwrap();
    for process in [&driver, &machine.process()] {
        let refused = process.terminate_run(&id(), "no").await;
        assert!(
            matches!(refused, Err(WorkflowError::DrivenElsewhere { .. })),
            "{refused:?}"
        );
    }
    run.cancel();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_being_undone_ends_as_it_was_to_and_everybody_says_so() {
    let (machine, counts) = (Machine::new(), Counts::default());
    let killed = machine.process();
    let workflow = order(&counts, false, true);
    let run = killed.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(SECOND).await;
    run.cancel();
    sleep(SECOND).await;
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
    assert_eq!(counts.undone.load(Ordering::SeqCst), 1);

    let (process, journal) = (machine.process(), machine.journal());
    process
        .terminate_run(&id(), "cannot be undone")
        .await
        .unwrap();
    let view = journal.view(&id()).await.unwrap();
    let cancelled = RunState::Finished(Status::Cancelled);
    assert_eq!(
        (view.state, view.error.as_deref()),
        (cancelled, Some("cannot be undone"))
    );
    assert_eq!(journal.summary(&id()).await.unwrap().state, cancelled);
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn the_runs_within_a_run_end_with_it() {
    let machine = Machine::new();
    let mut parent = Workflow::durable("parent");
    let mut child = Workflow::<()>::durable("child");
    let paid = child.step("paid").signal::<u32>("paid");
    let child = child.build().unwrap();
    let first = parent
        .step("first")
        .run(|| async { Ok::<_, StepError>(()) });
    parent.step("child").input(first).workflow(&child, paid);
    let killed = machine.process();
    let parent = parent.build().unwrap();
    killed.start_durable(&parent, id(), ()).await.unwrap();
    sleep(SECOND).await;
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;

    let (process, journal) = (machine.process(), machine.journal());
    let within = journal.view(&id()).await.unwrap();
    let within = within.step("child").unwrap().child.clone().unwrap();
    process.terminate_run(&id(), "over").await.unwrap();
    for run in [id(), within] {
        let view = journal.view(&run).await.unwrap();
        assert_eq!(view.state, RunState::Finished(Status::Failed), "{run}");
        assert_eq!(view.error.as_deref(), Some("over"));
    }
}
