//! Appends that are fenced by the journal's own leases.

use std::time::Duration;

use coord_bus::{
    AppendTo, EventLog, EventLogError, ExpectedVersion, Grant, Lease, LeaseError, Record,
};

use crate::stage::{Stage, append, contents, numbers};

const TTL: Duration = Duration::from_secs(60);

fn one(stream: &str) -> AppendTo {
    AppendTo::stream(stream).record(Record::new("kind", "content"))
}

#[tokio::test]
async fn a_grant_that_has_lost_its_lease_fences_from_the_moment_of_the_next() {
    let stage = Stage::new();
    let (first, second) = (stage.open(), stage.open());
    let lost = first.acquire("run-1", "worker 1", TTL).await.unwrap();
    append(&first, one("run-1").fenced_by(&lost)).await;
    first.release(lost.clone()).await.unwrap();
    // Nobody else has it, so nobody is disturbed.
    append(&first, one("run-1").fenced_by(&lost)).await;
    let grant = second.acquire("run-1", "worker 2", TTL).await.unwrap();
    // The second has appended nothing yet, and yet the first is out.
    let refused = first.append(one("run-1").fenced_by(&lost)).await;
    let Err(EventLogError::Fenced { lease, source, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(lease, "run-1");
    assert_eq!((source.token, source.newest), (lost.token, grant.token));
    assert_eq!(append(&second, one("run-1").fenced_by(&grant)).await, 3);
    assert_eq!(contents(&first, "run-1").await.len(), 3);
}

#[tokio::test]
async fn fences_and_tokens_outlive_the_process() {
    let stage = Stage::new();
    let journal = stage.open();
    let lost = journal.acquire("lease", "holder", TTL).await.unwrap();
    journal.release(lost.clone()).await.unwrap();
    let grant = journal.acquire("lease", "holder", TTL).await.unwrap();
    drop(journal);

    let journal = stage.open();
    assert!(
        journal
            .append(one("stream").fenced_by(&lost))
            .await
            .is_err()
    );
    // The lease has ended with its journal, but nobody else has it.
    append(&journal, one("stream").fenced_by(&grant)).await;
    drop(journal);
    let later = stage.open().acquire("lease", "holder", TTL).await.unwrap();
    assert!(later.token > grant.token);
}

#[tokio::test]
async fn a_token_of_another_keeper_of_leases_is_remembered_and_passed_by_the_next_grant() {
    let stage = Stage::new();
    let journal = stage.open();
    let foreign = |token| Grant {
        name: "elsewhere".to_owned(),
        holder: "holder".to_owned(),
        token,
    };
    append(&journal, one("stream").fenced_by(&foreign(1_000))).await;
    drop(journal);
    let journal = stage.open();
    assert!(
        journal
            .append(one("stream").fenced_by(&foreign(999)))
            .await
            .is_err()
    );
    assert_eq!(journal.current("elsewhere").await.unwrap(), None);
    let granted = journal.acquire("elsewhere", "holder", TTL).await.unwrap();
    assert!(granted.token > 1_000);
    assert!(
        journal
            .append(one("stream").fenced_by(&foreign(1_000)))
            .await
            .is_err()
    );
}

/// The lease of a bound, and the memory of what was forgotten.
#[tokio::test]
async fn leases_that_nobody_holds_are_forgotten_at_the_limit_and_still_fenced() {
    let stage = Stage::new();
    let journal = stage.open();
    let first = journal.acquire("first", "holder", TTL).await.unwrap();
    journal.release(first.clone()).await.unwrap();
    let held = journal.acquire("held", "holder", TTL).await.unwrap();
    // As another process would in the course of years.
    let stranger = stage.connect();
    let fill = "WITH RECURSIVE n(i) AS (VALUES (3) UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                INSERT INTO leases SELECT 'lease-' || i, 'x', i, 0, NULL, zeroblob(32) FROM n";
    stranger
        .execute(fill, [coord_journal::MAX_LEASES as i64])
        .unwrap();
    let grant = journal.acquire("one-more", "holder", TTL).await.unwrap();
    let count = "SELECT count(*) FROM leases";
    let left: i64 = stranger.query_row(count, (), |row| row.get(0)).unwrap();
    assert_eq!(left, 2, "those that are held");
    append(&journal, one("stream").fenced_by(&held)).await;
    append(&journal, one("stream").fenced_by(&grant)).await;
    let refused = journal.append(one("stream").fenced_by(&first)).await;
    assert!(
        matches!(refused, Err(EventLogError::Fenced { .. })),
        "{refused:?}"
    );
    let again = journal.acquire("first", "holder", TTL).await.unwrap();
    assert!(again.token > first.token);
    append(&journal, one("stream").fenced_by(&again)).await;
}

#[tokio::test]
async fn as_many_leases_are_held_as_may_be_and_then_more_are_refused() {
    let stage = Stage::new();
    let journal = stage.open();
    let fill = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                INSERT INTO leases SELECT 'lease-' || i, 'x', i, 1 << 62, NULL, zeroblob(32) FROM n";
    let limit = coord_journal::MAX_LEASES;
    stage.connect().execute(fill, [limit as i64]).unwrap();
    let refused = journal
        .acquire("one-more", "holder", TTL)
        .await
        .unwrap_err();
    let LeaseError::Full { name, limit: named } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((&*name, named), ("one-more", limit));
}

/// A fenced append and the grant of the next holder meet in one transaction or the other.
#[tokio::test]
async fn of_a_fenced_append_and_the_next_grant_one_comes_first() {
    let stage = Stage::new();
    let (first, second) = (stage.open(), stage.open());
    for round in 0..20 {
        let name = format!("lease-{round}");
        let lost = first.acquire(&name, "holder 1", TTL).await.unwrap();
        first.release(lost.clone()).await.unwrap();
        let take_over = async {
            let grant = second.acquire(&name, "holder 2", TTL).await.unwrap();
            let begun = numbers(&name, ExpectedVersion::Any, [1]).fenced_by(&grant);
            append(&second, begun).await
        };
        let late = first.append(numbers(&name, ExpectedVersion::Any, [1]).fenced_by(&lost));
        let (version, late) = tokio::join!(take_over, late);
        match late {
            Ok(late) => assert_eq!((late.version, version), (1, 2)),
            Err(refused) => {
                assert!(
                    matches!(refused, EventLogError::Fenced { .. }),
                    "{refused:?}"
                );
                assert_eq!(version, 1);
            }
        }
    }
}
