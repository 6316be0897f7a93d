//! Which item goes into which group, and when a group ends: plain data, under the lock of its streams.

use std::cmp::Reverse;
use std::collections::binary_heap::{BinaryHeap, PeekMut};
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use coord_bus::time::Instant;

use super::{DEFAULT_GROUP_SIZE, DEFAULT_GROUPS};
use crate::ledger::Books;
use crate::timer::{Timer, after};

/// The place of the stream of groups among those who wait; groups have later numbers.
pub(super) const OUTER: u64 = 0;

/// Whoever waits for an item or a group, by number.
#[derive(Default)]
pub(super) struct Crowd(Mutex<HashMap<u64, Waker>>);

impl Crowd {
    pub(super) fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake_one(&self, number: u64) {
        let waker = self.waiting().remove(&number);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Wake for Crowd {
    fn wake(self: Arc<Self>) {
        let waiting = mem::take(&mut *self.waiting());
        waiting.into_values().for_each(Waker::wake);
    }
}

/// The groups, and what is in them.
pub(super) struct Router<K, T> {
    idle: Option<Duration>,
    pub(super) at_most: usize,
    pub(super) size: usize,
    /// Those that have not ended.
    pub(super) live: HashMap<K, u64>,
    /// The same, by when each had its last item, or one before that: what it has had since is looked at where it comes
    /// first.
    by_age: BinaryHeap<Reverse<(Instant, u64)>>,
    /// Those that have not ended, or not been read to their end.
    pub(super) groups: HashMap<u64, Items<K, T>>,
    /// Those that have not been given out.
    pub(super) new: VecDeque<(K, u64)>,
    pub(super) next: u64,
    /// An item for which there is no room in its group, or for whose group there is none.
    pub(super) stuck: Option<(K, T)>,
    pub(super) ended: bool,
    pub(super) outer_gone: bool,
    /// No group ends before, for being idle; `None` if none does at all.
    earliest: Option<Instant>,
    timer: Timer,
    pub(super) books: Books,
    pub(super) held: usize,
}

pub(super) struct Items<K, T> {
    key: K,
    pub(super) items: VecDeque<T>,
    pub(super) last: Instant,
    pub(super) ended: bool,
    /// Nobody reads it.
    pub(super) gone: bool,
}

impl<K: Hash + Eq + Clone, T> Router<K, T> {
    pub(super) fn new() -> Self {
        Self {
            idle: None,
            at_most: DEFAULT_GROUPS,
            size: DEFAULT_GROUP_SIZE,
            live: HashMap::new(),
            by_age: BinaryHeap::new(),
            groups: HashMap::new(),
            new: VecDeque::new(),
            next: OUTER + 1,
            stuck: None,
            ended: false,
            outer_gone: false,
            earliest: None,
            timer: Timer::default(),
            books: Books::default(),
            held: 0,
        }
    }

    /// Groups end when they were idle for so long, those too that there are.
    pub(super) fn idle_after(&mut self, idle: Duration) {
        self.idle = Some(idle);
        self.earliest = (!self.live.is_empty()).then(Instant::now);
    }

    /// Puts an item into its group, or where it waits for room.
    pub(super) fn route(&mut self, key: K, item: T, crowd: &Crowd) {
        let number = match self.live.get(&key) {
            Some(number) => *number,
            None if self.outer_gone => return self.unread(1),
            None if self.new.len() >= self.at_most => {
                self.stuck = Some((key, item));
                return;
            }
            None => self.open(key.clone(), crowd),
        };
        let Some(group) = self.groups.get_mut(&number) else {
            return self.unread(1);
        };
        if !group.gone && group.items.len() >= self.size {
            self.stuck = Some((key, item));
            return;
        }
        group.last = Instant::now();
        if let Some(idle) = self.idle {
            self.earliest.get_or_insert(after(group.last, idle));
        }
        if group.gone {
            return self.unread(1);
        }
        group.items.push_back(item);
        crowd.wake_one(number);
    }

    pub(super) fn unstick(&mut self, crowd: &Crowd) {
        if let Some((key, item)) = self.stuck.take() {
            self.route(key, item, crowd);
        }
    }

    fn open(&mut self, key: K, crowd: &Crowd) -> u64 {
        if self.live.len() >= self.at_most {
            let oldest = self.take_oldest();
            oldest
                .into_iter()
                .for_each(|number| self.end(number, crowd));
        }
        let number = self.next;
        self.next += 1;
        let group = Items {
            key: key.clone(),
            items: VecDeque::new(),
            last: Instant::now(),
            ended: false,
            gone: false,
        };
        self.by_age.push(Reverse((group.last, number)));
        self.groups.insert(number, group);
        self.live.insert(key.clone(), number);
        self.new.push_back((key, number));
        crowd.wake_one(OUTER);
        number
    }

    /// Of those that have not ended the one that has had no item for longest, which is to end.
    fn take_oldest(&mut self) -> Option<u64> {
        while let Some(mut first) = self.by_age.peek_mut() {
            let Reverse((known, number)) = *first;
            match self.groups.get(&number).map(|group| group.last) {
                Some(last) if last > known => *first = Reverse((last, number)),
                _ => {
                    PeekMut::pop(first);
                    return Some(number);
                }
            }
        }
        None
    }

    /// A group gets nothing any more.
    fn end(&mut self, number: u64, crowd: &Crowd) {
        if let Some(group) = self.groups.get_mut(&number) {
            self.live.remove(&group.key);
            group.ended = true;
            if group.gone {
                self.groups.remove(&number);
            }
        }
        crowd.wake_one(number);
    }

    /// Ends the groups that were idle for long enough before now. What comes now belongs to those whose
    /// time ends now.
    pub(super) fn end_late(&mut self, crowd: &Crowd) {
        let now = Instant::now();
        self.end_idle(crowd, |end| end < now);
    }

    /// Ends the groups that have been idle for long enough, and waits for the next.
    pub(super) fn poll_idle(&mut self, crowd: &Crowd, cx: &mut Context<'_>) {
        loop {
            let now = Instant::now();
            self.end_idle(crowd, |end| end <= now);
            let Some(earliest) = self.earliest else {
                return;
            };
            self.timer.start_until(earliest);
            if self.timer.poll(cx).is_pending() {
                return;
            }
        }
    }

    fn end_idle(&mut self, crowd: &Crowd, is_over: impl Fn(Instant) -> bool) {
        let Some(idle) = self.idle else { return };
        if !self.earliest.is_some_and(&is_over) {
            return;
        }
        // A group for which an item waits is not idle.
        let waiting = self.stuck.as_ref().and_then(|(key, _)| self.live.get(key));
        let (waiting, mut waits) = (waiting.copied(), None);
        let mut over = Vec::new();
        while let Some(mut first) = self.by_age.peek_mut() {
            let Reverse((known, number)) = *first;
            if !is_over(after(known, idle)) {
                break;
            }
            let last = self.groups.get(&number).map_or(known, |group| group.last);
            if waiting == Some(number) {
                waits = Some(Reverse((last, number)));
                PeekMut::pop(first);
            } else if is_over(after(last, idle)) {
                over.push((after(last, idle), number));
                PeekMut::pop(first);
            } else {
                *first = Reverse((last, number));
            }
        }
        let first = self.by_age.peek();
        self.earliest = first.map(|Reverse((last, _))| after(*last, idle));
        self.by_age.extend(waits);
        over.sort_unstable();
        for (_, number) in over {
            self.end(number, crowd);
        }
    }

    /// Closes the books after a poll in which the key of an item panicked.
    pub(super) fn close_after_panic(&mut self) {
        let items = self.groups.values().map(|group| group.items.len());
        self.held = items.sum::<usize>() + usize::from(self.stuck.is_some());
        self.books.close_after_panic(self.held);
    }

    fn unread(&mut self, items: usize) {
        self.held -= items;
        self.books.ledger.dropped.unread += items as u64;
    }

    /// Nobody reads a group any more.
    pub(super) fn leave(&mut self, number: u64) {
        let Some(group) = self.groups.get_mut(&number) else {
            return;
        };
        group.gone = true;
        let items = mem::take(&mut group.items).len();
        if group.ended || self.ended {
            self.groups.remove(&number);
        }
        self.unread(items);
        self.books.close(self.held);
    }
}
