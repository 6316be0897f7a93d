//! Groups of consumers in this process: bounds, ends, and real threads.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use coord_bus::{Backoff, BusExt, LocalBus, Log, Overflow, Topic, time};
use tokio::task::JoinSet;

const NUMBERS: Topic<u64> = Topic::new("numbers");

/// How many events a group may have handed out that are not acknowledged.
const UNACKNOWLEDGED_MAX: usize = 1000;

#[tokio::test(start_paused = true)]
async fn a_group_hands_out_no_more_than_may_be_unacknowledged() {
    let log = Log::new("numbers", 4096);
    let member = log.join_group("workers");
    for number in 0..2000_u64 {
        log.append(number.into()).await.unwrap();
    }
    let mut claims = Vec::new();
    for _ in 0..UNACKNOWLEDGED_MAX {
        claims.push(member.recv().await.unwrap());
    }
    let mut next = pin!(member.recv());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(next.as_mut().poll(&mut cx).is_pending());
    claims.pop().unwrap().acknowledge();
    let next = time::timeout(Duration::from_secs(60), next).await.unwrap();
    assert_eq!(*next.unwrap(), UNACKNOWLEDGED_MAX as u64);
}

#[tokio::test(start_paused = true)]
async fn what_a_group_had_goes_with_its_last_member() {
    let alive = Arc::new(());
    let log = Log::new("events", 64);
    let member = log.join_group("workers");
    for _ in 0..10 {
        log.append(Arc::clone(&alive).into()).await.unwrap();
    }
    let kept = member.recv().await.unwrap();
    drop(member.recv().await.unwrap());
    drop(member);
    assert!(!log.has_subscribers());
    // The claim outlives its group; given back, there is nobody to give it to.
    drop(kept);
    assert_eq!(Arc::strong_count(&alive), 1);
    let ledger = log.stats().ledger;
    assert!(ledger.is_balanced());
    assert_eq!((ledger.delivered, ledger.dropped.unreceived), (2, 8));
    // A new group of the name begins anew.
    let member = log.join_group("workers");
    log.append(Arc::clone(&alive).into()).await.unwrap();
    let claim = member.recv().await.unwrap();
    assert_eq!((claim.meta().sequence(), claim.attempt()), (11, 1));
    claim.acknowledge();
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_a_group_that_is_gone_does_not_come_back_to_a_new_one_of_its_name() {
    let log = Log::new("numbers", 64);
    let member = log.join_group("workers");
    log.append(1_u64.into()).await.unwrap();
    let old = member.recv().await.unwrap();
    drop(member);
    let member = log.join_group("workers");
    drop(old);
    log.append(2.into()).await.unwrap();
    let claim = member.recv().await.unwrap();
    assert_eq!((*claim, claim.attempt()), (2, 1));
    claim.acknowledge();
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_is_handed_out_by_its_place_in_the_order() {
    let log = Log::new("numbers", 64);
    let member = log.join_group("workers");
    for number in 1..=6_u64 {
        log.append(number.into()).await.unwrap();
    }
    let mut claims = Vec::new();
    for _ in 1..=4 {
        claims.push(member.recv().await.unwrap());
    }
    for index in [2, 0, 0, 0] {
        drop(claims.remove(index));
    }
    let mut numbers = Vec::new();
    for _ in 1..=6 {
        let claim = member.recv().await.unwrap();
        numbers.push((*claim, claim.attempt()));
        claim.acknowledge();
    }
    assert_eq!(numbers, [(1, 2), (2, 2), (3, 2), (4, 2), (5, 1), (6, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_told_of_as_one_subscriber() {
    let bus = LocalBus::new();
    let _members = [0, 1, 2].map(|_| bus.join_group(&NUMBERS, "workers").unwrap());
    let stats = bus.stats_of("numbers");
    assert_eq!(stats.subscribers.len(), 1);
    let group = &stats.subscribers[0];
    assert_eq!(group.group.as_deref(), Some("workers"));
    assert_eq!(group.overflow, Overflow::Block);
    assert_eq!(group.place.file(), file!());
}

trait StatsOf {
    fn stats_of(&self, topic: &str) -> coord_bus::TopicStats;
}

impl StatsOf for LocalBus {
    fn stats_of(&self, topic: &str) -> coord_bus::TopicStats {
        let stats = coord_bus::Bus::stats(self).into_iter();
        stats
            .into_iter()
            .find(|stats| stats.topic == topic)
            .expect("it is open")
    }
}

/// Members on four threads come and go, and drop a part of what they claim: each event is
/// acknowledged once, and handed out as often as it was given back and once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_event_is_acknowledged_once_whoever_comes_and_goes() {
    const EVENTS: usize = 20_000;
    let log = Log::new("numbers", 64);
    let acknowledged = Arc::new(Mutex::new(HashMap::<u64, u32>::new()));
    let given_back = Arc::new(AtomicUsize::new(0));
    let handed_out = Arc::new(AtomicUsize::new(0));
    // So short that what comes back often is there in time.
    let backoff = Backoff::constant(Duration::from_millis(1));
    let keeper = log.join_group("workers").backoff(backoff);
    let mut members = JoinSet::new();
    for seed in 0..8_u64 {
        let mut member = keeper.clone();
        let log = keeper.clone();
        let acknowledged = Arc::clone(&acknowledged);
        let (given_back, handed_out) = (Arc::clone(&given_back), Arc::clone(&handed_out));
        members.spawn(async move {
            let mut random = seed + 1;
            while let Some(claim) = member.recv().await {
                handed_out.fetch_add(1, Ordering::SeqCst);
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                match random >> 60 {
                    0 | 1 => {
                        given_back.fetch_add(1, Ordering::SeqCst);
                        drop(claim);
                    }
                    2 => {
                        given_back.fetch_add(1, Ordering::SeqCst);
                        member = log.clone();
                        drop(claim);
                    }
                    3 => {
                        tokio::task::yield_now().await;
                        acknowledge(claim, &acknowledged);
                    }
                    _ => acknowledge(claim, &acknowledged),
                }
            }
        });
    }
    for number in 0..EVENTS as u64 {
        log.append(number.into()).await.unwrap();
    }
    log.close();
    drop(keeper);
    members.join_all().await;
    let acknowledged = acknowledged.lock().unwrap();
    assert_eq!(acknowledged.len(), EVENTS);
    assert!(acknowledged.values().all(|times| *times == 1));
    let handed_out = handed_out.load(Ordering::SeqCst);
    assert_eq!(handed_out, EVENTS + given_back.load(Ordering::SeqCst));
}

fn acknowledge(claim: coord_bus::Claim<u64>, acknowledged: &Mutex<HashMap<u64, u32>>) {
    *acknowledged
        .lock()
        .expect("no test panics with it")
        .entry(*claim)
        .or_default() += 1;
    claim.acknowledge();
}
