//! Which runs are listed: by workflow, by state, by time, a page after the other; and what is read for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coord_bus::time::{Instant, sleep};
use coord_bus::{
    AppendTo, BoxFuture, EventLog, EventLogError, EventLogProxy, Record, StoredRecord, Timestamp,
};
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, Run, RunId, RunPhase, RunQuery, Status, Step, StepError,
    Workflow, WorkflowError, WorkflowOrchestrator,
};

use crate::durable::Machine;
use crate::summaries::Counting;

const SECOND: Duration = Duration::from_secs(1);

const COMPLETED: RunPhase = RunPhase::Ended(Status::Completed);
const FAILED: RunPhase = RunPhase::Ended(Status::Failed);

fn named(id: &str) -> RunId {
    RunId::named(id).unwrap()
}

/// A workflow that takes a second, and fails where it is to.
fn workflow(name: &str) -> Workflow<bool, Durable> {
    working(name).0
}

/// The same, and its step.
fn working(name: &str) -> (Workflow<bool, Durable>, Step<()>) {
    let mut workflow = Workflow::durable(name);
    let fails = workflow.input();
    let step = workflow.step("work").input(fails);
    let work = step.run(|fails: Arc<bool>| async move {
        sleep(SECOND).await;
        match *fails {
            true => Err(StepError::message("it was to").permanent()),
            false => Ok(()),
        }
    });
    (workflow.build().unwrap(), work)
}

async fn start(process: &WorkflowOrchestrator, name: &str, id: &str, fails: bool) -> Run {
    let workflow = workflow(name);
    let run = process.start_durable(&workflow, named(id), fails).await;
    run.unwrap()
}

/// Runs, one after the other, each with a second of its own.
async fn runs(process: &WorkflowOrchestrator, list: &[(&str, &str, bool)]) {
    for (name, id, fails) in list {
        let run = start(process, name, id, *fails).await;
        run.outcome().await.unwrap();
    }
}

async fn listed(machine: &Machine, query: &RunQuery) -> Vec<String> {
    let runs = machine.journal().list_runs(query).await.unwrap();
    let ids = runs.into_iter().map(|(id, summary)| {
        assert_eq!(summary.unwrap().run, id);
        id.to_string()
    });
    let ids = ids.collect::<Vec<_>>();
    let alone = machine.journal().runs(query).await.unwrap();
    let alone = alone.iter().map(ToString::to_string);
    assert_eq!(alone.collect::<Vec<_>>(), ids);
    ids
}

/// How many records are read for a list.
async fn read(machine: &Machine, query: &RunQuery) -> usize {
    let read = Arc::new(AtomicUsize::new(0));
    let counting = machine.with_log(Arc::new(Counting {
        log: Arc::clone(&machine.log),
        read: Arc::clone(&read),
    }));
    counting.journal().list_runs(query).await.unwrap();
    read.load(Ordering::SeqCst)
}

const NONE: [&str; 0] = [];

const FOUR: [(&str, &str, bool); 4] = [
    ("build", "a", false),
    ("deploy", "b", true),
    ("build", "c", true),
    ("build", "d", false),
];

#[tokio::test(start_paused = true)]
async fn runs_are_listed_by_workflow_and_by_state() {
    let machine = Machine::new();
    let process = machine.process();
    runs(&process, &FOUR).await;
    start(&process, "build", "e", false).await;
    let all = RunQuery::newest();
    assert_eq!(listed(&machine, &all).await, ["e", "d", "c", "b", "a"]);
    let build = all.clone().workflow("build");
    assert_eq!(listed(&machine, &build).await, ["e", "d", "c", "a"]);
    let failed = all.clone().states([FAILED]);
    assert_eq!(listed(&machine, &failed).await, ["c", "b"]);
    assert_eq!(listed(&machine, &failed.workflow("build")).await, ["c"]);
    let either = all.clone().states([COMPLETED, RunPhase::Running]);
    assert_eq!(listed(&machine, &either).await, ["e", "d", "a"]);
    assert_eq!(listed(&machine, &either.unfinished()).await, ["e"]);
    assert!(listed(&machine, &all.workflow("test")).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_is_listed_by_the_state_that_it_is_printed_with() {
    let machine = Machine::new();
    let process = machine.process();
    let run = start(&process, "build", "a", false).await;
    let phase = async |phase: RunPhase| {
        let query = RunQuery::newest().states([phase]);
        listed(&machine, &query).await.len()
    };
    assert_eq!(phase(RunPhase::Running).await, 1);
    run.tell(Command::Pause).await.unwrap();
    let left: Vec<_> = [
        phase(RunPhase::Running).await,
        phase(RunPhase::Paused).await,
    ]
    .into();
    assert_eq!(left, [0, 1]);
    drop(process);
    sleep(DEFAULT_LEASE_TTL).await;
    let left: Vec<_> = [
        phase(RunPhase::Paused).await,
        phase(RunPhase::Interrupted).await,
    ]
    .into();
    assert_eq!(left, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn runs_are_listed_by_when_they_started_and_finished() {
    let machine = Machine::new();
    let process = machine.process();
    // The journal's clock is that of the machine: what is asked of it is asked by it.
    runs(&process, &FOUR[..2]).await;
    let since = machine.clock.now();
    runs(&process, &FOUR[2..]).await;
    let started = RunQuery::newest().started_since(since);
    assert_eq!(listed(&machine, &started).await, ["d", "c"]);
    let stream = machine.log.read("run.b", 1, 10).await.unwrap();
    let kept = stream.last().unwrap().at;
    let finished = RunQuery::newest().finished_since(kept);
    let list = listed(&machine, &finished).await;
    assert_eq!(list[..3], ["d", "c", "b"], "{list:?}");
    start(&process, "build", "e", false).await;
    assert_eq!(listed(&machine, &started).await, ["e", "d", "c"]);
    assert_eq!(listed(&machine, &finished).await, list, "one goes on");
}

#[tokio::test(start_paused = true)]
async fn a_list_goes_on_before_the_last_run_of_a_page() {
    let machine = Machine::new();
    let process = machine.process();
    runs(&process, &FOUR).await;
    let mut query = RunQuery::newest().workflow("build").limit(2);
    assert_eq!(listed(&machine, &query).await, ["d", "c"]);
    query = query.before(&named("c"));
    assert_eq!(listed(&machine, &query).await, ["a"]);
    query = query.before(&named("a"));
    assert!(listed(&machine, &query).await.is_empty());
    query = RunQuery::newest().before(&named("c"));
    assert_eq!(listed(&machine, &query).await, ["b", "a"]);
    // One of another workflow is a place in the list, too.
    query = query.workflow("build").before(&named("b"));
    assert_eq!(listed(&machine, &query).await, ["a"]);
    let nobody = machine
        .journal()
        .list_runs(&query.before(&named("z")))
        .await;
    let refused = matches!(&nobody, Err(WorkflowError::NoSuchRun { run }) if run == "z");
    assert!(refused, "{nobody:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_asked_for_costs_no_record_or_one() {
    let machine = Machine::new();
    let process = machine.process();
    runs(&process, &FOUR).await;
    start(&process, "deploy", "e", false).await;
    sleep(SECOND / 2).await;
    let records = machine.kinds("e").await.len();
    assert_eq!(records, 2);
    let all = RunQuery::newest();
    assert_eq!(read(&machine, &all.clone().limit(3)).await, records + 2);
    let running = all.clone().states([RunPhase::Running]);
    assert_eq!(read(&machine, &running).await, records);
    // One that goes on is none that has finished.
    let failed = all.clone().states([FAILED]);
    assert_eq!(read(&machine, &failed).await, 4);
    let finished = all.clone().finished_since(Timestamp::UNIX_EPOCH);
    assert_eq!(read(&machine, &finished).await, 4);
    // Of another workflow: the first record of one that goes on, and the last of one that has finished.
    assert_eq!(read(&machine, &all.workflow("test")).await, 1 + 4);
    let later = RunQuery::newest().started_since(Timestamp::MAX);
    assert_eq!(read(&machine, &later).await, 0);
}

#[tokio::test(start_paused = true)]
async fn runs_that_are_the_work_of_a_step_are_listed_with_their_parent_or_left_out() {
    let machine = Machine::new();
    let process = machine.process();
    let mut order = Workflow::durable("order");
    let fails = order.input();
    for name in ["first", "second"] {
        let (child, work) = working(name);
        order.step(name).input(fails).workflow(&child, work);
    }
    let order = order.build().unwrap();
    for id in ["a", "b"] {
        let run = process
            .start_durable(&order, named(id), false)
            .await
            .unwrap();
        run.outcome().await.unwrap();
    }
    let run = process
        .start_durable(&order, named("c"), false)
        .await
        .unwrap();
    sleep(SECOND / 2).await;
    let all = RunQuery::newest();
    assert_eq!(listed(&machine, &all).await.len(), 9);
    let top = all.clone().top_level();
    assert_eq!(listed(&machine, &top).await, ["c", "b", "a"]);
    assert_eq!(
        read(&machine, &top.clone().finished_since(Timestamp::UNIX_EPOCH)).await,
        2
    );
    assert_eq!(listed(&machine, &top.workflow("first")).await, NONE);
    // Those that go on, and those that have finished.
    for parent in ["a", "b", "c"] {
        let within = all.clone().parent(&named(parent));
        let runs = machine.journal().list_runs(&within).await.unwrap();
        let runs = runs.into_iter().map(|(_, run)| run.unwrap());
        let told = runs.map(|run| (run.workflow, run.parent.map(|run| run.to_string())));
        let of = |step: &str| (step.to_owned(), Some(parent.to_owned()));
        let mut told = told.collect::<Vec<_>>();
        told.sort();
        assert_eq!(told, [of("first"), of("second")]);
    }
    let of_child = machine
        .journal()
        .runs(&all.clone().parent(&named("a")))
        .await
        .unwrap();
    assert_eq!(listed(&machine, &all.parent(&of_child[0])).await, NONE);
    run.outcome().await.unwrap();
}

/// A log of which each read takes a second.
struct Slow(Arc<dyn EventLog>);

impl EventLogProxy for Slow {
    fn log(&self) -> &dyn EventLog {
        &*self.0
    }

    fn on_read<'a>(
        &'a self,
        stream: &'a str,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRecord>, EventLogError>> {
        Box::pin(async move {
            sleep(SECOND).await;
            self.0.read(stream, from, limit).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn runs_that_are_read_for_a_list_are_read_side_by_side() {
    let machine = Machine::new();
    let process = machine.process();
    for id in 0..100 {
        start(&process, "build", &format!("r-{id}"), false).await;
    }
    sleep(2 * SECOND).await;
    let slow = machine.with_log(Arc::new(Slow(Arc::clone(&machine.log))));
    let query = RunQuery::newest().workflow("test");
    let began = Instant::now();
    // Which may go from thread to thread.
    let journal = slow.journal();
    let listing: BoxFuture<'_, _> = Box::pin(journal.list_runs(&query));
    assert!(listing.await.unwrap().is_empty());
    let took = began.elapsed();
    assert!(took <= 5 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_be_read_is_listed_with_the_reason_and_not_as_one_that_it_cannot_be() {
    let machine = Machine::new();
    let process = machine.process();
    runs(&process, &FOUR[..1]).await;
    let odd = AppendTo::stream("run.odd").record(Record::new("no-run", ""));
    machine.log.append(odd).await.unwrap();
    let list = machine.journal().list_runs(&RunQuery::newest()).await;
    let list = list.unwrap();
    assert!(matches!(&list[..], [(odd, Err(_)), (_, Ok(_))] if odd.as_str() == "odd"));
    let build = RunQuery::newest().workflow("build");
    assert_eq!(machine.journal().list_runs(&build).await.unwrap().len(), 2);
    let completed = RunQuery::newest().states([COMPLETED]);
    assert_eq!(listed(&machine, &completed).await, ["a"]);
}

#[test]
fn each_state_has_a_word_of_its_own() {
    let mut words = RunPhase::ALL.map(RunPhase::name);
    words.sort_unstable();
    let count = words.len();
    let mut once = words.to_vec();
    once.dedup();
    assert_eq!(once.len(), count, "{words:?}");
}
