//! Consumers that compete for the events of a topic.

use std::time::Duration;

use super::super::{in_time, settle};
use super::{CAPACITY, NUMBERS, publish_all, receive};
use crate::{Bus, BusExt, GroupMember, time};

async fn claim(member: &GroupMember<u64>) -> crate::Claim<u64> {
    in_time(member.recv()).await.expect("the topic is open")
}

/// Each event goes to one member, and to each subscriber beside them.
pub async fn each_event_goes_to_one_member_of_a_group(bus: &dyn Bus) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let mut subscriber = bus.subscribe(&NUMBERS).expect("it opens");
    let one = bus.join_group(&NUMBERS, "workers").expect("it opens");
    let other = bus.join_group(&NUMBERS, "workers").expect("it opens");
    let alone = bus.join_group(&NUMBERS, "others").expect("it opens");
    publish_all(&publisher, 1..=10).await;
    let mut shared = Vec::new();
    for _ in 0..5 {
        for member in [&one, &other] {
            let claimed = claim(member).await;
            shared.push(*claimed);
            assert_eq!(claimed.attempt(), 1);
            claimed.acknowledge();
            let claimed = claim(&alone).await;
            assert_eq!(*claimed, shared.len() as u64);
            claimed.acknowledge();
        }
    }
    assert!(shared.into_iter().eq(1..=10), "in order, and none twice");
    assert!(receive(&mut subscriber, 10).await.into_iter().eq(1..=10));
}

/// What a member does not acknowledge goes to another, which learns that it is not the first.
pub async fn what_is_not_acknowledged_goes_to_another_member(bus: &dyn Bus) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let one = bus.join_group(&NUMBERS, "workers").expect("it opens");
    let other = bus.join_group(&NUMBERS, "workers").expect("it opens");
    publish_all(&publisher, 1..=3).await;
    let (first, second) = (claim(&one).await, claim(&one).await);
    assert_eq!((*first, *second), (1, 2));
    drop(first);
    drop(one);
    let again = claim(&other).await;
    assert_eq!((*again, again.attempt()), (1, 2));
    again.acknowledge();
    let third = claim(&other).await;
    assert_eq!((*third, third.attempt()), (3, 1));
    // Claims outlive their member.
    drop(second);
    let again = claim(&other).await;
    assert_eq!((*again, again.attempt()), (2, 2));
    again.acknowledge();
    third.acknowledge();
}

/// What comes back again and again waits in between, so others pass it; in the end it is a dead
/// letter, and nothing is left of it.
pub async fn what_nobody_acknowledges_lets_others_pass_and_becomes_a_dead_letter(bus: &dyn Bus) {
    const POISON: u64 = 2;
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let mut letters = bus.subscribe(&NUMBERS.dead_letters()).expect("it opens");
    let member = bus.join_group(&NUMBERS, "workers").expect("it opens");
    let member = member.max_deliveries(4);
    publish_all(&publisher, 1..=5).await;
    publisher.close();
    let mut handed_out = Vec::new();
    while let Some(claimed) = in_time(member.recv()).await {
        handed_out.push(*claimed);
        if *claimed != POISON {
            claimed.acknowledge();
        }
    }
    assert_eq!(handed_out, [1, POISON, POISON, 3, 4, 5, POISON, POISON]);
    let letter = in_time(letters.recv()).await.expect("the topic is open");
    assert_eq!((*letter.event, letter.attempts), (POISON, 4));
    assert_eq!(&*letter.handler, "group workers");
}

/// A member may say itself when it is to come back.
pub async fn what_is_given_back_comes_after_the_time_that_was_said(bus: &dyn Bus) {
    const AFTER: Duration = Duration::from_secs(10);
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let member = bus.join_group(&NUMBERS, "workers").expect("it opens");
    publish_all(&publisher, 1..=2).await;
    let begin = time::Instant::now();
    claim(&member).await.give_back(AFTER);
    let second = claim(&member).await;
    assert_eq!((*second, begin.elapsed() < AFTER), (2, true));
    second.acknowledge();
    let again = claim(&member).await;
    assert_eq!((*again, again.attempt()), (1, 2));
    assert!(begin.elapsed() >= AFTER);
    again.acknowledge();
}

/// Members that wait are served in the order in which they asked.
pub async fn members_that_wait_are_served_in_turn(bus: &dyn Bus) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let members: Vec<_> = (0..3)
        .map(|_| bus.join_group(&NUMBERS, "workers").expect("it opens"))
        .collect();
    let served = |member: usize| {
        let member = &members[member];
        async move {
            let mut numbers = Vec::new();
            for _ in 0..4 {
                let claimed = claim(member).await;
                numbers.push(*claimed);
                claimed.acknowledge();
                // So that all three wait when the next is published.
                settle().await;
            }
            numbers
        }
    };
    let publishing = async {
        for number in 1..=12 {
            if number % 3 == 1 {
                settle().await;
            }
            publish_all(&publisher, [number]).await;
        }
    };
    let (one, two, three, ()) = tokio::join!(served(0), served(1), served(2), publishing);
    for served in [one, two, three] {
        let rounds: Vec<_> = served.iter().map(|number| (number - 1) / 3).collect();
        assert_eq!(rounds, [0, 1, 2, 3], "{served:?}");
    }
}

/// A cancelled receive has claimed nothing, and leaves its turn to the next.
pub async fn a_cancelled_claim_loses_nothing(bus: &dyn Bus) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let one = bus.join_group(&NUMBERS, "workers").expect("it opens");
    let other = bus.join_group(&NUMBERS, "workers").expect("it opens");
    for number in 1..=10 {
        tokio::select! {
            biased;
            _ = one.recv() => panic!("there is nothing"),
            () = settle() => {}
        }
        publish_all(&publisher, [number]).await;
        let claimed = claim(&other).await;
        assert_eq!((*claimed, claimed.attempt()), (number, 1));
        claimed.acknowledge();
    }
}

/// A group takes what is published while it has a member, and holds publishers up as a lossless
/// subscriber does.
pub async fn a_group_is_one_lossless_subscriber(bus: &dyn Bus) {
    let topic = NUMBERS.capacity(CAPACITY);
    let publisher = bus.publisher(&topic).expect("it opens");
    publish_all(&publisher, 1..=20).await;
    let member = bus.join_group(&topic, "workers").expect("it opens");
    let publishing = publish_all(&publisher, 21..=60);
    let claiming = async {
        let mut numbers = Vec::new();
        while numbers.len() < 40 {
            let claimed = claim(&member).await;
            numbers.push(*claimed);
            claimed.acknowledge();
        }
        numbers
    };
    let ((), claimed) = tokio::join!(publishing, claiming);
    assert!(claimed.into_iter().eq(21..=60));
    drop(member);
    // Nobody is left who could hold them up.
    publish_all(&publisher, 61..=100).await;
    let member = bus.join_group(&topic, "workers").expect("it opens");
    publish_all(&publisher, [101]).await;
    let claimed = claim(&member).await;
    assert_eq!(*claimed, 101);
    claimed.acknowledge();
}

/// A group ends when its topic is closed and everything is acknowledged: until then, what is
/// claimed may come back.
pub async fn a_group_ends_when_everything_is_acknowledged(bus: &dyn Bus) {
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let one = bus.join_group(&NUMBERS, "workers").expect("it opens");
    let other = bus.join_group(&NUMBERS, "workers").expect("it opens");
    publish_all(&publisher, 1..=2).await;
    publisher.close();
    let (first, second) = (claim(&one).await, claim(&one).await);
    second.acknowledge();
    tokio::select! {
        biased;
        _ = other.recv() => panic!("an event is not acknowledged"),
        () = settle() => {}
    }
    let (again, ()) = tokio::join!(claim(&other), async { drop(first) });
    assert_eq!((*again, again.attempt()), (1, 2));
    let (end, ()) = tokio::join!(in_time(one.recv()), async { again.acknowledge() });
    assert!(end.is_none());
    assert!(in_time(other.recv()).await.is_none());
}
