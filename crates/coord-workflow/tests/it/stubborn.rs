//! A run is cancelled, and a step of it does not stop though it has been told: it is dropped when its grace is over, and
//! only then is what had completed undone, the last to complete first.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::{Instant, sleep};
use coord_workflow::{
    Compensation, DEFAULT_GRACE, Durable, Outcome, RunId, Status, Step, StepContext, StepError,
    StepState, Workflow, WorkflowBuilder,
};

use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);

/// What happened, and after how many seconds.
#[derive(Clone)]
struct Diary(Instant, Arc<Mutex<Vec<(u64, String)>>>);

impl Diary {
    fn write(&self, what: impl Into<String>) {
        let at = self.0.elapsed().as_secs();
        self.1.lock().unwrap().push((at, what.into()));
    }
}

/// Writes down when it is dropped.
struct Held(Diary);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.write("dropped");
    }
}

/// A step that takes no time, and that it takes a second to undo.
fn undoable(
    workflow: &mut WorkflowBuilder<(), Durable>,
    id: &'static str,
    after: Option<&Step<()>>,
    diary: &Diary,
) -> Step<()> {
    let diary = diary.clone();
    let step = workflow.step(id);
    let step = match after {
        Some(after) => step.after(after),
        None => step,
    };
    step.compensate(move |_| {
        diary.write(format!("{id} is undone"));
        async {
            sleep(SECOND).await;
            Ok::<_, StepError>(())
        }
    })
    .run(async || Ok::<_, StepError>(()))
}

/// Starts it on what may keep it, cancels it after five seconds, and gives what happened.
async fn cancelled(is_kept: bool) -> (Arc<Outcome>, Vec<(u64, String)>) {
    let diary = Diary(Instant::now(), Arc::default());
    let mut workflow = Workflow::durable("stubborn");
    let first = undoable(&mut workflow, "first", None, &diary);
    let second = undoable(&mut workflow, "second", Some(&first), &diary);
    let stubborn = diary.clone();
    let step = workflow.step("stubborn").after(&second);
    let step = step
        .compensate(async |_: Arc<()>| -> Result<(), StepError> { panic!("it has not completed") });
    step.run_with(move |context: StepContext| {
        let held = Held(stubborn.clone());
        async move {
            context.token().cancelled().await;
            held.0.write("told");
            pending::<Result<(), StepError>>().await
        }
    });
    let workflow = workflow.build().unwrap();
    let (machine, bus) = (Machine::new(), LocalBus::new());
    let process = machine.process_on(&bus);
    let run = match is_kept {
        false => process.start_workflow(&workflow, ()).unwrap(),
        true => {
            let id = RunId::named("r").unwrap();
            process.start_durable(&workflow, id, ()).await.unwrap()
        }
    };
    sleep(5 * SECOND).await;
    run.cancel();
    let outcome = run.outcome().await.unwrap();
    let happened = diary.1.lock().unwrap().clone();
    (outcome, happened)
}

#[tokio::test(start_paused = true)]
async fn a_step_that_ignores_its_token_is_dropped_after_its_grace_and_what_was_done_is_undone_then()
{
    for is_kept in [false, true] {
        let (outcome, happened) = cancelled(is_kept).await;
        let over = 5 + DEFAULT_GRACE.as_secs();
        let expected = [
            (5, "told"),
            (over, "dropped"),
            (over, "second is undone"),
            (over + 1, "first is undone"),
        ];
        let expected = expected.map(|(at, what)| (at, what.to_owned()));
        assert_eq!(happened, expected, "kept: {is_kept}");
        assert_eq!(outcome.status, Status::Cancelled);
        assert_eq!(outcome.duration.as_secs(), over + 2);
        for id in ["first", "second"] {
            let undone = outcome.step(id).unwrap().compensation;
            assert!(matches!(undone, Some(Compensation::Completed)));
        }
        let step = outcome.step("stubborn").unwrap();
        assert!(matches!(step.state, StepState::Cancelled));
        assert!(step.compensation.is_none());
    }
}
