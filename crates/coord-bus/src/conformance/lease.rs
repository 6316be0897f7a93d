//! What every keeper of leases must do, wherever it keeps them.
//!
//! Each behaviour gets leases of its own, all of them free. A keeper whose deadlines are those of a
//! wall clock is given a clock that follows the paused time.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use super::{PATIENCE, in_time};
use crate::{Grant, Held, Lease, LeaseError, LeaseExt, MAX_STREAM_NAME_LENGTH, TaskScope, time};

/// For how long a lease is granted where it does not matter.
const TTL: Duration = Duration::from_secs(10);
/// As little time as should count.
const MOMENT: Duration = Duration::from_millis(10);

async fn acquire(leases: &dyn Lease, name: &str, holder: &str) -> Grant {
    let granted = in_time(leases.acquire(name, holder, TTL)).await;
    let grant = granted.expect("it is free");
    assert_eq!((&*grant.name, &*grant.holder), (name, holder));
    grant
}

async fn renew(leases: &dyn Lease, grant: &Grant, ttl: Duration) {
    let renewed = in_time(leases.renew(grant, ttl)).await;
    renewed.expect("it is held");
}

async fn release(leases: &dyn Lease, grant: Grant) {
    let released = in_time(leases.release(grant)).await;
    released.expect("it is held");
}

async fn current(leases: &dyn Lease, name: &str) -> Option<Held> {
    let current = in_time(leases.current(name)).await;
    current.expect("it is read")
}

/// That a lease is held by a grant for about so long, as its keeper says to who asks and to who is
/// refused, whoever that is.
async fn assert_held(leases: &dyn Lease, grant: &Grant, for_about: Duration) {
    let mut told = vec![current(leases, &grant.name).await.expect("it is held")];
    for who in ["another", &grant.holder] {
        let refused = in_time(leases.acquire(&grant.name, who, TTL)).await;
        let Err(LeaseError::Held { name, held }) = refused else {
            panic!("it was not refused: {refused:?}");
        };
        assert_eq!(name, grant.name);
        told.push(held);
    }
    for held in told {
        assert_eq!((&held.by, held.token), (&grant.holder, grant.token));
        let off = held.expires_in.abs_diff(for_about);
        assert!(off <= MOMENT, "{held:?}, not {for_about:?}");
    }
}

/// That everything that takes a grant refuses this one, by name.
async fn assert_stale(leases: &dyn Lease, stale: &Grant) {
    let refusals = [
        in_time(leases.renew(stale, TTL)).await,
        in_time(leases.release(stale.clone())).await,
    ];
    for refused in refusals {
        let Err(LeaseError::Stale {
            name,
            holder,
            token,
        }) = refused
        else {
            panic!("{stale:?} was not refused as stale: {refused:?}");
        };
        let named = Grant {
            name,
            holder,
            token,
        };
        assert_eq!(named, *stale);
    }
}

/// Everybody else is told who holds it and for how long, also one that has the holder's name.
pub async fn a_lease_is_granted_to_one_at_a_time(leases: Box<dyn Lease>) {
    assert_eq!(current(&*leases, "lease").await, None);
    let grant = acquire(&*leases, "lease", "größe: 1 \n").await;
    assert_held(&*leases, &grant, TTL).await;
    time::sleep(TTL / 2).await;
    assert_held(&*leases, &grant, TTL / 2).await;
}

/// Twenty come at the same time.
pub async fn of_many_who_acquire_at_once_one_succeeds(leases: Box<dyn Lease>) {
    let leases: Arc<dyn Lease> = leases.into();
    let (winners, mut won) = tokio::sync::mpsc::unbounded_channel();
    let holders = TaskScope::new("holders");
    for holder in 1..=20 {
        let (leases, winners) = (leases.clone(), winners.clone());
        holders.spawn("holder", async move {
            match leases.acquire("lease", &holder.to_string(), TTL).await {
                Ok(grant) => winners.send(grant).expect("somebody counts"),
                Err(LeaseError::Held { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        });
    }
    let report = holders.shutdown(PATIENCE).await;
    assert!(
        report.aborted.is_empty() && report.panicked == 0,
        "{report:?}"
    );
    drop(winners);
    let winner = won.recv().await.expect("one succeeds");
    assert_eq!(won.recv().await, None, "only one succeeds");
    assert_held(&*leases, &winner, TTL).await;
}

/// Each name has a holder of its own.
pub async fn leases_do_not_know_each_other(leases: Box<dyn Lease>) {
    let one = acquire(&*leases, "one", "holder 1").await;
    let more = acquire(&*leases, "one.more", "holder 2").await;
    assert_eq!(current(&*leases, "on").await, None);
    assert_held(&*leases, &one, TTL).await;
    release(&*leases, one).await;
    assert_eq!(current(&*leases, "one").await, None);
    assert_held(&*leases, &more, TTL).await;
    // A grant of one name is none of another.
    let elsewhere = Grant {
        name: "one".to_owned(),
        ..more.clone()
    };
    assert_stale(&*leases, &elsewhere).await;
    assert_held(&*leases, &more, TTL).await;
}

/// Not before its time, and then for whoever comes.
pub async fn a_lease_runs_out_by_itself(leases: Box<dyn Lease>) {
    let gone = acquire(&*leases, "lease", "holder 1").await;
    time::sleep(TTL - MOMENT).await;
    assert_held(&*leases, &gone, MOMENT).await;
    time::sleep(MOMENT).await;
    assert_eq!(current(&*leases, "lease").await, None);
    let next = acquire(&*leases, "lease", "holder 2").await;
    assert_held(&*leases, &next, TTL).await;
    assert_stale(&*leases, &gone).await;
}

/// From the renewal on, longer or shorter, and as often as one likes.
pub async fn a_renewed_lease_is_held_until_its_new_end(leases: Box<dyn Lease>) {
    let grant = acquire(&*leases, "lease", "holder").await;
    for ttl in [TTL, 2 * TTL, TTL / 5] {
        time::sleep(TTL / 10).await;
        renew(&*leases, &grant, ttl).await;
        assert_held(&*leases, &grant, ttl).await;
    }
    time::sleep(TTL / 5).await;
    assert_eq!(current(&*leases, "lease").await, None);
    assert_stale(&*leases, &grant).await;
}

/// For anybody, with its whole time before it.
pub async fn a_released_lease_is_free_at_once(leases: Box<dyn Lease>) {
    let first = acquire(&*leases, "lease", "holder 1").await;
    time::sleep(TTL / 2).await;
    release(&*leases, first.clone()).await;
    assert_eq!(current(&*leases, "lease").await, None);
    assert_stale(&*leases, &first).await;
    let second = acquire(&*leases, "lease", "holder 2").await;
    assert_held(&*leases, &second, TTL).await;
}

/// After a release, after the lease ran out, and for the same holder again.
pub async fn tokens_rise_with_every_grant(leases: Box<dyn Lease>) {
    let mut tokens = Vec::new();
    for round in 0..6 {
        let grant = acquire(&*leases, "lease", "holder").await;
        tokens.push(grant.token);
        if round % 2 == 0 {
            release(&*leases, grant).await;
        } else {
            renew(&*leases, &grant, TTL / 2).await;
            time::sleep(TTL / 2).await;
        }
        let other = acquire(&*leases, "other", "holder").await;
        release(&*leases, other).await;
    }
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
}

/// Whoever lost a lease can do nothing to it, and the one who holds it now is not disturbed.
pub async fn a_stale_grant_is_refused_and_changes_nothing(leases: Box<dyn Lease>) {
    let lost = acquire(&*leases, "lease", "holder").await;
    time::sleep(TTL).await;
    let holder = acquire(&*leases, "lease", "holder").await;
    time::sleep(TTL / 2).await;
    assert_stale(&*leases, &lost).await;
    assert_held(&*leases, &holder, TTL / 2).await;
    renew(&*leases, &holder, TTL).await;
    release(&*leases, holder.clone()).await;
    assert_stale(&*leases, &lost).await;
    assert_stale(&*leases, &holder).await;
    assert_eq!(current(&*leases, "lease").await, None);
}

/// The end of its time decides: a holder that comes too late has lost the lease, though nobody
/// wanted it.
pub async fn a_grant_past_its_end_is_refused_though_nobody_else_has_it(leases: Box<dyn Lease>) {
    let grant = acquire(&*leases, "lease", "holder").await;
    time::sleep(TTL - MOMENT).await;
    renew(&*leases, &grant, TTL).await;
    time::sleep(TTL).await;
    assert_stale(&*leases, &grant).await;
    assert_eq!(current(&*leases, "lease").await, None);
}

/// As soon as it runs out, however long one wants it; and soon after it is released, long before it
/// would run out.
pub async fn who_waits_gets_the_lease_when_it_is_free(leases: Box<dyn Lease>) {
    let gone = acquire(&*leases, "lease", "holder 1").await;
    let begin = time::Instant::now();
    let granted = in_time(leases.acquire_when_free("lease", "holder 2", 6 * TTL)).await;
    let grant = granted.expect("it is free");
    assert!(begin.elapsed() >= TTL - MOMENT && begin.elapsed() <= TTL + MOMENT);
    assert!(grant.token > gone.token);

    let begin = time::Instant::now();
    let (granted, ()) = tokio::join!(
        in_time(leases.acquire_when_free("lease", "holder 3", TTL)),
        async {
            time::sleep(TTL / 2).await;
            release(&*leases, grant).await;
        }
    );
    granted.expect("it is free");
    assert!(begin.elapsed() >= TTL / 2 && begin.elapsed() <= TTL * 5 / 6 + MOMENT);
}

/// It is the holder's for as long as the work takes.
pub async fn a_held_lease_outlasts_its_time_and_is_free_afterwards(leases: Box<dyn Lease>) {
    let grant = acquire(&*leases, "lease", "holder").await;
    let work = async {
        for _ in 0..20 {
            time::sleep(TTL / 5).await;
            let held = current(&*leases, "lease").await.expect("it is held");
            assert_eq!(held.token, grant.token);
        }
        7
    };
    let output = in_time(leases.hold(grant.clone(), TTL, work)).await;
    assert_eq!(output.expect("it is kept"), 7);
    assert_eq!(current(&*leases, "lease").await, None);
    assert_stale(&*leases, &grant).await;
}

/// Dropped before or after it has begun, an acquire has happened or not; what it got runs out.
pub async fn an_acquire_given_up_has_happened_or_not(leases: Box<dyn Lease>) {
    let mut cx = Context::from_waker(Waker::noop());
    for polls in [0, 1, 1] {
        let mut acquiring = leases.acquire("lease", "given up", TTL);
        for _ in 0..polls {
            if acquiring.as_mut().poll(&mut cx).is_ready() {
                break;
            }
        }
        drop(acquiring);
        let begin = time::Instant::now();
        let granted = in_time(leases.acquire_when_free("lease", "holder", TTL)).await;
        let grant = granted.expect("it is free");
        assert!(begin.elapsed() <= TTL + MOMENT);
        release(&*leases, grant).await;
    }
}

/// Refused wherever it is named, before it can do harm.
pub async fn a_name_that_cannot_be_one_is_refused(leases: Box<dyn Lease>) {
    let longest = "n".repeat(MAX_STREAM_NAME_LENGTH);
    for good in ["a", "7", "Build_2024.1-x", &longest] {
        acquire(&*leases, good, "holder").await;
    }
    let too_long = "n".repeat(MAX_STREAM_NAME_LENGTH + 1);
    let bad = ["", ".", "..", "../a", "a/b", "-a", "_a", "a b", "größe"];
    for bad in bad.into_iter().chain([&*too_long]) {
        let refusals = [
            in_time(leases.acquire(bad, "holder", TTL)).await.err(),
            in_time(leases.acquire_when_free(bad, "holder", TTL))
                .await
                .err(),
            in_time(leases.current(bad)).await.err(),
        ];
        for refused in refusals {
            let Some(LeaseError::InvalidLeaseName { name, .. }) = refused else {
                panic!("{bad:?} was not refused: {refused:?}");
            };
            assert_eq!(name, bad);
        }
    }
}
