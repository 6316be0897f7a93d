//! A signal is taken once, by one step, whatever becomes of the step and of its process.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::vocabulary::WORKFLOW_EVENTS;
use coord_bus::{AppendTo, BusExt, LocalBus, MemoryEventLog, Record};
use coord_workflow::{
    Call, Command, DEFAULT_LEASE_TTL, Durable, HookCall, Registry, Retry, Run, RunId, Signal, Spec,
    Status, StepError, StepPhase, StepSpec, Workflow, WorkflowError, WorkflowOrchestrator,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::durable::Machine;

fn id() -> RunId {
    RunId::named("a").unwrap()
}

fn number(payload: Value) -> Command {
    Command::Signal {
        name: "number".to_owned(),
        payload,
        id: None,
    }
}

/// Until what was begun has come as far as it can.
async fn settle() {
    sleep(Duration::from_secs(1)).await;
}

async fn tell(run: &Run, payload: Value) {
    run.tell(number(payload)).await.unwrap();
    settle().await;
}

/// The end of a process without a word, and of what it held.
async fn kill(process: WorkflowOrchestrator) {
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
}

/// What each step put out, as it is kept.
async fn outputs(machine: &Machine) -> Vec<Option<Value>> {
    let view = machine.journal().view(&id()).await.unwrap();
    let outputs = view.steps.iter().map(|step| step.output.as_ref());
    outputs
        .map(|output| output.map(|output| Value::clone(output)))
        .collect()
}

/// `first`, then `second`, each of which takes a number, in this many attempts.
fn two(attempts: u32) -> Workflow<(), Durable> {
    let retry = || Retry::constant(Duration::ZERO).max_attempts(attempts);
    let mut workflow = Workflow::durable("two");
    let first = workflow.step("first").retry(retry());
    let first = first.signal::<u32>("number");
    let second = workflow.step("second").after(&first).retry(retry());
    second.signal::<u32>("number");
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_used_up_also_over_the_end_of_a_process() {
    let machine = Machine::new();
    let process = machine.process();
    let run = process.start_durable(&two(2), id(), ()).await.unwrap();
    tell(&run, json!("one")).await;
    kill(process).await;
    let process = machine.process();
    let run = process.resume_run(&two(2), &id()).await.unwrap();
    settle().await;
    let first = run.view().unwrap().step("first").unwrap().clone();
    assert_eq!((first.phase, first.attempts), (StepPhase::Running, 2));
    tell(&run, json!(1)).await;
    tell(&run, json!(2)).await;
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(outputs(&machine).await, [Some(json!(1)), Some(json!(2))]);
}

#[tokio::test(start_paused = true)]
async fn a_step_never_takes_the_signal_of_another_that_had_failed_with_one_before() {
    let machine = Machine::new();
    let process = machine.process();
    let run = process.start_durable(&two(2), id(), ()).await.unwrap();
    tell(&run, json!("one")).await;
    tell(&run, json!(1)).await;
    kill(process).await;
    let process = machine.process();
    let run = process.resume_run(&two(2), &id()).await.unwrap();
    settle().await;
    assert_eq!(outputs(&machine).await, [Some(json!(1)), None]);
    tell(&run, json!(2)).await;
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(outputs(&machine).await, [Some(json!(1)), Some(json!(2))]);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_not_retried_with_the_signal_that_it_failed_with() {
    let machine = Machine::new();
    let process = machine.process();
    let run = process.start_durable(&two(1), id(), ()).await.unwrap();
    tell(&run, json!("one")).await;
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    let run = process.retry_run(&two(1), &id(), None).await.unwrap();
    settle().await;
    tell(&run, json!(1)).await;
    tell(&run, json!(2)).await;
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(outputs(&machine).await, [Some(json!(1)), Some(json!(2))]);
}

/// The run that is cancelled by whoever reads the next payload, which then finds it unreadable.
static CANCELS: Mutex<Option<Run>> = Mutex::new(None);

/// A number, whose reading may be what cancels a run.
#[derive(Serialize)]
struct Number(u32);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if let Some(run) = CANCELS.lock().unwrap().take() {
            run.cancel();
            return Err(serde::de::Error::custom("no number"));
        }
        u32::deserialize(deserializer).map(Self)
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_cancelled_as_it_finds_its_signal_unreadable_has_used_it_up() {
    let workflow = || -> Workflow<(), Durable> {
        let mut workflow = Workflow::durable("one");
        workflow.step("only").signal::<Number>("number");
        workflow.build().unwrap()
    };
    let machine = Machine::new();
    let process = machine.process();
    let run = process.start_durable(&workflow(), id(), ()).await.unwrap();
    settle().await;
    *CANCELS.lock().unwrap() = Some(run.clone());
    tell(&run, json!(7)).await;
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
    let run = process.retry_run(&workflow(), &id(), None).await.unwrap();
    settle().await;
    assert_eq!(outputs(&machine).await, [None]);
    tell(&run, json!(8)).await;
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(outputs(&machine).await, [Some(json!(8))]);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_cancelled_while_its_failure_is_told_has_used_its_signal_up() {
    let (machine, bus) = (Machine::new(), LocalBus::new());
    let process = machine.process_on(&bus);
    let mut reader = bus.subscribe(&WORKFLOW_EVENTS).unwrap();
    let events = bus.publisher(&WORKFLOW_EVENTS).unwrap();
    let run = process.start_durable(&two(2), id(), ()).await.unwrap();
    settle().await;
    // Nobody reads on, so the next that is told waits.
    let any = reader.recv().await.unwrap().clone();
    while events.try_publish(any.clone()).is_ok() {}
    tell(&run, json!("one")).await;
    run.cancel();
    settle().await;
    drop(reader);
    assert_eq!(run.outcome().await.unwrap().status, Status::Cancelled);
    let run = process.retry_run(&two(2), &id(), None).await.unwrap();
    settle().await;
    let first = run.view().unwrap().step("first").unwrap().clone();
    assert_eq!((first.phase, first.attempts), (StepPhase::Running, 1));
    tell(&run, json!(1)).await;
    tell(&run, json!(2)).await;
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(outputs(&machine).await, [Some(json!(1)), Some(json!(2))]);
}

#[tokio::test(start_paused = true)]
async fn records_that_do_not_say_which_signal_was_taken_are_read_as_before() {
    let machine = Machine::new();
    let process = machine.process();
    let run = process.start_durable(&two(2), id(), ()).await.unwrap();
    tell(&run, json!(1)).await;
    kill(process).await;
    let written = machine.log.read("run.a", 1, 100).await.unwrap();
    let earlier = machine.with_log(Arc::new(MemoryEventLog::new()));
    for mut record in written.into_iter().map(|stored| stored.record) {
        if record.kind == "step-completed" {
            let mut said: Value = serde_json::from_slice(&record.payload).unwrap();
            assert_eq!(
                said.as_object_mut().unwrap().remove("signal"),
                Some(json!(1))
            );
            record.payload = said.to_string().into_bytes();
        }
        let kept = AppendTo::stream("run.a").record(record);
        earlier.log.append(kept).await.unwrap();
    }
    let process = earlier.process();
    let run = process.resume_run(&two(2), &id()).await.unwrap();
    settle().await;
    assert_eq!(outputs(&earlier).await, [Some(json!(1)), None]);
    tell(&run, json!(2)).await;
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(outputs(&earlier).await, [Some(json!(1)), Some(json!(2))]);
}

#[tokio::test(start_paused = true)]
async fn a_step_has_its_own_signal_again_where_another_took_a_later_one_and_was_done_before() {
    let registry = |holds: bool| {
        Registry::new().hook("note", move |_: HookCall| async move {
            if holds {
                pending::<()>().await;
            }
            Ok(())
        })
    };
    let workflow = |holds| {
        let note = Call::new("note", json!(null));
        let spec = Spec::new("hooked")
            .step(StepSpec::signal("first", "number").hook(note))
            .step(StepSpec::signal("second", "number"));
        registry(holds).workflow(spec).unwrap()
    };
    let machine = Machine::new();
    let process = machine.process();
    let run = process.start_durable(&workflow(true), id(), ()).await;
    let run = run.unwrap();
    settle().await;
    tell(&run, json!(1)).await;
    tell(&run, json!(2)).await;
    assert_eq!(outputs(&machine).await, [None, Some(json!(2))]);
    kill(process).await;
    let process = machine.process();
    let run = process.resume_run(&workflow(false), &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(outputs(&machine).await, [Some(json!(1)), Some(json!(2))]);
}

/// A number that is written as one that is no number cannot be read.
#[tokio::test(start_paused = true)]
async fn a_signal_is_of_one_type_for_who_sends_it_and_for_the_step_that_waits() {
    const WEIGHT: Signal<f64> = Signal::new("weight");
    let mut workflow = Workflow::<(), _>::durable("weighs");
    let weight = workflow.step("weight").signal(&WEIGHT);
    let other = workflow.step("other").signal::<f64>("other");
    let workflow = workflow.build().unwrap();
    let process = Machine::new().process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    assert!(WEIGHT.with(f64::NAN).is_err());
    run.tell(WEIGHT.with(1.5).unwrap()).await.unwrap();
    let other_one = Signal::from("other".to_owned());
    run.tell(other_one.with(2.5).unwrap()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    let numbers = [&weight, &other].map(|step| *outcome.output(step).unwrap());
    assert_eq!((numbers, WEIGHT.name()), ([1.5, 2.5], "weight"));
}

/// Two steps that wait for the same signal, one after the other.
fn twice() -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("twice");
    let first = workflow.step("first").signal(&NUMBER);
    workflow.step("second").after(&first).signal(&NUMBER);
    workflow.build().unwrap()
}

const NUMBER: Signal<u64> = Signal::new("number");

#[tokio::test(start_paused = true)]
async fn a_signal_that_is_sent_again_with_its_id_is_taken_once_wherever_it_is_sent() {
    let machine = Machine::new();
    let (process, journal) = (machine.process(), machine.journal());
    let message = |id: &str, number| NUMBER.with_id(id, number).unwrap();
    let run = process.start_durable(&twice(), id(), ()).await.unwrap();
    let at_once = [run.tell(message("m-1", 1)), run.tell(message("m-1", 1))];
    let [one, other] = futures_util::future::join_all(at_once)
        .await
        .try_into()
        .unwrap();
    one.and(other).unwrap();
    journal.tell(&id(), message("m-1", 1)).await.unwrap();
    run.tell(message("m-1", 1)).await.unwrap();
    let signals = async || {
        let records = machine.log.read("run.a", 1, 100).await.unwrap();
        let commands = records
            .iter()
            .filter(|stored| stored.record.kind == "command");
        commands.count()
    };
    assert_eq!(signals().await, 1);
    settle().await;
    let view = journal.view(&id()).await.unwrap();
    let phase = |id| view.step(id).unwrap().phase;
    assert_eq!(
        (phase("first"), phase("second")),
        (StepPhase::Completed, StepPhase::Running)
    );

    // Nor is it taken by who takes the run up.
    process.shutdown(Duration::from_secs(1)).await;
    journal.tell(&id(), message("m-1", 1)).await.unwrap();
    let process = machine.process();
    let run = process.resume_run(&twice(), &id()).await.unwrap();
    run.tell(message("m-1", 1)).await.unwrap();
    assert_eq!(signals().await, 1);
    run.tell(message("m-2", 2)).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    // Whose answer was lost may ask again, whatever has become of the run.
    assert!(journal.has_signal(&id(), "number", "m-2").await.unwrap());
    assert!(!journal.has_signal(&id(), "number", "m-3").await.unwrap());
    journal.tell(&id(), message("m-2", 2)).await.unwrap();
    let late = journal.tell(&id(), message("m-3", 3)).await;
    assert!(
        matches!(late, Err(WorkflowError::RunFinished { .. })),
        "{late:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn another_signal_under_an_id_that_has_come_is_refused_wherever_it_is_sent() {
    let machine = Machine::new();
    let (process, journal) = (machine.process(), machine.journal());
    let message = |number| NUMBER.with_id("m-1", number).unwrap();
    let is_other = |told: &Result<(), WorkflowError>| matches!(told, Err(WorkflowError::OtherSignal { id, .. }) if id == "m-1");
    let run = process.start_durable(&twice(), id(), ()).await.unwrap();
    // Also while the first is on its way.
    let at_once = [run.tell(message(1)), run.tell(message(2))];
    let [one, other] = futures_util::future::join_all(at_once)
        .await
        .try_into()
        .unwrap();
    one.unwrap();
    assert!(is_other(&other), "{other:?}");
    let told = [
        run.tell(message(2)).await,
        journal.tell(&id(), message(2)).await,
    ];
    assert!(told.iter().all(is_other), "{told:?}");
    journal.tell(&id(), message(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_again_reaches_a_step_that_a_retry_does_again() {
    let workflow = || {
        let mut workflow = Workflow::durable("judged");
        let first = workflow.step("first").signal(&NUMBER);
        let second = workflow.step("second").after(&first).signal(&NUMBER);
        let judge = workflow.step("judge").input(second);
        judge.run(async |number: Arc<u64>| match *number {
            0 => Err(StepError::message("no")),
            number => Ok(number),
        });
        workflow.build().unwrap()
    };
    let machine = Machine::new();
    let (process, journal) = (machine.process(), machine.journal());
    let message = |id: &str, number| NUMBER.with_id(id, number).unwrap();
    let run = process.start_durable(&workflow(), id(), ()).await.unwrap();
    run.tell(message("m-1", 7)).await.unwrap();
    run.tell(message("m-2", 0)).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);

    let again = process.retry_run(&workflow(), &id(), Some("second")).await;
    let again = again.unwrap();
    // What the first has taken it has still.
    journal.tell(&id(), message("m-1", 7)).await.unwrap();
    let has = async |signal| journal.has_signal(&id(), "number", signal).await.unwrap();
    assert_eq!((has("m-1").await, has("m-2").await), (true, false));
    journal.tell(&id(), message("m-2", 5)).await.unwrap();
    assert!(again.outcome().await.unwrap().is_completed());
    // It has come now, also for who reads the run from its records.
    assert!(has("m-2").await);
}

#[tokio::test(start_paused = true)]
async fn of_signals_with_one_id_that_were_kept_side_by_side_the_first_is_taken() {
    let machine = Machine::new();
    let process = machine.process();
    process.start_durable(&twice(), id(), ()).await.unwrap();
    process.shutdown(Duration::from_secs(1)).await;
    // As two processes keep it that do not know of each other.
    let kept = r#"{"command":"signal","name":"number","payload":1,"id":"m-1"}"#;
    for _ in 0..2 {
        let append = AppendTo::stream("run.a").record(Record::new("command", kept));
        machine.log.append(append).await.unwrap();
    }
    let process = machine.process();
    let run = process.resume_run(&twice(), &id()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let view = run.view().unwrap();
    assert_eq!(view.step("second").unwrap().phase, StepPhase::Running);
    run.tell(NUMBER.with(2).unwrap()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    let view = machine.journal().view(&id()).await.unwrap();
    let outputs: Vec<_> = view.steps.iter().map(|step| step.output.clone()).collect();
    assert_eq!(outputs, [Some(json!(1).into()), Some(json!(2).into())]);
}
