//! A process that stood still for longer than its lease lasts begins nothing in a run that somebody else has by then,
//! whichever of its timers it looks at first.

use std::num::NonZeroUsize;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_workflow::{
    Call, DEFAULT_LEASE_TTL, Durable, HandlerCall, HookCall, Registry, Repeat, Retry, Round, RunId,
    Spec, StepError, StepSpec, Workflow, WorkflowError,
};
use futures_util::FutureExt;
use serde_json::json;
use tokio::time::advance;

use crate::durable::Machine;
use crate::ownership::reached;

const SECOND: Duration = Duration::from_secs(1);

/// Before and after the lease would be renewed, and when it is over.
const WAITS: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(20),
    DEFAULT_LEASE_TTL,
    Duration::from_secs(40),
];

/// Who has begun something, each time.
#[derive(Clone, Default)]
struct Begun(Arc<Mutex<Vec<&'static str>>>);

impl Begun {
    fn by(&self, who: &'static str) {
        self.0.lock().unwrap().push(who);
    }

    fn of(&self, who: &str) -> usize {
        let begun = self.0.lock().unwrap();
        begun.iter().filter(|by| **by == who).count()
    }
}

/// A workflow in which something is to begin after such a wait, by who is the second.
type Build = fn(&'static str, &Begun, Duration) -> Workflow<(), Durable>;

/// What the first begins in it once it has stood still: meanwhile somebody else has taken it up, or nobody has.
async fn stood_still(build: Build, is_taken_up: bool) {
    for wait in WAITS {
        let (machine, begun) = (Machine::new(), Begun::default());
        let (slow, leases) = reached(&machine);
        let (id, first, other) = (RunId::unique(), slow.process(), machine.process());
        let (one, two) = (build("one", &begun, wait), build("two", &begun, wait));
        let run = first.start_durable(&one, id.clone(), ()).await.unwrap();
        sleep(SECOND).await;
        let before = begun.of("one");
        // It takes a moment to hear what has become of the lease.
        leases.takes(2 * SECOND);
        // All is due at once, and nobody has been polled.
        let _ = advance(DEFAULT_LEASE_TTL + 60 * SECOND).now_or_never();
        if !is_taken_up {
            run.outcome().await.unwrap();
            assert!(begun.of("one") > before, "{wait:?}");
            continue;
        }
        let taken_up = other.resume_run(&two, &id).now_or_never().unwrap();
        let lost = run.outcome().await.unwrap_err();
        assert!(
            matches!(lost, WorkflowError::TakenOver { .. }),
            "{wait:?}: {lost:?}"
        );
        taken_up.unwrap().outcome().await.unwrap();
        assert_eq!(begun.of("one"), before, "{wait:?}");
        assert!(begun.of("two") > 0, "{wait:?}");
    }
}

async fn stands_still(build: Build) {
    stood_still(build, true).await;
    stood_still(build, false).await;
}

/// Fails the first two times.
fn fails(begun: &Begun, who: &'static str) -> Result<(), StepError> {
    begun.by(who);
    match begun.of(who) {
        1 | 2 => Err(StepError::message("not yet")),
        _ => Ok(()),
    }
}

#[tokio::test(start_paused = true)]
async fn it_makes_no_other_attempt() {
    stands_still(|who, begun, wait| {
        let (begun, mut workflow) = (begun.clone(), Workflow::durable("w"));
        let step = workflow
            .step("step")
            .retry(Retry::constant(wait).max_attempts(9));
        step.run(move || {
            let done = fails(&begun, who);
            async { done }
        });
        workflow.build().unwrap()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_begins_no_step_that_waited_for_a_place() {
    stands_still(|who, begun, wait| {
        let mut workflow = Workflow::durable("w").concurrency(NonZeroUsize::MIN);
        for step in ["a", "b"] {
            let begun = begun.clone();
            workflow.step(step).run(move || {
                begun.by(who);
                async move {
                    sleep(wait).await;
                    Ok::<_, StepError>(())
                }
            });
        }
        workflow.build().unwrap()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_begins_no_other_round() {
    stands_still(|who, begun, wait| {
        let (begun, mut workflow) = (begun.clone(), Workflow::durable("w"));
        let step = workflow.step("step").repeat(Repeat::at_most(9).every(wait));
        step.run(move |round: Round<()>| {
            begun.by(who);
            async move {
                Ok::<ControlFlow<(), ()>, StepError>(match round.number() {
                    3 => Break(()),
                    _ => Continue(()),
                })
            }
        });
        workflow.build().unwrap()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_begins_no_other_item() {
    stands_still(|who, begun, wait| {
        let (begun, mut workflow) = (begun.clone(), Workflow::durable("w"));
        let list = workflow.step("list");
        let list = list.run(async || Ok::<_, StepError>(vec![1, 2, 3]));
        let step = workflow.step("step").for_each(list);
        step.concurrency(NonZeroUsize::MIN).run(move |_: u32| {
            begun.by(who);
            async move {
                sleep(wait).await;
                Ok::<_, StepError>(())
            }
        });
        workflow.build().unwrap()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_undoes_nothing() {
    stands_still(|who, begun, wait| {
        let (begun, mut workflow) = (begun.clone(), Workflow::durable("w"));
        let done = workflow
            .step("done")
            .compensate(move |_: Arc<()>| {
                let undone = fails(&begun, who);
                async { undone }
            })
            .compensation_retry(Retry::constant(wait).max_attempts(9))
            .run(async || Ok::<_, StepError>(()));
        let fails = workflow.step("fails").after(&done).retry(Retry::none());
        fails.run(async || Err::<(), _>(StepError::message("no")));
        workflow.build().unwrap()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_calls_no_hook() {
    stands_still(|who, begun, wait| {
        let begun = begun.clone();
        let registry = Registry::new()
            .handler("works", move |_: HandlerCall| async move {
                sleep(wait).await;
                Ok(json!(1))
            })
            .hook("told", move |_: HookCall| {
                begun.by(who);
                async { Ok(()) }
            });
        let told = || Call::new("told", json!(null));
        let mut step = StepSpec::new("works", "works");
        step.hook = Some(told().into());
        registry
            .workflow(Spec::new("w").step(step).hook(told()))
            .unwrap()
    })
    .await;
}
