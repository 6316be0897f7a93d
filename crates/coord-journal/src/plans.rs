//! That finished streams cost nothing to who does not ask for them: each question is answered by an
//! index, from its beginning, and nothing is sorted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coord_bus::{
    AppendTo, EventLog, EventLogError, ExpectedVersion, Lease, Record, StreamInfo, StreamOrder,
    StreamQuery,
};
use futures_util::StreamExt;
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use rusqlite::{Connection, StatementStatus};

use crate::store::Store;
use crate::{Journal, Retention, records, schema, streams};

/// The folder of a journal whose steps are counted: other tests have theirs, in the same process.
const COUNTED: &str = "counted-steps";

/// How many steps of SQLite's machine each statement has taken at most, in all connections to such a journal.
static STEPS: Mutex<BTreeMap<String, i32>> = Mutex::new(BTreeMap::new());

/// Counts the steps of what this connection does.
pub(crate) fn count_steps(connection: &Connection) {
    if !connection.path().is_some_and(|path| path.contains(COUNTED)) {
        return;
    }
    let done = TraceEventCodes::SQLITE_TRACE_PROFILE;
    connection.trace_v2(
        done,
        Some(|event| {
            if let TraceEvent::Profile(statement, _) = event {
                let runs = statement.get_status(StatementStatus::Run).max(1);
                let steps = statement.get_status(StatementStatus::VmStep) / runs;
                let mut all = STEPS.lock().unwrap_or_else(PoisonError::into_inner);
                let most = all.entry(statement.sql().into_owned()).or_default();
                *most = steps.max(*most);
            }
        }),
    );
}

/// How SQLite answers a statement, a line for each step.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let explain = format!("EXPLAIN QUERY PLAN {sql}");
    let mut statement = connection.prepare(&explain).expect("it compiles");
    let count = statement.parameter_count();
    // A plan is made before any parameter is known.
    let parameters = rusqlite::params_from_iter(vec![1; count]);
    let rows = statement.query_map(parameters, |row| row.get(3));
    let steps = rows.expect("it runs").collect::<Result<_, _>>();
    steps.expect("they are texts")
}

/// An empty journal in memory.
fn connection() -> Connection {
    let store = Store {
        keeps_log: false,
        files: std::sync::Arc::new(crate::files::Files::of(":memory:".as_ref())),
        file: ":memory:".into(),
        access: crate::store::Access::Whole,
        busy_timeout: Duration::ZERO,
    };
    let mut connection = Connection::open_in_memory().expect("it opens");
    schema::prepare(&store, &mut connection, None).expect("the tables are made");
    connection
}

#[test]
fn each_list_begins_where_it_is_asked_to_and_goes_along_an_index() {
    let by_name = StreamQuery::by_name;
    let newest = StreamQuery::newest_first;
    for (query, wanted) in [
        (
            by_name(),
            "SEARCH streams USING INDEX sqlite_autoindex_streams_1 (name>?)",
        ),
        (
            by_name().open(),
            "SEARCH streams USING INDEX open_streams (name>?)",
        ),
        (
            newest(),
            "SEARCH streams USING INTEGER PRIMARY KEY (rowid<?)",
        ),
        (
            newest().open(),
            "SEARCH streams USING INDEX open_streams_by_number (number<?)",
        ),
    ] {
        let plan = plan(&connection(), &streams::list_sql(&query));
        assert_eq!(plan, [wanted], "{query:?}");
    }
}

#[test]
fn what_an_append_and_a_retention_look_up_takes_one_search_each() {
    for (sql, wanted) in [
        (
            streams::FIND,
            "SEARCH streams USING INDEX sqlite_autoindex_streams_1 (name=?)",
        ),
        (streams::NEWEST, "SEARCH streams"),
        // The index is in the order of closing: what is found first is the answer.
        (
            streams::CLOSED_BETWEEN,
            "SEARCH streams USING INDEX closed_streams (at>? AND at<?)",
        ),
        (
            records::FROM_VERSION,
            "SEARCH records USING INDEX records_by_stream (stream=? AND version>?)",
        ),
    ] {
        assert_eq!(plan(&connection(), sql), [wanted], "{sql}");
    }
}

/// A stream of one record.
fn one(stream: impl Into<String>) -> AppendTo {
    AppendTo::stream(stream).record(Record::new("kind", "payload"))
}

/// What programs do all the time, in a journal with so many finished streams: the steps of each statement.
async fn steps_with(finished: usize) -> BTreeMap<String, i32> {
    let dir = tempfile::tempdir().expect("there is room");
    let dir = dir.path().join(COUNTED);
    let journal = Journal::open(&dir).expect("it opens");
    let finish = async |name: String| {
        let append = one(name).closing().durably(coord_bus::Durability::Process);
        journal.append(append).await.expect("it is appended");
    };
    for number in 0..finished {
        finish(format!("run.{number:05}")).await;
    }
    for number in 0..4 {
        finish(format!("bell.{number}")).await;
    }
    drop(journal);
    STEPS.lock().unwrap_or_else(PoisonError::into_inner).clear();
    work(&Journal::open(&dir).expect("it opens"), finished)
        .await
        .expect("all of it works");
    std::mem::take(&mut *STEPS.lock().unwrap_or_else(PoisonError::into_inner))
}

async fn work(journal: &Journal, finished: usize) -> Result<(), Box<dyn std::error::Error>> {
    const TTL: Duration = Duration::from_secs(60);
    let grant = journal.acquire("lease", "holder", TTL).await?;
    journal.renew(&grant, TTL).await?;
    journal.current("lease").await?;
    let begin = || one("run.x").expecting(ExpectedVersion::Empty);
    journal.append(begin().fenced_by(&grant)).await?;
    let refused = journal.append(begin()).await;
    assert!(matches!(refused, Err(EventLogError::WrongVersion { .. })));
    journal
        .append(one("run.part").closing().needed_by("run.x"))
        .await?;
    journal.append(one("run.x")).await?;
    assert_eq!(journal.read("run.x", 1, 10).await?.len(), 2);
    assert!(journal.tail("run.x", 1)?.next().await.is_some());
    for query in [StreamQuery::by_name(), StreamQuery::newest_first()] {
        for query in [query.clone(), query.open()] {
            let found: Vec<StreamInfo> = journal.streams(&query.limit(2)).await?;
            assert!(!found.is_empty());
        }
    }
    let mut at = StreamQuery::by_name().limit(1);
    at.order = StreamOrder::Name {
        after: Some("run.w".to_owned()),
    };
    assert_eq!(journal.streams(&at).await?[0].name, "run.x");
    let all = Retention::of("run.").keep_newest(finished as u64 + 10);
    assert_eq!(journal.retain(all).await?, 0);
    let few = Retention::of("bell.").keep_newest(10);
    assert_eq!(journal.retain(few).await?, 0);
    let fewer = Retention::of("bell.").keep_newest(3);
    assert_eq!(journal.retain(fewer).await?, 1);
    let old = Retention::all().keep_for(TTL);
    assert_eq!(journal.retain(old).await?, 0);
    assert!(journal.forget("bell.1").await?);
    journal.append(one("run.x").closing()).await?;
    journal.release(grant).await?;
    Ok(())
}

#[tokio::test]
async fn no_statement_takes_more_steps_where_more_has_finished() {
    let (few, many) = (steps_with(10).await, steps_with(2_000).await);
    assert!(few.len() > 20, "{few:#?}");
    for (statement, steps) in many {
        let before = few.get(&statement).copied().unwrap_or_default();
        assert!(
            steps <= before + before / 2 + 20,
            "{before}, then {steps}: {statement}"
        );
    }
}
