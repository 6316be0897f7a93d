//! The leases in memory.

mod conformance {
    coord_bus::conformance_lease!(coord_bus::MemoryLeases::new());
}

use std::time::Duration;

use coord_bus::{Fence, Lease, LeaseError, MemoryLeases, time};

const TTL: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn leases_that_nobody_holds_are_forgotten_and_others_are_bounded() {
    let leases = MemoryLeases::new();
    let limit = MemoryLeases::MAX_LEASES;
    let first = leases.acquire("first", "holder", TTL).await.unwrap();
    let ttl = 2 * TTL;
    for number in 1..limit {
        let name = format!("lease-{number}");
        leases.acquire(&name, "holder", ttl).await.unwrap();
    }
    let refused = leases.acquire("one-more", "holder", ttl).await.unwrap_err();
    assert!(
        matches!(&refused, LeaseError::Full { name, limit: named }
            if name == "one-more" && *named == limit),
        "{refused}"
    );
    leases.release(first).await.unwrap();
    leases.acquire("one-more", "holder", TTL).await.unwrap();
    assert!(leases.acquire("another", "holder", ttl).await.is_err());
    time::sleep(TTL).await;
    leases.acquire("another", "holder", ttl).await.unwrap();
    assert!(leases.acquire("one-more", "holder", ttl).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_time_longer_than_time_itself_is_only_long() {
    let leases = MemoryLeases::new();
    let granted = leases.acquire("lease", "holder", Duration::MAX).await;
    leases
        .renew(&granted.unwrap(), Duration::MAX)
        .await
        .unwrap();
    time::sleep(Duration::from_secs(1_000_000)).await;
    assert!(leases.acquire("lease", "holder", TTL).await.is_err());
}

/// What two workers write to. It keeps the fence, since neither of them can know who is late.
#[derive(Default)]
struct Storage {
    fence: Fence,
    written: Vec<&'static str>,
}

impl Storage {
    fn write(&mut self, token: u64, text: &'static str) -> Result<(), coord_bus::Fenced> {
        self.fence.admit(token)?;
        self.written.push(text);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_suspended_beyond_its_time_can_no_longer_write() {
    let leases = MemoryLeases::new();
    let mut storage = Storage::default();
    let first = leases.acquire("lease", "holder 1", TTL).await.unwrap();
    storage.write(first.token, "first").unwrap();
    // The first is suspended here, and does not know how long.
    time::sleep(2 * TTL).await;
    let second = leases.acquire("lease", "holder 2", TTL).await.unwrap();
    storage.write(second.token, "second").unwrap();

    let refused = storage.write(first.token, "late").unwrap_err();
    assert_eq!((refused.token, refused.newest), (first.token, second.token));
    storage.write(second.token, "second again").unwrap();
    assert_eq!(storage.written, ["first", "second", "second again"]);
}

#[test]
fn a_fence_read_back_goes_on_where_it_was() {
    let mut fence = Fence::new();
    fence.admit(7).unwrap();
    let mut read_back = Fence::at(fence.newest());
    let refused = read_back.admit(6).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "token 6 is refused, because token 7 has been here since: what it stood for was lost, so \
         stop, and acquire it anew"
    );
    read_back.admit(7).unwrap();
    assert_eq!(read_back, fence);
}

#[tokio::test(start_paused = true)]
async fn refusals_say_what_is_wrong_and_what_to_do() {
    let leases = MemoryLeases::new();
    let grant = leases.acquire("run-1", "worker 1", TTL).await.unwrap();
    let held = leases.acquire("run-1", "worker 2", TTL).await.unwrap_err();
    leases.release(grant.clone()).await.unwrap();
    let stale = leases.renew(&grant, TTL).await.unwrap_err();
    let invalid = leases.acquire("../run", "worker 1", TTL).await;
    for (refused, text) in [
        (
            held,
            "lease `run-1` is held by worker 1 for another 10s, if it is not renewed: try again \
             then",
        ),
        (
            stale,
            "lease `run-1` is not held by worker 1 with token 1 any more: it ran out or was \
             released; stop what it stood for, and acquire it anew",
        ),
        (
            invalid.unwrap_err(),
            "`../run` cannot be a lease's name: it has another character in it (names are \
             letters, digits, `-`, `_` and `.`, such as `run-2024.1`)",
        ),
    ] {
        assert_eq!(refused.to_string(), text);
    }
}
