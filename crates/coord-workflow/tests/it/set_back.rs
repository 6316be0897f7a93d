//! Runs that are taken up under a clock that was set back meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::Timestamp;
use coord_bus::time::{Instant, ManualClock, sleep};
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, Retry, RunId, Status, StepError, Workflow,
};
use serde_json::json;

use crate::durable::Machine;

fn id() -> RunId {
    RunId::named("r").unwrap()
}

/// The same machine, at the beginning of time.
fn set_back(machine: &Machine) -> Machine {
    Machine {
        clock: Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)),
        ..machine.clone()
    }
}

/// `a`, then a wait for the signal `go`, then `b`, then `c`, which fails every time but the first. What is
/// undone is written down.
fn undoing(undone: &Arc<Mutex<Vec<&'static str>>>) -> Workflow<(), Durable> {
    let undo = |step: &'static str| {
        let undone = Arc::clone(undone);
        move |_: Arc<()>| {
            undone.lock().unwrap().push(step);
            std::future::ready(Ok::<_, StepError>(()))
        }
    };
    let mut workflow = Workflow::durable("undoing");
    let a = workflow.step("a").compensate(undo("a")).run(async || {
        sleep(Duration::from_secs(3)).await;
        Ok::<_, StepError>(())
    });
    let go = workflow.step("go").after(&a).signal::<u32>("go");
    let b = workflow
        .step("b")
        .after(&go)
        .compensate(undo("b"))
        .run(async || Ok::<_, StepError>(()));
    let calls = AtomicUsize::new(0);
    workflow
        .step("c")
        .after(&b)
        .retry(Retry::none())
        .run(move || {
            let is_first = calls.fetch_add(1, Ordering::SeqCst) == 0;
            std::future::ready(match is_first {
                true => Ok(()),
                false => Err(StepError::message("it was to fail")),
            })
        });
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_was_done_before_a_clock_was_set_back_is_undone_after_what_was_done_since() {
    let (machine, undone) = (Machine::new(), Arc::default());
    let workflow = undoing(&undone);
    let process = machine.process();
    process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    process.shutdown(Duration::from_secs(1)).await;

    let process = set_back(&machine).process();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    let (name, payload) = ("go".to_owned(), json!(1));
    run.tell(Command::Signal {
        name,
        payload,
        id: None,
    })
    .await
    .unwrap();
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.is_completed());
    let time = |step: &str| outcome.view().step(step).unwrap().ended.unwrap();
    assert!(time("a") <= time("b"), "{:?}, {:?}", time("a"), time("b"));

    let run = process
        .retry_run(&workflow, &id(), Some("c"))
        .await
        .unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    assert_eq!(*undone.lock().unwrap(), ["b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_step_waits_for_its_next_attempt_no_longer_for_a_clock_that_was_set_back() {
    const DAYS: Duration = Duration::from_secs(10 * 24 * 3600);
    const PAUSE: Duration = Duration::from_secs(3600);
    let mut workflow = Workflow::durable("trying").timeout(DAYS * 10);
    let days = workflow.step("days").sleep(DAYS);
    let calls = AtomicUsize::new(0);
    workflow
        .step("try")
        .after(&days)
        .retry(Retry::constant(PAUSE).max_attempts(2))
        .run(move || {
            let is_first = calls.fetch_add(1, Ordering::SeqCst) == 0;
            std::future::ready(match is_first {
                true => Err(StepError::message("not yet")),
                false => Ok(()),
            })
        });
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    let machine = Machine::new();
    let process = machine.process();
    process.start_durable(&workflow, id(), ()).await.unwrap();
    sleep(DAYS + Duration::from_secs(60)).await;
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;

    let process = set_back(&machine).process();
    let since = Instant::now();
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert!(since.elapsed() <= PAUSE, "{:?}", since.elapsed());
}
