//! What a run was started with, where a type does not write the same twice: sets, whose order differs each time.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::sleep;
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, RunId, StepError, Workflow, WorkflowError,
};
use serde_json::json;

use crate::durable::Machine;

fn tags<S: FromIterator<String>>() -> S {
    (0..8).map(|tag| format!("tag{tag}")).collect()
}

/// A run of another workflow, started with a set, which waits for the signal `go`.
fn parent() -> Workflow<(), Durable> {
    let mut child = Workflow::<HashSet<String>>::durable("child");
    let input = child.input();
    let counted = child
        .step("count")
        .input(input)
        .run(|tags: Arc<HashSet<String>>| async move { Ok::<_, StepError>(tags.len()) });
    child.step("wait").after(&counted).signal::<u64>("go");
    let child = child.build().unwrap();
    let mut parent = Workflow::durable("parent");
    let tags = parent
        .step("tags")
        .run(|| async { Ok::<_, StepError>(tags::<HashSet<_>>()) });
    parent.step("child").input(tags).workflow(&child, counted);
    parent.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_run_within_another_is_gone_on_with_also_where_its_input_is_a_set() {
    let machine = Machine::new();
    let id = RunId::named("r").unwrap();
    let killed = machine.process();
    killed
        .start_durable(&parent(), id.clone(), ())
        .await
        .unwrap();
    sleep(Duration::from_secs(1)).await;
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;

    let next = machine.process();
    let run = next.resume_run(&parent(), &id).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let child = machine.journal().view(&id).await.unwrap();
    let child = child.step("child").unwrap().child.clone().unwrap();
    let go = Command::Signal {
        name: "go".to_owned(),
        payload: json!(1),
        id: None,
    };
    // Where the run is left as it is, its child is, too: then nobody hears of this.
    machine.journal().tell(&child, go).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
}

/// Starts a run twice with what is equal.
async fn twice<I>() -> Result<(), WorkflowError>
where
    I: serde::Serialize
        + serde::de::DeserializeOwned
        + FromIterator<String>
        + Send
        + Sync
        + 'static,
{
    let mut workflow = Workflow::<I>::durable("sets");
    workflow
        .step("wait")
        .run(std::future::pending::<Result<(), StepError>>);
    let workflow = workflow.build().unwrap();
    let process = Machine::new().process();
    let id = RunId::named("r").unwrap();
    process
        .start_durable(&workflow, id.clone(), tags::<I>())
        .await?;
    process.start_durable(&workflow, id, tags::<I>()).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_start_with_an_equal_set_is_refused_with_why_unless_the_set_has_an_order() {
    twice::<BTreeSet<String>>().await.unwrap();
    let refused = twice::<HashSet<String>>().await.unwrap_err();
    assert!(
        matches!(refused, WorkflowError::OtherInput { .. }),
        "{refused}"
    );
    assert!(refused.to_string().contains("BTreeSet"), "{refused}");
}
