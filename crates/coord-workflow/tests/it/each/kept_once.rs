//! What is kept of a list: each item, once.

use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{AppendTo, Record};
use coord_workflow::{DEFAULT_LEASE_TTL, Durable, Step, StepError, Workflow, WorkflowError};
use serde_json::{Value, json};

use super::id;
use crate::durable::Machine;

/// A list, what is made of each item, and then a step that takes both and goes on for a while.
fn sums(holds: bool) -> (Workflow<Vec<u32>, Durable>, Step<u32>) {
    let mut workflow = Workflow::durable("sums");
    let list = workflow.input();
    let each = workflow
        .step("each")
        .for_each(list)
        .run(async |item: u32| Ok::<_, StepError>(format!("number-{item}")));
    let empty = workflow
        .step("empty")
        .run(async || Ok::<_, StepError>(Vec::<u32>::new()));
    let none = workflow.step("none").for_each(empty);
    let none = none.run(async |item: u32| Ok::<_, StepError>(item));
    let last = workflow.step("last").input((each, none));
    let last = last.run(
        move |(each, none): (Arc<Vec<String>>, Arc<Vec<u32>>)| async move {
            if holds {
                sleep(Duration::from_secs(3600)).await;
            }
            assert_eq!(*each, ["number-7", "number-8"]);
            Ok::<_, StepError>((each.len() + none.len()) as u32)
        },
    );
    (workflow.build().unwrap(), last)
}

#[tokio::test(start_paused = true)]
async fn what_items_put_out_is_kept_once_and_read_also_as_earlier_versions_kept_it() {
    let machine = Machine::new();
    let killed = machine.process();
    let run = killed.start_durable(&sums(true).0, id(), vec![7, 8]).await;
    sleep(Duration::from_secs(1)).await;
    drop((run, killed));
    sleep(DEFAULT_LEASE_TTL).await;
    let records = machine.log.read("run.r", 1, 1_000).await.unwrap();
    let kept = records.iter().filter(|stored| {
        let payload = String::from_utf8_lossy(&stored.record.payload);
        payload.contains("number-7")
    });
    assert_eq!(kept.count(), 1);

    // As it was before: the list once more, in the record that the step is done.
    let earlier = Machine::new();
    let mut rewritten = 0;
    let records = records.into_iter().map(|stored| {
        let mut record = stored.record;
        if record.kind == "items-completed" {
            let done: Value = serde_json::from_slice(&record.payload).unwrap();
            let output = match done["step"].as_str().unwrap() {
                "each" => json!(["number-7", "number-8"]),
                _ => json!([]),
            };
            let done = json!({ "step": done["step"], "at": done["at"], "output": output });
            record = Record::new("step-completed", done.to_string());
            rewritten += 1;
        }
        record
    });
    let append = AppendTo::stream("run.r").records(records);
    earlier.log.append(append).await.unwrap();
    assert_eq!(rewritten, 2);

    for machine in [machine, earlier] {
        let view = machine.journal().view(&id()).await.unwrap();
        let output = |step| view.step(step).unwrap().output.as_deref().cloned();
        assert_eq!(output("each"), Some(json!(["number-7", "number-8"])));
        assert_eq!(output("none"), Some(json!([])));
        let process = machine.process();
        let (workflow, last) = sums(false);
        let run = process.resume_run(&workflow, &id()).await.unwrap();
        assert_eq!(*run.outcome().await.unwrap().output(&last).unwrap(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_which_an_item_is_missing_in_the_journal_is_not_made_up() {
    let machine = Machine::new();
    let process = machine.process();
    let run = process
        .start_durable(&sums(false).0, id(), vec![7, 8])
        .await;
    run.unwrap().outcome().await.unwrap();
    let records = machine.log.read("run.r", 1, 1_000).await.unwrap();
    let lacking = Machine::new();
    let mut left = 1;
    let records = records.into_iter().map(|stored| stored.record);
    let records = records.filter(|record| {
        let drops = record.kind == "part-completed" && left > 0;
        left -= i32::from(drops);
        !drops
    });
    let append = AppendTo::stream("run.r").records(records);
    lacking.log.append(append).await.unwrap();
    let refused = lacking.journal().view(&id()).await.unwrap_err();
    let WorkflowError::Record { source, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(source.to_string(), "of the 2 items of step 0 1 are done");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_know_how_a_later_version_keeps_that_a_step_is_done_says_so() {
    let machine = Machine::new();
    let process = machine.process();
    let run = process
        .start_durable(&sums(false).0, id(), vec![7, 8])
        .await;
    run.unwrap().outcome().await.unwrap();
    let records = machine.log.read("run.r", 1, 1_000).await.unwrap();
    let later = Machine::new();
    let records = records.into_iter().map(|stored| {
        let kind = stored
            .record
            .kind
            .replace("items-completed", "items-completed-later");
        Record::new(kind, stored.record.payload)
    });
    let append = AppendTo::stream("run.r").records(records);
    later.log.append(append).await.unwrap();
    let refused = later.journal().view(&id()).await.unwrap_err();
    let WorkflowError::Record { source, .. } = &refused else {
        panic!("{refused:?}");
    };
    let said = source.to_string();
    assert!(
        said.contains("was it written by a later version?"),
        "{said}"
    );
}
