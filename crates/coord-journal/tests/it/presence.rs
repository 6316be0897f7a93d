//! Leases end with the journal through which they were acquired, however that ends.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::time::{Clock, ManualClock};
use coord_bus::{
    AppendTo, EventLog, EventLogError, Grant, Held, Lease, LeaseError, Record, Timestamp,
};
use coord_journal::{Journal, JournalError, JournalOptions};
use rustix::process::{Pid, Signal, kill_process};

use crate::child::{Cast, Role, play};
use crate::stage::{Stage, append, chain};

/// Longer than any test.
const TTL: Duration = Duration::from_secs(24 * 60 * 60);

async fn current(journal: &Journal, name: &str) -> Option<Held> {
    journal.current(name).await.unwrap()
}

async fn acquire(journal: &Journal, name: &str) -> Grant {
    journal.acquire(name, "holder", TTL).await.unwrap()
}

/// The files of those who have the journal open and acquire leases.
fn holders(dir: &Path) -> usize {
    fs::read_dir(dir.join("holders")).map_or(0, Iterator::count)
}

/// A process that holds `lease`, and the token that it has.
fn holding(stage: &Stage) -> (Cast, u64) {
    let mut cast = play(Role::Hold, &stage.dir(), &[]);
    let said = cast.line().expect("it says its token");
    let token = said.strip_prefix("token ").expect("its token");
    (cast, token.parse().expect("a number"))
}

#[tokio::test]
async fn the_lease_of_a_process_that_was_killed_is_free_at_once() {
    let stage = Stage::new();
    let journal = stage.open();
    let mut token = 0;
    for _ in 0..5 {
        let (mut cast, theirs) = holding(&stage);
        assert!(theirs > token);
        assert_eq!(current(&journal, "lease").await.unwrap().token, theirs);
        let refused = journal.acquire("lease", "holder", TTL).await.unwrap_err();
        assert!(matches!(refused, LeaseError::Held { .. }), "{refused:?}");
        cast.kill();
        assert_eq!(current(&journal, "lease").await, None);
        let grant = acquire(&journal, "lease").await;
        assert!(grant.token > theirs);
        token = grant.token;
        assert_eq!(holders(&stage.dir()), 1, "its file is gone");
        journal.release(grant).await.unwrap();
    }
}

#[tokio::test]
async fn a_process_beside_it_keeps_the_lease_of_a_process_that_was_killed() {
    let stage = Stage::new();
    let journal = stage.open();
    let mut cast = play(Role::HoldBeside, &stage.dir(), &[]);
    let said = cast.line().expect("it says what is beside it");
    let beside = said.strip_prefix("beside ").expect("its id");
    let beside = Pid::from_raw(beside.parse().expect("a number")).unwrap();
    let said = cast.line().expect("it says its token");
    cast.kill();
    let held = current(&journal, "lease").await.unwrap();
    assert_eq!(said, format!("token {}", held.token));
    assert!(journal.acquire("lease", "holder", TTL).await.is_err());
    kill_process(beside, Signal::KILL).unwrap();
    // Nobody waits for it but the system.
    while current(&journal, "lease").await.is_some() {
        tokio::task::yield_now().await;
    }
    acquire(&journal, "lease").await;
}

#[tokio::test]
async fn a_process_that_is_suspended_keeps_its_lease() {
    let stage = Stage::new();
    let journal = stage.open();
    let (mut cast, token) = holding(&stage);
    let pid = Pid::from_raw(cast.pid().cast_signed()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    assert_eq!(current(&journal, "lease").await.unwrap().token, token);
    assert!(journal.acquire("lease", "holder", TTL).await.is_err());
    cast.kill();
    acquire(&journal, "lease").await;
}

/// Each of them finds the file of the one that was killed, at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_want_the_lease_of_a_killed_process_one_gets_it() {
    let stage = Stage::new();
    let journals: Vec<_> = (0..6).map(|_| Arc::new(stage.open())).collect();
    for _ in 0..5 {
        let (mut cast, _) = holding(&stage);
        cast.kill();
        let all: Vec<_> = journals
            .iter()
            .map(|journal| {
                let journal = Arc::clone(journal);
                tokio::spawn(async move { journal.acquire("lease", "holder", TTL).await })
            })
            .collect();
        let mut won = None;
        for (journal, acquired) in journals.iter().zip(all) {
            match acquired.await.unwrap() {
                Ok(grant) => assert!(won.replace((journal, grant)).is_none()),
                Err(refused) => assert!(matches!(refused, LeaseError::Held { .. }), "{refused:?}"),
            }
        }
        let (journal, grant) = won.expect("one gets it");
        journal.release(grant).await.unwrap();
    }
}

#[tokio::test]
async fn a_lease_ends_with_the_journal_that_acquired_it_also_in_one_process() {
    let stage = Stage::new();
    let (first, second, third) = (stage.open(), stage.open(), stage.open());
    let lost = acquire(&first, "first").await;
    let kept = acquire(&second, "second").await;
    drop(first);
    assert_eq!(current(&third, "first").await, None);
    for stale in [
        third.renew(&lost, TTL).await,
        third.release(lost.clone()).await,
    ] {
        assert!(matches!(stale, Err(LeaseError::Stale { .. })), "{stale:?}");
    }
    assert_eq!(current(&third, "second").await.unwrap().token, kept.token);
    let next = acquire(&third, "first").await;
    assert!(next.token > lost.token);
    let late = AppendTo::stream("stream").record(Record::new("late", ""));
    let refused = second.append(late.fenced_by(&lost)).await.unwrap_err();
    assert!(
        matches!(refused, EventLogError::Fenced { .. }),
        "{refused:?}"
    );
    drop((second, third));
    assert_eq!(holders(&stage.dir()), 0);
}

/// So a grant may be handed on.
#[tokio::test]
async fn a_lease_belongs_to_the_journal_that_renewed_it_last() {
    let stage = Stage::new();
    let (first, second, third) = (stage.open(), stage.open(), stage.open());
    let grant = acquire(&first, "lease").await;
    second.renew(&grant, TTL).await.unwrap();
    drop(first);
    assert_eq!(current(&third, "lease").await.unwrap().token, grant.token);
    second.renew(&grant, TTL).await.unwrap();
    drop(second);
    assert_eq!(current(&third, "lease").await, None);
}

#[tokio::test]
async fn leases_are_over_in_a_copy_of_the_directory_and_held_in_the_original() {
    let stage = Stage::new();
    let journal = stage.open();
    let grant = acquire(&journal, "lease").await;
    let copy = Stage::new();
    fs::create_dir_all(copy.dir().join("holders")).unwrap();
    let file = copy.file();
    let file = file.to_str().unwrap();
    stage.connect().execute("VACUUM INTO ?1", [file]).unwrap();
    for entry in fs::read_dir(stage.dir().join("holders")).unwrap() {
        let entry = entry.unwrap();
        let to = copy.dir().join("holders").join(entry.file_name());
        fs::copy(entry.path(), to).unwrap();
    }
    assert_eq!(holders(&copy.dir()), 1);
    let copied = copy.open();
    assert_eq!(current(&copied, "lease").await, None);
    assert!(acquire(&copied, "lease").await.token > grant.token);
    let other = stage.open();
    assert_eq!(current(&other, "lease").await.unwrap().token, grant.token);
}

#[tokio::test]
async fn who_acquires_nothing_leaves_no_file_and_who_acquires_takes_away_what_was_left() {
    let stage = Stage::new();
    let reader = stage.open();
    current(&reader, "lease").await;
    append(
        &reader,
        AppendTo::stream("stream").record(Record::new("kind", "")),
    )
    .await;
    assert_eq!(holders(&stage.dir()), 0);
    let mut casts = [0; 3].map(|_| play(Role::HoldAnother, &stage.dir(), &[]));
    for cast in &mut casts {
        assert_eq!(cast.line().as_deref(), Some("released"));
    }
    casts.iter_mut().for_each(Cast::kill);
    assert_eq!(holders(&stage.dir()), 3, "no lease leads to them");
    acquire(&reader, "lease").await;
    assert_eq!(holders(&stage.dir()), 1);
}

/// Who takes away what was left may meet a file that has been made just now, and not been locked.
#[test]
fn journals_that_come_and_go_do_not_take_each_other_for_gone() {
    let stage = Stage::in_memory();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    let witness = stage.open();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (stage, witness) = (&stage, &witness);
            scope.spawn(move || {
                runtime().block_on(async {
                    let name = format!("lease-{thread}");
                    for _ in 0..40 {
                        let journal = stage.open();
                        let grant = acquire(&journal, &name).await;
                        assert_eq!(current(witness, &name).await.unwrap().token, grant.token);
                    }
                });
            });
        }
    });
    assert_eq!(holders(&stage.dir()), 0);
}

#[tokio::test]
async fn leases_of_journals_that_are_closed_make_room_at_the_limit() {
    let stage = Stage::new();
    let journal = stage.open();
    let held = acquire(&journal, "held").await;
    let gone = stage.open();
    acquire(&gone, "gone").await;
    let stranger = stage.connect();
    let fill = "WITH RECURSIVE n(i) AS (VALUES (3) UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                INSERT INTO leases SELECT 'lease-' || i, 'x', i, 1 << 62,
                    (SELECT handle FROM leases WHERE name = 'gone'), zeroblob(32) FROM n";
    let limit = coord_journal::MAX_LEASES;
    stranger.execute(fill, [limit as i64]).unwrap();
    let refused = journal.acquire("more", "holder", TTL).await.unwrap_err();
    assert!(matches!(refused, LeaseError::Full { .. }), "{refused:?}");
    drop(gone);
    acquire(&journal, "more").await;
    let count = "SELECT count(*) FROM leases";
    let left: i64 = stranger.query_row(count, (), |row| row.get(0)).unwrap();
    assert_eq!(left, 2, "the one that is held, and the new one");
    journal.renew(&held, TTL).await.unwrap();
}

#[tokio::test]
async fn where_no_file_can_be_made_leases_are_refused_and_appends_go_on() {
    let stage = Stage::new();
    let journal = stage.open();
    fs::write(stage.dir().join("holders"), "in the way").unwrap();
    let LeaseError::Failed { source } = journal.acquire("lease", "holder", TTL).await.unwrap_err()
    else {
        panic!("it was refused for another reason");
    };
    let error = source.downcast::<JournalError>().unwrap();
    assert!(matches!(*error, JournalError::Io { .. }), "{error:?}");
    let text = chain(&*error);
    assert!(
        text.contains("holders") && text.contains("see to its disk"),
        "{text}"
    );
    append(
        &journal,
        AppendTo::stream("stream").record(Record::new("kind", "")),
    )
    .await;
    assert_eq!(current(&journal, "lease").await, None);
    fs::remove_file(stage.dir().join("holders")).unwrap();
    acquire(&journal, "lease").await;
}

/// Nobody can tell whether who acquired it is gone.
#[tokio::test]
async fn a_lease_of_schema_version_1_is_held_for_its_time() {
    let stage = Stage::new();
    fs::create_dir(stage.dir()).unwrap();
    let version_1 = include_str!("version_1.sql");
    stage.connect().execute_batch(version_1).unwrap();
    let begin: Timestamp = "2024-05-01T12:00:10Z".parse().unwrap();
    let clock = Arc::new(ManualClock::new(begin));
    let options = JournalOptions::new().clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let journal = stage.open_with(options);
    assert!(journal.check().await.unwrap().is_clean());
    let streams = journal.streams(&coord_bus::StreamQuery::by_name()).await;
    let closed: Vec<_> = streams.unwrap().iter().map(|each| each.is_closed).collect();
    assert_eq!(closed, [true, false]);
    assert_eq!(current(&journal, "run-1").await, None);
    let held = current(&journal, "run-2").await.unwrap();
    assert_eq!((&*held.by, held.token), ("worker 1", 2));
    assert_eq!(held.expires_in, Duration::from_secs(50));
    let grant = Grant {
        name: "run-2".to_owned(),
        holder: held.by,
        token: held.token,
    };
    journal.renew(&grant, TTL).await.unwrap();
    clock.advance(TTL);
    assert_eq!(acquire(&journal, "run-2").await.token, 3);
    assert!(journal.check().await.unwrap().is_clean());
}

#[test]
fn a_damaged_lease_of_schema_version_1_stays_damaged() {
    let stage = Stage::new();
    fs::create_dir(stage.dir()).unwrap();
    let connection = stage.connect();
    connection
        .execute_batch(include_str!("version_1.sql"))
        .unwrap();
    let change = "UPDATE leases SET until = 9e18 WHERE name = 'run-2'";
    connection.execute_batch(change).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let journal = stage.open();
        assert!(journal.current("run-2").await.is_err());
        assert_eq!(journal.check().await.unwrap().found, 1);
    });
}
