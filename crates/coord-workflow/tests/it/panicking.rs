//! Code of others that panics where it is not expected to: its step has failed, the run comes to its
//! end, and what had completed is undone.

use std::error::Error;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use coord_bus::time::{Clock, timeout};
use coord_bus::vocabulary::{ERROR_DETECTED, Transition, WORKFLOW_EVENTS};
use coord_bus::{BusExt, LocalBus, Panicked, Timestamp};
use coord_workflow::{
    Call, Command, Compensation, Durable, HandlerCall, HookCall, Outcome, Registry, Retry, RunId,
    Spec, Status, Step, StepError, StepSpec, StepState, Workflow, WorkflowError,
};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;

use crate::durable::Machine;

/// What panics.
#[derive(Debug, Clone, Copy)]
enum What {
    /// Writing an output.
    Serialize,
    /// What an error says.
    Display,
    /// What it says of its cause.
    Source,
    /// Dropping a future whose time is up.
    Drop,
}

const ALL: [What; 4] = [What::Serialize, What::Display, What::Source, What::Drop];

#[derive(Deserialize)]
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("not written")
    }
}

#[derive(Debug)]
struct Unspeakable(What);

impl fmt::Display for Unspeakable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            What::Display => panic!("not said"),
            _ => formatter.write_str("said"),
        }
    }
}

impl Error for Unspeakable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        panic!("no source")
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("not dropped");
    }
}

async fn panics(what: What) -> Result<Option<Unwritable>, StepError> {
    match what {
        What::Serialize => Ok(Some(Unwritable)),
        What::Display | What::Source => Err(Unspeakable(what).into()),
        What::Drop => {
            let _bomb = Bomb;
            pending().await
        }
    }
}

/// `done`, which can be undone, then many steps at once that panic, then one that fails.
fn workflow(what: What, undone: &Arc<AtomicU32>) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("panicking");
    let undoing = Arc::clone(undone);
    let done = workflow
        .step("done")
        .compensate(move |_: Arc<()>| {
            undoing.fetch_add(1, Ordering::SeqCst);
            async { Ok::<_, StepError>(()) }
        })
        .run(async || Ok::<_, StepError>(()));
    let panicking: Vec<Step<Option<Unwritable>>> = (0..50)
        .map(|step| {
            let step = workflow.step(format!("s{step}")).after(&done).optional();
            let step = step.timeout(Duration::from_millis(20));
            step.run(move || panics(what))
        })
        .collect();
    let mut fails = workflow.step("fails");
    for step in &panicking {
        fails = fails.after(step);
    }
    fails.run(async || Err::<(), _>(StepError::message("no")));
    workflow.build().unwrap()
}

async fn outcome_of(workflow: &Workflow<(), Durable>) -> Arc<Outcome> {
    let process = Machine::new().process();
    let run = process.start_durable(workflow, RunId::unique(), ()).await;
    let run = run.unwrap();
    let outcome = timeout(Duration::from_secs(60), run.outcome()).await;
    outcome.expect("it comes to its end").unwrap()
}

async fn every_panic_is_a_failure_of_its_step() {
    for what in ALL {
        let undone = Arc::default();
        let outcome = outcome_of(&workflow(what, &undone)).await;
        assert_eq!(outcome.status, Status::Failed, "{what:?}");
        for step in outcome.steps().filter(|step| step.id.starts_with('s')) {
            let StepState::Failed(error) = step.state else {
                panic!("{what:?}: {:?}", step.state);
            };
            assert!(error.downcast_ref::<Panicked>().is_some(), "{error:?}");
        }
        assert_eq!(undone.load(Ordering::SeqCst), 1, "{what:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_what_is_made_of_an_output_an_error_or_a_future_is_its_steps_failure() {
    every_panic_is_a_failure_of_its_step().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn that_is_so_on_whichever_thread_it_happens() {
    every_panic_is_a_failure_of_its_step().await;
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_panics_as_it_is_dropped_or_asked_for_its_error_keeps_no_other_from_being_undone()
 {
    for what in [What::Display, What::Source, What::Drop] {
        let undone = Arc::new(AtomicU32::new(0));
        let undoing = Arc::clone(&undone);
        let mut workflow = Workflow::durable("undoing");
        let first = workflow
            .step("first")
            .compensate(move |_: Arc<()>| {
                undoing.fetch_add(1, Ordering::SeqCst);
                async { Ok::<_, StepError>(()) }
            })
            .run(async || Ok::<_, StepError>(()));
        let second = workflow
            .step("second")
            .after(&first)
            .compensate(move |_: Arc<()>| async move { panics(what).await.map(drop) })
            .compensation_retry(Retry::none())
            .compensation_timeout(Duration::from_secs(1))
            .run(async || Ok::<_, StepError>(()));
        let fails = workflow.step("fails").after(&second);
        fails.run(async || Err::<(), _>(StepError::message("no")));
        let outcome = outcome_of(&workflow.build().unwrap()).await;
        assert_eq!(undone.load(Ordering::SeqCst), 1, "{what:?}");
        let compensation = outcome.step("second").unwrap().compensation;
        let Some(Compensation::Failed(error)) = compensation else {
            panic!("{what:?}: {compensation:?}");
        };
        assert!(error.downcast_ref::<Panicked>().is_some(), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_step_that_panics_as_it_is_dropped_is_cancelled_all_the_same() {
    let undone = Arc::new(AtomicU32::new(0));
    let undoing = Arc::clone(&undone);
    let mut workflow = Workflow::durable("cancelled");
    let done = workflow
        .step("done")
        .compensate(move |_: Arc<()>| {
            undoing.fetch_add(1, Ordering::SeqCst);
            async { Ok::<_, StepError>(()) }
        })
        .run(async || Ok::<_, StepError>(()));
    workflow
        .step("panics")
        .after(&done)
        .run(|| panics(What::Drop));
    let fails = workflow.step("fails").after(&done);
    fails.run(async || Err::<(), _>(StepError::message("no")));
    let outcome = outcome_of(&workflow.build().unwrap()).await;
    assert_eq!(outcome.status, Status::Failed);
    let state = outcome.step("panics").unwrap().state;
    assert!(matches!(state, StepState::Cancelled), "{state:?}");
    assert_eq!(undone.load(Ordering::SeqCst), 1);
}

/// A step and its run, each with a hook whose error panics when it is asked what it says; and what the run stays
/// for likewise, if it is to.
fn hooked(stays: bool) -> Workflow<(), Durable> {
    let registry = Registry::new()
        .handler("works", async |_: HandlerCall| Ok(json!(1)))
        .hook("breaks", async |_: HookCall| {
            Err(StepError::from(Unspeakable(What::Display)))
        });
    let breaks = || Call::new("breaks", json!(null));
    let mut step = StepSpec::new("works", "works");
    step.hook = Some(breaks().into());
    let spec = Spec::new("hooked").step(step).hook(breaks());
    let spec = if stays { spec.stay(breaks()) } else { spec };
    registry.workflow_with_input(spec).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_hook_whose_error_panics_as_it_is_asked_what_it_says_changes_nothing_of_its_step_and_run()
{
    let (bus, machine) = (LocalBus::new(), Machine::new());
    let mut events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let process = machine.process_on(&bus);
    let workflow = hooked(false);
    let run = process.start_durable(&workflow, RunId::unique(), ());
    let outcome = run.await.unwrap().outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Completed);
    let step = outcome.step("works").unwrap().state;
    assert!(matches!(step, StepState::Completed), "{step:?}");
    let mut failed = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Transition::HookFailed { step, error } = &event.transition {
            failed.push((step.clone(), error.clone()));
        }
    }
    let said = "it panicked: not said".to_owned();
    assert_eq!(
        failed,
        [(Some("works".to_owned()), said.clone()), (None, said)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_stays_for_what_panics_as_it_is_asked_why_it_failed_fails_for_that() {
    let outcome = outcome_of(&hooked(true)).await;
    assert_eq!(outcome.status, Status::Failed);
    let why = outcome.view().error;
    assert_eq!(why.as_deref(), Some("it panicked: not said"));
}

/// A clock that panics once, when it is told to.
#[derive(Debug)]
struct Fragile(Arc<AtomicBool>);

impl Clock for Fragile {
    fn now(&self) -> Timestamp {
        assert!(!self.0.swap(false, Ordering::SeqCst), "the clock broke");
        Timestamp::UNIX_EPOCH
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_driver_panics_says_so_and_goes_on_when_it_is_resumed() {
    let (bus, machine) = (LocalBus::new(), Machine::new());
    let breaks = Arc::new(AtomicBool::new(false));
    let builder = machine.builder(&bus);
    let process = builder.clock(Arc::new(Fragile(Arc::clone(&breaks))));
    let process = process.build().unwrap();
    let id = RunId::named("r").unwrap();
    let mut workflow = Workflow::<()>::durable("told");
    workflow.step("waits").signal::<u32>("go");
    let workflow = workflow.build().unwrap();
    // Once somebody listens, the clock is asked for the time of each event.
    let listening = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let mut errors = bus.subscribe(&ERROR_DETECTED).unwrap();
    let run = process.start_durable(&workflow, id.clone(), ()).await;
    let run = run.unwrap();
    breaks.store(true, Ordering::SeqCst);
    let ended = timeout(Duration::from_secs(60), run.outcome()).await;
    let ended = ended.unwrap();
    assert!(
        matches!(ended, Err(WorkflowError::Panicked { .. })),
        "{ended:?}"
    );
    drop(listening);
    assert_eq!(errors.recv().await.unwrap().message, "the clock broke");
    let again = process.resume_run(&workflow, &id).await.unwrap();
    let (name, payload) = ("go".to_owned(), json!(1));
    again
        .tell(Command::Signal {
            name,
            payload,
            id: None,
        })
        .await
        .unwrap();
    assert!(again.outcome().await.unwrap().is_completed());
}
