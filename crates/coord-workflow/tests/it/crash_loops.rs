//! Steps that end the process that runs them, each time: the run is paused for them at last.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coord_bus::time::{sleep, timeout};
use coord_bus::{EventLog, LocalBus};
use coord_workflow::{
    Command, Compensation, DEFAULT_LEASE_TTL, Durable, RunId, RunView, StepError, StepPhase, Why,
    Workflow,
};
use serde_json::json;
use tokio::sync::watch;

use crate::crashes::Failing;
use crate::durable::Machine;
use crate::events::name;

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
async fn a_process_that_is_shut_down_in_order_does_not_count_and_one_that_is_killed_meanwhile_does()
{
    let (machine, begun) = (Machine::new(), watch::Sender::new(0));
    for times in 1..=20 {
        let bus = LocalBus::new();
        let process = machine.builder(&bus).max_recovery_attempts(3).build();
        let process = process.unwrap();
        let run = process.start_durable(&deadly(&begun), id(), ()).await;
        sleep(SECOND).await;
        assert!(!run.unwrap().view().unwrap().is_paused);
        assert_eq!(*begun.borrow(), times);
        process.shutdown(SECOND).await;
        // What was under way is seen so, as long as nobody takes it up.
        let view = machine.journal().view(&id()).await.unwrap();
        let step = view.step("step").unwrap();
        assert_eq!((step.phase, step.attempts), (StepPhase::Running, 1));
    }
    // A kill counts, and an orderly end between two of them does not begin the count anew.
    for _ in 0..4 {
        assert!(!killed(&machine, &begun, Some(SECOND)).await.is_paused);
    }
    let bus = LocalBus::new();
    let process = machine.builder(&bus).max_recovery_attempts(4).build();
    let process = process.unwrap();
    process
        .start_durable(&deadly(&begun), id(), ())
        .await
        .unwrap();
    sleep(SECOND).await;
    process.shutdown(SECOND).await;
    assert_eq!(*begun.borrow(), 25);
    assert!(killed(&machine, &begun, Some(SECOND)).await.is_paused);
    assert_eq!(*begun.borrow(), 25);
}

#[tokio::test(start_paused = true)]
async fn what_undoes_a_step_and_ends_its_process_each_time_has_failed_and_the_rest_is_undone() {
    let (machine, begun) = (Machine::new(), Arc::new(AtomicUsize::new(0)));
    let undone = Arc::new(AtomicUsize::new(0));
    let build = || {
        let (begun, undone) = (Arc::clone(&begun), Arc::clone(&undone));
        let mut workflow = Workflow::durable("undone");
        let first = workflow
            .step("first")
            .compensate(move |_: Arc<()>| {
                undone.fetch_add(1, Ordering::SeqCst);
                async { Ok::<_, StepError>(()) }
            })
            .run(async || Ok::<_, StepError>(()));
        let second = workflow
            .step("second")
            .after(&first)
            .compensate(move |_: Arc<()>| {
                begun.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<Result<(), StepError>>()
            })
            .run(async || Ok::<_, StepError>(()));
        workflow
            .step("fails")
            .after(&second)
            .run(async || Err::<(), _>(StepError::message("no").permanent()));
        let workflow: Workflow<(), Durable> = workflow.build().unwrap();
        workflow
    };
    for times in 1..=4 {
        let bus = LocalBus::new();
        let process = machine.builder(&bus).max_recovery_attempts(3).build();
        let process = process.unwrap();
        process.start_durable(&build(), id(), ()).await.unwrap();
        sleep(SECOND).await;
        assert_eq!(begun.load(Ordering::SeqCst), times);
        drop(process);
        sleep(DEFAULT_LEASE_TTL).await;
    }
    let bus = LocalBus::new();
    let process = machine.builder(&bus).max_recovery_attempts(3).build();
    let process = process.unwrap();
    let run = process.start_durable(&build(), id(), ()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(begun.load(Ordering::SeqCst), 4, "it is not begun again");
    assert_eq!(undone.load(Ordering::SeqCst), 1);
    let Some(Compensation::Failed(error)) = outcome.step("second").unwrap().compensation else {
        panic!("{outcome:?}");
    };
    assert!(
        error
            .to_string()
            .starts_with("it was under way 4 times in a row"),
        "{error}"
    );
    assert!(matches!(
        outcome.step("first").unwrap().compensation,
        Some(Compensation::Completed)
    ));
}

/// A run of `deadly` that is shut down after so many appends of its process have been kept.
async fn shut_down(crash: usize) -> (Machine, usize) {
    let (machine, begun) = (Machine::new(), watch::Sender::new(0));
    let left = AtomicUsize::new(crash);
    let log = Arc::clone(&machine.log);
    let log = Arc::new(Failing { log, left });
    let counted = Arc::clone(&log);
    let process = machine.with_log(log as Arc<dyn EventLog>).process();
    let _ = process.start_durable(&deadly(&begun), id(), ()).await;
    sleep(SECOND).await;
    process.shutdown(SECOND).await;
    sleep(DEFAULT_LEASE_TTL).await;
    (machine, crash - counted.left.load(Ordering::SeqCst))
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_cannot_be_kept_is_a_crash_and_the_run_goes_on_either_way() {
    let (machine, appends) = shut_down(1_000).await;
    let last = machine.kinds("a").await.pop();
    assert_eq!(last.as_deref(), Some("run-suspended"));
    for crash in 1..=appends {
        let (machine, _) = shut_down(crash).await;
        let kinds = machine.kinds("a").await;
        assert_eq!(
            kinds.contains(&"run-suspended".to_owned()),
            crash == appends
        );
        let begun = watch::Sender::new(0);
        let view = killed(&machine, &begun, Some(SECOND)).await;
        let phases: Vec<_> = view.steps.iter().map(|step| step.phase).collect();
        assert_eq!(phases, [StepPhase::Running; 2], "crash at {crash}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_follows_a_run_hears_that_it_was_left_in_order_and_taken_up_again() {
    let (machine, begun) = (Machine::new(), watch::Sender::new(0));
    let process = machine.process();
    process
        .start_durable(&deadly(&begun), id(), ())
        .await
        .unwrap();
    sleep(SECOND).await;
    let mut following = machine.journal().follow(&id()).await.unwrap();
    process.shutdown(SECOND).await;
    let heard = following.next().await.unwrap().unwrap();
    assert_eq!(name(&heard.transition), "run-suspended");
    let process = machine.process();
    process
        .start_durable(&deadly(&begun), id(), ())
        .await
        .unwrap();
    let heard = following.next().await.unwrap().unwrap();
    assert_eq!(name(&heard.transition), "run-started");
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
    let signal = Command::Signal {
        name,
        payload,
        id: None,
    };
    run.tell(signal).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
}
