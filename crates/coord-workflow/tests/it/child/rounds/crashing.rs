//! Crashes at any append, of the run or of those within it.

use std::collections::BTreeMap;
use std::ops::ControlFlow::{Break, Continue};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_workflow::{
    DEFAULT_LEASE_TTL, Durable, Repeat, Retry, RunId, RunQuery, RunState, Step, StepContext,
    StepError, Workflow,
};
use proptest::prelude::*;

use crate::crashes::{Failing, paused};
use crate::durable::Machine;

#[derive(Debug, Clone)]
struct Rounds {
    /// Of each round whether the first run of it fails.
    fail: Vec<bool>,
    wait: Duration,
    /// After how many appends its processes crash.
    crashes: Vec<usize>,
}

fn rounds() -> impl Strategy<Value = Rounds> {
    let fail = prop::collection::vec(prop::bool::weighted(0.3), 1..6);
    let crashes = prop::collection::vec(1..60_usize, 0..4);
    (fail, 0..20_u64, crashes).prop_map(|(fail, wait, crashes)| Rounds {
        fail,
        wait: Duration::from_millis(wait),
        crashes,
    })
}

/// By round, the first run of it, and how often its work was done.
type World = Arc<Mutex<BTreeMap<usize, (RunId, usize)>>>;

/// Each round is started with its place, and what all before it have put out together.
fn workflow(rounds: &Rounds, world: &World) -> (Workflow<(), Durable>, Step<usize>) {
    let mut workflow = Workflow::durable("inner");
    let (given, world, fail) = (workflow.input(), Arc::clone(world), rounds.fail.clone());
    let first = workflow.step("first").input(given);
    let first = first.run(async |given: Arc<(usize, usize)>| Ok::<_, StepError>(*given));
    let work = workflow.step("work").input(first);
    let work = work.run_with(move |context: StepContext, given: Arc<(usize, usize)>| {
        let (place, sum) = *given;
        let mut world = world.lock().unwrap();
        let of_round = world.entry(place).or_insert((context.run().clone(), 0));
        of_round.1 += 1;
        let fails = fail[place] && of_round.0 == *context.run();
        async move {
            sleep(Duration::from_millis(10)).await;
            match fails {
                true => Err(StepError::message("it was to fail")),
                false => Ok(sum + place * 10),
            }
        }
    });
    let inner: Workflow<(usize, usize), Durable> = workflow.build().unwrap();
    let (mut workflow, last) = (Workflow::durable("outer"), rounds.fail.len() - 1);
    let begin = workflow.step("begin");
    let begin = begin.run(async || Ok::<(usize, usize), StepError>((0, 0)));
    let looped = workflow
        .step("loop")
        .retry(Retry::constant(Duration::from_millis(5)).max_attempts(9))
        .input(begin)
        .repeat(Repeat::at_most(9).every(rounds.wait))
        .workflow(&inner, work, move |round| match round.given.0 {
            place if place == last => Break(*round.output),
            place => Continue((place + 1, *round.output)),
        });
    (workflow.build().unwrap(), looped)
}

async fn crash_and_check(rounds: &Rounds) {
    let (machine, world) = (Machine::new(), World::default());
    let (workflow, looped) = workflow(rounds, &world);
    let id = RunId::named("r").unwrap();
    for &left in &rounds.crashes {
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
    let all: usize = (0..rounds.fail.len()).map(|round| round * 10).sum();
    assert_eq!(outcome.output(&looped).as_deref(), Some(&all));

    // One run of each round, and another where that failed: all of them have ended.
    let mut runs = vec![0; rounds.fail.len()];
    let journal = machine.journal();
    for run in journal.runs(&RunQuery::newest()).await.unwrap() {
        let view = journal.view(&run).await.unwrap();
        assert!(matches!(view.state, RunState::Finished(_)), "{view:?}");
        if let Some(parent) = view.parent {
            runs[parent.part.unwrap()] += 1;
        }
    }
    let fail = rounds.fail.iter();
    let expected: Vec<_> = fail.map(|fails| 1 + usize::from(*fails)).collect();
    assert_eq!(runs, expected);
    for (round, (_, done)) in &*world.lock().unwrap() {
        let runs = expected[*round];
        assert!(
            (runs..=runs + rounds.crashes.len()).contains(done),
            "{round}: {done}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whenever_a_run_crashes_there_is_one_run_of_each_round_and_one_more_where_that_failed(rounds in rounds()) {
        paused(crash_and_check(&rounds));
    }
}
