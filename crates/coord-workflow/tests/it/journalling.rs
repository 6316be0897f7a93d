//! What is kept of a run, in which order, and what is not kept before it is known to be right.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{
    AppendTo, Appended, BoxFuture, Durability, EventLog, EventLogError, EventLogProxy, LocalBus,
    Record, StoredRecord,
};
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, Retry, Run, RunId, Status, StepError, StepPhase, Workflow,
    WorkflowError,
};
use futures_util::poll;

use crate::durable::Machine;

/// Whether there was one left, which there is not any more.
fn takes_one(left: &AtomicUsize) -> bool {
    let take = |left: usize| left.checked_sub(1);
    let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
    taken.is_ok()
}

/// A log that says what it is asked for, and is busy for some times.
struct Watched {
    log: Arc<dyn EventLog>,
    /// How long the next appends that are refused take, and how many they are.
    busy: AtomicUsize,
    /// How many of the next reads are refused.
    busy_reads: AtomicUsize,
    /// The kind of the first record of each append to a run, and what that is to survive.
    asked: Mutex<Vec<(String, Durability)>>,
}

impl Watched {
    fn on(machine: &Machine) -> Arc<Self> {
        Arc::new(Self {
            log: Arc::clone(&machine.log),
            busy: AtomicUsize::new(0),
            busy_reads: AtomicUsize::new(0),
            asked: Mutex::default(),
        })
    }

    /// The last append that began with a record of this kind.
    fn last(&self, kind: &str) -> Durability {
        let asked = self.asked.lock().unwrap();
        let last = asked.iter().rfind(|(first, _)| first == kind);
        last.unwrap().1
    }
}

impl EventLogProxy for Watched {
    fn log(&self) -> &dyn EventLog {
        &*self.log
    }

    fn on_append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        if let Some(first) = append.records.first() {
            let mut asked = self.asked.lock().unwrap();
            asked.push((first.kind.clone(), append.durability));
        }
        match takes_one(&self.busy) {
            true => Box::pin(async {
                sleep(Duration::from_secs(5)).await;
                let source = "another process writes".into();
                Err(EventLogError::Busy { source })
            }),
            false => self.log.append(append),
        }
    }

    fn on_read<'a>(
        &'a self,
        stream: &'a str,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRecord>, EventLogError>> {
        match takes_one(&self.busy_reads) {
            true => Box::pin(async {
                let source = "too many begin at once".into();
                Err(EventLogError::Busy { source })
            }),
            false => self.log.read(stream, from, limit),
        }
    }
}

/// A log in which a run that has finished is forgotten just when it is going to be read.
struct Forgetting {
    log: Arc<dyn EventLog>,
    left: AtomicUsize,
}

impl EventLogProxy for Forgetting {
    fn log(&self) -> &dyn EventLog {
        &*self.log
    }

    fn on_read<'a>(
        &'a self,
        stream: &'a str,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRecord>, EventLogError>> {
        let forgets = takes_one(&self.left);
        Box::pin(async move {
            if forgets {
                self.log.forget(stream).await?;
            }
            self.log.read(stream, from, limit).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_is_that_of_a_new_run_also_where_the_one_of_its_id_is_forgotten_just_then() {
    let machine = Machine::new();
    let mut workflow = Workflow::durable("one");
    let begun = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&begun);
    workflow.step("one").run(move || {
        counts.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok::<_, StepError>(()))
    });
    let workflow: Workflow<(), Durable> = workflow.build().unwrap();
    let log = Arc::new(Forgetting {
        log: Arc::clone(&machine.log),
        left: AtomicUsize::new(0),
    });
    let process = machine.with_log(Arc::clone(&log) as _).process();
    for runs in 1..=2 {
        let run = process.start_durable(&workflow, id(), ()).await.unwrap();
        assert!(run.outcome().await.unwrap().is_completed());
        assert_eq!(begun.load(Ordering::SeqCst), runs);
        log.left.store(1, Ordering::SeqCst);
    }
}

fn id() -> RunId {
    RunId::named("a").unwrap()
}

/// Until what was begun has come as far as it can.
async fn settle() {
    sleep(Duration::from_secs(1)).await;
}

/// Two steps, of which each takes a minute, with a permit of `gpu`.
fn slow() -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("slow");
    let work = async || {
        sleep(Duration::from_secs(60)).await;
        Ok::<_, StepError>(())
    };
    let first = workflow.step("first").resource("gpu", 1).run(work);
    workflow.step("second").after(&first).run(work);
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_lacks_a_resource_does_not_keep_a_run_from_who_has_it() {
    let machine = Machine::new();
    let bus = LocalBus::new();
    let with_gpu = || machine.builder(&bus).resource("gpu", 1).build().unwrap();
    let process = with_gpu();
    process.start_durable(&slow(), id(), ()).await.unwrap();
    settle().await;
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    let kept = machine.kinds("a").await;
    let without = machine.process();
    let refused = without.resume_run(&slow(), &id()).await;
    assert!(
        matches!(refused, Err(WorkflowError::Resources { .. })),
        "{refused:?}"
    );
    assert_eq!(machine.kinds("a").await, kept);
    let process = with_gpu();
    let run = process.resume_run(&slow(), &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_retried_is_on_the_disk_when_that_is_known_and_one_that_is_resumed_need_not()
{
    let fails = || {
        let mut workflow = Workflow::durable("fails");
        workflow
            .step("fails")
            .run(async || Err::<(), _>(StepError::message("no")));
        let workflow: Workflow<(), Durable> = workflow.build().unwrap();
        workflow
    };
    let machine = Machine::new();
    let log = Watched::on(&machine);
    let machine = machine.with_log(Arc::clone(&log) as Arc<dyn EventLog>);
    let process = machine.process();
    let run = process.start_durable(&fails(), id(), ()).await.unwrap();
    assert_eq!(run.outcome().await.unwrap().status, Status::Failed);
    process.retry_run(&fails(), &id(), None).await.unwrap();
    assert_eq!(log.last("run-retried"), Durability::Disk);
    let other = RunId::named("b").unwrap();
    let bus = LocalBus::new();
    let process = machine.builder(&bus).resource("gpu", 1).build().unwrap();
    process
        .start_durable(&slow(), other.clone(), ())
        .await
        .unwrap();
    settle().await;
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    let process = machine.builder(&bus).resource("gpu", 1).build().unwrap();
    process.resume_run(&slow(), &other).await.unwrap();
    assert_eq!(log.last("run-claimed"), Durability::Process);
}

#[tokio::test(start_paused = true)]
async fn a_command_of_a_later_version_is_ignored_by_who_drives_the_run_and_by_who_resumes_it() {
    let machine = Machine::new();
    let bus = LocalBus::new();
    let process = machine.builder(&bus).resource("gpu", 1).build().unwrap();
    process.start_durable(&slow(), id(), ()).await.unwrap();
    settle().await;
    let later = || {
        let command = Record::new("command", r#"{"command":"levitate","height":3}"#);
        AppendTo::stream("run.a").record(command)
    };
    machine.log.append(later()).await.unwrap();
    sleep(Duration::from_secs(70)).await;
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    machine.log.append(later()).await.unwrap();
    let view = machine.journal().view(&id()).await.unwrap();
    assert_eq!(view.step("first").unwrap().phase, StepPhase::Completed);
    let mut following = machine.journal().follow(&id()).await.unwrap();
    machine.log.append(later()).await.unwrap();
    let process = machine.builder(&bus).resource("gpu", 1).build().unwrap();
    let run = process.resume_run(&slow(), &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    while following.next().await.unwrap().is_some() {}
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_more_nanoseconds_than_there_are_is_as_long_in_any_process() {
    // In 64 bits of nanoseconds, that is a third of a second.
    let wait = Duration::from_secs(18_446_744_074);
    let tried = Arc::new(AtomicUsize::new(0));
    let build = || {
        let trying = Arc::clone(&tried);
        let mut workflow = Workflow::durable("waiting").timeout(Duration::MAX);
        let retry = Retry::constant(wait).max_attempts(2);
        workflow.step("step").retry(retry).run(move || {
            trying.fetch_add(1, Ordering::SeqCst);
            async { Err::<(), _>(StepError::message("no")) }
        });
        let workflow: Workflow<(), Durable> = workflow.build().unwrap();
        workflow
    };
    let machine = Machine::new();
    let process = machine.process();
    process.start_durable(&build(), id(), ()).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    let process = machine.process();
    let run = process.resume_run(&build(), &id()).await.unwrap();
    sleep(Duration::from_secs(1_000)).await;
    assert_eq!(tried.load(Ordering::SeqCst), 1);
    let phase = run.view().unwrap().step("step").unwrap().phase;
    assert_eq!(phase, StepPhase::Retrying);
}

async fn pausable(machine: &Machine) -> (coord_workflow::WorkflowOrchestrator, Run) {
    let bus = LocalBus::new();
    let process = machine.builder(&bus).resource("gpu", 1).build().unwrap();
    let run = process.start_durable(&slow(), id(), ()).await.unwrap();
    settle().await;
    (process, run)
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_of_what_a_run_was_told_it_does_also_where_nobody_waits_for_that() {
    let machine = Machine::new();
    let (_process, run) = pausable(&machine).await;
    {
        let mut telling = pin!(run.tell(Command::Pause));
        assert!(poll!(&mut telling).is_pending());
    }
    settle().await;
    let kept = machine.journal().view(&id()).await.unwrap();
    assert!(kept.is_paused, "it is in the journal");
    assert!(run.view().unwrap().is_paused, "and the run follows it");
}

#[tokio::test(start_paused = true)]
async fn what_a_run_is_told_at_once_it_does_in_the_order_in_which_that_is_kept() {
    let machine = Machine::new();
    let (_process, run) = pausable(&machine).await;
    let mut pause = pin!(run.tell(Command::Pause));
    let mut go_on = pin!(run.tell(Command::Continue));
    assert!(poll!(&mut pause).is_pending());
    assert!(poll!(&mut go_on).is_pending());
    settle().await;
    go_on.await.unwrap();
    pause.await.unwrap();
    let kept = machine.journal().view(&id()).await.unwrap();
    assert!(!kept.is_paused, "the later one counts");
    assert!(!run.view().unwrap().is_paused);
}

#[tokio::test(start_paused = true)]
async fn signals_on_their_way_count_to_how_many_may_wait() {
    let machine = Machine::new();
    let process = machine.process();
    let mut workflow = Workflow::<()>::durable("asking");
    let cool = workflow.step("cool").sleep(Duration::from_secs(3600));
    let number = workflow.step("number").after(&cool);
    number.signal::<u32>("number");
    let workflow = workflow.build().unwrap();
    let run = process.start_durable(&workflow, id(), ()).await.unwrap();
    settle().await;
    let signal = || Command::Signal {
        name: "number".to_owned(),
        payload: serde_json::json!(1),
        id: None,
    };
    let mut telling: Vec<_> = (0..=coord_workflow::MAX_SIGNALS)
        .map(|_| Box::pin(run.tell(signal())))
        .collect();
    let mut refused = 0;
    for telling in &mut telling {
        if let std::task::Poll::Ready(told) = poll!(telling) {
            assert!(
                matches!(told, Err(WorkflowError::TooManySignals { .. })),
                "{told:?}"
            );
            refused += 1;
        }
    }
    assert_eq!(refused, 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_when_a_journal_that_was_busy_is_not_any_more() {
    let machine = Machine::new();
    let log = Watched::on(&machine);
    let machine = machine.with_log(Arc::clone(&log) as Arc<dyn EventLog>);
    let (_process, run) = pausable(&machine).await;
    log.busy.store(10, Ordering::SeqCst);
    let outcome = run.outcome().await.unwrap();
    assert!(outcome.is_completed());
    assert_eq!(log.busy.load(Ordering::SeqCst), 0);
    assert!(outcome.duration > Duration::from_secs(120 + 10 * 5));
    let kinds = machine.kinds("a").await;
    let completed = kinds.iter().filter(|kind| *kind == "step-completed");
    assert_eq!(completed.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_run_hears_what_it_is_told_when_a_journal_that_was_too_busy_to_be_read_is_not_any_more() {
    let machine = Machine::new();
    let log = Watched::on(&machine);
    let watched = machine.with_log(Arc::clone(&log) as Arc<dyn EventLog>);
    let (_process, run) = pausable(&watched).await;
    log.busy_reads.store(10, Ordering::SeqCst);
    let cancel = Command::Cancel { reason: None };
    machine.journal().tell(&id(), cancel).await.unwrap();
    let outcome = run.outcome().await.unwrap();
    assert_eq!(outcome.status, Status::Cancelled);
    assert_eq!(log.busy_reads.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_journal_is_busy_is_left_when_its_orchestrator_is_shut_down() {
    let machine = Machine::new();
    let log = Watched::on(&machine);
    let watched = machine.with_log(Arc::clone(&log) as Arc<dyn EventLog>);
    let (process, run) = pausable(&watched).await;
    log.busy.store(usize::MAX, Ordering::SeqCst);
    sleep(Duration::from_secs(100)).await;
    process.shutdown(Duration::from_secs(60)).await;
    let left = run.outcome().await;
    assert!(
        matches!(left, Err(WorkflowError::Journal { .. })),
        "{left:?}"
    );
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    let bus = LocalBus::new();
    let process = machine.builder(&bus).resource("gpu", 1).build().unwrap();
    let run = process.resume_run(&slow(), &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
}

/// Twenty steps that end a millisecond after one another: independent, or each after the one before.
fn twenty(is_chain: bool) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("twenty");
    let mut before = None;
    for number in 1..=20_u64 {
        let mut step = workflow.step(format!("s{number}"));
        if let Some(before) = before.as_ref().filter(|_| is_chain) {
            step = step.after(before);
        }
        let millis = if is_chain { 1 } else { number };
        before = Some(step.run(move || async move {
            sleep(Duration::from_millis(millis)).await;
            Ok::<_, StepError>(())
        }));
    }
    workflow.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn steps_that_let_none_begin_share_an_append_with_those_that_end_soon_after() {
    for (is_chain, expected) in [(false, 4..=6), (true, 20..=21)] {
        let machine = Machine::new();
        let log = Watched::on(&machine);
        let process = machine.with_log(Arc::clone(&log) as _).process();
        let run = process.start_durable(&twenty(is_chain), id(), ()).await;
        let outcome = run.unwrap().outcome().await.unwrap();
        assert!(outcome.is_completed());
        // Nobody waits for it any longer than that.
        assert!(outcome.duration < Duration::from_millis(26), "{outcome:?}");
        let asked = log.asked.lock().unwrap();
        let synced = asked.iter().filter(|(first, durability)| {
            first.starts_with("step-") && *durability == Durability::Disk
        });
        let synced = synced.count();
        assert!(expected.contains(&synced), "{is_chain}: {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn items_of_a_list_that_end_soon_after_one_another_share_an_append() {
    let machine = Machine::new();
    let log = Watched::on(&machine);
    let process = machine.with_log(Arc::clone(&log) as _).process();
    let mut workflow = Workflow::durable("items");
    let millis = workflow.input();
    workflow
        .step("each")
        .for_each(millis)
        .run(|millis: u64| async move {
            sleep(Duration::from_millis(millis)).await;
            Ok::<_, StepError>(())
        });
    let workflow: Workflow<Vec<u64>, Durable> = workflow.build().unwrap();
    let millis = (1..=20).collect();
    let run = process.start_durable(&workflow, id(), millis).await;
    assert!(run.unwrap().outcome().await.unwrap().is_completed());
    let asked = log.asked.lock().unwrap();
    let synced = asked
        .iter()
        .filter(|(_, durability)| *durability == Durability::Disk);
    // The start, the items, and the end.
    assert!((5..=8).contains(&synced.count()), "{asked:?}");
}
