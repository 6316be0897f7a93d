//! Lists whose run waits for who watches it, or for its journal: what runs of their items goes on meanwhile.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{sleep, timeout};
use coord_bus::vocabulary::{Transition, WORKFLOW_EVENTS};
use coord_bus::{
    AppendTo, Appended, BoxFuture, BusExt, EventLog, EventLogError, EventLogProxy, LocalBus,
};
use coord_workflow::{Durable, StepError, Workflow};

use super::id;
use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);

/// Items that call something which takes 60 to 80 ms, and fail where they have no answer in a second.
fn calls(heartbeat_timeout: Duration) -> Workflow<Vec<u64>, Durable> {
    let mut workflow = Workflow::durable("calls");
    let list = workflow.input();
    workflow
        .step("call")
        .heartbeat_timeout(heartbeat_timeout)
        .for_each(list)
        .concurrency(NonZeroUsize::new(50).unwrap())
        .run(|item: u64| async move {
            let call = sleep(Duration::from_millis(60 + item % 20));
            timeout(SECOND, call)
                .await
                .map_err(|_| StepError::message("no answer"))
        });
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_late_reader_of_events_makes_the_run_slow_and_no_item_fail() {
    let bus = LocalBus::new();
    let mut events = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let reading = tokio::spawn(async move {
        let mut told = 0;
        // The topic is full long before that is over.
        sleep(5 * SECOND).await;
        while let Some(event) = events.recv().await {
            match event.transition {
                Transition::PartCompleted { .. } => told += 1,
                Transition::RunFinished { .. } => break,
                _ => {}
            }
        }
        told
    });
    let process = Machine::new().process_on(&bus);
    // It is alive all the same.
    let workflow = calls(2 * SECOND);
    let run = process.start_workflow(&workflow, (0..2_000).collect());
    let outcome = run.unwrap().outcome().await.unwrap();
    assert!(outcome.is_completed(), "{outcome:?}");
    assert!(outcome.duration > 5 * SECOND, "{outcome:?}");
    assert_eq!(reading.await.unwrap(), 2_000);
}

/// A log of which each append takes a while.
struct Slow(Arc<dyn EventLog>);

impl EventLogProxy for Slow {
    fn log(&self) -> &dyn EventLog {
        &*self.0
    }

    fn on_append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        Box::pin(async {
            sleep(3 * SECOND / 2).await;
            self.0.append(append).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_journal_makes_the_run_slow_and_no_item_fail() {
    let machine = Machine::new();
    let log = Arc::new(Slow(Arc::clone(&machine.log)));
    let process = machine.with_log(log).process();
    let workflow = calls(SECOND / 2);
    let list = (0..3_000).collect();
    let run = process.start_durable(&workflow, id(), list).await;
    let outcome = run.unwrap().outcome().await.unwrap();
    assert!(outcome.is_completed(), "{outcome:?}");
    // No more than so many were done and not kept.
    assert!(outcome.duration > 6 * SECOND, "{outcome:?}");
}
