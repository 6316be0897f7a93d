//! What takes a place, and what takes none: however few there are, what only waits waits.

use std::future::{Ready, ready};
use std::num::NonZeroUsize;
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{BusExt, Envelope, LocalBus, Topic};
use coord_workflow::{
    AttemptError, Command, Durable, Outcome, Retry, Run, RunId, Signal, StepContext, StepError,
    StepState, Workflow, WorkflowOrchestrator,
};

use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);
const NEWS: Topic<u32> = Topic::new("news");

fn id(name: &str) -> RunId {
    RunId::named(name).unwrap()
}

/// An orchestrator with one place: for a run, or for all of them.
fn process(machine: &Machine, bus: &LocalBus, total: bool) -> WorkflowOrchestrator {
    let builder = machine.builder(bus);
    let builder = match total {
        true => builder.total_concurrency(NonZeroUsize::MIN),
        false => builder.concurrency(NonZeroUsize::MIN),
    };
    builder.build().unwrap()
}

async fn start(
    process: &WorkflowOrchestrator,
    workflow: &Workflow<Vec<()>, Durable>,
    name: &str,
    is_kept: bool,
) -> Run {
    match is_kept {
        true => process
            .start_durable(workflow, id(name), vec![(); 2])
            .await
            .unwrap(),
        false => process.start_workflow(workflow, vec![(); 2]).unwrap(),
    }
}

/// Whether there is one place for all runs, and whether the runs are kept.
const WAYS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

/// When steps began and ended, in seconds.
fn times(outcome: &Outcome, steps: &[&str]) -> Vec<(u64, u64)> {
    let times = steps.iter().map(|step| {
        let step = outcome.step(step).unwrap();
        let began = step.started.unwrap();
        (began.as_secs(), (began + step.duration).as_secs())
    });
    times.collect()
}

#[tokio::test(start_paused = true)]
async fn what_only_waits_begins_while_every_place_is_taken() {
    let mut child = Workflow::durable("child");
    let napped = child.step("nap").sleep(SECOND);
    let child = child.build().unwrap();
    for (total, is_kept) in WAYS {
        let bus = LocalBus::new();
        let mut workflow = Workflow::durable("w");
        let list = workflow.input();
        let publisher = bus.publisher(&NEWS).unwrap();
        workflow.step("work").run_with(move |context: StepContext| {
            let publisher = publisher.clone();
            async move {
                sleep(3 * SECOND).await;
                let news = Envelope::new(7).correlation_id(context.run().as_str());
                publisher.publish_with(news).await.unwrap();
                sleep(7 * SECOND).await;
                Ok::<_, StepError>(())
            }
        });
        let nap = workflow.step("nap").sleep(SECOND);
        workflow.step("signal").signal::<u32>("go");
        workflow.step("event").wait_for(&bus, &NEWS);
        workflow.step("child").workflow(&child, napped);
        workflow
            .step("each")
            .for_each(list)
            .workflow(&child, napped);
        workflow.step("second").after(&nap).sleep(SECOND);
        workflow
            .step("next")
            .after(&nap)
            .run(async || Ok::<_, StepError>(()));
        let workflow = workflow.build().unwrap();
        let process = process(&Machine::new(), &bus, total);
        let run = start(&process, &workflow, "r", is_kept).await;
        sleep(2 * SECOND).await;
        let go = Signal::<u32>::new("go").with(1).unwrap();
        run.tell(go).await.unwrap();
        let outcome = run.outcome().await.unwrap();
        assert!(outcome.is_completed(), "{outcome:?}");
        let steps = ["nap", "signal", "event", "child", "each", "second", "next"];
        let expected = [(0, 1), (0, 2), (0, 3), (0, 1), (0, 1), (1, 2), (10, 10)];
        assert_eq!(times(&outcome, &steps), expected, "{total} {is_kept}");
    }
}

/// Fails this often, and then succeeds.
fn fails(times: u32) -> impl Fn(StepContext) -> Ready<Result<(), StepError>> + Send + Sync {
    move |context| {
        ready(match context.attempt() > times {
            true => Ok(()),
            false => Err(StepError::message("not yet")),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_between_two_attempts_leaves_its_place_to_others_and_has_one_again_before_later_steps()
 {
    for (total, is_kept) in WAYS {
        let mut workflow = Workflow::durable("w");
        let retry = Retry::constant(2 * SECOND).max_attempts(2);
        workflow.step("fails").retry(retry).run_with(fails(1));
        for step in ["one", "two", "three"] {
            workflow.step(step).run(|| async {
                sleep(3 * SECOND).await;
                Ok::<_, StepError>(())
            });
        }
        let workflow = workflow.build().unwrap();
        let (machine, bus) = (Machine::new(), LocalBus::new());
        let process = process(&machine, &bus, total);
        let run = start(&process, &workflow, "r", is_kept).await;
        sleep(SECOND).await;
        let why = |step: &str| run.why(step).unwrap().to_string();
        let backs_off = "its last attempt failed, and the next is made 2.0s after the run began";
        assert_eq!(why("fails"), backs_off);
        let waits = "it is ready, and waits for a place: as many steps as may run are running, which are `one`";
        assert_eq!(why("two"), waits);
        sleep(SECOND + SECOND / 2).await;
        assert_eq!(why("fails"), waits);
        let outcome = run.outcome().await.unwrap();
        assert!(outcome.is_completed());
        let steps = ["fails", "one", "two", "three"];
        let expected = [(0, 3), (0, 3), (3, 6), (6, 9)];
        assert_eq!(times(&outcome, &steps), expected, "{total} {is_kept}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_backs_off_does_not_hold_up_another_run() {
    let (machine, bus) = (Machine::new(), LocalBus::new());
    let process = process(&machine, &bus, true);
    let mut failing = Workflow::durable("failing");
    let retry = Retry::constant(60 * SECOND).max_attempts(2);
    failing.step("fails").retry(retry).run_with(fails(1));
    let mut other = Workflow::durable("other");
    other.step("works").run(async || Ok::<_, StepError>(()));
    let failing = start(&process, &failing.build().unwrap(), "failing", true).await;
    sleep(SECOND).await;
    let other = start(&process, &other.build().unwrap(), "other", true).await;
    assert_eq!(other.outcome().await.unwrap().duration.as_secs(), 0);
    assert_eq!(failing.outcome().await.unwrap().duration.as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_waits_for_its_place_again_ends_with_its_run_its_skip_or_its_total_time() {
    for (total, is_kept) in WAYS {
        for end in ["cancel", "skip", "total"] {
            let (machine, bus) = (Machine::new(), LocalBus::new());
            let process = process(&machine, &bus, total);
            let mut workflow = Workflow::durable("w");
            let step = workflow.step("fails").optional();
            let step = match end {
                "total" => step.total_timeout(3 * SECOND),
                _ => step,
            };
            let retry = Retry::constant(SECOND).max_attempts(2);
            step.retry(retry).run_with(fails(1));
            workflow.step("works").run(|| async {
                sleep(10 * SECOND).await;
                Ok::<_, StepError>(())
            });
            let workflow = workflow.build().unwrap();
            let run = start(&process, &workflow, "r", is_kept).await;
            sleep(3 * SECOND).await;
            let step = "fails".to_owned();
            match end {
                "cancel" => run.cancel(),
                "skip" => run.tell(Command::Skip { step }).await.unwrap(),
                _ => {}
            }
            let outcome = run.outcome().await.unwrap();
            let step = outcome.step("fails").unwrap();
            let is_as_said = match (end, step.state) {
                ("cancel", StepState::Cancelled) | ("skip", StepState::Skipped(_)) => true,
                ("total", StepState::Failed(error)) => {
                    matches!(error.downcast_ref(), Some(AttemptError::AllTimedOut(_)))
                }
                _ => false,
            };
            assert!(is_as_said, "{end}: {step:?}");
            assert_eq!(step.duration.as_secs(), 3, "{end}");
            // The place is there for who comes now.
            let mut probe = Workflow::durable("probe");
            probe.step("works").run(async || Ok::<_, StepError>(()));
            let probe = start(&process, &probe.build().unwrap(), "probe", is_kept).await;
            assert_eq!(probe.outcome().await.unwrap().duration.as_secs(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_run_that_is_paused_what_has_begun_is_tried_again_and_nothing_begins() {
    for (total, is_kept) in WAYS {
        let (machine, bus) = (Machine::new(), LocalBus::new());
        let process = process(&machine, &bus, total);
        let mut workflow = Workflow::durable("w");
        let retry = Retry::constant(2 * SECOND).max_attempts(2);
        workflow.step("fails").retry(retry).run_with(fails(1));
        workflow.step("works").run(|| async {
            sleep(3 * SECOND).await;
            Ok::<_, StepError>(())
        });
        workflow.step("next").run(async || Ok::<_, StepError>(()));
        let workflow = workflow.build().unwrap();
        let run = start(&process, &workflow, "r", is_kept).await;
        sleep(SECOND).await;
        run.tell(Command::Pause).await.unwrap();
        sleep(6 * SECOND).await;
        run.tell(Command::Continue).await.unwrap();
        let outcome = run.outcome().await.unwrap();
        let steps = ["fails", "works", "next"];
        assert_eq!(
            times(&outcome, &steps),
            [(0, 3), (0, 3), (7, 7)],
            "{total} {is_kept}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_reads_the_journal_is_told_that_a_step_waits_for_a_place_to_be_tried_again() {
    let (machine, bus) = (Machine::new(), LocalBus::new());
    let process = process(&machine, &bus, false);
    let mut workflow = Workflow::durable("w");
    let retry = Retry::constant(2 * SECOND).max_attempts(2);
    workflow.step("fails").retry(retry).run_with(fails(1));
    workflow.step("works").run(|| async {
        sleep(60 * SECOND).await;
        Ok::<_, StepError>(())
    });
    let workflow = workflow.build().unwrap();
    let run = start(&process, &workflow, "r", true).await;
    sleep(SECOND).await;
    // The clock of the machine is in 1970, so its next attempt is late already.
    let why = machine.journal().why(run.id(), "fails").await.unwrap();
    let waits = "it is ready, and waits for a place: as many steps as may run are running, which are `works`";
    assert_eq!(why.map(|why| why.to_string()).as_deref(), Some(waits));
    run.cancel();
    run.outcome().await.unwrap();
}
