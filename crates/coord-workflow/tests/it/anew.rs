//! Runs that begin under the id of one that has finished.

use std::future::pending;
use std::sync::Arc;

use coord_bus::{LocalBus, MemoryEventLog, MemoryLeases};
use coord_workflow::{
    Durable, RunId, RunJournal, RunQuery, RunState, Status, StepError, Workflow, WorkflowError,
    WorkflowOrchestrator,
};

fn of(name: &str, hangs: bool) -> Workflow<u32, Durable> {
    let mut workflow = Workflow::<u32>::durable(name);
    workflow.step("a").run(move || async move {
        match hangs {
            true => pending().await,
            false => Ok::<_, StepError>(()),
        }
    });
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_run_is_begun_anew_in_place_of_one_that_has_finished_and_of_no_other() {
    let (log, leases) = (MemoryEventLog::new(), MemoryLeases::new());
    let journal = RunJournal::new(Arc::new(log), Arc::new(leases));
    let bus = LocalBus::new();
    let built = WorkflowOrchestrator::builder(&bus).journal(journal.clone());
    let orchestrator = built.build().unwrap();
    let id = RunId::named("nightly").unwrap();
    let ends = of("first", false);
    let first = orchestrator.start_durable_anew(&ends, id.clone(), 1);
    let outcome = first.await.unwrap().outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Completed);

    // Of another workflow, with another input.
    let hangs = of("second", true);
    let second = orchestrator.start_durable_anew(&hangs, id.clone(), 2);
    let second = second.await.unwrap();
    let view = journal.view(&id).await.unwrap();
    assert_eq!((&*view.workflow, view.state), ("second", RunState::Running));
    assert_eq!(journal.input::<u32>(&id).await.unwrap(), 2);
    let other = orchestrator.start_durable_anew(&hangs, id.clone(), 3).await;
    assert!(matches!(other, Err(WorkflowError::OtherInput { .. })));
    let same = orchestrator.start_durable_anew(&hangs, id.clone(), 2);
    second.cancel();
    let outcome = same.await.unwrap().outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Cancelled);
    assert_eq!(journal.runs(&RunQuery::newest()).await.unwrap(), [id]);
}
