//! Steps that are skipped while they wait for what others have, or while others begin.

use std::num::NonZeroUsize;
use std::time::Duration;

use coord_bus::time::{sleep, timeout};
use coord_bus::vocabulary::{Transition, WORKFLOW_EVENTS};
use coord_bus::{BusExt, LocalBus};
use coord_workflow::{
    Retry, Run, Step, StepContext, StepError, StepPhase, Workflow, WorkflowOrchestrator,
};

use super::{SECOND, settle, skip};

/// Runs `holder`, which has the only permit of `gpu` and the place of all runs, and then `x` and `next`,
/// which need the permit too.
async fn scarce(places: Option<usize>) -> (Run, Run, WorkflowOrchestrator) {
    let bus = LocalBus::new();
    let mut builder = WorkflowOrchestrator::builder(&bus).resource("gpu", 1);
    if let Some(places) = places.and_then(NonZeroUsize::new) {
        builder = builder.total_concurrency(places);
    }
    let process = builder.build().unwrap();
    let run = |names: &[&str]| {
        let mut workflow = Workflow::builder("scarce");
        for name in names {
            workflow.step(*name).resource("gpu", 1).run(async || {
                sleep(SECOND).await;
                Ok::<_, StepError>(())
            });
        }
        let workflow: Workflow = workflow.build().unwrap();
        process.start_workflow(&workflow, ()).unwrap()
    };
    let first = run(&["holder"]);
    settle().await;
    let second = run(&["x", "next"]);
    settle().await;
    (first, second, process)
}

#[tokio::test(start_paused = true)]
async fn a_step_that_waits_for_permits_or_a_place_is_skipped_and_keeps_them_from_nobody() {
    for places in [None, Some(1)] {
        let (first, second, process) = scarce(places).await;
        second.tell(skip("x")).await.unwrap();
        settle().await;
        let phase = second.view().unwrap().step("x").unwrap().phase;
        assert_eq!(phase, StepPhase::Skipped, "{places:?}");
        assert!(first.outcome().await.unwrap().is_completed());
        second.tell(skip("next")).await.unwrap();
        let outcome = timeout(SECOND * 10, second.outcome())
            .await
            .unwrap()
            .unwrap();
        assert!(outcome.is_completed(), "{places:?}");
        // What they waited for is there for others.
        let mut workflow = Workflow::builder("later");
        workflow
            .step("later")
            .resource("gpu", 1)
            .run(async || Ok::<_, StepError>(()));
        let workflow: Workflow = workflow.build().unwrap();
        let run = process.start_workflow(&workflow, ()).unwrap();
        let outcome = timeout(SECOND * 10, run.outcome()).await.unwrap();
        assert!(outcome.unwrap().is_completed(), "{places:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn steps_that_are_skipped_while_others_begin_on_several_threads_end_once_each() {
    let bus = LocalBus::new();
    let mut events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let process = WorkflowOrchestrator::builder(&bus)
        .resource("gpu", 2)
        .build();
    let process = process.unwrap();
    for _ in 0..20 {
        let mut workflow = Workflow::builder("raced");
        let mut last: Option<Step<()>> = None;
        for index in 0..60_u64 {
            let mut step = workflow.step(format!("s{index}"));
            if let Some(last) = last.filter(|_| index % 3 > 0) {
                step = step.after(&last);
            }
            if index % 4 == 0 {
                step = step.resource("gpu", 1);
            }
            let retry = Retry::constant(Duration::from_micros(200)).max_attempts(2);
            last = Some(
                step.retry(retry)
                    .run_with(move |context: StepContext| async move {
                        sleep(Duration::from_micros(100 * (index % 5))).await;
                        match context.attempt() > 1 || index % 7 > 0 {
                            true => Ok(()),
                            false => Err(StepError::message("it was to fail")),
                        }
                    }),
            );
        }
        let workflow: Workflow = workflow.build().unwrap();
        let run = process.start_workflow(&workflow, ()).unwrap();
        for step in (0..60).rev().step_by(2) {
            // One that is over is refused.
            let _ = run.tell(skip(&format!("s{step}"))).await;
            tokio::task::yield_now().await;
        }
        let outcome = timeout(SECOND * 60, run.outcome()).await.unwrap().unwrap();
        assert!(outcome.is_completed());
        let skipped = outcome
            .steps()
            .filter(|step| step.state.name() == "skipped");
        let (skipped, mut told) = (skipped.count(), 0);
        while let Some(event) = events.recv().await {
            match &event.event().transition {
                Transition::StepSkipped { .. } => told += 1,
                Transition::RunFinished { .. } => break,
                _ => {}
            }
        }
        assert!(told >= skipped, "{told} told, {skipped} skipped");
    }
}
