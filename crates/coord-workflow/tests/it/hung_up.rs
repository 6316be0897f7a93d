//! Who asks for a run and does not wait until it has begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coord_bus::time::{sleep, timeout};
use coord_bus::{AppendTo, Appended, BoxFuture, EventLog, EventLogError, EventLogProxy};
use coord_workflow::{DEFAULT_LEASE_TTL, Durable, RunId, RunState, Status, StepError, Workflow};

use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);

/// A log of which an append takes a second: it is there after half of that.
struct Slow(Arc<dyn EventLog>);

impl EventLogProxy for Slow {
    fn log(&self) -> &dyn EventLog {
        &*self.0
    }

    fn on_append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        Box::pin(async move {
            sleep(SECOND / 2).await;
            let appended = self.0.append(append).await;
            sleep(SECOND / 2).await;
            appended
        })
    }
}

/// The same machine with such a log.
pub(crate) fn slow(machine: &Machine) -> Machine {
    machine.with_log(Arc::new(Slow(Arc::clone(&machine.log))))
}

fn id() -> RunId {
    RunId::named("r").unwrap()
}

/// A step that fails until it is to do well, and counts how often it did something.
fn workflow(done: &Arc<AtomicUsize>, fails: bool) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("one");
    let done = Arc::clone(done);
    workflow.step("a").run(move || {
        let done = Arc::clone(&done);
        async move {
            done.fetch_add(1, Ordering::SeqCst);
            match fails {
                true => Err(StepError::message("no").permanent()),
                false => Ok(()),
            }
        }
    });
    workflow.build().unwrap()
}

async fn ends_as(machine: &Machine, status: Status) {
    let ended = machine.journal().ended(&id()).await.unwrap();
    assert_eq!(ended.state, RunState::Finished(status));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_start_nobody_waits_for_any_more_goes_on() {
    // Before the first append, in the middle of it, and after it.
    for patience in [1, 250, 750, 999] {
        let (machine, done) = (slow(&Machine::new()), Arc::default());
        let process = machine.process();
        let good = workflow(&done, false);
        let starting = process.start_durable(&good, id(), ());
        let hung_up = timeout(Duration::from_millis(patience), starting).await;
        assert!(hung_up.is_err());
        sleep(2 * SECOND).await;
        ends_as(&machine, Status::Completed).await;
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_nobody_has_ever_waited_for_starts_nothing() {
    let (machine, done) = (Machine::new(), Arc::default());
    let process = machine.process();
    drop(process.start_durable(&workflow(&done, false), id(), ()));
    sleep(5 * SECOND).await;
    assert!(machine.journal().view(&id()).await.is_err());
    assert_eq!(done.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_resumption_or_retry_nobody_waits_for_any_more_goes_on() {
    let (machine, done) = (Machine::new(), Arc::default());
    let killed = machine.process();
    let good = workflow(&done, false);
    killed.start_durable(&good, id(), ()).await.unwrap();
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
    let slow = slow(&machine);

    let process = slow.process();
    let resuming = process.resume_runs(&good);
    assert!(timeout(SECOND / 4 * 3, resuming).await.is_err());
    sleep(3 * SECOND).await;
    ends_as(&machine, Status::Completed).await;
    assert_eq!(done.swap(0, Ordering::SeqCst), 1);

    let run = id();
    let retrying = process.retry_run(&good, &run, Some("a"));
    assert!(timeout(SECOND / 4 * 3, retrying).await.is_err());
    sleep(3 * SECOND).await;
    ends_as(&machine, Status::Completed).await;
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_nobody_waits_for_any_more_ends_with_its_orchestrator() {
    let (machine, done) = (slow(&Machine::new()), Arc::default());
    let process = machine.process();
    let bad = workflow(&done, true);
    let starting = process.start_durable(&bad, id(), ());
    assert!(timeout(SECOND / 4 * 3, starting).await.is_err());
    drop(process);
    sleep(5 * SECOND).await;
    assert_eq!(done.load(Ordering::SeqCst), 0);
}
