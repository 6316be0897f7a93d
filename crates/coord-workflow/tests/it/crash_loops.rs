//! Steps that end the process that runs them, each time: the run is paused for them at last.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::{sleep, timeout};
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, RunId, RunView, StepError, StepPhase, Why, Workflow,
};
use serde_json::json;
use tokio::sync::watch;

use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);

/// A step that never ends, so that its process does, and beside it one that waits for a signal.
fn deadly(begun: &watch::Sender<usize>) -> Workflow<(), Durable> {
    let begun = begun.clone();
    let mut workflow = Workflow::durable("deadly").timeout(Duration::MAX);
    workflow.step("step").timeout(Duration::MAX).run(move || {
        begun.send_modify(|times| *times += 1);
        std::future::pending::<Result<(), StepError>>()
    });
    workflow.step("approved").signal::<bool>("approval");
    workflow.build().unwrap()
}

fn id() -> RunId {
    RunId::named("a").unwrap()
}

/// A process that drives the run and is killed as long as this after the step has begun, or when it is
/// clear that it does not begin; with what is to be seen of the run before.
async fn killed(
    machine: &Machine,
    begun: &watch::Sender<usize>,
    after: Option<Duration>,
) -> RunView {
    let bus = LocalBus::new();
    let process = machine.builder(&bus).max_recovery_attempts(3).build();
    let process = process.unwrap();
    let mut begins = begun.subscribe();
    let run = process.start_durable(&deadly(begun), id(), ()).await;
    let _ = timeout(Duration::from_secs(1), begins.changed()).await;
    if let Some(after) = after {
        sleep(after).await;
    }
    let view = run.unwrap().view().unwrap();
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    view
}

#[tokio::test(start_paused = true)]
async fn a_run_is_paused_for_a_step_that_was_under_way_too_often_when_its_process_ended() {
    let (machine, begun) = (Machine::new(), watch::Sender::new(0));
    for times in 1..=4 {
        let view = killed(&machine, &begun, Some(SECOND)).await;
        assert_eq!(view.step("step").unwrap().phase, StepPhase::Running);
        assert_eq!(*begun.borrow(), times);
    }
    let view = killed(&machine, &begun, Some(SECOND)).await;
    assert_eq!(*begun.borrow(), 4, "it is not begun again");
    let exhausted: Vec<_> = view.exhausted().map(|step| &*step.id).collect();
    assert_eq!(
        exhausted,
        ["step"],
        "what only waits is not what ended them"
    );
    let error = "it was under way 4 times in a row when its process ended, so it may be what ended \
                 it (`max_recovery_attempts`)";
    let error = error.to_owned();
    assert_eq!(view.why("step"), Some(Why::Exhausted { error }));
    // It stays so, also for who only looks at the records, and goes on when it is continued.
    let journal = machine.journal();
    assert!(journal.view(&id()).await.unwrap().is_paused);
    journal.tell(&id(), Command::Continue).await.unwrap();
    for _ in 0..4 {
        killed(&machine, &begun, Some(SECOND)).await;
    }
    assert_eq!(*begun.borrow(), 8);
    let view = killed(&machine, &begun, Some(SECOND)).await;
    assert!(view.is_paused);
    assert_eq!(*begun.borrow(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_ends_its_process_before_it_is_kept_that_it_began_is_found_out_too() {
    let (machine, begun) = (Machine::new(), watch::Sender::new(0));
    let mut was_paused = false;
    for _ in 0..20 {
        was_paused = killed(&machine, &begun, None).await.is_paused;
    }
    assert!(was_paused);
    // Some are not counted: nothing is known of them.
    let begun = *begun.borrow();
    assert!((4..=8).contains(&begun), "{begun}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_ends_by_itself_begins_the_count_anew() {
    let (machine, begun) = (Machine::new(), Arc::new(AtomicUsize::new(0)));
    let build = || {
        let begun = Arc::clone(&begun);
        let mut workflow = Workflow::durable("failing").timeout(Duration::MAX);
        workflow
            .step("step")
            .retry(coord_workflow::Retry::constant(Duration::ZERO).max_attempts(100))
            .run(move || {
                // Every second one fails, the others end their process.
                let fails = begun.fetch_add(1, Ordering::SeqCst) % 2 == 0;
                async move {
                    match fails {
                        true => Err(StepError::message("it broke")),
                        false => std::future::pending::<Result<(), StepError>>().await,
                    }
                }
            });
        let workflow: Workflow<(), Durable> = workflow.build().unwrap();
        workflow
    };
    for _ in 0..10 {
        let bus = LocalBus::new();
        let process = machine.builder(&bus).max_recovery_attempts(1).build();
        let process = process.unwrap();
        let run = process.start_durable(&build(), id(), ()).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert!(!run.view().unwrap().is_paused);
        drop(process);
        sleep(DEFAULT_LEASE_TTL).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_only_waits_may_be_taken_up_as_often_as_it_likes() {
    let machine = Machine::new();
    let mut workflow = Workflow::durable("patient").timeout(Duration::MAX);
    workflow.step("approved").signal::<bool>("approval");
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    for _ in 0..10 {
        let bus = LocalBus::new();
        let process = machine.builder(&bus).max_recovery_attempts(1).build();
        let process = process.unwrap();
        let run = process.start_durable(&workflow, id(), ()).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert!(!run.view().unwrap().is_paused);
        drop(process);
        sleep(DEFAULT_LEASE_TTL).await;
    }
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    let (name, payload) = ("approval".to_owned(), json!(true));
    let signal = Command::Signal { name, payload };
    run.tell(signal).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
}
