//! Who answers: many share an endpoint, each may go, and the bus may close.

use std::any::type_name;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::{PATIENCE, in_time, settle};
use super::requests::{ECHO, SECOND, ask, echo, never, outcomes, slow_echo, stats};
use super::{NUMBERS, publish_all};
use crate::time::Instant;
use crate::{
    Bus, BusError, BusExt, Delivery, Endpoint, Envelope, Failure, Overflow, RequestError, Topic,
    time,
};

/// Of several responders, one takes a request, and answers it once.
pub async fn each_request_is_answered_by_one_responder(bus: &dyn Bus) {
    let answered = Arc::new(Mutex::new(Vec::new()));
    let responders = [0, 1, 2].map(|_| {
        let answered = Arc::clone(&answered);
        bus.respond(&ECHO, move |number| {
            let mut answered = answered.lock().expect("nobody panics with it");
            answered.push(number);
            slow_echo(number)
        })
    });
    let requester = bus.requester(&ECHO).expect("it opens");
    for (number, replied) in outcomes(ask(&requester, 0..30).await).await {
        assert_eq!(replied.expect("it is answered"), number);
    }
    let mut answered = answered.lock().expect("nobody panics with it").clone();
    answered.sort_unstable();
    assert!(answered.into_iter().eq(0..30));
    drop(responders);
}

/// A responder answers as many requests at once as it said, and no more.
pub async fn no_more_requests_are_answered_at_once_than_the_responder_said(bus: &dyn Bus) {
    for (stated, expected) in [(0, 1), (1, 1), (4, 4)] {
        let (alive, most) = (Arc::new(()), Arc::new(AtomicUsize::new(0)));
        let (guard, seen) = (Arc::clone(&alive), Arc::clone(&most));
        let responder = bus.respond_with(&ECHO, stated, move |number| {
            let guard = Arc::clone(&guard);
            // Those of the handlers, without the two of the test and the function.
            seen.fetch_max(Arc::strong_count(&guard) - 2, Ordering::SeqCst);
            async move {
                let replied = slow_echo(number).await;
                drop(guard);
                replied
            }
        });
        let requester = bus.requester(&ECHO).expect("it opens");
        for (number, replied) in outcomes(ask(&requester, 0..12).await).await {
            assert_eq!(replied.expect("it is answered"), number);
        }
        assert_eq!(most.load(Ordering::SeqCst), expected);
        drop((alive, responder));
    }
}

/// Who had taken a request and goes abandons it, which is told at once; what nobody had taken goes
/// to who is left.
pub async fn when_a_responder_goes_the_others_answer_what_nobody_has_taken(bus: &dyn Bus) {
    let one = bus.respond(&ECHO, never).expect("it opens");
    let requester = bus.requester(&ECHO).expect("it opens");
    let asking = ask(&requester, 0..5).await;
    let start = Instant::now();
    let _other = bus.respond(&ECHO, slow_echo).expect("it opens");
    drop(one);
    let told = outcomes(asking).await;
    assert!(matches!(
        told[0],
        (0, Err(RequestError::Abandoned { ref endpoint })) if endpoint == ECHO.name()
    ));
    for (number, replied) in &told[1..] {
        assert!(replied.as_ref().is_ok_and(|reply| reply == number));
    }
    let elapsed = start.elapsed();
    assert!(elapsed >= 4 * SECOND && elapsed < 5 * SECOND, "{elapsed:?}");
}

/// Nobody waits for a responder that is gone, neither in the queue nor for room in it.
pub async fn when_the_last_responder_goes_all_who_wait_are_told_at_once(bus: &dyn Bus) {
    let endpoint = ECHO.capacity(2);
    let (one, other) = (
        bus.respond(&endpoint, never).expect("it opens"),
        bus.respond(&endpoint, never).expect("it opens"),
    );
    let requester = bus.requester(&endpoint).expect("it opens");
    let asking = ask(&requester, 0..12).await;
    let start = Instant::now();
    drop(one);
    settle().await;
    drop(other);
    let mut told = (0, 0);
    for (_, outcome) in outcomes(asking).await {
        match outcome {
            Err(RequestError::Abandoned { .. }) => told.0 += 1,
            Err(RequestError::NoResponders { .. }) => told.1 += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, (2, 10));
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
}

/// A responder that drains answers what it has taken, and leaves the rest to the others.
pub async fn a_responder_that_drains_answers_what_it_has(bus: &dyn Bus) {
    let slow = |name: u64| move |number: u64| slow_echo(100 * name + number);
    let one = bus.respond(&ECHO, slow(1)).expect("it opens");
    let requester = bus.requester(&ECHO).expect("it opens");
    let asking = ask(&requester, 0..3).await;
    let _other = bus.respond(&ECHO, slow(2)).expect("it opens");
    let report = in_time(one.drain(5 * SECOND)).await;
    assert!(report.aborted.is_empty(), "{report}");
    let replies = outcomes(asking).await.into_iter();
    let replies: Vec<_> = replies.filter_map(|(_, replied)| replied.ok()).collect();
    assert_eq!(replies, [100, 201, 202]);
}

/// The only responder takes nothing more from when it drains, and abandons at its deadline what it
/// has not answered.
pub async fn a_responder_that_drains_takes_no_more_and_abandons_at_its_deadline(bus: &dyn Bus) {
    let responder = bus.respond(&ECHO, never).expect("it opens");
    let requester = bus.requester(&ECHO).expect("it opens");
    let taken = ask(&requester, [0]).await;
    let refused = async {
        settle().await;
        requester.request(1).await
    };
    let (report, refused) = in_time(async { tokio::join!(responder.drain(SECOND), refused) }).await;
    assert!(matches!(refused, Err(RequestError::NoResponders { .. })));
    assert_eq!(report.aborted, [ECHO.name()]);
    let told = outcomes(taken).await;
    assert!(matches!(
        told[..],
        [(0, Err(RequestError::Abandoned { .. }))]
    ));
}

/// What a function publishes while it answers names the request as its cause, and no two requests
/// have one name.
pub async fn what_a_responder_publishes_follows_from_its_request(bus: &dyn Bus) {
    let mut events = bus.subscribe(&NUMBERS).expect("it opens");
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    let _responder = bus.respond(&ECHO, move |number| {
        let publisher = publisher.clone();
        async move {
            publisher.publish(number).await?;
            publisher.publish(number).await?;
            Ok::<_, Failure>(number)
        }
    });
    let requester = bus.requester(&ECHO).expect("it opens");
    let mut causes = Vec::new();
    for number in 0..3 {
        let replied = in_time(requester.request(number)).await;
        replied.unwrap_or_else(|error| panic!("{error}"));
        for _ in 0..2 {
            let event = in_time(events.recv()).await.expect("it is open");
            let cause = event.meta().causation_id().map(str::to_owned);
            // It belongs to no undertaking but its own.
            assert_eq!(event.meta().correlation_id(), cause.as_deref());
            causes.push(cause.expect("it has a cause"));
        }
    }
    assert!(
        causes.chunks(2).all(|pair| pair[0] == pair[1]),
        "{causes:?}"
    );
    causes.dedup();
    assert_eq!(causes.len(), 3, "{causes:?}");
}

/// The undertaking that an event belongs to goes from request to request.
pub async fn a_chain_of_requests_belongs_to_one_undertaking(bus: &dyn Bus) {
    let inner = Endpoint::<u64, u64>::new("conformance.inner");
    let audit = Topic::<u64>::new("conformance.audit");
    let mut audited = bus.subscribe(&audit).expect("it opens");
    let publisher = bus.publisher(&audit).expect("it opens");
    let _inner = bus.respond(&inner, move |number| {
        let publisher = publisher.clone();
        async move {
            publisher.publish(number).await?;
            Ok::<_, Failure>(number)
        }
    });
    let asks_inner = bus.requester(&inner).expect("it opens");
    let _outer = bus.respond(&ECHO, move |number| {
        let asks_inner = asks_inner.clone();
        async move { asks_inner.request(number).await }
    });
    let asks_outer = bus.requester(&ECHO).expect("it opens");
    let _handler = bus.on(&NUMBERS, move |number: Delivery<u64>| {
        let asks_outer = asks_outer.clone();
        async move { asks_outer.request(*number).await.map(drop) }
    });
    let orders = bus.publisher(&NUMBERS).expect("it opens");
    let order = Envelope::new(7).correlation_id("order-17");
    let published = in_time(orders.publish_with(order)).await;
    published.expect("it is open");
    let event = in_time(audited.recv()).await.expect("it is open");
    assert_eq!(
        (*event, event.meta().correlation_id()),
        (7, Some("order-17"))
    );
    let cause = event.meta().causation_id();
    assert!(cause.is_some_and(|cause| cause != "order-17"), "{cause:?}");
}

/// Closing takes nothing back: what was accepted is answered, and nothing else.
pub async fn a_closed_bus_answers_what_it_has_accepted_and_refuses_the_rest(bus: &dyn Bus) {
    let endpoint = ECHO.capacity(1);
    let answered = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&answered);
    let _responder = bus.respond(&endpoint, move |number| {
        counts.fetch_add(1, Ordering::SeqCst);
        slow_echo(number)
    });
    let requester = bus.requester(&endpoint).expect("it opens");
    let asking = ask(&requester, 0..12).await;
    let drained = in_time(bus.drain(PATIENCE / 2)).await;
    assert!(drained.is_complete(), "{drained:?}");
    let (mut replies, mut closed) = (0, 0);
    for (number, outcome) in outcomes(asking).await {
        match outcome {
            Ok(reply) => {
                assert_eq!(reply, number);
                replies += 1;
            }
            Err(RequestError::Closed { .. }) => closed += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(replies >= 2 && closed >= 1, "{replies} and {closed}");
    assert_eq!(answered.load(Ordering::SeqCst), replies);
    let refused = in_time(requester.request(1)).await;
    assert!(matches!(refused, Err(RequestError::Closed { .. })));
    assert!(stats(bus).closed);
}

/// Once nothing more can come, a responder's tasks are over, and what its function holds is free.
pub async fn a_closed_bus_ends_its_responders(bus: &dyn Bus) {
    let alive = Arc::new(());
    let guard = Arc::clone(&alive);
    let responder = bus.respond_with(&ECHO, 2, move |number| {
        let guard = Arc::clone(&guard);
        async move {
            let replied = slow_echo(number).await;
            drop(guard);
            replied
        }
    });
    let requester = bus.requester(&ECHO).expect("it opens");
    let asking = ask(&requester, 0..4).await;
    bus.close();
    settle().await;
    assert_eq!(Arc::strong_count(&alive), 4, "it still answers");
    for (number, replied) in outcomes(asking).await {
        assert_eq!(replied.expect("it is answered"), number);
    }
    settle().await;
    assert_eq!(Arc::strong_count(&alive), 1);
    drop(responder);
}

/// A drain waits until a responder has every request, and not for the replies.
pub async fn a_drain_waits_until_requests_are_taken(bus: &dyn Bus) {
    let _responder = bus.respond(&ECHO, slow_echo).expect("it opens");
    let requester = bus.requester(&ECHO).expect("it opens");
    let asking = ask(&requester, 0..3).await;
    let start = Instant::now();
    let drained = in_time(bus.drain(PATIENCE / 2)).await;
    // The third is taken once the second is answered.
    let elapsed = start.elapsed();
    assert!(elapsed > SECOND && elapsed <= 2 * SECOND, "{elapsed:?}");
    assert!(drained.is_complete(), "{drained:?}");
    assert_eq!(drained.delivered, 2);
    for (number, replied) in outcomes(asking).await {
        assert_eq!(replied.expect("it is answered"), number);
    }
}

/// A drain that is over before every request is taken says how many are left.
pub async fn a_drain_tells_of_the_requests_that_nobody_took(bus: &dyn Bus) {
    let _responder = bus.respond(&ECHO, never).expect("it opens");
    let requester = bus.requester(&ECHO).expect("it opens");
    let _asking = ask(&requester, 0..4).await;
    let drained = in_time(bus.drain(SECOND)).await;
    let [left] = &drained.left[..] else {
        panic!("{drained:?}");
    };
    assert_eq!((&*left.topic, left.ledger.in_flight), (ECHO.name(), 3));
}

/// A name is that of one endpoint of one type, or of a topic.
pub async fn an_endpoint_has_one_type_and_shares_its_names_with_topics(bus: &dyn Bus) {
    let requester = bus.requester(&ECHO.capacity(8)).expect("it opens");
    let _topic = bus.publisher(&NUMBERS).expect("it opens");
    let other_type = Endpoint::<u64, String>::new("conformance.echo");
    let topic = Topic::<u64>::new("conformance.echo");
    // Nor does one get at its requests by a topic of its type.
    let same_type = Topic::<fn(u64) -> u64>::in_process("conformance.echo");
    let of_topic = ECHO.with_name(NUMBERS.name());
    let refused = [
        bus.requester(&other_type).map(drop),
        bus.publisher(&topic).map(drop),
        bus.respond(&of_topic, echo).map(drop),
    ];
    for refused in refused {
        let is_conflict = matches!(refused, Err(BusError::TypeConflict { .. }));
        assert!(is_conflict, "{refused:?}");
    }
    assert!(bus.subscribe(&same_type).is_err());
    let refused = bus.requester(&ECHO.capacity(9)).map(drop);
    let is_conflict = matches!(refused, Err(BusError::OptionConflict { .. }));
    assert!(is_conflict, "{refused:?}");
    let refused = bus.requester(&ECHO.with_name("two words")).map(drop);
    let is_invalid = matches!(refused, Err(BusError::InvalidName { .. }));
    assert!(is_invalid, "{refused:?}");
    // And the first is none the worse for it.
    let _responder = bus.respond(&ECHO, echo).expect("it opens");
    let replied = in_time(requester.request(7)).await;
    assert_eq!(replied.expect("it is answered"), 7);
}

/// Questions without serde are carried as they are, or refused before anybody asks.
pub async fn an_in_process_endpoint_is_carried_or_refused_by_name(bus: &dyn Bus) {
    struct Handle(u64);
    let endpoint = Endpoint::<Handle, Handle>::in_process("conformance.handles");
    let answer = |handle: Handle| async move { Ok::<_, Failure>(Handle(handle.0 + 1)) };
    let responder = bus.respond(&endpoint, answer);
    match bus.requester(&endpoint) {
        Ok(requester) => {
            let _responder = responder.expect("it opens");
            let replied = in_time(requester.request(Handle(7))).await;
            assert_eq!(replied.map(|handle| handle.0).ok(), Some(8));
        }
        Err(BusError::InProcessOnly { topic, event }) => {
            assert_eq!(topic, "conformance.handles");
            assert_eq!(event, type_name::<fn(Handle) -> Handle>());
            assert!(matches!(responder, Err(BusError::InProcessOnly { .. })));
            // The refusal has not taken the name.
            let opened = bus.requester(&ECHO.with_name("conformance.handles"));
            opened.unwrap_or_else(|error| panic!("{error}"));
        }
        Err(error) => panic!("{error}"),
    }
}

/// The ledger says of every request that was accepted whether it was taken, and all responders are
/// one subscriber.
pub async fn the_stats_say_what_became_of_the_requests(bus: &dyn Bus) {
    let requester = bus.requester(&ECHO).expect("it opens");
    let responders = [0, 1].map(|_| bus.respond(&ECHO, never).expect("it opens"));
    let asking = ask(&requester, 0..5).await;
    let asked = stats(bus);
    assert_eq!(asked.event, type_name::<fn(u64) -> u64>());
    assert_eq!(
        (asked.published, asked.capacity, asked.closed),
        (5, 1024, false)
    );
    let [responding] = &asked.subscribers[..] else {
        panic!("{:?}", asked.subscribers);
    };
    assert_eq!(responding.group.as_deref(), Some("responders"));
    assert_eq!(responding.ledger, asked.ledger);
    assert_eq!((asked.ledger.delivered, asked.ledger.in_flight), (2, 3));
    assert!(asked.ledger.is_balanced(), "{asked:?}");
    drop(responders);
    outcomes(asking).await;
    let ended = stats(bus);
    assert!(ended.subscribers.is_empty());
    let ledger = ended.ledger;
    assert_eq!((ledger.delivered, ledger.dropped.unreceived), (2, 3));
    assert!(ledger.is_balanced(), "{ended:?}");
    // Refused is not published.
    assert!(in_time(requester.request(1)).await.is_err());
    assert_eq!(stats(bus).published, 5);
}

/// A request is for one responder: who subscribes to everything gets the events alone.
pub async fn no_pattern_receives_requests(bus: &dyn Bus) {
    let before = bus.subscribe_pattern(">", Overflow::Block);
    let _responder = bus.respond(&ECHO, echo).expect("it opens");
    let after = bus.subscribe_pattern(">", Overflow::Block);
    let requester = bus.requester(&ECHO).expect("it opens");
    for number in 0..3 {
        let replied = in_time(requester.request(number)).await;
        assert_eq!(replied.expect("it is answered"), number);
    }
    let publisher = bus.publisher(&NUMBERS).expect("it opens");
    publish_all(&publisher, [7]).await;
    for subscriber in [before, after] {
        let mut subscriber = subscriber.expect("it is a pattern");
        let event = in_time(subscriber.recv()).await.expect("it is open");
        assert_eq!(event.topic(), NUMBERS.name());
        let nothing = time::timeout(Duration::from_millis(1), subscriber.recv()).await;
        assert!(nothing.is_err());
    }
}
