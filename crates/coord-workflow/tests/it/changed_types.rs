//! A run is taken up after the type of an output, or of its input, has changed.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::sleep;
use coord_workflow::{Durable, RunId, StepError, Workflow, WorkflowError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::durable::Machine;

fn id() -> RunId {
    RunId::named("a").unwrap()
}

#[derive(Serialize, Deserialize)]
struct Total {
    sum: u32,
}

/// A step that puts something out, and one that never ends.
fn counting<I, O>(output: fn() -> O) -> Workflow<I, Durable>
where
    I: DeserializeOwned + Send + Sync + 'static,
    O: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let mut workflow = Workflow::durable("counting");
    let count = workflow
        .step("count")
        .run(move || async move { Ok::<_, StepError>(output()) });
    workflow
        .step("wait")
        .input(count)
        .run(async |_: Arc<O>| std::future::pending::<Result<(), StepError>>().await);
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_message_names_the_step_and_the_type_that_it_puts_out_now() {
    let machine = Machine::new();
    let process = machine.process();
    let before = counting::<String, _>(|| "three".to_owned());
    let begun = process.start_durable(&before, id(), "all".to_owned());
    let run = begun.await.unwrap();
    while run.view().unwrap().step("count").unwrap().ended.is_none() {
        sleep(Duration::from_millis(1)).await;
    }
    process.shutdown(Duration::ZERO).await;

    let process = machine.process();
    let messages = [
        process
            .resume_run(&counting::<String, _>(|| Total { sum: 3 }), &id())
            .await,
        process
            .resume_run(&counting::<u32, _>(|| "three".to_owned()), &id())
            .await,
    ];
    let messages = messages.map(|refused| match refused {
        Err(error @ WorkflowError::Record { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    });
    assert_eq!(
        messages,
        [
            "record 3 of run `a` cannot be followed: step `count` puts out `it::changed_types::Total` \
             now, and this output is none",
            "record 1 of run `a` cannot be followed: the workflow is started with `u32` now, and this \
             input is none",
        ]
    );
    let asked = machine.journal().input::<u32>(&id()).await;
    assert_eq!(asked.unwrap_err().to_string(), messages[1]);
    process.resume_run(&before, &id()).await.unwrap();
}
