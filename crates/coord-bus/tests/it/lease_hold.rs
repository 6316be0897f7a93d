//! Holding a lease while work goes on, also over a keeper of leases that fails.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coord_bus::time::{self, Instant};
use coord_bus::{BoxFuture, Grant, Held, Lease, LeaseError, LeaseExt, MemoryLeases};

const TTL: Duration = Duration::from_secs(9);

/// What becomes of a renewal.
#[derive(Clone, Copy)]
enum Renewal {
    Done,
    Failed,
    Unanswered,
}

use Renewal::{Done, Failed, Unanswered};

/// Leases whose renewals go as the test says; those after that are done.
struct Faulty {
    leases: MemoryLeases,
    renewals: Mutex<VecDeque<Renewal>>,
    /// When it was asked for each renewal.
    asked: Mutex<Vec<Instant>>,
}

impl Faulty {
    fn with(renewals: impl IntoIterator<Item = Renewal>) -> Self {
        Self {
            leases: MemoryLeases::new(),
            renewals: Mutex::new(renewals.into_iter().collect()),
            asked: Mutex::default(),
        }
    }

    fn asked_after(&self, begin: Instant) -> Vec<u64> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|at| (*at - begin).as_secs()).collect()
    }
}

impl Lease for Faulty {
    fn acquire<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Grant, LeaseError>> {
        self.leases.acquire(name, holder, ttl)
    }

    fn renew<'a>(
        &'a self,
        grant: &'a Grant,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<(), LeaseError>> {
        self.asked.lock().unwrap().push(Instant::now());
        let renewal = self.renewals.lock().unwrap().pop_front();
        match renewal.unwrap_or(Done) {
            Done => self.leases.renew(grant, ttl),
            Failed => Box::pin(async {
                Err(LeaseError::Failed {
                    source: "no route".into(),
                })
            }),
            Unanswered => Box::pin(pending()),
        }
    }

    fn release(&self, grant: Grant) -> BoxFuture<'_, Result<(), LeaseError>> {
        Box::pin(async move {
            // As over a network.
            tokio::task::yield_now().await;
            self.leases.release(grant).await
        })
    }

    fn current<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Held>, LeaseError>> {
        self.leases.current(name)
    }
}

async fn acquire(leases: &dyn Lease) -> Grant {
    leases.acquire("lease", "holder", TTL).await.unwrap()
}

async fn is_free(leases: &dyn Lease) -> bool {
    leases.current("lease").await.unwrap().is_none()
}

/// Work that never ends by itself, and the time at which it was dropped.
fn endless() -> (impl Future<Output = ()> + Send, Arc<Mutex<Option<Instant>>>) {
    struct Dropped(Arc<Mutex<Option<Instant>>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            *self.0.lock().unwrap() = Some(Instant::now());
        }
    }
    let dropped_at = Arc::default();
    let guard = Dropped(Arc::clone(&dropped_at));
    let work = async move {
        let _guard = guard;
        pending::<()>().await;
    };
    (work, dropped_at)
}

#[tokio::test(start_paused = true)]
async fn it_is_renewed_at_once_and_at_each_third_of_its_time() {
    let leases = Faulty::with([]);
    let grant = acquire(&leases).await;
    let begin = Instant::now();
    let work = leases.hold(grant, TTL, time::sleep(Duration::from_secs(10)));
    work.await.unwrap();
    assert_eq!(leases.asked_after(begin), [0, 3, 6, 9]);
    assert!(is_free(&leases).await);
}

#[tokio::test(start_paused = true)]
async fn work_is_not_begun_without_the_lease() {
    let leases = MemoryLeases::new();
    let grant = acquire(&leases).await;
    time::sleep(TTL).await;
    let held = leases.hold(grant, TTL, async { panic!("it was begun") });
    let held: Result<(), _> = held.await;
    assert!(matches!(held, Err(LeaseError::Stale { .. })));
}

#[tokio::test(start_paused = true)]
async fn work_is_dropped_at_the_next_renewal_when_the_lease_is_lost() {
    let leases = MemoryLeases::new();
    let grant = acquire(&leases).await;
    let (work, dropped_at) = endless();
    let begin = Instant::now();
    let lost = async {
        time::sleep(TTL / 2).await;
        leases.release(grant.clone()).await.unwrap();
        leases.acquire("lease", "another", TTL).await.unwrap()
    };
    let (held, another) = tokio::join!(leases.hold(grant.clone(), TTL, work), lost);
    assert!(matches!(held, Err(LeaseError::Stale { token, .. }) if token == grant.token));
    assert_eq!(dropped_at.lock().unwrap().unwrap() - begin, TTL * 2 / 3);
    let current = leases.current("lease").await.unwrap().unwrap();
    assert_eq!(current.token, another.token);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_is_tried_again() {
    let leases = Faulty::with([Done, Failed, Done, Failed, Done]);
    let grant = acquire(&leases).await;
    let begin = Instant::now();
    let work = async {
        for _ in 0..30 {
            assert!(!is_free(&leases).await);
            time::sleep(Duration::from_secs(1)).await;
        }
    };
    leases.hold(grant, TTL, work).await.unwrap();
    assert_eq!(leases.asked_after(begin)[..5], [0, 3, 6, 9, 12]);
}

#[tokio::test(start_paused = true)]
async fn work_is_dropped_when_no_renewal_is_answered_in_time() {
    let leases = Faulty::with([Done, Failed, Done, Unanswered]);
    let grant = acquire(&leases).await;
    let begin = Instant::now();
    let (work, dropped_at) = endless();
    let held = leases.hold(grant, TTL, work).await;
    // Renewed at 6, asked again at 9, and not answered until 15.
    assert!(matches!(held, Err(LeaseError::Stale { .. })), "{held:?}");
    assert_eq!(leases.asked_after(begin), [0, 3, 6, 9]);
    let held_for = Duration::from_secs(15);
    assert_eq!(dropped_at.lock().unwrap().unwrap() - begin, held_for);
    assert!(is_free(&leases).await);
}

#[tokio::test(start_paused = true)]
async fn who_could_not_renew_in_time_is_told_why() {
    let leases = Faulty::with([Done, Failed, Failed, Failed, Failed]);
    let grant = acquire(&leases).await;
    let begin = Instant::now();
    let (work, dropped_at) = endless();
    let held = leases.hold(grant, TTL, work).await;
    assert!(matches!(held, Err(LeaseError::Failed { .. })), "{held:?}");
    assert_eq!(dropped_at.lock().unwrap().unwrap() - begin, TTL);
    assert!(is_free(&leases).await);
}

#[tokio::test(start_paused = true)]
async fn dropped_it_drops_the_work_and_then_releases_the_lease() {
    let leases = MemoryLeases::new();
    let grant = acquire(&leases).await;
    let (work, dropped_at) = endless();
    let begin = Instant::now();
    let given_up = time::timeout(TTL * 2 / 3, leases.hold(grant, TTL, work)).await;
    assert!(given_up.is_err());
    assert_eq!(dropped_at.lock().unwrap().unwrap() - begin, TTL * 2 / 3);
    assert!(is_free(&leases).await);
}

#[tokio::test(start_paused = true)]
async fn dropped_where_a_release_takes_its_time_the_lease_runs_out() {
    let leases = Faulty::with([Done]);
    let grant = acquire(&leases).await;
    let given_up = time::timeout(TTL / 6, leases.hold(grant, TTL, endless().0)).await;
    assert!(given_up.is_err());
    assert!(!is_free(&leases).await);
    time::sleep(TTL).await;
    assert!(is_free(&leases).await);
}

#[tokio::test(start_paused = true)]
async fn it_takes_a_lease_behind_a_trait_and_runs_on_any_task() {
    let leases: Arc<dyn Lease> = Arc::new(MemoryLeases::new());
    let task = tokio::spawn(async move {
        let grant = leases.acquire_when_free("lease", "holder", TTL).await?;
        leases.hold(grant, TTL, async { 7 }).await
    });
    assert_eq!(task.await.unwrap().unwrap(), 7);
}
