//! A log beside a model of it: a list of all events, and a cursor for each subscriber.

use std::sync::Arc;

use coord_bus::{Log, Overflow, Refusal, Subscriber, TryReceiveError};
use proptest::prelude::*;

/// The most events in one chunk.
const CHUNK_MAX: usize = 128;

#[derive(Debug, Clone)]
enum Operation {
    Publish,
    /// Each index counts round the subscribers that there are.
    Receive(usize),
    /// Receives until there is nothing more.
    CatchUp(usize),
    Subscribe(Overflow),
    Unsubscribe(usize),
    Close,
}

fn operation() -> impl Strategy<Value = Operation> + Clone {
    prop_oneof![
        40 => Just(Operation::Publish),
        40 => any::<usize>().prop_map(Operation::Receive),
        6 => any::<usize>().prop_map(Operation::CatchUp),
        3 => Just(Operation::Subscribe(Overflow::Block)),
        3 => Just(Operation::Subscribe(Overflow::DropOldest)),
        3 => any::<usize>().prop_map(Operation::Unsubscribe),
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
type Event = (u64, Arc<()>);

struct Modelled {
    subscriber: Subscriber<Event>,
    overflow: Overflow,
    /// The number of the event that it gets next, if it has not lost it.
    cursor: u64,
    /// It has found nothing left since the last publish.
    idle: bool,
}

struct Model {
    log: Log<Event>,
    alive: Arc<()>,
    capacity: u64,
    /// The number of the next event; the first is 1.
    next: u64,
    closed: bool,
    subscribers: Vec<Modelled>,
}

impl Model {
    fn new(capacity: usize) -> Self {
        Self {
            log: Log::new("modelled", capacity),
            alive: Arc::new(()),
            capacity: capacity as u64,
            next: 1,
            closed: false,
            subscribers: Vec::new(),
        }
    }

    fn apply(&mut self, operation: &Operation) {
        let index = match operation {
            Operation::Receive(index)
            | Operation::CatchUp(index)
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
            Operation::CatchUp(_) => while self.receive(index) {},
            Operation::Subscribe(overflow) => self.subscribers.push(Modelled {
                subscriber: self.log.subscribe(*overflow),
                overflow: *overflow,
                cursor: self.next,
                idle: false,
            }),
            Operation::Unsubscribe(_) => drop(self.subscribers.swap_remove(index)),
            Operation::Close => {
                self.closed = true;
                self.log.close();
            }
        }
        self.check_memory();
    }

    fn publish(&mut self) {
        let event = (self.next, Arc::clone(&self.alive));
        let refusal = self.log.try_append(event.into());
        let refusal = refusal.err().map(|(envelope, refusal)| {
            assert_eq!(envelope.into_event().0, self.next);
            refusal
        });
        let lossless = self.subscribers.iter();
        let lossless = lossless.filter(|each| each.overflow == Overflow::Block);
        let slowest = lossless.map(|each| each.cursor).min();
        let is_full = slowest.is_some_and(|slowest| self.next - slowest >= self.capacity);
        match refusal {
            Some(Refusal::Closed) => assert!(self.closed),
            Some(Refusal::Full) => assert!(is_full && !self.closed),
            Some(other) => panic!("{other}"),
            None => {
                assert!(!is_full && !self.closed);
                self.next += 1;
                self.subscribers
                    .iter_mut()
                    .for_each(|each| each.idle = false);
            }
        }
    }

    /// Whether there was an event.
    fn receive(&mut self, index: usize) -> bool {
        let modelled = &mut self.subscribers[index];
        let behind = self.next - modelled.cursor;
        let received = match modelled.subscriber.try_recv() {
            Ok(received) => received,
            Err(nothing) => {
                let expected = match self.closed {
                    true => TryReceiveError::Closed,
                    false => TryReceiveError::Empty,
                };
                assert_eq!((nothing, behind), (expected, 0));
                modelled.idle = true;
                return false;
            }
        };
        assert!(behind > 0, "an event that was not published");
        // Who is no further behind than the capacity loses nothing. Who is, loses what is further
        // behind, or nothing while it has that in hand.
        let kept = self.next.saturating_sub(self.capacity).max(modelled.cursor);
        let number = received.meta().sequence();
        let may_lose = modelled.overflow == Overflow::DropOldest;
        assert!(
            number == modelled.cursor || may_lose && number == kept,
            "{number}"
        );
        assert_eq!(received.lag(), number - modelled.cursor);
        assert_eq!(received.undecodable(), 0);
        assert_eq!(received.0, number);
        modelled.cursor = number + 1;
        true
    }

    fn check_memory(&self) {
        let alive = Arc::strong_count(&self.alive) - 1;
        if self.subscribers.iter().all(|each| each.idle) {
            assert_eq!(alive, 0, "all has been read");
        }
        // What is kept for all, in whole chunks, and the chunk in the hands of each.
        let chunk = (self.capacity as usize / 4).clamp(1, CHUNK_MAX);
        let most = self.capacity as usize + (2 + self.subscribers.len()) * chunk;
        assert!(alive <= most, "{alive} of {most}");
    }
}

proptest! {
    #[test]
    fn a_log_does_what_its_model_does(capacity in 1..=40_usize, operations in operations()) {
        let mut model = Model::new(capacity);
        for operation in &operations {
            model.apply(operation);
        }
        for index in 0..model.subscribers.len() {
            while model.receive(index) {}
        }
        model.check_memory();
        model.subscribers.clear();
        model.check_memory();
    }
}
