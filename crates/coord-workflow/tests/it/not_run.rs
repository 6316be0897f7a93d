//! Why a step did not run, as who looks at the run is told.

use std::sync::Arc;

use coord_workflow::{
    Command, OnFailure, RunId, StepError, StepPhase, Workflow, WorkflowOrchestrator,
};

use crate::durable::Machine;

fn id() -> RunId {
    RunId::named("r").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_view_says_why_a_step_was_skipped_or_never_began_here_and_by_the_journal() {
    let work = async || Ok::<u32, StepError>(1);
    let mut workflow = Workflow::durable("w");
    let off = workflow.step("off").when(|| false).run(work);
    let takes = workflow.step("takes").input(off);
    let takes = takes.run(async |_: Arc<u32>| Ok::<u32, StepError>(2));
    workflow.step("any").after_any([&takes]).run(work);
    workflow.step("asked").after(&off).signal::<u32>("never");
    let fails = workflow.step("fails").signal::<String>("fail");
    workflow.step("next").after(&fails).run(work);
    let workflow = workflow.build().unwrap();
    let machine = Machine::new();
    let process: WorkflowOrchestrator = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    let skip = "asked".to_owned();
    run.tell(Command::Skip { step: skip }).await.unwrap();
    run.tell(Command::Signal {
        name: "fail".to_owned(),
        payload: 1.into(),
        id: None,
    })
    .await
    .unwrap();
    let here = run.outcome().await.unwrap().view();
    let kept = machine.journal().view(&id()).await.unwrap();
    let words = [
        ("off", "it was skipped: its condition is false"),
        (
            "takes",
            "it was skipped: `off`, whose output it takes, has none",
        ),
        (
            "any",
            "it was skipped: none of the steps that it needs any of has completed",
        ),
        (
            "asked",
            "it was skipped: somebody said that it is to be skipped",
        ),
        ("next", "it did not run: `fails` failed before it began"),
    ];
    for (step, words) in words {
        assert_eq!(here.why(step).unwrap().to_string(), words);
        // What a step takes is in no record.
        let words = match step {
            "takes" => {
                "it was skipped: its condition is false, or it takes the output of `off`, which has none"
            }
            _ => words,
        };
        assert_eq!(kept.why(step).unwrap().to_string(), words);
    }
    assert_eq!(kept.step("next").unwrap().phase, StepPhase::Cancelled);
    assert_eq!(kept.step("fails").unwrap().not_run, None);
}

#[tokio::test(start_paused = true)]
async fn what_needs_what_failed_is_told_that_where_the_other_branches_go_on() {
    let mut workflow = Workflow::durable("w").on_failure(OnFailure::FinishBranches);
    let fails = workflow.step("fails");
    let fails = fails.run(async || Err::<u32, _>(StepError::message("no")));
    let next = workflow.step("next").after(&fails);
    let next = next.run(async || Ok::<u32, StepError>(1));
    let last = workflow.step("last").after(&next);
    last.run(async || Ok::<u32, StepError>(1));
    let workflow = workflow.build().unwrap();
    let machine = Machine::new();
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    run.outcome().await.unwrap();
    for (step, words) in [
        (
            "next",
            "it did not run: `fails`, which it needs, has failed",
        ),
        (
            "last",
            "it did not run: `next`, which it needs, did not run",
        ),
    ] {
        let why = machine.journal().why(&id(), step).await.unwrap();
        assert_eq!(why.unwrap().to_string(), words);
    }
}
