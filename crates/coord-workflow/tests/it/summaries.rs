//! A run in a line: the same as all of its records say, and, once it has finished, from one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{
    AppendTo, BoxFuture, EventLog, EventLogError, EventLogProxy, MemoryEventLog, Record,
    StoredRecord,
};
use coord_workflow::{
    DEFAULT_LEASE_TTL, Durable, RunId, RunState, RunSummary, Status, StepError, StepPhase,
    Workflow, WorkflowError,
};
use serde_json::Value;

use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);

fn named(id: &str) -> RunId {
    RunId::named(id).unwrap()
}

/// A log that counts the records that are read.
pub(crate) struct Counting {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) read: Arc<AtomicUsize>,
}

impl EventLogProxy for Counting {
    fn log(&self) -> &dyn EventLog {
        &*self.log
    }

    fn on_read<'a>(
        &'a self,
        stream: &'a str,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRecord>, EventLogError>> {
        Box::pin(async move {
            let records = self.log.read(stream, from, limit).await?;
            self.read.fetch_add(records.len(), Ordering::SeqCst);
            Ok(records)
        })
    }
}

/// The summary of a run, which has to be what its view says, and how many records were read for it.
pub(crate) async fn summary(machine: &Machine, id: &str) -> (RunSummary, usize) {
    let read = Arc::new(AtomicUsize::new(0));
    let counting = machine.with_log(Arc::new(Counting {
        log: Arc::clone(&machine.log),
        read: Arc::clone(&read),
    }));
    let summary = counting.journal().summary(&named(id)).await.unwrap();
    let view = machine.journal().view(&named(id)).await.unwrap();
    assert_eq!(
        (&summary.run, &summary.workflow, &summary.driven_by),
        (&view.run, &view.workflow, &view.driven_by)
    );
    assert_eq!(
        (summary.state, summary.is_paused, summary.is_up),
        (view.state, view.is_paused, view.is_up)
    );
    assert_eq!(
        (summary.started_at, summary.duration, summary.steps),
        (view.started_at, view.duration, view.steps.len())
    );
    assert_eq!((summary.ending, &summary.error), (view.ending, &view.error));
    let done = view.steps.iter();
    let done = done.filter(|step| step.phase == StepPhase::Completed);
    assert_eq!(summary.done, done.count());
    (summary, read.load(Ordering::SeqCst))
}

/// Each number of the list, then a `second` step, which fails where the list is empty.
fn numbers() -> Workflow<Vec<u32>, Durable> {
    let mut workflow = Workflow::durable("numbers");
    let list = workflow.input();
    let each = workflow.step("each").for_each(list);
    let each = each
        .compensate(|_: Arc<Vec<u32>>| async { Ok::<_, StepError>(()) })
        .run(|number: u32| async move { Ok::<u32, StepError>(number) });
    let second = workflow.step("second").input(each);
    second.run(|done: Arc<Vec<u32>>| async move {
        sleep(SECOND).await;
        match done.is_empty() {
            true => Err(StepError::message("nothing is done").permanent()),
            false => Ok(done.len()),
        }
    });
    workflow.build().unwrap()
}

async fn finished(machine: &Machine, id: &str, list: Vec<u32>) {
    let process = machine.process();
    let run = process.start_durable(&numbers(), named(id), list).await;
    run.unwrap().outcome().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_run_that_has_finished_is_told_by_one_record_however_many_it_has() {
    let machine = Machine::new();
    finished(&machine, "many", (0..500).collect()).await;
    finished(&machine, "undone", Vec::new()).await;
    let process = machine.process();
    let run = process
        .start_durable(&numbers(), named("ended"), vec![1])
        .await;
    let run = run.unwrap();
    sleep(SECOND / 2).await;
    run.cancel();
    run.outcome().await.unwrap();

    assert!(machine.kinds("many").await.len() > 500);
    let (many, read) = summary(&machine, "many").await;
    assert_eq!(many.state, RunState::Finished(Status::Completed));
    assert_eq!((many.done, many.steps, read), (2, 2, 1));
    let (undone, read) = summary(&machine, "undone").await;
    assert_eq!(undone.state, RunState::Finished(Status::Failed));
    assert_eq!((undone.done, undone.steps, read), (0, 2, 1));
    let (ended, read) = summary(&machine, "ended").await;
    assert_eq!(ended.state, RunState::Finished(Status::Cancelled));
    assert_eq!((ended.done, read), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_short_run_that_has_not_finished_is_told_by_all_of_its_records() {
    let machine = Machine::new();
    let process = machine.process();
    let workflow = numbers();
    let run = process.start_durable(&workflow, named("r"), vec![1, 2]);
    let run = run.await.unwrap();
    sleep(SECOND / 2).await;
    let (running, _) = summary(&machine, "r").await;
    assert_eq!((running.state, running.done), (RunState::Running, 1));
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    assert!(run.outcome().await.is_err());
    let (interrupted, _) = summary(&machine, "r").await;
    assert_eq!(interrupted.state, RunState::Interrupted);
    let nobody = machine.journal().summary(&named("s")).await;
    assert!(
        matches!(nobody, Err(WorkflowError::NoSuchRun { .. })),
        "{nobody:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_retried_is_told_anew() {
    let machine = Machine::new();
    finished(&machine, "r", vec![1]).await;
    let process = machine.process();
    let (workflow, id) = (numbers(), named("r"));
    let again = process.retry_run(&workflow, &id, Some("second"));
    let again = again.await.unwrap();
    let (retried, _) = summary(&machine, "r").await;
    assert_eq!((retried.state, retried.done), (RunState::Running, 1));
    again.outcome().await.unwrap();
    let (again, read) = summary(&machine, "r").await;
    assert_eq!((again.done, read), (2, 1));
    assert_eq!(again.duration, Some(2 * SECOND));
}

/// Before, the last record did not say what a summary takes.
#[tokio::test(start_paused = true)]
async fn a_run_that_finished_under_an_earlier_version_is_told_by_all_of_its_records() {
    let machine = Machine::new();
    finished(&machine, "r", vec![1, 2, 3]).await;
    let earlier = Arc::new(MemoryEventLog::new());
    let records = machine.log.read("run.r", 1, 100).await.unwrap();
    let count = records.len();
    let mut left = AppendTo::stream("run.r").closing();
    for StoredRecord { record, .. } in records {
        let Record { kind, mut payload } = record;
        if kind == "run-finished" {
            let mut said: Value = serde_json::from_slice(&payload).unwrap();
            assert!(said.as_object_mut().unwrap().remove("summary").is_some());
            payload = serde_json::to_vec(&said).unwrap();
        }
        left = left.record(Record::new(kind, payload));
    }
    earlier.append(left).await.unwrap();
    let earlier = machine.with_log(earlier);
    let (told, read) = summary(&earlier, "r").await;
    assert_eq!((told.done, told.steps, read), (2, 2, 1 + count));
}

#[tokio::test(start_paused = true)]
async fn what_a_run_was_started_with_takes_one_record_too() {
    let machine = Machine::new();
    finished(&machine, "r", vec![1, 2, 3]).await;
    let read = Arc::new(AtomicUsize::new(0));
    let counting = machine.with_log(Arc::new(Counting {
        log: Arc::clone(&machine.log),
        read: Arc::clone(&read),
    }));
    let input = counting.journal().input::<Vec<u32>>(&named("r")).await;
    assert_eq!(input.unwrap(), [1, 2, 3]);
    assert_eq!(read.load(Ordering::SeqCst), 1);
}
