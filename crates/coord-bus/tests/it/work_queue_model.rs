//! A work queue beside a model of it: a list of items, each in its place, and a line of who waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use coord_bus::time::{Instant, SystemClock};
use coord_bus::{
    BoxFuture, ClaimedItem, MemoryWorkQueue, QueueCounts, QueueLimits, Record, WorkQueue,
    WorkQueueError,
};
use proptest::prelude::*;

const QUEUE: &str = "queue";

/// Each index counts round what there is of its kind; claims are all that there ever were.
#[derive(Debug, Clone)]
enum Operation {
    Push,
    /// Joins the line, and is polled once.
    ClaimedItem(Duration),
    /// Polls whoever has been woken, until nobody is any more.
    Run,
    LeaveLine(usize),
    Extend(usize, Duration),
    Acknowledge(usize),
    GiveBack(usize, Duration),
    Reject(usize),
    PutBack(usize),
    Remove(usize),
    Pass(Duration),
}

fn operation() -> impl Strategy<Value = Operation> {
    let time = || (0..40_u64).prop_map(Duration::from_millis);
    // Mostly of late.
    let recent = || prop_oneof![3 => 0..4_usize, 1 => any::<usize>()];
    prop_oneof![
        10 => Just(Operation::Push),
        12 => time().prop_map(Operation::ClaimedItem),
        14 => Just(Operation::Run),
        2 => any::<usize>().prop_map(Operation::LeaveLine),
        3 => (recent(), time()).prop_map(|(index, time)| Operation::Extend(index, time)),
        5 => recent().prop_map(Operation::Acknowledge),
        4 => (recent(), time()).prop_map(|(index, time)| Operation::GiveBack(index, time)),
        1 => recent().prop_map(Operation::Reject),
        1 => any::<usize>().prop_map(Operation::PutBack),
        1 => any::<usize>().prop_map(Operation::Remove),
        8 => time().prop_map(Operation::Pass),
    ]
}

fn limits() -> impl Strategy<Value = QueueLimits> {
    (1..10_usize, 1..4_usize, 1..4_u32).prop_map(|(max_items, max_claimed, max_deliveries)| {
        QueueLimits {
            max_items,
            max_claimed,
            max_deliveries,
        }
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Ready,
    Delayed(Instant),
    Claimed(Instant, u64),
    Dead,
}

struct Modelled {
    content: String,
    deliveries: u32,
    place: Place,
}

/// Somebody in line, who is polled only when woken.
struct Waiting<'q> {
    claiming: BoxFuture<'q, Result<ClaimedItem, WorkQueueError>>,
    hold: Duration,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Waiting<'_> {
    fn poll(&mut self) -> Option<ClaimedItem> {
        let waker = Arc::clone(&self.woken).into();
        match self
            .claiming
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
        {
            Poll::Ready(claimed) => Some(claimed.unwrap()),
            Poll::Pending => None,
        }
    }
}

struct Model<'q> {
    queue: &'q MemoryWorkQueue,
    limits: QueueLimits,
    items: BTreeMap<u64, Modelled>,
    line: VecDeque<Waiting<'q>>,
    /// The newest first.
    claims: VecDeque<ClaimedItem>,
    pushed: u64,
    token: u64,
    acknowledged: BTreeSet<u64>,
    removed: usize,
}

impl<'q> Model<'q> {
    fn new(queue: &'q MemoryWorkQueue, limits: QueueLimits) -> Self {
        Self {
            queue,
            limits,
            items: BTreeMap::new(),
            line: VecDeque::new(),
            claims: VecDeque::new(),
            pushed: 0,
            token: 0,
            acknowledged: BTreeSet::new(),
            removed: 0,
        }
    }

    async fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Push => self.push().await,
            Operation::ClaimedItem(hold) => self.claim(hold),
            Operation::Run => self.run(),
            Operation::LeaveLine(index) => {
                if let Some(index) = index.checked_rem(self.line.len()) {
                    drop(self.line.remove(index));
                }
            }
            Operation::Pass(time) => tokio::time::advance(time).await,
            Operation::PutBack(index) => self.put_back(index).await,
            Operation::Remove(index) => self.remove(index).await,
            Operation::Extend(index, _)
            | Operation::Acknowledge(index)
            | Operation::GiveBack(index, _)
            | Operation::Reject(index) => {
                if let Some(index) = index.checked_rem(self.claims.len()) {
                    let claim = self.claims[index].clone();
                    self.end(&claim, operation).await;
                }
            }
        }
        self.settle();
        let counted = self.queue.counts(QUEUE).await.unwrap();
        assert_eq!(counted, self.counts(), "after {operation:?}");
    }

    /// Lets happen in the model what time has brought.
    fn settle(&mut self) {
        let now = Instant::now();
        for item in self.items.values_mut() {
            if let Place::Delayed(until) | Place::Claimed(until, _) = item.place
                && until <= now
            {
                let is_spent = item.deliveries >= self.limits.max_deliveries;
                item.place = if is_spent { Place::Dead } else { Place::Ready };
            }
        }
    }

    fn count(&self, is_there: impl Fn(&Place) -> bool) -> usize {
        let items = self.items.values();
        items.filter(|item| is_there(&item.place)).count()
    }

    fn counts(&self) -> QueueCounts {
        QueueCounts {
            ready: self.count(|place| *place == Place::Ready),
            delayed: self.count(|place| matches!(place, Place::Delayed(_))),
            claimed: self.count(|place| matches!(place, Place::Claimed(..))),
            dead: self.count(|place| *place == Place::Dead),
        }
    }

    async fn push(&mut self) {
        let content = self.pushed.to_string();
        let pushed = self.queue.push(QUEUE, Record::new("number", &*content));
        match pushed.await {
            Ok(id) => {
                assert!(self.items.len() < self.limits.max_items);
                assert!(id > self.items.keys().last().copied().unwrap_or(0));
                self.pushed += 1;
                let item = Modelled {
                    content,
                    deliveries: 0,
                    place: Place::Ready,
                };
                self.items.insert(id, item);
            }
            Err(WorkQueueError::Full { limit, dead, .. }) => {
                assert_eq!(self.items.len(), limit);
                assert_eq!(dead, self.counts().dead);
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// What the next in line gets now: the oldest that is ready.
    fn next(&mut self) -> Option<u64> {
        self.settle();
        if self.counts().claimed >= self.limits.max_claimed {
            return None;
        }
        let mut items = self.items.iter();
        let next = items.find(|(_, item)| item.place == Place::Ready);
        next.map(|(id, _)| *id)
    }

    fn claim(&mut self, hold: Duration) {
        let mut waiting = Waiting {
            claiming: self.queue.claim(QUEUE, hold),
            hold,
            woken: Arc::new(Woken(AtomicBool::new(false))),
        };
        let expected = self.next().filter(|_| self.line.is_empty());
        match waiting.poll() {
            Some(claimed) => self.got(claimed, expected, hold),
            None => {
                assert_eq!(expected, None);
                self.line.push_back(waiting);
            }
        }
    }

    /// The first in line get what there is, if they were woken as they should have been.
    fn run(&mut self) {
        let is_woken = |waiting: &Waiting<'_>| waiting.woken.0.swap(false, Ordering::Relaxed);
        while let Some(index) = self.line.iter().position(is_woken) {
            let Some(claimed) = self.line[index].poll() else {
                continue;
            };
            assert_eq!(index, 0, "somebody was served before the first");
            let expected = self.next();
            let served = self.line.pop_front().unwrap();
            let hold = served.hold;
            drop(served);
            self.got(claimed, expected, hold);
        }
        if !self.line.is_empty() {
            assert_eq!(self.next(), None, "the first in line was not woken");
        }
    }

    fn got(&mut self, claimed: ClaimedItem, expected: Option<u64>, hold: Duration) {
        assert_eq!(Some(claimed.id), expected);
        assert!(claimed.token > self.token);
        self.token = claimed.token;
        let item = self.items.get_mut(&claimed.id).unwrap();
        item.deliveries += 1;
        item.place = Place::Claimed(Instant::now() + hold, claimed.token);
        assert_eq!(claimed.delivery, item.deliveries);
        assert_eq!(claimed.held_until, Instant::now() + hold);
        assert_eq!(claimed.item.payload, item.content.as_bytes());
        self.claims.push_front(claimed);
    }

    /// Whatever ends a claim, or changes its end.
    async fn end(&mut self, claim: &ClaimedItem, operation: &Operation) {
        let ended = match *operation {
            Operation::Extend(_, hold) => self.queue.extend(claim, hold).await.map(|_| ()),
            Operation::Acknowledge(_) => self.queue.acknowledge(claim).await,
            Operation::GiveBack(_, after) => self.queue.give_back(claim, after).await,
            _ => self.queue.reject(claim).await,
        };
        let most = self.limits.max_deliveries;
        let held = self.items.get_mut(&claim.id);
        let held = held
            .filter(|item| matches!(item.place, Place::Claimed(_, token) if token == claim.token));
        let Some(item) = held else {
            assert!(matches!(ended, Err(WorkQueueError::Stale { .. })));
            return;
        };
        ended.unwrap();
        let now = Instant::now();
        item.place = match *operation {
            Operation::Extend(_, hold) => Place::Claimed(now + hold, claim.token),
            Operation::GiveBack(_, after) if item.deliveries < most => Place::Delayed(now + after),
            _ => Place::Dead,
        };
        if let Operation::Acknowledge(_) = operation {
            self.items.remove(&claim.id);
            assert!(self.acknowledged.insert(claim.id), "acknowledged twice");
        }
    }

    async fn put_back(&mut self, index: usize) {
        let Some(id) = self.choose(index) else {
            return;
        };
        let put_back = self.queue.put_back(QUEUE, id).await;
        let item = self.items.get_mut(&id).unwrap();
        assert_eq!(put_back.is_ok(), item.place == Place::Dead);
        if put_back.is_ok() {
            (item.place, item.deliveries) = (Place::Ready, 0);
        }
    }

    async fn remove(&mut self, index: usize) {
        let Some(id) = self.choose(index) else {
            return;
        };
        let removed = self.queue.remove(QUEUE, id).await;
        assert_eq!(removed.is_ok(), self.items[&id].place == Place::Dead);
        if removed.is_ok() {
            self.items.remove(&id);
            self.removed += 1;
        }
    }

    fn choose(&self, index: usize) -> Option<u64> {
        let index = index.checked_rem(self.items.len())?;
        self.items.keys().nth(index).copied()
    }

    /// Every item that was pushed is acknowledged, removed, dead, or comes.
    async fn finish(mut self) {
        self.line.clear();
        tokio::time::advance(Duration::from_secs(1)).await;
        self.settle();
        while let Some(expected) = self.next() {
            let claimed = self.queue.claim(QUEUE, Duration::from_secs(1));
            let claimed = claimed.await.unwrap();
            assert_eq!(claimed.id, expected);
            self.queue.acknowledge(&claimed).await.unwrap();
            self.items.remove(&claimed.id);
            assert!(self.acknowledged.insert(claimed.id), "acknowledged twice");
        }
        let dead = self.queue.dead(QUEUE, 0, usize::MAX).await.unwrap();
        assert!(dead.iter().map(|each| &each.id).eq(self.items.keys()));
        for each in &dead {
            let modelled = &self.items[&each.id];
            assert_eq!(each.deliveries, modelled.deliveries);
            assert_eq!(each.item.payload, modelled.content.as_bytes());
        }
        let accounted = self.acknowledged.len() + self.removed + dead.len();
        assert_eq!(self.pushed, accounted as u64, "an item was lost");
    }
}

proptest! {
    #[test]
    fn a_work_queue_does_what_its_model_does(
        limits in limits(),
        operations in prop::collection::vec(operation(), 1..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let queue = MemoryWorkQueue::with(Arc::new(SystemClock), limits);
            let mut model = Model::new(&queue, limits);
            for operation in &operations {
                model.apply(operation).await;
            }
            model.finish().await;
        });
    }
}
