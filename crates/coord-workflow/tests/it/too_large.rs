//! What is larger than the journal takes fails its step, or is refused to who gives it: the run goes on, or comes
//! to its end.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{
    AppendTo, Appended, BoxFuture, EventLog, EventLogError, EventLogProxy, Record, StreamQuery,
};
use coord_workflow::{
    AttemptError, Command, Compensation, Durable, Outcome, PartError, Repeat, Retry, Round, Run,
    RunId, Step, StepContext, StepError, Workflow, WorkflowError,
};
use serde_json::{Value, json};

use crate::durable::Machine;

/// How large a record may be.
const MAX: usize = 200 << 10;

fn id() -> RunId {
    RunId::named("r").unwrap()
}

fn large() -> String {
    "x".repeat(MAX)
}

/// The longest text that may come with a sign of life, and so be put out, and why a longer one may not.
fn longest(context: &StepContext) -> (String, String) {
    let (mut fits, mut bytes) = (0, MAX);
    let mut refused = String::new();
    while fits + 1 < bytes {
        let middle = usize::midpoint(fits, bytes);
        match context.heartbeat_with(&"x".repeat(middle)) {
            Ok(()) => fits = middle,
            Err(error) => (bytes, refused) = (middle, error.to_string()),
        }
    }
    ("x".repeat(fits), refused)
}

/// A log that refuses records that are larger than it says, as a journal does.
struct Narrow(Arc<dyn EventLog>);

impl EventLogProxy for Narrow {
    fn log(&self) -> &dyn EventLog {
        &*self.0
    }

    fn on_append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        let bytes = |record: &Record| record.kind.len() + record.payload.len();
        if append.records.iter().any(|record| bytes(record) > MAX) {
            let source = "a record is too large".into();
            return Box::pin(async { Err(EventLogError::Failed { source }) });
        }
        self.0.append(append)
    }

    fn on_max_record_bytes(&self) -> Option<usize> {
        Some(MAX)
    }
}

fn machine() -> Machine {
    let machine = Machine::new();
    let log = Arc::clone(&machine.log);
    machine.with_log(Arc::new(Narrow(log)))
}

async fn outcome(machine: &Machine, workflow: &Workflow<(), Durable>) -> Arc<Outcome> {
    let process = machine.process();
    let run = process.start_durable(workflow, id(), ()).await;
    run.unwrap().outcome().await.unwrap()
}

/// Why the run failed: at which step, after how many attempts, and the words for it.
fn failure(outcome: &Outcome) -> (String, u32, String) {
    let (step, error) = outcome.failures().next().unwrap();
    (step.id.to_owned(), step.attempts, error.to_string())
}

#[tokio::test(start_paused = true)]
async fn an_output_that_the_journal_does_not_take_fails_its_step_and_what_was_done_is_undone() {
    let machine = machine();
    let mut workflow = Workflow::durable("large");
    let first = workflow
        .step("first")
        .compensate(|_: Arc<u32>| async { Ok::<_, StepError>(()) })
        .run(async || Ok::<_, StepError>(1_u32));
    workflow
        .step("large")
        .after(&first)
        .retry(Retry::exponential())
        .run(async || Ok::<_, StepError>(large()));
    let outcome = outcome(&machine, &workflow.build().unwrap()).await;
    let (step, attempts, words) = failure(&outcome);
    assert_eq!((&*step, attempts), ("large", 1));
    let bytes = MAX + 2;
    assert!(
        words.contains(&format!("its output takes {bytes} bytes as JSON, and "))
            && words.contains("keep it in a file"),
        "{words}"
    );
    let error = outcome.failures().next().unwrap().1;
    let error = error.downcast_ref::<AttemptError>();
    assert!(matches!(error, Some(AttemptError::TooLarge { .. })));
    let undone = outcome.step("first").unwrap().compensation;
    assert!(matches!(undone, Some(Compensation::Completed)));
}

#[tokio::test(start_paused = true)]
async fn so_does_that_of_an_item_and_the_others_are_done() {
    let mut workflow = Workflow::durable("items");
    let list = workflow
        .step("list")
        .run(async || Ok::<_, StepError>(vec![1, MAX, 2]));
    let each = workflow.step("each").for_each(list);
    each.run(|bytes| async move { Ok::<_, StepError>("x".repeat(bytes)) });
    let machine = machine();
    let outcome = outcome(&machine, &workflow.build().unwrap()).await;
    let error = outcome.failures().next().unwrap().1;
    let Some(PartError::ItemsFailed { failed, of, .. }) = error.downcast_ref() else {
        panic!("{error:?}");
    };
    assert_eq!((&**failed, *of), (&[1][..], 3));
    let kinds = machine.kinds("r").await;
    let done = kinds.iter().filter(|kind| *kind == "part-completed");
    assert_eq!(done.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn so_does_what_a_round_leaves() {
    let mut workflow = Workflow::durable("rounds");
    workflow
        .step("rounds")
        .repeat(Repeat::at_most(3))
        .run(|_: Round<String>| async {
            Ok::<ControlFlow<u32, _>, StepError>(ControlFlow::Continue(large()))
        });
    let outcome = outcome(&machine(), &workflow.build().unwrap()).await;
    assert_eq!(failure(&outcome).0, "rounds");
}

#[tokio::test(start_paused = true)]
async fn however_many_words_an_error_has_it_is_kept_with_a_sign_of_life_of_the_largest_size() {
    let machine = machine();
    let refused = Arc::new(Mutex::new(String::new()));
    let mut workflow = Workflow::durable("wordy");
    let told = Arc::clone(&refused);
    workflow
        .step("wordy")
        .retry(Retry::constant(Duration::from_secs(1)).max_attempts(2))
        .run_with(move |context: StepContext| {
            let told = Arc::clone(&told);
            async move {
                *told.lock().unwrap() = longest(&context).1;
                // Of the worst kind: JSON makes six bytes of each.
                let error = StepError::message("\u{1}".repeat(MAX));
                Err::<u32, StepError>(error)
            }
        });
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    let outcome = outcome(&machine, &workflow).await;
    let (step, attempts, words) = failure(&outcome);
    assert_eq!((&*step, attempts, words.len()), ("wordy", 2, MAX));
    let refused = refused.lock().unwrap().clone();
    assert!(
        refused.contains("what comes with a sign of life takes"),
        "{refused}"
    );
    let view = machine.journal().view(&id()).await.unwrap();
    let kept = view.step("wordy").unwrap().error.clone().unwrap();
    assert!(kept.ends_with("bytes more"), "{}", kept.len());
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_the_journal_does_not_take_is_refused_and_the_run_waits_for_another() {
    let machine = machine();
    let mut workflow = Workflow::durable("waits");
    workflow.step("waits").signal::<Value>("go");
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    let go = |payload: Value| Command::Signal {
        name: "go".to_owned(),
        payload,
        id: None,
    };
    sleep(Duration::from_secs(1)).await;
    let here = run.tell(go(json!(large()))).await;
    let elsewhere = machine.journal().tell(&id(), go(json!(large()))).await;
    for refused in [here, elsewhere] {
        assert!(
            matches!(refused, Err(WorkflowError::TooLarge { .. })),
            "{refused:?}"
        );
    }
    run.tell(go(json!("x".repeat(MAX / 3)))).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
}

/// A run of a workflow that is started with a text.
fn started_with_text() -> (Workflow<String, Durable>, Step<u32>) {
    let mut workflow = Workflow::<String>::durable("text");
    let text = workflow.input();
    let length = workflow
        .step("length")
        .input(text)
        .run(|text: Arc<String>| async move { Ok::<_, StepError>(text.len() as u32) });
    (workflow.build().unwrap(), length)
}

#[tokio::test(start_paused = true)]
async fn a_run_is_not_started_with_what_the_journal_does_not_take_and_nothing_is_kept_of_it() {
    let machine = machine();
    let process = machine.process();
    let (workflow, _) = started_with_text();
    let refused: Result<Run, _> = process.start_durable(&workflow, id(), large()).await;
    let Err(WorkflowError::TooLarge { bytes, limit, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(bytes > MAX && limit < MAX);
    let streams = machine.log.streams(&StreamQuery::by_name()).await.unwrap();
    assert!(streams.iter().all(|stream| stream.name != "run.r"));
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_run_cannot_be_started_with_what_it_is_given_fails() {
    let machine = machine();
    let (text, length) = started_with_text();
    let mut workflow = Workflow::<()>::durable("outer");
    let make = workflow
        .step("make")
        // As large as an output may be: there is more in the first record of a run.
        .run_with(|context: StepContext| async move { Ok::<_, StepError>(longest(&context).0) });
    workflow.step("inner").input(make).workflow(&text, length);
    let outcome = outcome(&machine, &workflow.build().unwrap()).await;
    let (step, attempts, words) = failure(&outcome);
    assert_eq!((&*step, attempts), ("inner", 1));
    assert!(words.contains("`text` cannot be run"), "{words}");
}
