//! Crashes at any append, of the run or of those within it.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_workflow::{
    DEFAULT_LEASE_TTL, Durable, Retry, RunId, RunQuery, RunState, Step, StepContext, StepError,
    Workflow,
};
use proptest::prelude::*;

use crate::crashes::{Failing, paused};
use crate::durable::Machine;

#[derive(Debug, Clone)]
struct List {
    /// Of each item whether the first run at it fails.
    fail: Vec<bool>,
    concurrency: usize,
    /// After how many appends its processes crash.
    crashes: Vec<usize>,
}

fn list() -> impl Strategy<Value = List> {
    let fail = prop::collection::vec(prop::bool::weighted(0.3), 1..6);
    (fail, 1..4_usize, prop::collection::vec(1..60_usize, 0..4)).prop_map(
        |(fail, concurrency, crashes)| List {
            fail,
            concurrency,
            crashes,
        },
    )
}

/// By item, the first run at it, and how often its work was done.
type World = Arc<Mutex<BTreeMap<usize, (RunId, usize)>>>;

fn workflow(list: &List, world: &World) -> (Workflow<(), Durable>, Step<Vec<usize>>) {
    let mut workflow = Workflow::durable("inner");
    let (item, world, fail) = (workflow.input(), Arc::clone(world), list.fail.clone());
    let first = workflow.step("first").input(item);
    let first = first.run(async |item: Arc<usize>| Ok::<usize, StepError>(*item));
    let work = workflow.step("work").input(first);
    let work = work.run_with(move |context: StepContext, item: Arc<usize>| {
        let mut world = world.lock().unwrap();
        let of_item = world.entry(*item).or_insert((context.run().clone(), 0));
        of_item.1 += 1;
        let fails = fail[*item] && of_item.0 == *context.run();
        async move {
            sleep(Duration::from_millis(10 * (7 - *item as u64))).await;
            match fails {
                true => Err(StepError::message("it was to fail")),
                false => Ok(*item * 10),
            }
        }
    });
    let inner: Workflow<usize, Durable> = workflow.build().unwrap();
    let mut workflow = Workflow::durable("outer");
    let all: Vec<usize> = (0..list.fail.len()).collect();
    let items = workflow.step("items").run(move || {
        let all = all.clone();
        async move { Ok::<_, StepError>(all) }
    });
    let each = workflow
        .step("each")
        .retry(Retry::constant(Duration::from_millis(5)).max_attempts(2))
        .for_each(items)
        .concurrency(NonZeroUsize::new(list.concurrency).unwrap())
        .workflow(&inner, work);
    (workflow.build().unwrap(), each)
}

async fn crash_and_check(list: &List) {
    let (machine, world) = (Machine::new(), World::default());
    let (workflow, each) = workflow(list, &world);
    let id = RunId::named("r").unwrap();
    for &left in &list.crashes {
        let log = Arc::new(Failing {
            log: Arc::clone(&machine.log),
            left: AtomicUsize::new(left),
        });
        let process = machine.with_log(Arc::clone(&log) as _).process();
        if let Ok(run) = process.start_durable(&workflow, id.clone(), ()).await {
            let _ = run.outcome().await;
        }
        assert!(log.left.load(Ordering::SeqCst) < left);
        drop(process);
        sleep(DEFAULT_LEASE_TTL).await;
    }
    let process = machine.process();
    let run = process.start_durable(&workflow, id.clone(), ()).await;
    let outcome = run.unwrap().outcome().await.unwrap();
    let all: Vec<_> = (0..list.fail.len()).map(|item| item * 10).collect();
    assert_eq!(*outcome.output(&each).unwrap(), all);

    // One run at each item, and another where that failed: all of them have ended.
    let mut runs = vec![0; list.fail.len()];
    let journal = machine.journal();
    for run in journal.runs(&RunQuery::newest()).await.unwrap() {
        let view = journal.view(&run).await.unwrap();
        assert!(matches!(view.state, RunState::Finished(_)), "{view:?}");
        if let Some(parent) = view.parent {
            runs[parent.part.unwrap()] += 1;
        }
    }
    let expected: Vec<_> = list
        .fail
        .iter()
        .map(|fails| 1 + usize::from(*fails))
        .collect();
    assert_eq!(runs, expected);
    for (item, (_, done)) in &*world.lock().unwrap() {
        let runs = expected[*item];
        assert!(
            (runs..=runs + list.crashes.len()).contains(done),
            "{item}: {done}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whenever_a_run_crashes_there_is_one_run_at_each_item_and_one_more_where_that_failed(list in list()) {
        paused(crash_and_check(&list));
    }
}
