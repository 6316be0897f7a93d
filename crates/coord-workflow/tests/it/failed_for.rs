//! Why a run failed, in a line: its outcome, views of it and lists tell it by the first step that did.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_workflow::{Durable, OnFailure, RunId, RunState, Status, StepError, Workflow};

use crate::durable::Machine;
use crate::summaries::summary;

fn id() -> RunId {
    RunId::named("r").unwrap()
}

/// `late` fails after `soon`, as `optional` does before; `first` takes a second to be undone.
fn failing(is_well: &Arc<AtomicBool>, words: &'static str) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("failing").on_failure(OnFailure::FinishAll);
    let first = workflow.step("first").compensate(|_: Arc<()>| async {
        sleep(Duration::from_secs(1)).await;
        Ok::<_, StepError>(())
    });
    let first = first.run(async || Ok::<_, StepError>(()));
    let fails = |after: u64, words: &'static str| {
        let is_well = Arc::clone(is_well);
        move || {
            let is_well = Arc::clone(&is_well);
            async move {
                sleep(Duration::from_secs(after)).await;
                match is_well.load(Ordering::SeqCst) {
                    true => Ok(()),
                    false => Err(StepError::message(words).permanent()),
                }
            }
        }
    };
    workflow
        .step("late")
        .after(&first)
        .run(fails(3, "too late"));
    workflow.step("soon").after(&first).run(fails(2, words));
    let optional = workflow.step("optional").after(&first).optional();
    optional.run(fails(1, "no matter"));
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_first_step_that_failed_is_why_its_run_did_wherever_that_is_told() {
    let machine = Machine::new();
    let is_well = Arc::new(AtomicBool::new(false));
    let (process, failing) = (machine.process(), failing(&is_well, "no card"));
    let run = process.start_durable(&failing, id(), ()).await.unwrap();
    sleep(Duration::from_millis(3_500)).await;
    let why = Some("step `soon` failed: no card");
    let (undone, _) = summary(&machine, "r").await;
    assert_eq!(
        (undone.state, undone.ending),
        (RunState::Running, Some(Status::Failed))
    );
    assert_eq!(undone.error.as_deref(), why);
    assert_eq!(run.view().unwrap().error.as_deref(), why);
    let outcome = run.outcome().await.unwrap();
    assert_eq!((outcome.status, outcome.error()), (Status::Failed, why));
    let view = outcome.view();
    assert_eq!(view.error.as_deref(), why);
    assert_eq!(view.failed_step().unwrap().id, "soon");
    let (listed, read) = summary(&machine, "r").await;
    assert_eq!((listed.error.as_deref(), read), (why, 1));

    // Once it goes on it has not failed any more.
    is_well.store(true, Ordering::SeqCst);
    let run = process.retry_run(&failing, &id(), None).await.unwrap();
    assert_eq!(run.view().unwrap().error, None);
    assert_eq!(run.outcome().await.unwrap().error(), None);
    assert_eq!(summary(&machine, "r").await.0.error, None);
}

#[tokio::test(start_paused = true)]
async fn of_many_words_a_line_is_told() {
    let is_well = Arc::new(AtomicBool::new(false));
    let lines: &str = "card refused\nat the bank\n";
    let long: &str = "ä".repeat(10_000).leak();
    for (words, said) in [
        (lines, "card refused…".to_owned()),
        (long, format!("{}…", "ä".repeat(250))),
    ] {
        let machine = Machine::new();
        let process = machine.process();
        let run = process
            .start_durable(&failing(&is_well, words), id(), ())
            .await;
        let outcome = run.unwrap().outcome().await.unwrap();
        let said = format!("step `soon` failed: {said}");
        assert_eq!(outcome.error(), Some(&*said));
        assert_eq!(summary(&machine, "r").await.0.error, Some(said));
    }
}
