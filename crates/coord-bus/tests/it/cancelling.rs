//! Any future may be dropped at any await: each is polled so many times and then dropped, in the
//! midst of others at work, and afterwards nothing that was accepted is lost or doubled.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use coord_bus::{
    Backoff, Bus, BusExt, ByteBus, DeadLetter, Delivery, Failure, HandlerOptions, LocalBus,
    Overflow, Publisher, SubscribeOptions, Subscriber, Topic, time,
};
use proptest::prelude::*;

const NUMBERS: Topic<u64> = Topic::new("numbers").capacity(4);

/// Polls a future so many times, with turns for others in between, and drops it. What it gave, if
/// it was done before.
async fn polled<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let done = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx)));
        if let Poll::Ready(output) = done.await {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Publishes, polled so many times.
    Publish(usize),
    Receive(usize, usize),
    ReceiveMany(usize, usize),
    Claim(usize),
    /// Claims, and lets it come back.
    GiveBack(usize),
    Join,
    DrainSubscriber(usize),
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let polls = 0..4_usize;
    prop_oneof![
        8 => polls.clone().prop_map(Step::Publish),
        4 => (0..5_usize, polls.clone()).prop_map(|(who, polls)| Step::Receive(who, polls)),
        2 => (0..5_usize, polls.clone()).prop_map(|(who, polls)| Step::ReceiveMany(who, polls)),
        4 => polls.clone().prop_map(Step::Claim),
        4 => polls.clone().prop_map(Step::GiveBack),
        1 => Just(Step::Join),
        1 => polls.prop_map(Step::DrainSubscriber),
        2 => Just(Step::Settle),
    ]
}

/// What each got, counted by itself.
#[derive(Default)]
struct Got {
    numbers: Vec<u64>,
    missed: u64,
}

async fn play(bus: &dyn Bus, steps: &[Step], may_arrive_when_dropped: bool) {
    let publisher: Publisher<u64> = bus.publisher(&NUMBERS).unwrap();
    let odd = SubscribeOptions::new().filter(|number: &u64| number % 2 == 1);
    let mut subscribers = [
        bus.subscribe(&NUMBERS).unwrap(),
        bus.subscribe_with(&NUMBERS, Overflow::DropOldest).unwrap(),
        bus.subscribe_with(&NUMBERS, Overflow::DropNewest).unwrap(),
        bus.subscribe_with(&NUMBERS, Overflow::Latest).unwrap(),
        bus.subscribe_with(&NUMBERS, odd).unwrap(),
    ];
    let mut got: [Got; 5] = Default::default();
    let mut letters = bus.subscribe(&NUMBERS.dead_letters()).unwrap();
    let mut member = bus
        .join_group(&NUMBERS, "group")
        .unwrap()
        .max_deliveries(2)
        .backoff(Backoff::constant(Duration::from_millis(2)));
    let mut claimed = Vec::new();
    let (mut attempted, mut accepted) = (0, Vec::new());
    for step in steps {
        match *step {
            Step::Publish(polls) => {
                attempted += 1;
                if let Some(Ok(())) = polled(polls, publisher.publish(attempted)).await {
                    accepted.push(attempted);
                }
            }
            Step::Receive(who, polls) => {
                if let Some(Some(event)) = polled(polls, subscribers[who].recv()).await {
                    got[who].missed += event.lag();
                    got[who].numbers.push(*event);
                }
            }
            Step::ReceiveMany(who, polls) => {
                if let Some(Some(batch)) = polled(polls, subscribers[who].recv_many()).await {
                    got[who].numbers.extend(batch.take(2));
                }
            }
            Step::Claim(polls) => {
                if let Some(Some(claim)) = polled(polls, member.recv()).await {
                    claimed.push(*claim);
                    claim.acknowledge();
                }
            }
            Step::GiveBack(polls) => {
                if let Some(Some(claim)) = polled(polls, member.recv()).await {
                    assert!(claim.attempt() <= 2, "it would be a dead letter");
                }
            }
            Step::Join => {
                let another = member.clone();
                drop(polled(1, another.recv()).await);
                member = another;
            }
            Step::DrainSubscriber(polls) => {
                let mut other = bus.subscribe(&NUMBERS).unwrap();
                let drain = other.drain(Duration::from_secs(1), async |_| ());
                let _ = polled(polls, drain).await;
            }
            Step::Settle => time::sleep(Duration::from_millis(1)).await,
        }
    }
    publisher.close();
    // All at once: each may be what others wait for.
    let [block, oldest, newest, latest, filtered] = &mut subscribers;
    let [of_block, of_oldest, of_newest, of_latest, of_filtered] = &mut got;
    let rest = async {
        while let Some(claim) = member.recv().await {
            claimed.push(*claim);
            claim.acknowledge();
        }
    };
    let all = async {
        tokio::join!(
            finish(block, of_block),
            finish(oldest, of_oldest),
            finish(newest, of_newest),
            finish(latest, of_latest),
            finish(filtered, of_filtered),
            rest,
        )
    };
    time::timeout(Duration::from_secs(60), all)
        .await
        .expect("it ends");
    // Dealt with or dead, and never both.
    claimed.extend(dead(&mut letters, may_arrive_when_dropped));
    check(
        &subscribers,
        &got,
        &claimed,
        &accepted,
        may_arrive_when_dropped,
    );
}

fn dead(
    letters: &mut Subscriber<DeadLetter<u64>>,
    may_arrive_when_dropped: bool,
) -> impl Iterator<Item = u64> {
    let mut dead = Vec::new();
    while let Ok(letter) = letters.try_recv() {
        dead.push(*letter.event);
    }
    if may_arrive_when_dropped {
        // So may a dead letter, and then its event is buried once more.
        dead.sort_unstable();
        dead.dedup();
    }
    dead.into_iter()
}

/// What each got beside what was accepted, and beside its ledger.
fn check(
    subscribers: &[Subscriber<u64>],
    got: &[Got],
    claimed: &[u64],
    accepted: &[u64],
    may_arrive_when_dropped: bool,
) {
    // Who loses nothing has got what was accepted, once and in order.
    let lossless = &got[0].numbers;
    assert!(
        lossless.windows(2).all(|pair| pair[0] < pair[1]),
        "{lossless:?}"
    );
    match may_arrive_when_dropped {
        true => assert!(accepted.iter().all(|number| lossless.contains(number))),
        false => assert_eq!(lossless, accepted),
    }
    let mut in_order = claimed.to_vec();
    in_order.sort_unstable();
    assert_eq!(in_order, *lossless, "each is acknowledged once");
    let odd: Vec<_> = lossless
        .iter()
        .copied()
        .filter(|number| number % 2 == 1)
        .collect();
    assert_eq!(got[4].numbers, odd);
    for (subscriber, got) in subscribers.iter().zip(got) {
        let ledger = subscriber.ledger();
        assert!(ledger.is_balanced(), "{ledger:?}");
        assert_eq!(ledger.published, lossless.len() as u64);
        assert_eq!(
            (ledger.delivered, ledger.in_flight),
            (got.numbers.len() as u64, 0)
        );
        assert!(got.missed <= ledger.dropped.total() + ledger.conflated);
    }
}

async fn finish(subscriber: &mut Subscriber<u64>, got: &mut Got) {
    while let Some(event) = subscriber.recv().await {
        got.missed += event.lag();
        got.numbers.push(*event);
    }
}

fn paused() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_is_lost_by_what_is_cancelled(steps in prop::collection::vec(step(), 1..80)) {
        paused().block_on(play(&LocalBus::new(), &steps, false));
    }

    #[test]
    fn nor_on_a_bus_of_bytes(steps in prop::collection::vec(step(), 1..40)) {
        // Whose `publish` may have sent what it was dropped with.
        paused().block_on(async { play(&ByteBus::new(), &steps, true).await });
    }
}

/// A handler whose tasks are aborted while they handle, again and again: another of its group goes
/// on with what it had.
#[tokio::test(start_paused = true)]
async fn handlers_that_are_dropped_lose_nothing_that_their_group_had() {
    let bus = LocalBus::new();
    let publisher = bus.publisher(&NUMBERS).unwrap();
    let handled = Arc::new(Mutex::new(Vec::new()));
    let options = HandlerOptions::new().group("group").concurrency(2);
    let handler = || {
        let handled = Arc::clone(&handled);
        let handle = move |number: Delivery<u64>| {
            let handled = Arc::clone(&handled);
            async move {
                for _ in 0..*number % 4 {
                    time::sleep(Duration::from_millis(1)).await;
                }
                handled.lock().unwrap().push(*number);
                Ok::<_, Failure>(())
            }
        };
        bus.on_with(&NUMBERS, &options, handle).unwrap()
    };
    let _keeper = bus.join_group(&NUMBERS, "group").unwrap();
    let publishing = async {
        for number in 1..=200 {
            publisher.publish(number).await.unwrap();
        }
    };
    let dropping = async {
        for _ in 0..60 {
            let dropped = handler();
            time::sleep(Duration::from_millis(3)).await;
            drop(dropped);
        }
    };
    let mut both = pin!(async { tokio::join!(publishing, dropping) });
    let last = handler();
    poll_fn(|cx| Pin::new(&mut both).poll(cx)).await;
    time::sleep(Duration::from_secs(1)).await;
    drop(last);
    let mut handled = handled.lock().unwrap().clone();
    handled.sort_unstable();
    assert!(handled.into_iter().eq(1..=200), "each is seen through once");
}
