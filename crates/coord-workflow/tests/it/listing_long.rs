//! Runs that go on and have many records: a line of one says what all of them say, and takes a few.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{AppendTo, EventLog, MemoryEventLog, Record};
use coord_workflow::{
    Call, Command, DEFAULT_LEASE_TTL, Durable, HandlerCall, HookCall, OnExhausted, Registry, Retry,
    RunId, RunPhase, Spec, Status, StepError, StepSpec, Workflow, WorkflowOrchestrator,
};
use serde_json::{Value, json};

use crate::durable::Machine;
use crate::summaries::summary;

const SECOND: Duration = Duration::from_secs(1);

/// How many records are read of a run at most, however many it has.
const READ_MAX: usize = 12;

fn named(id: &str) -> RunId {
    RunId::named(id).unwrap()
}

/// A list of 150; a step that waits for a signal; one that fails as often as it is to, and its run is paused for it
/// then; one that takes a second; and the last, which fails as often as it is to. What was done takes a second to be
/// undone.
#[derive(Clone, Default)]
struct Long {
    pauses: Arc<AtomicUsize>,
    fails: Arc<AtomicUsize>,
}

fn is_to(times: &AtomicUsize) -> Result<(), StepError> {
    let less = |times: usize| times.checked_sub(1);
    let is_left = times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
    match is_left {
        Ok(_) => Err(StepError::message("it was to")),
        Err(_) => Ok(()),
    }
}

impl Long {
    fn workflow(&self) -> Workflow<Vec<u32>, Durable> {
        let mut workflow = Workflow::durable("long");
        let list = workflow.input();
        let each = workflow.step("each").for_each(list);
        let each = each
            .compensate(async |_: Arc<Vec<u32>>| {
                sleep(SECOND).await;
                Ok::<_, StepError>(())
            })
            .run(async |number: u32| Ok::<u32, StepError>(number));
        let go = workflow.step("go").after(&each).signal::<Value>("go");
        let pauses = Arc::clone(&self.pauses);
        let held = workflow.step("held").after(&go).retry(Retry::none());
        let held = held
            .on_exhausted(OnExhausted::Pause)
            .run(move || std::future::ready(is_to(&pauses)));
        let slow = workflow.step("slow").after(&held).run(async || {
            sleep(SECOND).await;
            Ok::<_, StepError>(())
        });
        let fails = Arc::clone(&self.fails);
        let last = workflow.step("last").after(&slow).retry(Retry::none());
        last.run(move || std::future::ready(is_to(&fails)));
        workflow.build().unwrap()
    }

    async fn start(&self, process: &WorkflowOrchestrator, id: &str) {
        let list = (0..150).collect();
        let workflow = self.workflow();
        let run = process.start_durable(&workflow, named(id), list);
        run.await.unwrap();
        settle().await;
    }
}

async fn settle() {
    sleep(SECOND / 10).await;
}

/// In which state a run is listed, which is that of its view, and takes a few records.
async fn phase(machine: &Machine, id: &str) -> RunPhase {
    let (summary, read) = summary(machine, id).await;
    assert!(read <= READ_MAX, "{read}: {summary:?}");
    summary.phase()
}

async fn tell(machine: &Machine, id: &str, command: Command) {
    machine.journal().tell(&named(id), command).await.unwrap();
    settle().await;
}

fn go() -> Command {
    let name = "go".to_owned();
    let payload = Value::Null;
    Command::Signal {
        name,
        payload,
        id: None,
    }
}

/// The records of a run.
async fn records(machine: &Machine, id: &str) -> Vec<Record> {
    let stored = machine.log.read(&format!("run.{id}"), 1, 10_000).await;
    let stored = stored.unwrap().into_iter();
    stored.map(|stored| stored.record).collect()
}

/// Another log, in which a run has these records, and those with what is left in this one.
async fn kept_as(machine: &Machine, id: &str, records: Vec<Record>) -> Machine {
    let log = MemoryEventLog::new();
    let mut append = AppendTo::stream(format!("run.{id}"));
    append.closes = records
        .last()
        .is_some_and(|last| last.kind == "run-finished");
    log.append(append.records(records)).await.unwrap();
    machine.with_log(Arc::new(log))
}

#[tokio::test(start_paused = true)]
async fn a_long_run_is_listed_by_a_few_records_wherever_it_is() {
    let machine = Machine::new();
    let (process, long) = (machine.process(), Long::default());
    long.pauses.store(1, Ordering::SeqCst);
    long.fails.store(1, Ordering::SeqCst);
    long.start(&process, "r").await;
    assert_eq!(phase(&machine, "r").await, RunPhase::Running);
    tell(&machine, "r", Command::Pause).await;
    assert_eq!(phase(&machine, "r").await, RunPhase::Paused);
    tell(&machine, "r", Command::Continue).await;
    tell(&machine, "r", go()).await;
    // Not by a command, but for a step.
    assert_eq!(phase(&machine, "r").await, RunPhase::Paused);
    tell(&machine, "r", Command::Continue).await;
    assert_eq!(phase(&machine, "r").await, RunPhase::Running);
    sleep(SECOND).await;
    assert_eq!(phase(&machine, "r").await, RunPhase::Failing);
    sleep(SECOND).await;
    let failed = RunPhase::Ended(Status::Failed);
    assert_eq!(phase(&machine, "r").await, failed);

    let retried = process.retry_run(&long.workflow(), &named("r"), None).await;
    settle().await;
    assert_eq!(phase(&machine, "r").await, RunPhase::Running);
    let reason = Some("not today".to_owned());
    tell(&machine, "r", Command::Cancel { reason }).await;
    assert_eq!(phase(&machine, "r").await, RunPhase::Cancelling);
    retried.unwrap().outcome().await.unwrap();

    // All of it, record by record: whatever is known of it then, a line says the same as a view.
    let records = records(&machine, "r").await;
    for count in 1..=records.len() {
        let then = kept_as(&machine, "r", records[..count].to_vec()).await;
        summary(&then, "r").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_run_is_listed_with_who_drives_it_now() {
    let machine = Machine::new();
    let (first, long) = (machine.process(), Long::default());
    long.start(&first, "r").await;
    drop(first);
    sleep(DEFAULT_LEASE_TTL).await;
    assert_eq!(phase(&machine, "r").await, RunPhase::Interrupted);
    // Told by others, while nobody hears it.
    tell(&machine, "r", Command::Pause).await;
    let second = machine.process();
    let resumed = second.resume_run(&long.workflow(), &named("r")).await;
    settle().await;
    assert_eq!(phase(&machine, "r").await, RunPhase::Paused);
    tell(&machine, "r", Command::Continue).await;
    assert_eq!(phase(&machine, "r").await, RunPhase::Running);
    drop(resumed);
}

#[tokio::test(start_paused = true)]
async fn a_long_run_that_is_told_much_is_listed_all_the_same() {
    let machine = Machine::new();
    let (process, long) = (machine.process(), Long::default());
    long.start(&process, "r").await;
    for _ in 0..10 {
        tell(&machine, "r", Command::Pause).await;
    }
    let (paused, read) = summary(&machine, "r").await;
    assert_eq!(paused.phase(), RunPhase::Paused);
    assert!(read <= 64 + 8 + 2, "{read}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_stays_up_after_many_steps_is_listed_by_a_few_records() {
    let machine = Machine::new();
    let mut spec = Spec::new("dev").stay(Call::new("up", json!(null)));
    for step in 0..60 {
        spec = spec.step(StepSpec::new(format!("step-{step}"), "works"));
    }
    let registry = Registry::new()
        .handler("works", async |_: HandlerCall| Ok(json!(1)))
        .hook("up", async |call: HookCall| {
            call.token.cancelled().await;
            Ok(())
        });
    let workflow: Workflow<(), Durable> = registry.workflow_with_input(spec).unwrap();
    let process = machine.process();
    let run = process.start_durable(&workflow, named("r"), ()).await;
    settle().await;
    assert_eq!(phase(&machine, "r").await, RunPhase::Up);
    drop(run);
}

/// What was written while nothing said how far a run had come.
#[tokio::test(start_paused = true)]
async fn a_long_run_that_an_earlier_version_drives_is_told_by_all_of_its_records() {
    let machine = Machine::new();
    let (process, long) = (machine.process(), Long::default());
    long.start(&process, "r").await;
    let mut records = records(&machine, "r").await;
    let mut said = 0;
    for record in &mut records {
        if let Ok(Value::Object(mut fields)) = serde_json::from_slice(&record.payload) {
            said += usize::from(fields.remove("so_far").is_some());
            record.payload = serde_json::to_vec(&fields).unwrap();
        }
    }
    assert!(said > 0);
    let count = records.len();
    let earlier = kept_as(&machine, "r", records).await;
    let (told, read) = summary(&earlier, "r").await;
    assert_eq!((told.phase(), told.done), (RunPhase::Running, 1));
    assert!(read > count, "{read}");
}
