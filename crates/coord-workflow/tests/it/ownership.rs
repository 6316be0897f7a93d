//! A lease that runs out while its process stands still, or cannot be renewed: which runs go on, and which
//! are left to others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::{Instant, sleep};
use coord_bus::{BoxFuture, Grant, Held, Lease, LeaseError, LocalBus};
use coord_workflow::{
    Command, Compensation, DEFAULT_LEASE_TTL, Durable, Retry, RunId, RunState, StepError,
    StepPhase, Workflow, WorkflowError,
};
use serde_json::json;
use tokio::time::advance;

use crate::durable::Machine;

const SECOND: Duration = Duration::from_secs(1);

fn named(id: &str) -> RunId {
    RunId::named(id).unwrap()
}

/// The leases as one process sees them, which is cut off from them at times.
pub(crate) struct Reached {
    leases: Arc<dyn Lease>,
    is_cut_off: Mutex<bool>,
    /// How long it takes to acquire one.
    takes: Mutex<Duration>,
    /// How often one was renewed.
    renewed: AtomicUsize,
}

impl Reached {
    pub(crate) fn new(leases: Arc<dyn Lease>) -> Arc<Self> {
        Arc::new(Self {
            leases,
            is_cut_off: Mutex::new(false),
            takes: Mutex::new(Duration::ZERO),
            renewed: AtomicUsize::new(0),
        })
    }

    /// To acquire one takes so long from now on.
    pub(crate) fn takes(&self, time: Duration) {
        *self.takes.lock().unwrap() = time;
    }

    pub(crate) fn renewed(&self) -> usize {
        self.renewed.load(Ordering::SeqCst)
    }

    fn is_cut_off(&self) -> Result<(), LeaseError> {
        match *self.is_cut_off.lock().unwrap() {
            true => Err(LeaseError::Failed {
                source: "cut off".into(),
            }),
            false => Ok(()),
        }
    }

    pub(crate) fn cut_off(&self, is_cut_off: bool) {
        *self.is_cut_off.lock().unwrap() = is_cut_off;
    }
}

impl Lease for Reached {
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Grant, LeaseError>> {
        Box::pin(async move {
            let takes = *self.takes.lock().unwrap();
            sleep(takes).await;
            self.is_cut_off()?;
            self.leases.acquire(name, holder, ttl).await
        })
    }

    fn renew<'a>(
        &'a self,
        grant: &'a Grant,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(async move {
            self.is_cut_off()?;
            self.leases.renew(grant, ttl).await?;
            self.renewed.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    }

    fn release(&self, grant: Grant) -> BoxFuture<'_, Result<(), LeaseError>> {
        Box::pin(async move {
            self.is_cut_off()?;
            self.leases.release(grant).await
        })
    }

    fn current<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Held>, LeaseError>> {
        self.leases.current(name)
    }
}

/// What a process has of the machine that may be cut off from its leases.
pub(crate) fn reached(machine: &Machine) -> (Machine, Arc<Reached>) {
    let reached = Reached::new(Arc::clone(&machine.leases));
    let leases = Arc::clone(&reached) as Arc<dyn Lease>;
    let machine = Machine {
        leases,
        ..machine.clone()
    };
    (machine, reached)
}

/// A step that takes a minute, with how often it began; then one that waits for a signal.
fn minute(begun: &Arc<AtomicUsize>) -> Workflow<(), Durable> {
    let begun = Arc::clone(begun);
    let mut workflow = Workflow::durable("minute");
    let step = workflow.step("minute").run(move || {
        begun.fetch_add(1, Ordering::SeqCst);
        async {
            sleep(60 * SECOND).await;
            Ok::<_, StepError>(())
        }
    });
    workflow.step("go").after(&step).signal::<u32>("go");
    workflow.build().unwrap()
}

fn go() -> Command {
    let (name, payload) = ("go".to_owned(), json!(1));
    Command::Signal {
        name,
        payload,
        id: None,
    }
}

#[tokio::test(start_paused = true)]
async fn what_stood_still_for_longer_than_its_lease_goes_on_where_it_was() {
    let (machine, begun) = (Machine::new(), Arc::default());
    let workflow = minute(&begun);
    let process = machine.process();
    let start = |id| process.start_durable(&workflow, named(id), ());
    let runs = [start("a").await.unwrap(), start("b").await.unwrap()];
    sleep(SECOND).await;
    for _ in 0..3 {
        // Nothing is polled meanwhile: as where it is stopped, or the machine sleeps.
        advance(DEFAULT_LEASE_TTL + 15 * SECOND).await;
        sleep(SECOND).await;
        let view = machine.journal().view(&named("a")).await.unwrap();
        assert_eq!(view.state, RunState::Running);
        let other = machine.process();
        let elsewhere = other.resume_run(&workflow, &named("a")).await;
        assert!(
            matches!(elsewhere, Err(WorkflowError::DrivenElsewhere { .. })),
            "{elsewhere:?}"
        );
    }
    for run in runs {
        // It is also heard what others say.
        machine.journal().tell(run.id(), go()).await.unwrap();
        assert!(run.outcome().await.unwrap().is_completed());
    }
    assert_eq!(begun.load(Ordering::SeqCst), 2, "once in each run");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_went_on_after_its_lease_had_run_out_is_taken_up_like_any_other() {
    let (machine, begun) = (Machine::new(), Arc::default());
    let workflow = minute(&begun);
    let process = machine.process();
    let id = named("a");
    process
        .start_durable(&workflow, id.clone(), ())
        .await
        .unwrap();
    sleep(SECOND).await;
    advance(DEFAULT_LEASE_TTL + 15 * SECOND).await;
    sleep(60 * SECOND).await;
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    let view = machine.journal().view(&id).await.unwrap();
    assert_eq!(view.state, RunState::Interrupted);
    assert_eq!(view.step("minute").unwrap().phase, StepPhase::Completed);
    let process = machine.process();
    let run = process.resume_run(&workflow, &id).await.unwrap();
    run.tell(go()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn of_the_runs_of_a_lease_that_ran_out_only_one_that_was_claimed_is_gone() {
    let (machine, begun) = (Machine::new(), Arc::default());
    let workflow = minute(&begun);
    let (slow, reached) = reached(&machine);
    let process = slow.process();
    let start = |id| process.start_durable(&workflow, named(id), ());
    let (claimed, kept) = (
        start("claimed").await.unwrap(),
        start("kept").await.unwrap(),
    );
    sleep(SECOND).await;
    reached.takes(2 * SECOND);
    advance(DEFAULT_LEASE_TTL + SECOND).await;
    sleep(SECOND).await;
    // Before it has its lease again.
    let other = machine.process();
    let run = other
        .resume_run(&workflow, &named("claimed"))
        .await
        .unwrap();
    let taken_over = claimed.outcome().await;
    assert!(
        matches!(taken_over, Err(WorkflowError::TakenOver { .. })),
        "{taken_over:?}"
    );
    for run in [run, kept] {
        run.tell(go()).await.unwrap();
        assert!(run.outcome().await.unwrap().is_completed());
    }
    // Once in the one that was kept, and in the other by each.
    assert_eq!(begun.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_begins_while_the_lease_is_acquired_anew_is_kept_under_what_it_is_then() {
    let (machine, begun) = (Machine::new(), Arc::default());
    let workflow = minute(&begun);
    let (slow, reached) = reached(&machine);
    let process = slow.process();
    let start = |id| process.start_durable(&workflow, named(id), ());
    start("first").await.unwrap();
    reached.takes(2 * SECOND);
    advance(DEFAULT_LEASE_TTL + SECOND).await;
    sleep(SECOND).await;
    let run = start("second").await.unwrap();
    sleep(SECOND).await;
    let other = machine.process();
    let elsewhere = other.resume_run(&workflow, run.id()).await;
    assert!(
        matches!(elsewhere, Err(WorkflowError::DrivenElsewhere { .. })),
        "{elsewhere:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_under_way_is_told_to_stop_where_the_lease_is_lost_before_anybody_else_begins_it() {
    let machine = Machine::new();
    let (process, reached) = reached(&machine);
    let process = process.process();
    let under_way: Arc<Mutex<Vec<(&str, u64)>>> = Arc::default();
    let (begun, id) = (Instant::now(), named("a"));
    let build = |who| {
        let (under_way, mut workflow) = (Arc::clone(&under_way), Workflow::durable("w"));
        workflow.step("step").run(move || {
            let under_way = Arc::clone(&under_way);
            async move {
                for _ in 0..40 {
                    let second = begun.elapsed().as_secs();
                    under_way.lock().unwrap().push((who, second));
                    sleep(SECOND).await;
                }
                Ok::<_, StepError>(())
            }
        });
        let workflow: Workflow<(), Durable> = workflow.build().unwrap();
        workflow
    };
    let first = process.start_durable(&build("one"), id.clone(), ()).await;
    sleep(SECOND).await;
    reached.cut_off(true);
    let lost = first.unwrap().outcome().await.unwrap_err();
    assert!(matches!(lost, WorkflowError::LeaseLost { .. }), "{lost:?}");
    let other = machine.process();
    let run = other.resume_run(&build("two"), &id).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    let under_way = under_way.lock().unwrap().clone();
    let by = |who| {
        under_way
            .iter()
            .filter(move |(by, _)| *by == who)
            .map(|(_, at)| *at)
    };
    assert!(
        by("one").count() < 40 && by("two").count() == 40,
        "{under_way:?}"
    );
    assert!(by("one").max() <= by("two").min(), "{under_way:?}");
    // The same process may have runs again, once it reaches its leases.
    reached.cut_off(false);
    let next = process.start_durable(&build("one"), named("b"), ()).await;
    assert!(next.unwrap().outcome().await.unwrap().is_completed());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_renewed_for_half_of_its_time_is_not_lost() {
    let (machine, begun) = (Machine::new(), Arc::default());
    let (process, reached) = reached(&machine);
    let process = process.process();
    let run = process.start_durable(&minute(&begun), named("a"), ()).await;
    let run = run.unwrap();
    sleep(SECOND).await;
    reached.cut_off(true);
    sleep(DEFAULT_LEASE_TTL / 2).await;
    reached.cut_off(false);
    run.tell(go()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    let renewed = machine.kinds("a").await;
    assert!(
        !renewed.contains(&"owner-renewed".to_owned()),
        "{renewed:?}"
    );
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

/// A step that is done, with how often its undoing began and ended, by whom and when; then one that fails.
/// Each attempt at undoing takes 20 seconds, and fails as often as that.
fn undone(who: &'static str, fails: usize, undoing: &Undoing) -> Workflow<(), Durable> {
    let undoing = Arc::clone(undoing);
    let tried = Arc::new(AtomicUsize::new(0));
    let mut workflow = Workflow::durable("undone");
    let done = workflow
        .step("done")
        .compensate(move |_: Arc<()>| {
            let (undoing, tried) = (Arc::clone(&undoing), Arc::clone(&tried));
            async move {
                let write = |what| undoing.lock().unwrap().push((who, what, Instant::now()));
                write("begins");
                sleep(20 * SECOND).await;
                write("ends");
                match tried.fetch_add(1, Ordering::SeqCst) < fails {
                    true => Err(StepError::message("locked")),
                    false => Ok(()),
                }
            }
        })
        .compensation_retry(Retry::constant(SECOND).max_attempts(100))
        .run(async || Ok::<_, StepError>(()));
    let fails = workflow.step("fails").after(&done).retry(Retry::none());
    fails.run(async || Err::<(), _>(StepError::message("no")));
    workflow.build().unwrap()
}

type Undoing = Arc<Mutex<Vec<(&'static str, &'static str, Instant)>>>;

#[tokio::test(start_paused = true)]
async fn undoing_is_told_to_stop_where_the_lease_is_lost_before_anybody_else_undoes_the_same() {
    let (machine, undoing) = (Machine::new(), Undoing::default());
    let (process, reached) = reached(&machine);
    let (process, id) = (process.process(), named("a"));
    let one = undone("one", usize::MAX, &undoing);
    let first = process.start_durable(&one, id.clone(), ()).await;
    sleep(SECOND).await;
    reached.cut_off(true);
    let lost = first.unwrap().outcome().await.unwrap_err();
    assert!(matches!(lost, WorkflowError::LeaseLost { .. }), "{lost:?}");
    let lost = Instant::now();
    let other = machine.process();
    let run = other.resume_run(&undone("two", 2, &undoing), &id).await;
    let outcome = run.unwrap().outcome().await.unwrap();
    let undone = &outcome.step("done").unwrap().compensation;
    assert!(
        matches!(undone, Some(Compensation::Completed)),
        "{undone:?}"
    );
    let undoing = undoing.lock().unwrap().clone();
    let whats = undoing.iter().map(|(who, what, _)| format!("{who} {what}"));
    let whats: Vec<_> = whats.collect();
    // The second attempt of the first is dropped where it waits.
    let one = ["one begins", "one ends", "one begins"];
    assert_eq!(whats[..3], one);
    assert_eq!(whats[3..].concat(), "two beginstwo ends".repeat(3));
    assert!(undoing[2].2 < lost && undoing[3].2 >= lost);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_an_attempt_at_undoing_end_and_begins_no_other_nor_counts_it_as_cut_off() {
    let (machine, undoing) = (Machine::new(), Undoing::default());
    let id = named("a");
    let workflow = undone("it", 6, &undoing);
    for attempts in 1..=6 {
        let bus = LocalBus::new();
        let process = machine.builder(&bus).max_recovery_attempts(1).build();
        let process = process.unwrap();
        let run = process
            .start_durable(&workflow, id.clone(), ())
            .await
            .unwrap();
        sleep(SECOND).await;
        process.shutdown(60 * SECOND).await;
        let left = run.outcome().await.unwrap_err();
        assert!(matches!(left, WorkflowError::Suspended { .. }), "{left:?}");
        assert_eq!(undoing.lock().unwrap().len(), 2 * attempts);
    }
    let process = machine.process();
    let run = process.resume_run(&workflow, &id).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    let undone = &outcome.step("done").unwrap().compensation;
    assert!(
        matches!(undone, Some(Compensation::Completed)),
        "{undone:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn runs_of_an_orchestrator_that_was_dropped_are_free_at_once() {
    let machine = Machine::new();
    let mut workflow = Workflow::<()>::durable("waits");
    workflow.step("signal").signal::<u8>("go");
    let workflow = workflow.build().unwrap();
    let first = machine.process();
    let run = first
        .start_durable(&workflow, named("run"), ())
        .await
        .unwrap();
    drop(first);
    assert!(run.outcome().await.is_err());
    let second = machine.process();
    assert_eq!(second.resume_runs(&workflow).await.unwrap().runs.len(), 1);
}
