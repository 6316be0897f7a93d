//! That finished streams cost nothing to who does not ask for them: each question is answered by an
//! index, from its beginning, and nothing is sorted.

use std::time::Duration;

use coord_bus::StreamQuery;
use rusqlite::Connection;

use crate::store::Store;
use crate::{records, schema, streams};

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
        only_reads: false,
        file: ":memory:".into(),
        busy_timeout: Duration::ZERO,
    };
    let mut connection = Connection::open_in_memory().expect("it opens");
    schema::prepare(&store, &mut connection).expect("the tables are made");
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
        // The index is in the order of closing: the first entry is the answer.
        (
            streams::OLDEST_CLOSED,
            "SEARCH streams USING INDEX closed_streams (at>?)",
        ),
        (
            streams::COUNT_CLOSED,
            "SCAN streams USING COVERING INDEX closed_streams",
        ),
        (
            streams::COUNT_CLOSED_OF,
            "SEARCH streams USING INDEX sqlite_autoindex_streams_1 (name>? AND name<?)",
        ),
        (
            records::FROM_VERSION,
            "SEARCH records USING INDEX records_by_stream (stream=? AND version>?)",
        ),
    ] {
        assert_eq!(plan(&connection(), sql), [wanted], "{sql}");
    }
}
