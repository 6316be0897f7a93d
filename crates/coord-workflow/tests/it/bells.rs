//! Who drives a run hears of what others tell it, whatever becomes of the stream that says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{
    AppendTo, Appended, BoxFuture, EventLog, EventLogError, EventLogProxy, Record, StoredRecord,
    StreamInfo, StreamQuery, Tail,
};
use coord_workflow::{
    Command, DEFAULT_LEASE_TTL, Durable, RunId, RunJournal, RunView, Step, StepPhase, Workflow,
};
use proptest::prelude::*;
use serde_json::json;

use crate::crashes::paused;
use crate::durable::Machine;
use crate::ownership::reached;

const SECOND: Duration = Duration::from_secs(1);

/// As many steps, each of which waits for a signal, one after another.
fn waiting(steps: usize) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("waiting").timeout(Duration::MAX);
    let mut before: Option<Step<u32>> = None;
    for step in 0..steps {
        let step = workflow.step(format!("s{step}"));
        let step = match &before {
            Some(before) => step.after(before),
            None => step,
        };
        before = Some(step.signal::<u32>("go"));
    }
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

fn id() -> RunId {
    RunId::named("a").unwrap()
}

fn done(view: &RunView) -> usize {
    let done = |phase| phase == StepPhase::Completed;
    view.steps.iter().filter(|step| done(step.phase)).count()
}

/// Forgets every stream that is closed, as a retention of all does.
async fn forget(log: &dyn EventLog) {
    for stream in log.streams(&StreamQuery::by_name()).await.unwrap() {
        if stream.is_closed {
            log.forget(&stream.name).await.unwrap();
        }
    }
}

#[derive(Debug, Clone)]
enum Doing {
    Tell,
    Forget,
    Pass(Duration),
}

fn doing() -> impl Strategy<Value = Doing> {
    prop_oneof![
        3 => Just(Doing::Tell),
        2 => Just(Doing::Forget),
        2 => (0_u64..7_000).prop_map(|millis| Doing::Pass(Duration::from_millis(millis))),
    ]
}

proptest! {
    #[test]
    fn what_a_run_is_told_it_hears_within_seconds_also_beside_a_retention(
        story in proptest::collection::vec(doing(), 1..30),
    ) {
        paused(async {
            let machine = Machine::new();
            let process = machine.process();
            let told = story.iter().filter(|doing| matches!(doing, Doing::Tell)).count();
            let workflow = waiting(told + 1);
            let run = process.start_durable(&workflow, id(), ()).await.unwrap();
            for doing in &story {
                match doing {
                    Doing::Tell => machine.journal().tell(&id(), go()).await.unwrap(),
                    Doing::Forget => forget(&*machine.log).await,
                    Doing::Pass(time) => sleep(*time).await,
                }
            }
            sleep(6 * SECOND).await;
            prop_assert_eq!(done(&run.view().unwrap()), told);
            Ok(())
        })?;
    }
}

/// A log in which the number of a stream that is forgotten is the next one's: bells have one, and others another.
struct Renumbered(Arc<dyn EventLog>);

impl EventLogProxy for Renumbered {
    fn log(&self) -> &dyn EventLog {
        &*self.0
    }

    fn on_streams<'a>(
        &'a self,
        query: &'a StreamQuery,
    ) -> BoxFuture<'a, Result<Vec<StreamInfo>, EventLogError>> {
        Box::pin(async move {
            let mut streams = self.0.streams(query).await?;
            for stream in &mut streams {
                stream.number = 1 + u64::from(stream.name.starts_with(RunJournal::BELLS));
            }
            Ok(streams)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_bell_is_heard_that_has_the_number_of_one_that_was_forgotten() {
    let machine = Machine::new();
    let log = Arc::new(Renumbered(Arc::clone(&machine.log)));
    let machine = machine.with_log(log);
    let process = machine.process();
    let run = process.start_durable(&waiting(3), id(), ()).await.unwrap();
    for told in 1..=3 {
        machine.journal().tell(&id(), go()).await.unwrap();
        sleep(6 * SECOND).await;
        let view = machine.journal().view(&id()).await.unwrap();
        assert_eq!(done(&view), told);
        // The next one rings before anybody has looked again.
        forget(&*machine.log).await;
    }
    assert!(run.outcome().await.unwrap().is_completed());
}

/// A log of which the first tails cannot be had, or end at once.
struct Deaf {
    log: Arc<dyn EventLog>,
    tails: AtomicUsize,
}

impl EventLogProxy for Deaf {
    fn log(&self) -> &dyn EventLog {
        &*self.log
    }

    fn on_tail(&self, stream: &str, from: u64) -> Result<Tail, EventLogError> {
        let source = || EventLogError::Failed {
            source: "no".into(),
        };
        match self.tails.fetch_add(1, Ordering::SeqCst) {
            0 => Err(source()),
            1 => Ok(Box::pin(futures_util::stream::iter([Err(source())]))),
            _ => self.log.tail(stream, from),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bell_that_cannot_be_followed_is_followed_later() {
    let machine = Machine::new();
    let tails = AtomicUsize::new(0);
    let log = Arc::clone(&machine.log);
    let process = machine.with_log(Arc::new(Deaf { log, tails })).process();
    let run = process.start_durable(&waiting(2), id(), ()).await.unwrap();
    for told in 1..=2 {
        machine.journal().tell(&id(), go()).await.unwrap();
        sleep(11 * SECOND).await;
        let view = machine.journal().view(&id()).await.unwrap();
        assert_eq!(done(&view), told);
    }
    assert!(run.outcome().await.unwrap().is_completed());
}

/// A log in which, as long as that is to be so, somebody else is always faster; with how many records were
/// read of it.
struct Busy {
    log: Arc<dyn EventLog>,
    races: AtomicUsize,
    read: AtomicUsize,
}

impl EventLogProxy for Busy {
    fn log(&self) -> &dyn EventLog {
        &*self.log
    }

    fn on_append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        Box::pin(async move {
            let is_race = |left: usize| left.checked_sub(1);
            let order = Ordering::SeqCst;
            if self.races.fetch_update(order, order, is_race).is_ok() {
                self.log.append(unknown()).await?;
            }
            self.log.append(append).await
        })
    }

    fn on_read<'a>(
        &'a self,
        stream: &'a str,
        from: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRecord>, EventLogError>> {
        Box::pin(async move {
            let read = self.log.read(stream, from, limit).await?;
            self.read.fetch_add(read.len(), Ordering::SeqCst);
            Ok(read)
        })
    }
}

/// A command of a later version, which is ignored.
fn unknown() -> AppendTo {
    AppendTo::stream("run.a").record(Record::new("command", r#"{"command":"sing"}"#))
}

#[tokio::test(start_paused = true)]
async fn telling_a_busy_run_something_reads_what_is_new_of_it_and_not_all_of_it_again() {
    let machine = Machine::new();
    let process = machine.process();
    process.start_durable(&waiting(1), id(), ()).await.unwrap();
    let records = 2_500;
    for _ in 0..records {
        machine.log.append(unknown()).await.unwrap();
    }
    let races = 50;
    let busy = Arc::new(Busy {
        log: Arc::clone(&machine.log),
        races: AtomicUsize::new(races),
        read: AtomicUsize::new(0),
    });
    let log = Arc::clone(&busy) as Arc<dyn EventLog>;
    let journal = RunJournal::new(log, Arc::clone(&machine.leases));
    journal.tell(&id(), go()).await.unwrap();
    assert_eq!(busy.races.load(Ordering::SeqCst), 0);
    let read = busy.read.load(Ordering::SeqCst);
    assert!(read < records + races + 10, "{read} records were read");
}

/// The bells that are open.
async fn open_bells(machine: &Machine) -> Vec<String> {
    let open = StreamQuery::by_name().open();
    let streams = machine.log.streams(&open).await.unwrap().into_iter();
    let bells = streams.filter(|stream| stream.name.starts_with(RunJournal::BELLS));
    bells.map(|bell| bell.name).collect()
}

#[tokio::test(start_paused = true)]
async fn the_bells_of_those_who_are_gone_are_closed_by_who_comes_next() {
    let machine = Machine::new();
    for other in ["bell", "bell-1", "bellows"] {
        let append = AppendTo::stream(other).record(Record::new("tolls", ""));
        machine.log.append(append).await.unwrap();
    }
    // Somebody who is alive, and hears nothing for a while.
    let hour = 3600 * SECOND;
    machine.leases.acquire("slow", "slow", hour).await.unwrap();
    let slow = AppendTo::stream("bell.slow").record(Record::new("news", "a"));
    machine.log.append(slow).await.unwrap();
    // One that is killed gives nothing back.
    let (its_machine, leases) = reached(&machine);
    let killed = its_machine.process();
    killed.start_durable(&waiting(1), id(), ()).await.unwrap();
    leases.cut_off(true);
    drop(killed);
    // Its lease has not run out, so it is rung.
    machine.journal().tell(&id(), go()).await.unwrap();
    assert_eq!(open_bells(&machine).await.len(), 2);
    sleep(DEFAULT_LEASE_TTL).await;

    let process = machine.process();
    let run = process.resume_run(&waiting(1), &id()).await.unwrap();
    assert!(run.outcome().await.unwrap().is_completed());
    sleep(SECOND).await;
    assert_eq!(open_bells(&machine).await, ["bell.slow"]);
    forget(&*machine.log).await;
    let left = machine.log.streams(&StreamQuery::by_name()).await.unwrap();
    let left: Vec<_> = left.iter().map(|stream| &*stream.name).collect();
    assert_eq!(left, ["bell", "bell-1", "bell.slow", "bellows"]);
}
