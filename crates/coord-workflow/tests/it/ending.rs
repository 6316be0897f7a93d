//! What is to be seen of a run that is coming to its end: how it ends, what is being undone, and why that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_workflow::{
    Command, Durable, Retry, RunId, RunState, RunView, Status, StepError, StepPhase, Why, Workflow,
    WorkflowError,
};

use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);

fn id() -> RunId {
    RunId::named("r").unwrap()
}

/// `made`, whose first attempt fails, and which is undone as soon as nothing is locked any more; then one that
/// fails, or else waits.
fn workflow(is_locked: &Arc<AtomicBool>, fails: bool) -> Workflow<(), Durable> {
    let (locked, has_failed) = (Arc::clone(is_locked), AtomicBool::new(false));
    let mut workflow = Workflow::durable("ending");
    let made = workflow
        .step("made")
        .retry(Retry::constant(Duration::ZERO))
        .compensate(move |_: Arc<()>| {
            let is_locked = locked.load(Ordering::SeqCst);
            async move {
                match is_locked {
                    true => Err(StepError::message("locked")),
                    false => Ok(()),
                }
            }
        })
        .compensation_retry(Retry::constant(30 * SECOND))
        .run(move || {
            let has_failed = has_failed.swap(true, Ordering::SeqCst);
            async move {
                match has_failed {
                    true => Ok(()),
                    false => Err(StepError::message("not at once")),
                }
            }
        });
    let next = workflow.step("next").after(&made);
    match fails {
        true => drop(next.run(async || Err::<(), _>(StepError::message("no")))),
        false => drop(next.signal::<()>("go")),
    }
    workflow.build().unwrap()
}

fn is_being_undone(view: &RunView, status: Status) {
    assert_eq!(view.ending, Some(status));
    assert!(!view.is_paused);
    let made = view.step("made").unwrap();
    assert!(made.is_being_undone);
    assert_eq!(made.phase, StepPhase::Completed);
    assert_eq!(made.error.as_deref(), Some("locked"));
    assert!(!view.step("next").unwrap().is_being_undone);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_being_undone_says_so_wherever_it_is_looked_at_and_is_not_paused() {
    let (machine, is_locked) = (Machine::new(), Arc::new(AtomicBool::new(true)));
    let (process, journal) = (machine.process(), machine.journal());
    let workflow = workflow(&is_locked, true);
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(SECOND).await;
    for view in [run.view().unwrap(), journal.view(&id()).await.unwrap()] {
        assert_eq!(view.state, RunState::Running);
        is_being_undone(&view, Status::Failed);
        assert_eq!(view.why("made"), Some(Why::Undoing));
    }
    let summary = journal.summary(&id()).await.unwrap();
    assert_eq!(summary.ending, Some(Status::Failed));
    let refused = [
        run.tell(Command::Pause).await,
        journal.tell(&id(), Command::Pause).await,
    ];
    for refused in refused {
        let Err(WorkflowError::Ending { status, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(status, Status::Failed);
    }

    process.shutdown(SECOND).await;
    let view = journal.view(&id()).await.unwrap();
    assert_eq!(view.state, RunState::Interrupted);
    is_being_undone(&view, Status::Failed);
    assert_eq!(view.why("made"), Some(Why::Interrupted));

    is_locked.store(false, Ordering::SeqCst);
    let next = machine.process();
    let run = next.resume_run(&workflow, &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    for view in [outcome.view(), journal.view(&id()).await.unwrap()] {
        assert_eq!((view.ending, view.is_paused), (None, false));
        let made = view.step("made").unwrap();
        assert_eq!(
            (made.phase, made.is_being_undone),
            (StepPhase::Undone, false)
        );
        assert_eq!(made.error, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_paused_and_is_cancelled_is_paused_no_more() {
    let (machine, is_locked) = (Machine::new(), Arc::new(AtomicBool::new(true)));
    let (process, journal) = (machine.process(), machine.journal());
    let workflow = workflow(&is_locked, false);
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(SECOND).await;
    run.tell(Command::Pause).await.unwrap();
    assert!(journal.view(&id()).await.unwrap().is_paused);
    run.tell(Command::Cancel { reason: None }).await.unwrap();
    sleep(SECOND).await;
    for view in [run.view().unwrap(), journal.view(&id()).await.unwrap()] {
        is_being_undone(&view, Status::Cancelled);
    }
    assert!(!journal.follow(&id()).await.unwrap().is_paused());
}
