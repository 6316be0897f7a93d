//! The journal as a keeper of leases.

mod conformance {
    coord_bus::conformance_lease!(crate::off_runtime::OffRuntime::new());
}

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::Clock;
use coord_bus::{Lease, LeaseError, Timestamp};
use coord_journal::{Journal, JournalOptions};

use crate::stage::Stage;

const TTL: Duration = Duration::from_secs(10);

/// A clock that is set by hand, backwards too.
#[derive(Debug, Clone)]
struct HandClock(Arc<Mutex<Timestamp>>);

impl HandClock {
    fn new() -> Self {
        let begin = Timestamp::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        Self(Arc::new(Mutex::new(begin)))
    }

    fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }

    fn set_back(&self, by: Duration) {
        *self.0.lock().unwrap() -= by;
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

fn open(stage: &Stage, clock: &HandClock) -> Journal {
    stage.open_with(JournalOptions::new().clock(Arc::new(clock.clone())))
}

#[tokio::test]
async fn a_lease_is_one_lease_for_all_processes() {
    let stage = Stage::new();
    let (first, second) = (stage.open(), stage.open());
    let grant = first.acquire("lease", "holder 1", TTL).await.unwrap();
    let refused = second.acquire("lease", "holder 2", TTL).await;
    assert!(matches!(&refused, Err(LeaseError::Held { held, .. }) if held.by == "holder 1"));
    assert_eq!(
        second.current("lease").await.unwrap().unwrap().token,
        grant.token
    );
    // Whoever has the grant may keep and release it, whichever journal it came from.
    second.renew(&grant, TTL).await.unwrap();
    second.release(grant).await.unwrap();
    let next = second.acquire("lease", "holder 2", TTL).await.unwrap();
    assert_eq!(
        first.current("lease").await.unwrap().unwrap().token,
        next.token
    );
}

#[tokio::test]
async fn a_journal_that_is_opened_later_counts_on_where_the_lease_is() {
    let (stage, clock) = (Stage::new(), HandClock::new());
    let holder = open(&stage, &clock);
    holder.acquire("lease", "holder", TTL).await.unwrap();
    clock.advance(TTL / 2);
    let journal = open(&stage, &clock);
    let held = journal.current("lease").await.unwrap().unwrap();
    assert_eq!(held.expires_in, TTL / 2);
    clock.advance(TTL / 2);
    journal.acquire("lease", "another", TTL).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_lease_longer() {
    let (stage, clock) = (Stage::new(), HandClock::new());
    let journal = open(&stage, &clock);
    journal.acquire("lease", "holder", TTL).await.unwrap();
    clock.advance(TTL / 2);
    journal.current("lease").await.unwrap();
    clock.set_back(1_000 * TTL);
    let held = journal.current("lease").await.unwrap().unwrap();
    assert!(held.expires_in <= TTL / 2, "{held:?}");
    // From there on it goes on as before.
    clock.advance(TTL / 2);
    assert_eq!(journal.current("lease").await.unwrap(), None);
}

#[tokio::test]
async fn a_process_that_begins_with_a_clock_set_back_begins_at_the_latest_time_seen() {
    let (stage, clock) = (Stage::new(), HandClock::new());
    let holder = open(&stage, &clock);
    let grant = holder.acquire("lease", "holder", TTL).await.unwrap();
    clock.advance(TTL / 2);
    holder.renew(&grant, TTL).await.unwrap();
    clock.set_back(1_000 * TTL);
    let journal = open(&stage, &clock);
    let held = journal.current("lease").await.unwrap().unwrap();
    assert!(held.expires_in <= TTL, "{held:?}");
    clock.advance(TTL);
    journal.acquire("lease", "another", TTL).await.unwrap();
}

#[tokio::test]
async fn a_time_longer_than_time_itself_is_only_long() {
    let (stage, clock) = (Stage::new(), HandClock::new());
    let journal = open(&stage, &clock);
    let grant = journal
        .acquire("lease", "holder", Duration::MAX)
        .await
        .unwrap();
    journal.renew(&grant, Duration::MAX).await.unwrap();
    clock.advance(1_000_000 * TTL);
    assert!(journal.acquire("lease", "another", TTL).await.is_err());
}
