//! Requests over the bus of bytes: what becomes of questions and replies that cannot become bytes,
//! of those that faults meet, and of all when the bus goes.

use std::collections::BTreeMap;

use coord_bus::{ByteBus, Faults};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

/// JSON has no keys that are pairs.
type Pairs = BTreeMap<(u8, u8), u8>;

fn pairs() -> Pairs {
    BTreeMap::from([((1, 2), 3)])
}

#[tokio::test(start_paused = true)]
async fn a_question_and_a_reply_arrive_as_others_made_from_bytes() {
    #[derive(Serialize, Deserialize)]
    struct Shown {
        text: String,
        #[serde(skip)]
        handle: Option<u8>,
    }
    let endpoint = Endpoint::<Shown, Shown>::new("shown");
    let bus = ByteBus::new();
    let _responder = bus.respond(&endpoint, |shown: Shown| async move {
        assert_eq!(shown.handle, None);
        Ok::<_, Infallible>(Shown {
            text: shown.text + "!",
            handle: Some(8),
        })
    });
    let question = Shown {
        text: "größe".to_owned(),
        handle: Some(7),
    };
    let requester = bus.requester(&endpoint).unwrap();
    let reply = requester.request(question).await.unwrap();
    assert_eq!((&*reply.text, reply.handle), ("größe!", None));
}

#[tokio::test(start_paused = true)]
async fn a_question_that_cannot_become_bytes_is_asked_of_nobody() {
    let (bus, alive) = (ByteBus::new(), Alive::default());
    let endpoint = Endpoint::<Pairs, u64>::new("pairs");
    let guarded = alive.clone();
    let _responder = bus.respond(&endpoint, move |_: Pairs| {
        drop(guarded.guard());
        echo(1)
    });
    let refused = bus.requester(&endpoint).unwrap().request(pairs()).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, RequestError::Encode { .. }), "{error}");
    for part in ["`pairs`", "BTreeMap", "encoded"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    settle().await;
    assert_eq!(alive.begun(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_cannot_become_bytes_is_a_failure_at_once() {
    let bus = ByteBus::new();
    let endpoint = Endpoint::<u64, Pairs>::new("pairs");
    let _responder = bus.respond(&endpoint, |_| async { Ok::<_, Infallible>(pairs()) });
    let start = Instant::now();
    let refused = bus.requester(&endpoint).unwrap().request(1).await;
    let error = refused.unwrap_err();
    for part in ["`pairs`", "BTreeMap", "encoded"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    match error {
        RequestError::Failed { failure, .. } => assert!(failure.is_permanent()),
        other => panic!("{other}"),
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_bus_tells_who_asked_and_stops_who_answers() {
    let (bus, alive) = (ByteBus::new(), Alive::default());
    let guarded = alive.clone();
    let responder = bus.respond(&ECHO, move |number| {
        let guard = guarded.guard();
        async move {
            let never = never(number).await;
            drop(guard);
            never
        }
    });
    let responder = responder.unwrap();
    let requester = bus.requester(&ECHO).unwrap();
    let mut asking = JoinSet::new();
    // One is taken, one is at the far side, and of the rest some are on their way.
    for number in 0..3 {
        let requester = requester.clone();
        asking.spawn(async move { requester.request(number).await });
        settle().await;
    }
    assert_eq!(alive.now(), 1);
    let start = Instant::now();
    drop(bus);
    for outcome in asking.join_all().await {
        let told = matches!(outcome, Err(RequestError::Closed { .. }));
        assert!(told, "{outcome:?}");
    }
    settle().await;
    assert_eq!((alive.now(), start.elapsed()), (0, Duration::ZERO));
    let refused = requester.request(1).await;
    assert!(matches!(refused, Err(RequestError::Closed { .. })));
    assert!(responder.drain(Duration::ZERO).await.aborted.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_cuts_the_way_leaves_what_has_arrived() {
    let bus = ByteBus::with_faults(Faults::seeded(9).close_after(2));
    let _responder = bus.respond(&ECHO, |number| async move {
        time::sleep(SECOND).await;
        echo(number).await
    });
    let requester = bus.requester(&ECHO).unwrap();
    let mut asking = JoinSet::new();
    for number in 0..4 {
        let requester = requester.clone();
        asking.spawn(async move { (number, requester.request(number).await) });
        settle().await;
    }
    let mut outcomes = asking.join_all().await;
    outcomes.sort_by_key(|(number, _)| *number);
    assert!(matches!(
        outcomes[..],
        [
            (0, Ok(0)),
            (1, Ok(1)),
            (2, Err(RequestError::Closed { .. })),
            (3, Err(RequestError::Closed { .. })),
        ]
    ));
    assert_eq!(bus.faults().closed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_question_and_a_lost_reply_end_at_the_deadline() {
    let mut lost = [0, 0];
    for seed in 0..40 {
        let bus = ByteBus::with_faults(Faults::seeded(seed).drop(0.5));
        let alive = Alive::default();
        let guarded = alive.clone();
        let _responder = bus.respond(&ECHO, move |number| {
            drop(guarded.guard());
            echo(number)
        });
        let requester = bus.requester(&ECHO).unwrap().deadline(SECOND);
        let start = Instant::now();
        let outcome = requester.request(1).await;
        let expected = match outcome {
            Ok(1) => 0,
            Err(RequestError::DeadlineExceeded { .. }) => 1,
            other => panic!("{other:?}"),
        };
        assert_eq!(bus.faults().dropped, expected, "{seed}");
        if expected == 1 {
            assert!(start.elapsed() >= SECOND);
            // Where the question was lost nobody began, and where the reply was somebody did.
            lost[alive.begun()] += 1;
        }
    }
    assert!(lost[0] > 5 && lost[1] > 5, "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_arrives_twice_is_answered_once() {
    let bus = ByteBus::with_faults(Faults::seeded(3).duplicate(1.0));
    let alive = Alive::default();
    let guarded = alive.clone();
    let _responder = bus.respond_with(&ECHO, 2, move |number| {
        let guard = guarded.guard();
        // The first is slow, and the second is faster.
        let nap = SECOND * (3 - u32::try_from(guarded.begun()).unwrap());
        async move {
            time::sleep(nap).await;
            drop(guard);
            echo(number).await
        }
    });
    let requester = bus.requester(&ECHO).unwrap();
    let start = Instant::now();
    assert_eq!(requester.request(1).await.unwrap(), 1);
    assert!(start.elapsed() < SECOND * 11 / 10);
    settle().await;
    assert_eq!((alive.begun(), alive.now()), (2, 0));
    // The question, and its reply.
    assert_eq!(bus.faults().duplicated, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_is_accepted_and_in_flight() {
    let bus = ByteBus::new();
    let endpoint = ECHO.capacity(1);
    let _responder = bus.respond(&endpoint, never).unwrap();
    let requester = bus.requester(&endpoint).unwrap();
    let mut asking = JoinSet::new();
    for number in 0..12 {
        let requester = requester.clone();
        asking.spawn(async move { requester.request(number).await });
        settle().await;
    }
    // One is taken, one is in the queue, one waits for room in it, and three are behind that.
    let stats = stats_of(&bus, "echo");
    assert_eq!((stats.published, stats.ledger.published), (6, 6));
    assert_eq!((stats.ledger.delivered, stats.ledger.in_flight), (1, 5));
    assert!(stats.ledger.is_balanced(), "{stats:?}");
    let [responders] = &stats.subscribers[..] else {
        panic!("{:?}", stats.subscribers);
    };
    assert_eq!(responders.ledger, stats.ledger);
    let drained = bus.drain(SECOND).await;
    assert_eq!(drained.left[0].ledger.in_flight, 5);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_question_holds_up_those_behind_it() {
    let bus = ByteBus::with_faults(Faults::seeded(5).delay(1.0, ..=SECOND));
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let _responder = bus.respond(&ECHO, move |number| {
        seen.lock().unwrap().push(number);
        echo(number)
    });
    let requester = bus.requester(&ECHO).unwrap();
    let asking = [0, 1, 2].map(|number| requester.request(number));
    let [first, second, third] = asking;
    let (first, second, third) = tokio::join!(first, second, third);
    assert_eq!([first.unwrap(), second.unwrap(), third.unwrap()], [0, 1, 2]);
    assert_eq!(*order.lock().unwrap(), [0, 1, 2]);
    assert_eq!(bus.faults().delayed, 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_on_the_way_each_gets_its_own_reply_or_its_deadline_passes(
        seed: u64,
        drop in 0.0..=0.6_f64,
        duplicate in 0.0..=1.0_f64,
        delay in 0.0..=1.0_f64,
        capacity in 1..5_usize,
        responders in 1..4_usize,
        // Whether each is given up, before it can be over.
        gives_up in prop::collection::vec(any::<bool>(), 0..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let faults = Faults::seeded(seed).drop(drop).duplicate(duplicate);
            let bus = ByteBus::with_faults(faults.delay(delay, ..=SECOND / 100));
            let (endpoint, alive) = (ECHO.capacity(capacity), Alive::default());
            let guarded = alive.clone();
            let _responder = bus.respond_with(&endpoint, responders, move |number| {
                let guard = guarded.guard();
                async move {
                    time::sleep(SECOND / 100).await;
                    std::mem::drop(guard);
                    echo(number).await
                }
            });
            let requester = bus.requester(&endpoint).unwrap();
            let mut asking = JoinSet::new();
            for (number, gives_up) in (0..).zip(&gives_up) {
                let deadline = SECOND * if *gives_up { 0 } else { 30 };
                let requester = requester.clone().deadline(deadline);
                asking.spawn(async move { (number, requester.request(number).await) });
            }
            let mut late = 0;
            for (number, outcome) in asking.join_all().await {
                match outcome {
                    Ok(reply) => assert_eq!(reply, number),
                    Err(RequestError::DeadlineExceeded { deadline, .. }) => {
                        late += u64::from(!deadline.is_zero());
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(late <= bus.faults().dropped, "{late} of {:?}", bus.faults());
            // Until then, questions may be held up on their way of which the askers have gone.
            assert!(bus.drain(SECOND).await.is_complete());
            settle().await;
            assert_eq!(alive.now(), 0);
            let stats = stats_of(&bus, "echo");
            assert!(stats.ledger.is_balanced(), "{stats:?}");
            assert_eq!(stats.ledger.in_flight, 0);
            assert_eq!(stats.ledger.delivered, alive.begun() as u64);
        });
    }
}
