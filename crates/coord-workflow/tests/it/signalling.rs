//! A signal is taken once, by one step, whatever becomes of the step and of its process.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{AppendTo, MemoryEventLog};
use coord_workflow::{
    Call, Command, DEFAULT_LEASE_TTL, Durable, HookCall, Registry, Retry, Run, RunId, Spec, Status,
    StepPhase, StepSpec, Workflow, WorkflowOrchestrator,
};
use serde_json::{Value, json};

use crate::durable::Machine;

fn id() -> RunId {
    RunId::named("a").unwrap()
}

fn number(payload: Value) -> Command {
    Command::Signal {
        name: "number".to_owned(),
        payload,
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
