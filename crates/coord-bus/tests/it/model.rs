//! A log beside a model of it: a list of all events, and for each subscriber what it is to get of
//! them, by its overflow, filter and key.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use coord_bus::{Ledger, Log, Overflow, Refusal, SubscribeOptions, Subscriber, TryReceiveError};
use proptest::prelude::*;

/// The most events in one chunk.
const CHUNK_MAX: u64 = 128;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Plain(Overflow),
    /// Every third event, or the newest of them.
    Filtered(Overflow),
    /// The newest of each of three keys, in room for so many.
    ByKey(usize),
}

impl Kind {
    fn overflow(self) -> Overflow {
        match self {
            Self::Plain(overflow) | Self::Filtered(overflow) => overflow,
            Self::ByKey(_) => Overflow::Latest,
        }
    }

    fn passes(self, number: u64) -> bool {
        !matches!(self, Self::Filtered(_)) || number.is_multiple_of(3)
    }
}

#[derive(Debug, Clone)]
enum Operation {
    Publish,
    /// Each index counts round the subscribers that there are.
    Receive(usize),
    /// Receives what is at hand, all of it or only the first.
    ReceiveMany(usize, bool),
    /// Receives until there is nothing more.
    CatchUp(usize),
    Subscribe(Kind),
    Unsubscribe(usize),
    CloseSubscriber(usize),
    Close,
}

fn kind() -> impl Strategy<Value = Kind> + Clone {
    let overflow = prop_oneof![
        Just(Overflow::Block),
        Just(Overflow::DropOldest),
        Just(Overflow::DropNewest),
        Just(Overflow::Latest),
    ];
    prop_oneof![
        4 => overflow.clone().prop_map(Kind::Plain),
        2 => overflow.prop_map(Kind::Filtered),
        1 => (1..=4_usize).prop_map(Kind::ByKey),
    ]
}

fn operation() -> impl Strategy<Value = Operation> + Clone {
    prop_oneof![
        60 => Just(Operation::Publish),
        40 => any::<usize>().prop_map(Operation::Receive),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(index, all)| Operation::ReceiveMany(index, all)),
        6 => any::<usize>().prop_map(Operation::CatchUp),
        8 => kind().prop_map(Operation::Subscribe),
        4 => any::<usize>().prop_map(Operation::Unsubscribe),
        2 => any::<usize>().prop_map(Operation::CloseSubscriber),
    ]
}

/// Most histories do not end before their end.
fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let open = prop::collection::vec(operation(), 1..600);
    let closed = (open.clone(), prop::collection::vec(operation(), 0..60));
    prop_oneof![
        3 => open,
        1 => closed.prop_map(|(mut before, after)| {
            before.push(Operation::Close);
            before.extend(after);
            before
        }),
    ]
}

/// An event that says which it is, and is counted while it lives.
#[derive(Clone)]
struct Event(u64, #[expect(dead_code, reason = "it is counted")] Arc<()>);

struct Modelled {
    subscriber: Subscriber<Event>,
    kind: Kind,
    /// The numbers of the first event that it is to get, and of the first that is not for it.
    start: u64,
    until: Option<u64>,
    /// Everything before this has been received or lost.
    cursor: u64,
    /// For keys: what waits, in turn.
    turns: VecDeque<u64>,
    /// For keys: everything before this has been put there.
    folded: u64,
    /// What the test has counted.
    delivered: u64,
    missed: u64,
    /// It has found nothing left since the last publish.
    idle: bool,
}

impl Modelled {
    /// Puts into the turns what was published before `next`. How many lost theirs to others.
    fn fold(&mut self, next: u64, keys: usize) {
        for number in self.folded..next {
            match self
                .turns
                .iter_mut()
                .find(|waiting| **waiting % 3 == number % 3)
            {
                Some(waiting) => *waiting = number,
                None => {
                    if self.turns.len() == keys {
                        self.turns.pop_front();
                    }
                    self.turns.push_back(number);
                }
            }
        }
        self.folded = self.folded.max(next);
    }
}

struct Model {
    log: Log<Event>,
    alive: Arc<()>,
    capacity: u64,
    retain: u64,
    /// The number of the next event; the first is 1.
    next: u64,
    closed: bool,
    subscribers: Vec<Modelled>,
    gone: u64,
}

impl Model {
    fn new(capacity: usize, retain: usize) -> Self {
        Self {
            log: Log::retaining("modelled", capacity, retain),
            alive: Arc::new(()),
            capacity: capacity as u64,
            retain: retain as u64,
            next: 1,
            closed: false,
            subscribers: Vec::new(),
            gone: 0,
        }
    }

    fn apply(&mut self, operation: &Operation) {
        let index = match operation {
            Operation::Receive(index)
            | Operation::ReceiveMany(index, _)
            | Operation::CatchUp(index)
            | Operation::CloseSubscriber(index)
            | Operation::Unsubscribe(index) => match index.checked_rem(self.subscribers.len()) {
                Some(index) => index,
                None => return,
            },
            _ => 0,
        };
        match operation {
            Operation::Publish => self.publish(),
            Operation::Receive(_) => {
                self.receive(index);
            }
            Operation::ReceiveMany(_, all) => self.receive_many(index, *all),
            Operation::CatchUp(_) => while self.receive(index) {},
            Operation::Subscribe(kind) => self.subscribe(*kind),
            Operation::Unsubscribe(_) => {
                let gone = self.subscribers.swap_remove(index);
                self.gone += gone.until.unwrap_or(self.next) - gone.start;
            }
            Operation::CloseSubscriber(_) => {
                let modelled = &mut self.subscribers[index];
                modelled.subscriber.close();
                modelled.until.get_or_insert(self.next);
            }
            Operation::Close => {
                self.closed = true;
                self.log.close();
            }
        }
        self.check_memory();
        self.check_ledgers();
    }

    fn subscribe(&mut self, kind: Kind) {
        let options = match kind {
            Kind::Plain(overflow) => overflow.into(),
            Kind::Filtered(overflow) => {
                SubscribeOptions::from(overflow).filter(|event: &Event| event.0.is_multiple_of(3))
            }
            Kind::ByKey(keys) => {
                SubscribeOptions::new().latest_by(keys, |event: &Event| event.0 % 3)
            }
        };
        let start = self.next.saturating_sub(self.retain).max(1);
        self.subscribers.push(Modelled {
            subscriber: self.log.subscribe(options),
            kind,
            start,
            until: None,
            cursor: start,
            turns: VecDeque::new(),
            folded: start,
            delivered: 0,
            missed: 0,
            idle: false,
        });
    }

    fn publish(&mut self) {
        let event = Event(self.next, Arc::clone(&self.alive));
        let refusal = self.log.try_append(event.into());
        let refusal = refusal.err().map(|(envelope, refusal)| {
            assert_eq!(envelope.into_event().0, self.next);
            refusal
        });
        let lossless = self.subscribers.iter();
        let lossless =
            lossless.filter(|each| each.kind.overflow() == Overflow::Block && each.until.is_none());
        let (capacity, next) = (self.capacity, self.next);
        let far_behind = lossless.filter(|each| next - each.cursor >= capacity);
        // One that filters has passed over what is not for it, as far as it has looked.
        let mut far_behind = far_behind.peekable();
        let must_be_full = far_behind
            .clone()
            .any(|each| matches!(each.kind, Kind::Plain(_)));
        let may_be_full = far_behind.peek().is_some();
        match refusal {
            Some(Refusal::Closed) => assert!(self.closed),
            Some(Refusal::Full) => assert!(may_be_full && !self.closed),
            Some(other) => panic!("{other}"),
            None => {
                assert!(!must_be_full && !self.closed);
                self.next += 1;
                let open = self
                    .subscribers
                    .iter_mut()
                    .filter(|each| each.until.is_none());
                open.for_each(|each| each.idle = false);
            }
        }
    }

    /// Whether there was an event.
    fn receive(&mut self, index: usize) -> bool {
        let (next, capacity, closed) = (self.next, self.capacity, self.closed);
        let modelled = &mut self.subscribers[index];
        let end = modelled.until.unwrap_or(next);
        let (number, lag) = match modelled.subscriber.try_recv() {
            Ok(received) => {
                assert_eq!(received.undecodable(), 0);
                assert_eq!(received.0, received.meta().sequence());
                (received.0, received.lag())
            }
            Err(nothing) => {
                let expected = match closed || modelled.until.is_some() {
                    true => TryReceiveError::Closed,
                    false => TryReceiveError::Empty,
                };
                assert_eq!(nothing, expected);
                modelled.nothing_is_left(end);
                return false;
            }
        };
        modelled.expect(number, lag, end, capacity);
        true
    }

    fn receive_many(&mut self, index: usize, all: bool) {
        let (next, capacity) = (self.next, self.capacity);
        let modelled = &mut self.subscribers[index];
        let end = modelled.until.unwrap_or(next);
        let most = if all { usize::MAX } else { 1 };
        let Some(numbers) = at_hand(&mut modelled.subscriber, most) else {
            return modelled.nothing_is_left(end);
        };
        assert!(
            numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{numbers:?}"
        );
        for number in numbers {
            // What a batch has missed, its first event says: to who receives it alone.
            let lag = modelled.lag_of(number);
            modelled.expect(number, lag, end, capacity);
        }
    }

    fn check_memory(&self) {
        let alive = (Arc::strong_count(&self.alive) - 1) as u64;
        let chunk = (self.capacity / 4).clamp(1, CHUNK_MAX);
        if self.subscribers.iter().all(|each| each.idle) {
            let most = match self.retain {
                0 => 0,
                retain => retain + 2 * chunk,
            };
            assert!(alive <= most, "all has been read: {alive} of {most}");
        }
        // What is kept for all, in whole chunks; and for each the chunk in its hands, and what it
        // keeps for itself: in chunks that it shares with nobody, at worst.
        let own = |each: &Modelled| match (each.kind.overflow(), each.until) {
            (Overflow::DropNewest, _) | (_, Some(_)) => 2 * self.capacity + self.retain + 6 * chunk,
            _ => chunk + 4,
        };
        let own: u64 = self.subscribers.iter().map(own).sum();
        let most = self.capacity + self.capacity / 4 + self.retain + 3 * chunk + own;
        assert!(alive <= most, "{alive} of {most}");
    }

    /// Each subscriber's ledger says what the test has counted.
    fn check_ledgers(&self) {
        let stats = self.log.stats();
        assert_eq!(stats.published, self.next - 1);
        assert!(stats.ledger.is_balanced(), "{stats:?}");
        let mut published = self.gone;
        for modelled in &self.subscribers {
            let ledger = modelled.subscriber.ledger();
            assert!(ledger.is_balanced(), "{ledger:?}");
            published += ledger.published;
            modelled.check(ledger, self.next);
        }
        assert_eq!(stats.ledger.published, published);
    }
}

/// What is at hand, at most so many; or that there is nothing.
fn at_hand(subscriber: &mut Subscriber<Event>, most: usize) -> Option<Vec<u64>> {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(subscriber.recv_many()).poll(&mut cx) {
        Poll::Ready(Some(batch)) => Some(batch.take(most).map(|event| event.0).collect()),
        Poll::Ready(None) | Poll::Pending => None,
    }
}

impl Modelled {
    fn lag_of(&self, number: u64) -> u64 {
        match self.kind {
            Kind::Plain(_) => number - self.cursor,
            _ => 0,
        }
    }

    fn nothing_is_left(&mut self, end: u64) {
        // It may have lost what it has not got, unless it loses nothing.
        if self.kind.overflow() == Overflow::Block {
            let passed = (self.cursor..end).any(|number| self.kind.passes(number));
            assert!(!passed, "an event is lost");
        }
        assert!(self.turns.is_empty());
        self.idle = true;
        self.missed += (self.cursor..end)
            .filter(|number| self.kind.passes(*number))
            .count() as u64;
        self.cursor = self.cursor.max(end);
    }

    /// Whether it is right that this event was received now.
    fn expect(&mut self, number: u64, lag: u64, end: u64, capacity: u64) {
        assert!(number < end, "it is not for this subscriber");
        self.delivered += 1;
        if let Kind::ByKey(keys) = self.kind {
            self.fold(end, keys);
            assert_eq!(self.turns.pop_front(), Some(number));
            self.cursor = end;
            return;
        }
        assert!(number >= self.cursor, "an event comes again");
        assert!(self.kind.passes(number));
        let skipped = (self.cursor..number)
            .filter(|number| self.kind.passes(*number))
            .count() as u64;
        match self.kind.overflow() {
            Overflow::Block => assert_eq!(skipped, 0),
            // Who is no further behind than the capacity loses nothing. Who is, loses what is
            // further behind, or nothing while it has that in hand.
            Overflow::DropOldest => {
                assert!(skipped == 0 || number + capacity >= end, "{skipped}");
            }
            Overflow::Latest => {
                let newer = (number + 1..end).any(|number| self.kind.passes(number));
                assert!(!newer, "{number} is not the newest");
            }
            _ => {}
        }
        if let Kind::Plain(_) = self.kind {
            assert!(lag == number - self.cursor || self.missed > 0, "{lag}");
        }
        self.missed += skipped;
        self.cursor = number + 1;
    }

    fn check(&self, ledger: Ledger, next: u64) {
        let end = self.until.unwrap_or(next);
        assert_eq!(ledger.published, end - self.start);
        assert_eq!(ledger.delivered, self.delivered);
        let not_for_it = |range: std::ops::Range<u64>| {
            range.filter(|number| !self.kind.passes(*number)).count() as u64
        };
        assert!(ledger.filtered <= not_for_it(self.start..end));
        if self.idle {
            assert_eq!(ledger.in_flight, 0, "{ledger:?}");
        }
        if self.kind.overflow() == Overflow::Block {
            assert_eq!(ledger.dropped.total() + ledger.conflated, 0);
        }
        if matches!(self.kind, Kind::Plain(_)) {
            let lost = ledger.dropped.total() + ledger.conflated;
            assert!(lost >= self.missed, "{ledger:?} {}", self.missed);
            assert_eq!(ledger.filtered, 0);
        }
    }
}

proptest! {
    #[test]
    fn a_log_does_what_its_model_does(
        capacity in 1..=40_usize,
        retain in prop_oneof![2 => Just(0_usize), 1 => 1..=50_usize],
        operations in operations(),
    ) {
        let mut model = Model::new(capacity, retain);
        for operation in &operations {
            model.apply(operation);
        }
        for index in 0..model.subscribers.len() {
            while model.receive(index) {}
        }
        model.check_memory();
        model.check_ledgers();
        model.subscribers.clear();
        model.check_memory();
    }
}
