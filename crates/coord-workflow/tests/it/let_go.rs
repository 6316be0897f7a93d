//! What came of a run is kept by those who have asked for it, and by nobody else.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::sleep;
use coord_workflow::{RunId, StepError, Workflow};

use crate::durable::Machine;

#[tokio::test(start_paused = true)]
async fn an_orchestrator_lets_go_of_what_came_of_durable_runs_once_they_have_ended() {
    let mut workflow = Workflow::<()>::durable("large");
    let step = workflow.step("large");
    step.run(async || Ok::<_, StepError>("x".repeat(1_000)));
    let workflow = workflow.build().unwrap();
    let process = Machine::new().process();
    let mut runs = Vec::new();
    for _ in 0..10 {
        let run = process.start_durable(&workflow, RunId::unique(), ()).await;
        runs.push(run.unwrap());
    }
    let mut outcomes = Vec::new();
    for run in runs {
        let outcome = run.outcome().await.unwrap();
        assert!(outcome.is_completed());
        outcomes.push(Arc::downgrade(&outcome));
    }
    // Its tasks come to their end.
    sleep(Duration::from_secs(1)).await;
    let held = outcomes.iter().filter(|outcome| outcome.strong_count() > 0);
    assert_eq!(held.count(), 0);
}
