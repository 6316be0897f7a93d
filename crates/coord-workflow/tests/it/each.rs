//! Steps that do the same for each item of a list: in memory, kept, and as data.

mod further;
mod kept_once;
mod observed;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{
    AttemptError, DEFAULT_ITEM_CONCURRENCY, DEFAULT_LEASE_TTL, Durable, Fault, ForEachSpec,
    HandlerCall, MAX_ITEMS, Outcome, PartError, Progress, Registry, Retry, RunId, Spec, Status,
    Step, StepContext, StepError, StepSpec, StepState, Why, Workflow, WorkflowOrchestrator,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::crashes::{Failing, paused};
use crate::durable::Machine;
use crate::keys::unmarked;

fn id() -> RunId {
    RunId::named("r").unwrap()
}

async fn execute<I: Send + Sync + 'static, K>(workflow: &Workflow<I, K>, input: I) -> Arc<Outcome> {
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    orchestrator
        .execute_workflow(workflow, input)
        .await
        .unwrap()
}

fn error_of(outcome: &Outcome, step: &str) -> StepError {
    match outcome.step(step).unwrap().state {
        StepState::Failed(error) => error.clone(),
        other => panic!("{other:?}"),
    }
}

/// What items did, with their keys.
#[derive(Debug, Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn see(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        let mut seen = std::mem::take(&mut *self.0.lock().unwrap());
        seen.sort();
        seen
    }

    fn count(&self, what: &str) -> usize {
        let seen = self.0.lock().unwrap();
        seen.iter().filter(|seen| *seen == what).count()
    }
}

#[tokio::test(start_paused = true)]
async fn outputs_are_in_the_order_of_the_list_whichever_item_ends_first() {
    let mut workflow = Workflow::builder("lengths");
    let names = workflow.input();
    let lengths = workflow
        .step("measure")
        .for_each(names)
        .run(|name: &'static str| async move {
            sleep(Duration::from_millis(100 - name.len() as u64)).await;
            Ok::<_, StepError>(name.len())
        });
    let sum = workflow
        .step("sum")
        .input(lengths)
        .run(
            |lengths: Arc<Vec<usize>>| async move { Ok::<usize, StepError>(lengths.iter().sum()) },
        );
    let workflow = workflow.build().unwrap();
    let outcome = execute(&workflow, vec!["a", "bbb", "cc"]).await;
    assert_eq!(*outcome.output(&lengths).unwrap(), [1, 3, 2]);
    assert_eq!(*outcome.output(&sum).unwrap(), 6);
    assert_eq!(outcome.duration, Duration::from_millis(99), "side by side");
    assert!(workflow.graph().to_string().contains("measure (for each)"));
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_has_an_empty_output_at_once() {
    let mut workflow = Workflow::builder("none");
    let list = workflow.input();
    let none = workflow
        .step("each")
        .for_each(list)
        .run(async |_: u32| Ok::<u32, StepError>(1));
    let outcome = execute(&workflow.build().unwrap(), Vec::new()).await;
    assert_eq!(*outcome.output(&none).unwrap(), [0_u32; 0]);
    assert_eq!(outcome.duration, Duration::ZERO);
}

/// Items that say how many of them run at once.
fn counting(items: Option<usize>) -> (Workflow<Vec<u32>>, Arc<AtomicUsize>) {
    let most = Arc::new(AtomicUsize::new(0));
    let running = Arc::new(AtomicUsize::new(0));
    let mut workflow = Workflow::builder("counting").concurrency(NonZeroUsize::MIN);
    let list = workflow.input();
    let mut step = workflow.step("each").for_each(list);
    if let Some(items) = items.and_then(NonZeroUsize::new) {
        step = step.concurrency(items);
    }
    let seen = Arc::clone(&most);
    step.run(move |_: u32| {
        let (running, most) = (Arc::clone(&running), Arc::clone(&seen));
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(1)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, StepError>(())
        }
    });
    (workflow.build().unwrap(), most)
}

#[tokio::test(start_paused = true)]
async fn at_most_so_many_items_run_at_once_within_one_place_of_the_run() {
    for (asked, expected) in [(Some(3), 3), (None, DEFAULT_ITEM_CONCURRENCY.get())] {
        let (workflow, most) = counting(asked);
        let outcome = execute(&workflow, (0..100).collect()).await;
        assert!(outcome.is_completed());
        assert_eq!(most.load(Ordering::SeqCst), expected);
    }
}

/// Items that fail for as many attempts as they say, or panic where that is `u32::MAX`.
fn failing(seen: &Seen) -> (Workflow<Vec<u32>, Durable>, Step<Vec<u32>>) {
    let mut workflow = Workflow::durable("failing");
    let (list, seen) = (workflow.input(), seen.clone());
    let done = workflow
        .step("each")
        .retry(Retry::constant(Duration::from_millis(5)).max_attempts(3))
        .for_each(list)
        .run_with(move |context: StepContext, failures: u32| {
            let seen = seen.clone();
            async move {
                let key = unmarked(&context);
                let fails = context.attempt() <= failures;
                seen.see(if fails { format!("{key} failed") } else { key });
                assert_ne!(failures, u32::MAX, "it was to panic");
                match fails {
                    true => Err(StepError::message("it was to fail")),
                    false => Ok(failures * 10),
                }
            }
        });
    (workflow.build().unwrap(), done)
}

#[tokio::test(start_paused = true)]
async fn an_item_that_fails_leaves_the_others_alone_and_is_all_that_is_tried_again() {
    let (machine, seen) = (Machine::new(), Seen::default());
    let (workflow, done) = failing(&seen);
    let process = machine.process();
    let run = process.start_durable(&workflow, id(), vec![0, 1, 0, 2]);
    let outcome = run.await.unwrap().outcome().await.unwrap();
    assert_eq!(*outcome.output(&done).unwrap(), [0, 10, 0, 20]);
    assert_eq!(outcome.step("each").unwrap().attempts, 3);
    let expected = [
        "r/each:0",
        "r/each:1",
        "r/each:1 failed",
        "r/each:2",
        "r/each:3",
        "r/each:3 failed",
        "r/each:3 failed",
    ];
    assert_eq!(seen.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_items_says_which_and_why_the_first_did() {
    let (workflow, _) = failing(&Seen::default());
    let outcome = execute(&workflow, vec![0, 9, u32::MAX, 0]).await;
    assert_eq!(outcome.status, Status::Failed);
    let error = error_of(&outcome, "each");
    let text = "items [1], [2] of 4 failed, the first of them because: it was to fail";
    assert_eq!(error.to_string(), text);
    let view = outcome.view();
    let step = view.step("each").unwrap();
    assert_eq!(step.progress, Some(Progress::Items { done: 2, of: 4 }));
    assert_eq!(step.error.as_deref(), Some(text));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_no_attempt_can_help_ends_the_attempts() {
    let mut workflow = Workflow::builder("permanent");
    let list = workflow.input();
    workflow
        .step("each")
        .retry(Retry::default())
        .for_each(list)
        .run(async |item: u32| match item {
            1 => Err(StepError::message("never").permanent()),
            _ => Ok(()),
        });
    let outcome = execute(&workflow.build().unwrap(), vec![0, 1, 2]).await;
    assert_eq!(outcome.step("each").unwrap().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_too_long_is_refused_before_anything_is_done() {
    let (workflow, most) = counting(None);
    let outcome = execute(&workflow, vec![0; MAX_ITEMS + 1]).await;
    let error = error_of(&outcome, "each");
    assert!(matches!(
        error.downcast_ref(),
        Some(PartError::TooManyItems { count }) if *count == MAX_ITEMS + 1
    ));
    assert_eq!(most.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn the_timeout_is_that_of_an_attempt_and_the_next_is_at_what_is_left() {
    let mut workflow = Workflow::builder("slow");
    let list = workflow.input();
    let done = workflow
        .step("each")
        .timeout(Duration::from_millis(10))
        .retry(Retry::constant(Duration::ZERO).max_attempts(3))
        .for_each(list)
        .concurrency(NonZeroUsize::MIN)
        .run(async |item: u32| {
            sleep(Duration::from_millis(4)).await;
            Ok::<_, StepError>(item)
        });
    let workflow = workflow.build().unwrap();
    // Two an attempt.
    let outcome = execute(&workflow, (0..6).collect()).await;
    assert_eq!(*outcome.output(&done).unwrap(), [0, 1, 2, 3, 4, 5]);
    let outcome = execute(&workflow, (0..7).collect()).await;
    let error = error_of(&outcome, "each");
    let timed_out = AttemptError::TimedOut(Duration::from_millis(10));
    assert_eq!(error.downcast_ref(), Some(&timed_out));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_tells_every_item_that_is_under_way() {
    let mut workflow = Workflow::builder("cancelled");
    let (list, told) = (workflow.input(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&told);
    workflow
        .step("each")
        .for_each(list)
        .concurrency(NonZeroUsize::new(5).unwrap())
        .run_with(move |context: StepContext, _: u32| {
            let told = Arc::clone(&counted);
            async move {
                context.token().cancelled().await;
                told.fetch_add(1, Ordering::SeqCst);
                Err::<(), _>(StepError::message("it was told"))
            }
        });
    let workflow = workflow.build().unwrap();
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    let run = orchestrator
        .start_workflow(&workflow, (0..9).collect())
        .unwrap();
    sleep(Duration::from_millis(1)).await;
    run.cancel();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Cancelled);
    // Those that had not begun are told as soon as they do.
    assert_eq!(told.load(Ordering::SeqCst), 9);
}

/// Items that hold on for an hour from the third on, where they are told to.
fn holding(seen: &Seen, holds: bool) -> Workflow<Vec<u32>, Durable> {
    let mut workflow = Workflow::durable("holding");
    let (list, seen) = (workflow.input(), seen.clone());
    let each = workflow
        .step("each")
        .for_each(list)
        .concurrency(NonZeroUsize::new(2).unwrap())
        .run_with(move |context: StepContext, item: u32| {
            seen.see(unmarked(&context));
            async move {
                sleep(Duration::from_secs(if holds && item >= 3 {
                    3600
                } else {
                    1
                }))
                .await;
                Ok::<_, StepError>(item)
            }
        });
    workflow
        .step("end")
        .after(&each)
        .run(async || Ok::<_, StepError>(()));
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_what_is_done_is_not_done_again_and_what_was_under_way_has_the_same_key() {
    let (machine, seen) = (Machine::new(), Seen::default());
    let killed = machine.process();
    let workflow = holding(&seen, true);
    let run = killed
        .start_durable(&workflow, id(), (0..6).collect())
        .await
        .unwrap();
    sleep(Duration::from_secs(10)).await;
    let done = Progress::Items { done: 3, of: 6 };
    let here = run.view().unwrap();
    let elsewhere = machine.journal().view(&id()).await.unwrap();
    for view in [here, elsewhere] {
        assert_eq!(view.why("each"), Some(Why::Progress(done)));
        assert_eq!(
            view.why("each").unwrap().to_string(),
            "it is running: 3 of 6 items are done"
        );
    }
    drop(killed);
    sleep(DEFAULT_LEASE_TTL).await;
    seen.take();

    let process = machine.process();
    let workflow = holding(&seen, false);
    let run = process.resume_run(&workflow, &id()).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.is_completed());
    assert_eq!(outcome.step("each").unwrap().attempts, 1);
    assert_eq!(seen.take(), ["r/each:3", "r/each:4", "r/each:5"]);
}

#[tokio::test(start_paused = true)]
async fn items_that_end_at_once_share_an_append() {
    let (machine, seen) = (Machine::new(), Seen::default());
    let log = Arc::new(Failing {
        log: Arc::clone(&machine.log),
        left: AtomicUsize::new(usize::MAX),
    });
    let process = machine.with_log(Arc::clone(&log) as _).process();
    let (workflow, _) = failing(&seen);
    let run = process.start_durable(&workflow, id(), vec![0; 2_500]).await;
    assert!(run.unwrap().outcome().await.unwrap().is_completed());
    let kinds = machine.kinds("r").await;
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| *kind == "part-completed")
            .count(),
        998,
        "of the first thousand records"
    );
    let appends = usize::MAX - log.left.load(Ordering::SeqCst);
    assert!(appends < 30, "{appends}");
}

#[tokio::test(start_paused = true)]
async fn a_retried_run_goes_on_with_what_is_left_and_from_a_step_with_all_of_it() {
    let (machine, seen) = (Machine::new(), Seen::default());
    let process = machine.process();
    let (workflow, _) = failing(&seen);
    let run = process.start_durable(&workflow, id(), vec![0, 4, 0]);
    let outcome = run.await.unwrap().outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Failed);
    seen.take();

    // What failed has not been done, so its key is the same.
    let run = process.retry_run(&workflow, &id(), None).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    assert_eq!(seen.take(), ["r/each:1 failed"; 3]);

    // From this step on it is done anew, and what was done has another key.
    let run = process.retry_run(&workflow, &id(), Some("each")).await;
    assert_eq!(run.unwrap().outcome().await.unwrap().status, Status::Failed);
    let anew = seen.take();
    assert_eq!(anew.iter().filter(|seen| *seen == "r/each/1:0").count(), 1);
    assert_eq!(anew.len(), 5, "{anew:?}");
}

/// A run whose processes' journals fail after so many appends each; how often each item ended.
async fn crash(list: &[u32], crashes: &[usize]) -> (Arc<Outcome>, Seen, usize) {
    let (machine, seen) = (Machine::new(), Seen::default());
    let (workflow, _) = failing(&seen);
    for &left in crashes {
        let log = Arc::new(Failing {
            log: Arc::clone(&machine.log),
            left: AtomicUsize::new(left),
        });
        let process = machine.with_log(log).process();
        if let Ok(run) = process.start_durable(&workflow, id(), list.to_vec()).await {
            let _ = run.outcome().await;
        }
        drop(process);
        sleep(DEFAULT_LEASE_TTL).await;
    }
    let kept = match machine.journal().view(&id()).await {
        Ok(view) => view.step("each").and_then(|step| step.progress),
        Err(_) => None,
    };
    let log = Arc::new(Failing {
        log: Arc::clone(&machine.log),
        left: AtomicUsize::new(usize::MAX),
    });
    let process = machine.with_log(Arc::clone(&log) as _).process();
    let before: usize = (0..list.len())
        .map(|item| seen.count(&format!("r/each:{item}")))
        .sum();
    let run = process.start_durable(&workflow, id(), list.to_vec()).await;
    let outcome = run.unwrap().outcome().await.unwrap();
    let after: usize = (0..list.len())
        .map(|item| seen.count(&format!("r/each:{item}")))
        .sum();
    // What was kept as done is not done again.
    if let Some(Progress::Items { done, of }) = kept {
        assert!(after - before <= of - done, "{before} {after} {kept:?}");
    }
    (outcome, seen, usize::MAX - log.left.load(Ordering::SeqCst))
}

#[test]
fn a_step_with_items_that_crashes_at_any_append_comes_to_the_same_end() {
    for list in [vec![0, 1, 0, 2], vec![0, 3, 0]] {
        let (undisturbed, seen, appends) = paused(crash(&list, &[]));
        assert!(appends >= 3, "{appends}");
        let expected = seen.take();
        for left in 0..appends {
            let (outcome, seen, _) = paused(crash(&list, &[left]));
            assert_eq!(outcome.status, undisturbed.status, "crash at {left}");
            assert_eq!(outcome.value_of("each"), undisturbed.value_of("each"));
            // The same, and some of it once more.
            let mut counts = BTreeMap::<String, usize>::new();
            seen.take()
                .into_iter()
                .for_each(|seen| *counts.entry(seen).or_default() += 1);
            for what in &expected {
                assert!(counts.contains_key(what), "{what} at {left}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_list_with_any_failures_crashed_anywhere_ends_as_it_would_have(
        list in prop::collection::vec(0..4_u32, 0..12),
        crashes in prop::collection::vec(0..10_usize, 0..4),
    ) {
        let (outcome, seen, _) = paused(crash(&list, &crashes));
        let fails = list.iter().any(|failures| *failures >= 3);
        prop_assert_eq!(outcome.status == Status::Failed, fails);
        for (item, failures) in list.iter().enumerate() {
            let ends = seen.count(&format!("r/each:{item}"));
            prop_assert!(ends <= 1 + crashes.len());
            prop_assert_eq!(ends > 0, *failures < 3, "{} ended {} times", item, ends);
        }
    }
}

fn data() -> Registry {
    Registry::new()
        .handler("list", async |call: HandlerCall| Ok(call.input))
        .handler("double", async |call: HandlerCall| {
            let item = call.item.as_ref().and_then(Value::as_i64);
            let item = item.ok_or_else(|| StepError::message("no number"))?;
            Ok(json!([call.context.part(), item * 2, call.outputs.len()]))
        })
}

#[tokio::test(start_paused = true)]
async fn as_data_a_handler_is_called_for_each_item_of_a_step_or_of_a_list() {
    let spec = Spec::new("doubles")
        .step(StepSpec::new("numbers", "list").input(json!([3, 4])))
        .step(StepSpec::new("from-step", "double").for_each(ForEachSpec::step_items("numbers")))
        .step(StepSpec::new("from-list", "double").for_each(vec![json!(5)]));
    let outcome = execute(&data().workflow(spec).unwrap(), ()).await;
    let value = |step| outcome.value_of(step).unwrap();
    assert_eq!(*value("from-step"), json!([[0, 6, 1], [1, 8, 1]]));
    assert_eq!(*value("from-list"), json!([[0, 10, 0]]));

    let spec = Spec::new("no-list")
        .step(StepSpec::new("numbers", "list").input("three"))
        .step(StepSpec::new("each", "double").for_each(ForEachSpec::step_items("numbers")));
    let outcome = execute(&data().workflow(spec).unwrap(), ()).await;
    let text = "its items come from `numbers`, whose output is no list";
    assert_eq!(error_of(&outcome, "each").to_string(), text);
}

#[test]
fn as_data_what_is_wrong_with_a_list_is_told_with_the_rest() {
    let sleeps = StepSpec::sleep("sleeps", Duration::ZERO).for_each(vec![]);
    let spec = Spec::new("wrong")
        .step(StepSpec::new("numbers", "list"))
        .step(StepSpec::new("each", "double").for_each(ForEachSpec::step_items("nmbers")))
        .step(sleeps)
        .step(StepSpec::new("self", "double").for_each(ForEachSpec::step_items("self")));
    let faults = data().workflow(spec).unwrap_err();
    assert!(
        matches!(
            &faults.0[..],
            [
                Fault::WithoutHandler { step: 2, what: "for_each", .. },
                Fault::UnknownItems { step: 1, nearest: Some(nearest), .. },
                Fault::Cycle { .. },
            ] if nearest == "numbers"
        ),
        "{faults}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_list_of_a_workflow_that_is_data_may_be_a_part_of_an_output() {
    let registry = Registry::new()
        .handler("find", async |call: HandlerCall| Ok(call.input))
        .handler("double", async |call: HandlerCall| {
            let item = call.item.and_then(|item| item.as_i64());
            item.map(|item| (item * 2).into())
                .ok_or_else(|| StepError::message("not a number"))
        });
    let found = serde_json::json!({ "found": { "numbers": [3, 4] } });
    let each_found = serde_json::json!([{ "number": 3 }, { "number": 4 }]);
    let spec = |found: &serde_json::Value, pointer: &str| {
        let each = ForEachSpec::step_items("find").pointer(pointer);
        Spec::new("w")
            .step(StepSpec::new("find", "find").input(found.clone()))
            .step(StepSpec::new("double", "double").for_each(each))
    };
    let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
    for (found, pointer) in [(&found, "/found/numbers"), (&each_found, "/*/number")] {
        let workflow = registry.workflow(spec(found, pointer)).unwrap();
        let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
        let doubled = outcome.value_of("double").unwrap();
        assert_eq!(*doubled, serde_json::json!([6, 8]), "{pointer}");
    }
    for (found, pointer) in [
        (&found, "/found"),
        (&found, "/*/number"),
        (&each_found, "/*/other"),
    ] {
        let workflow = registry.workflow(spec(found, pointer)).unwrap();
        let outcome = orchestrator.execute_workflow(&workflow, ()).await.unwrap();
        assert_eq!(outcome.status, Status::Failed, "{pointer}");
    }
}
