//! What a group gets back: when it is handed out again, what overtakes it meanwhile, and when it
//! becomes a dead letter.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use coord_bus::time::{self, Instant};
use coord_bus::{Bus, BusExt, ByteBus, GroupMember, LocalBus, Log, Topic};

const NUMBERS: Topic<u64> = Topic::new("numbers");

/// What no number here can be dealt with.
const POISON: u64 = 13;

async fn publish(bus: &dyn Bus, numbers: impl IntoIterator<Item = u64>) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    for number in numbers {
        publisher.publish(number).await.expect("the topic is open");
    }
}

/// Deals with all but the poison until nothing comes for a while: what was handed out when, which
/// attempt it was.
async fn work(member: &GroupMember<u64>, idle: Duration) -> Vec<(u64, u32, u128)> {
    let begin = Instant::now();
    let mut handed_out = Vec::new();
    while let Ok(Some(claim)) = time::timeout(idle, member.recv()).await {
        handed_out.push((*claim, claim.attempt(), begin.elapsed().as_millis()));
        if *claim != POISON {
            claim.acknowledge();
        }
        assert!(handed_out.len() < 1000, "a hot loop: {handed_out:?}");
    }
    handed_out
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_dealt_with_starves_nobody_and_becomes_a_dead_letter() {
    for bus in [&LocalBus::new() as &dyn Bus, &ByteBus::new()] {
        let member = bus.join_group(&NUMBERS, "workers").unwrap();
        publish(bus, [12, POISON, 14, 15]).await;
        let handed_out = work(&member, Duration::from_secs(60)).await;
        // The first time that it comes back it does so at once, and then waits.
        let expected = [
            (12, 1, 0),
            (POISON, 1, 0),
            (POISON, 2, 0),
            (14, 1, 0),
            (15, 1, 0),
            (POISON, 3, 500),
            (POISON, 4, 1500),
            (POISON, 5, 3500),
        ];
        for (handed_out, expected) in handed_out.iter().zip(&expected) {
            assert_eq!((handed_out.0, handed_out.1), (expected.0, expected.1));
            // Timers are exact to the millisecond.
            assert!(handed_out.2.abs_diff(expected.2) <= 5, "{handed_out:?}");
        }
        assert_eq!(handed_out.len(), expected.len(), "{handed_out:?}");
        let mut letters = bus.subscribe(&NUMBERS.dead_letters()).unwrap();
        let letter = time::timeout(Duration::from_secs(1), letters.recv()).await;
        let letter = letter.unwrap().unwrap().into_delivery();
        assert_eq!((*letter.event, letter.attempts), (POISON, 5));
        assert_eq!(&*letter.handler, "group workers");
        assert_eq!(
            letter.error,
            ["it was handed out 5 times, and not acknowledged"]
        );
        assert_eq!(letter.meta().causation_id(), Some("numbers#2"));
        // Nothing is left of it: the group comes to its end.
        bus.publisher(&NUMBERS).unwrap().close();
        let end = time::timeout(Duration::from_secs(60), member.recv()).await;
        assert!(end.unwrap().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_to_come_back_counts_as_not_acknowledged() {
    const UNACKNOWLEDGED_MAX: u64 = 1000;
    let log = Log::new("numbers", 4096);
    let member = log.join_group("workers");
    for number in 0..2000_u64 {
        log.append(number.into()).await.unwrap();
    }
    // Each twice, so that all of them wait.
    for number in 0..UNACKNOWLEDGED_MAX {
        for attempt in 1..=2 {
            let claim = member.recv().await.unwrap();
            assert_eq!((*claim, claim.attempt()), (number, attempt));
        }
    }
    {
        let mut next = pin!(member.recv());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(next.as_mut().poll(&mut cx).is_pending());
    }
    let claim = member.recv().await.unwrap();
    assert_eq!((*claim, claim.attempt()), (0, 3));
    claim.acknowledge();
    let claim = member.recv().await.unwrap();
    assert!(*claim == UNACKNOWLEDGED_MAX || claim.attempt() == 3);
    claim.acknowledge();
}

#[tokio::test(start_paused = true)]
async fn a_group_that_was_closed_ends_after_what_waits_to_come_back() {
    let log = Log::new("numbers", 64);
    let (one, other) = (log.join_group("workers"), log.join_group("workers"));
    log.append(POISON.into()).await.unwrap();
    drop(one.recv().await.unwrap());
    drop(one.recv().await.unwrap());
    log.close();
    let begin = Instant::now();
    let claim = other.recv().await.unwrap();
    assert_eq!((*claim, claim.attempt()), (POISON, 3));
    assert!(begin.elapsed() >= Duration::from_millis(500));
    claim.acknowledge();
    assert!(other.recv().await.is_none() && one.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_dropped_while_it_waits_leaves_what_comes_back_to_the_next() {
    let log = Log::new("numbers", 64);
    let (one, other) = (log.join_group("workers"), log.join_group("workers"));
    log.append(POISON.into()).await.unwrap();
    drop(one.recv().await.unwrap());
    drop(one.recv().await.unwrap());
    let waits = tokio::spawn(async move { other.recv().await.map(|claim| *claim) });
    let gone = time::timeout(Duration::from_millis(100), one.recv()).await;
    assert!(gone.is_err());
    drop(one);
    let came = time::timeout(Duration::from_secs(1), waits).await;
    assert_eq!(came.unwrap().unwrap(), Some(POISON));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_become_a_dead_letter_is_handed_out_until_it_is_acknowledged() {
    let bus = LocalBus::new();
    let member = bus.join_group(&NUMBERS, "workers").unwrap();
    let member = member.max_deliveries(1);
    let letters = bus.publisher(&NUMBERS.dead_letters()).unwrap();
    letters.close();
    publish(&bus, [POISON]).await;
    for attempt in 1..=8 {
        let claim = member.recv().await.unwrap();
        assert_eq!((*claim, claim.attempt()), (POISON, attempt));
    }
    member.recv().await.unwrap().acknowledge();
    assert_eq!(letters.stats().published, 0);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_handed_out_until_they_are_acknowledged_on_every_bus() {
    for bus in [&LocalBus::new() as &dyn Bus, &ByteBus::new()] {
        let letters = NUMBERS.dead_letters();
        let undertaker = bus.join_group(&letters, "undertakers").unwrap();
        let undertaker = undertaker.max_deliveries(1);
        let member = bus.join_group(&NUMBERS, "workers").unwrap();
        let member = member.max_deliveries(1);
        publish(bus, [POISON]).await;
        drop(member.recv().await.unwrap());
        let end = time::timeout(Duration::from_secs(5), member.recv()).await;
        assert!(end.is_err(), "it is dead");
        for attempt in 1..=8 {
            let claim = undertaker.recv().await.unwrap();
            assert_eq!((*claim.event, claim.attempt()), (POISON, attempt));
        }
        undertaker.recv().await.unwrap().acknowledge();
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_handed_out_when_its_time_comes_whoever_gave_it_back() {
    let log = Log::new("numbers", 64);
    let (one, other) = (log.join_group("workers"), log.join_group("workers"));
    for number in 1..=3_u64 {
        log.append(number.into()).await.unwrap();
    }
    let claims = [one.recv().await, one.recv().await, one.recv().await];
    let waits = tokio::spawn(async move {
        let mut numbers = Vec::new();
        for _ in 1..=3 {
            let claim = other.recv().await.expect("it is open");
            numbers.push(*claim);
            claim.acknowledge();
        }
        numbers
    });
    // Each is due before the one for which the other waits by now.
    for (claim, after) in claims.into_iter().flatten().zip([30, 20, 10]) {
        claim.give_back(Duration::from_secs(after));
        time::sleep(Duration::from_millis(1)).await; // tidy: sleep, so that the other waits
    }
    assert_eq!(waits.await.unwrap(), [3, 2, 1]);
}
