//! Outputs that a step goes on without, where there are none.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{
    RunId, StepError, Volatile, Workflow, WorkflowBuilder, WorkflowError, WorkflowOrchestrator,
};

use crate::durable::Machine;

type Note = Option<Arc<String>>;

fn words(notes: &[Note]) -> String {
    let words = notes
        .iter()
        .map(|note| note.as_ref().map_or("-", |note| note));
    words.collect::<Vec<_>>().join(" ")
}

/// What the last step of a workflow puts out, which is in words what it was given.
async fn given(
    describe: impl FnOnce(&mut WorkflowBuilder<(), Volatile>) -> coord_workflow::Step<String>,
) -> Arc<String> {
    let mut workflow = Workflow::builder("notes");
    let last = describe(&mut workflow);
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let workflow = workflow.build().unwrap();
    let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
    outcome.output(&last).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_step_is_waited_for_and_goes_on_without_what_failed_or_was_skipped() {
    let given = given(|workflow| {
        let slow = workflow.step("slow").optional().run(|| async {
            sleep(Duration::from_secs(1)).await;
            Ok::<_, StepError>("slow".to_owned())
        });
        let failed = workflow.step("failed").optional();
        let failed = failed.run(|| async { Err::<String, _>(StepError::message("no")) });
        let skipped = workflow.step("skipped").when(|| false);
        let skipped = skipped.run(|| async { Ok::<_, StepError>(String::new()) });
        let input = workflow.input();
        workflow
            .step("last")
            .input((
                vec![slow.maybe(), failed.maybe(), skipped.maybe()],
                input.maybe(),
            ))
            .run(|(notes, input): (Vec<Note>, Option<Arc<()>>)| async move {
                assert!(input.is_some());
                Ok::<_, StepError>(words(&notes))
            })
    });
    assert_eq!(given.await.as_str(), "slow - -");
}

#[tokio::test(start_paused = true)]
async fn of_several_of_which_any_is_enough_a_step_is_given_what_there_is() {
    let given = given(|workflow| {
        let near = workflow.step("near").optional().run(|| async {
            sleep(Duration::from_secs(3600)).await;
            Ok::<_, StepError>("near".to_owned())
        });
        let far = workflow.step("far").optional();
        let far = far.run(|| async { Ok::<_, StepError>("far".to_owned()) });
        // In either order.
        let one = workflow.step("one").after_any([&near, &far]);
        let one = one.input(vec![near.maybe(), far.maybe()]);
        let one = one.run(|notes: Vec<Note>| async move { Ok::<_, StepError>(words(&notes)) });
        let last = workflow.step("last");
        let last = last.input((one, near.maybe())).after_any([&near, &one]);
        last.run(|(one, near): (Arc<String>, Note)| async move {
            Ok::<_, StepError>(words(&[Some(one), near]))
        })
    });
    assert_eq!(given.await.as_str(), "- far -");
}

#[tokio::test(start_paused = true)]
async fn what_maybe_is_taken_is_a_part_of_what_a_run_relies_on() {
    let workflow = |takes: bool| {
        let mut workflow = Workflow::<()>::durable("notes");
        let first = workflow
            .step("first")
            .run(|| async { Ok::<_, StepError>(7_u32) });
        match takes {
            true => {
                let last = workflow.step("last").input(first.maybe());
                last.run(|_: Option<Arc<u32>>| std::future::pending::<Result<(), StepError>>());
            }
            false => {
                let last = workflow.step("last").after(&first);
                last.run(std::future::pending::<Result<(), StepError>>);
            }
        }
        workflow.build().unwrap()
    };
    let process = Machine::new().process();
    let id = RunId::named("r").unwrap();
    process
        .start_durable(&workflow(true), id.clone(), ())
        .await
        .unwrap();
    process.resume_run(&workflow(true), &id).await.unwrap();
    let changed = process.resume_run(&workflow(false), &id).await;
    assert!(
        matches!(changed, Err(WorkflowError::Changed { .. })),
        "{changed:?}"
    );
}
