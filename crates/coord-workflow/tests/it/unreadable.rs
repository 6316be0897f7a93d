//! What is kept can be read again, or it is refused before it is needed.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;

use coord_workflow::{
    AttemptError, Durable, Repeat, Retry, Round, Run, RunId, StepError, Workflow, WorkflowError,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::durable::Machine;

fn named(id: &str) -> RunId {
    RunId::named(id).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_json_has_no_word_for_fails_its_step_or_refuses_the_start() {
    let build = || {
        let mut workflow = Workflow::durable("numbers");
        let input = workflow.input();
        workflow
            .step("step")
            .input(input)
            .retry(Retry::exponential())
            .run(move |_: Arc<f64>| async move { Ok::<_, StepError>(vec![Some(1.5), None]) });
        workflow
            .step("none")
            .run(async || Ok::<_, StepError>(None::<u32>));
        workflow.step("unit").run(async || Ok::<_, StepError>(()));
        let workflow: Workflow<f64, Durable> = workflow.build().unwrap();
        workflow
    };
    let process = Machine::new().process();
    let refused = process.start_durable(&build(), named("a"), f64::NAN).await;
    assert!(
        matches!(refused, Err(WorkflowError::UnreadableInput { .. })),
        "{refused:?}"
    );
    let run = process.start_durable(&build(), named("a"), 0.1 + 0.2).await;
    assert!(run.unwrap().outcome().await.unwrap().is_completed());
    let unread = {
        let mut workflow = Workflow::durable("infinite");
        workflow
            .step("step")
            .retry(Retry::exponential())
            .run(async || Ok::<_, StepError>(f64::INFINITY));
        let workflow: Workflow<(), Durable> = workflow.build().unwrap();
        workflow
    };
    let run = process
        .start_durable(&unread, named("b"), ())
        .await
        .unwrap();
    let outcome = run.outcome().await.unwrap();
    let (step, error) = outcome.failures().next().unwrap();
    assert_eq!(step.attempts, 1, "it would not be better the next time");
    let error = error.downcast_ref::<AttemptError>();
    assert!(
        matches!(error, Some(AttemptError::Unreadable(_))),
        "{error:?}"
    );
}

/// Is written without what it has to be read with.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct OneWay {
    #[serde(skip_serializing)]
    #[expect(dead_code, reason = "nobody comes to read it")]
    secret: String,
}

fn nested(levels: usize) -> serde_json::Value {
    (0..levels).fold(json!(1), |value, _| json!([value]))
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_read_again_is_refused_before_it_is_needed() {
    let process = Machine::new().process();
    let refused = |started: Result<Run, WorkflowError>| {
        matches!(started, Err(WorkflowError::UnreadableInput { .. }))
    };
    let mut workflow = Workflow::<OneWay>::durable("one-way");
    workflow.step("step").run(async || Ok::<_, StepError>(()));
    let (workflow, secret) = (workflow.build().unwrap(), "x".to_owned());
    let started = process.start_durable(&workflow, named("a"), OneWay { secret });
    assert!(refused(started.await));
    let mut workflow = Workflow::<serde_json::Value>::durable("deep");
    let input = workflow.input();
    let echo = async |input: Arc<serde_json::Value>| Ok::<_, StepError>(json!([*input]));
    workflow.step("deeper").input(input).run(echo);
    let workflow = workflow.build().unwrap();
    let started = process.start_durable(&workflow, named("b"), nested(101));
    assert!(refused(started.await));
    let started = process
        .start_durable(&workflow, named("c"), nested(99))
        .await;
    assert!(started.unwrap().outcome().await.unwrap().is_completed());
    let started = process
        .start_durable(&workflow, named("d"), nested(100))
        .await;
    let outcome = started.unwrap().outcome().await.unwrap();
    let (step, error) = outcome.failures().next().unwrap();
    assert_eq!((step.id, step.attempts), ("deeper", 1));
    assert!(matches!(
        error.downcast_ref(),
        Some(AttemptError::Unreadable(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_number_is_the_same_once_its_run_is_taken_up() {
    // Read carelessly, some of them are others by the last digit.
    let numbers = || -> Vec<f64> { (1..5_000).map(|n| 1e-7 / f64::from(n)).collect() };
    let mut workflow = Workflow::durable("numbers");
    workflow
        .step("step")
        .run(move || async move { Ok::<_, StepError>(numbers()) });
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    let machine = Machine::new();
    let process = machine.process();
    let run = process.start_durable(&workflow, named("a"), ()).await;
    run.unwrap().outcome().await.unwrap();
    let kept = machine.journal().view(&named("a")).await.unwrap();
    let output = kept.step("step").unwrap().output.clone().unwrap();
    let read: Vec<f64> = serde_json::from_value((*output).clone()).unwrap();
    assert_eq!(read, numbers());
}

/// Is read without what it had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Lossy {
    kept: u32,
    #[serde(skip)]
    lost: u32,
}

const WHOLE: Lossy = Lossy { kept: 1, lost: 1 };
const READ: Lossy = Lossy { kept: 1, lost: 0 };

#[tokio::test(start_paused = true)]
async fn what_goes_on_is_what_was_read_whether_a_run_is_taken_up_or_not() {
    let mut inner = Workflow::<Lossy>::durable("inner");
    let input = inner.input();
    let seen = inner
        .step("seen")
        .input(input)
        .run(async |lossy: Arc<Lossy>| Ok::<u32, StepError>(lossy.lost));
    let inner = inner.build().unwrap();

    let mut workflow = Workflow::<Lossy>::durable("lossy");
    let input = workflow.input();
    let of_input = workflow
        .step("of-input")
        .input(input)
        .run(async |lossy: Arc<Lossy>| Ok::<u32, StepError>(lossy.lost));
    let step = workflow
        .step("step")
        .run(async || Ok::<_, StepError>(WHOLE));
    let of_step = workflow
        .step("of-step")
        .input(step)
        .run(async |lossy: Arc<Lossy>| Ok::<u32, StepError>(lossy.lost));
    let list = workflow
        .step("list")
        .input(input)
        .run(async |_: Arc<Lossy>| Ok::<_, StepError>(vec![1_u32, 2]));
    let items = workflow
        .step("items")
        .for_each(list)
        .run(async |_: u32| Ok::<_, StepError>(WHOLE));
    let of_items = workflow
        .step("of-items")
        .input(items)
        .run(async |items: Arc<Vec<Lossy>>| {
            Ok::<u32, StepError>(items.iter().map(|it| it.lost).sum())
        });
    let of_round =
        workflow
            .step("rounds")
            .repeat(Repeat::at_most(2))
            .run(async |round: Round<Lossy>| {
                Ok::<_, StepError>(match round.last {
                    None => Continue(WHOLE),
                    Some(last) => Break(last.lost),
                })
            });
    let of_child = workflow.step("child").input(step).workflow(&inner, seen);
    let workflow = workflow.build().unwrap();
    let process = Machine::new().process();
    let run = process.start_durable(&workflow, named("a"), WHOLE).await;
    let outcome = run.unwrap().outcome().await.unwrap();
    assert_eq!(*outcome.output(&step).unwrap(), READ);
    for seen in [of_input, of_step, of_items, of_round, of_child] {
        assert_eq!(*outcome.output(&seen).unwrap(), 0, "{seen:?}");
    }
}
