//! Which item goes into which group, and when a group ends: plain data, under the lock of its streams.

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
    pub(super) idle: Option<Duration>,
    pub(super) at_most: usize,
    pub(super) size: usize,
    /// Those that have not ended.
    pub(super) live: HashMap<K, u64>,
    /// Those that have not ended, or not been read to their end.
    pub(super) groups: HashMap<u64, Items<T>>,
    /// Those that have not been given out.
    pub(super) new: VecDeque<(K, u64)>,
    pub(super) next: u64,
    /// An item for which there is no room in its group, or for whose group there is none.
    pub(super) stuck: Option<(K, T)>,
    pub(super) ended: bool,
    pub(super) outer_gone: bool,
    pub(super) timer: Timer,
    pub(super) books: Books,
    pub(super) held: usize,
}

pub(super) struct Items<T> {
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
            groups: HashMap::new(),
            new: VecDeque::new(),
            next: OUTER + 1,
            stuck: None,
            ended: false,
            outer_gone: false,
            timer: Timer::default(),
            books: Books::default(),
            held: 0,
        }
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
            let last = |number: &u64| self.groups.get(number).map(|group| group.last);
            let oldest = self
                .live
                .values()
                .copied()
                .min_by_key(|number| (last(number), *number));
            oldest
                .into_iter()
                .for_each(|number| self.end(number, crowd));
        }
        let number = self.next;
        self.next += 1;
        let group = Items {
            items: VecDeque::new(),
            last: Instant::now(),
            ended: false,
            gone: false,
        };
        self.groups.insert(number, group);
        self.live.insert(key.clone(), number);
        self.new.push_back((key, number));
        crowd.wake_one(OUTER);
        number
    }

    /// A group gets nothing any more.
    fn end(&mut self, number: u64, crowd: &Crowd) {
        self.live.retain(|_, live| *live != number);
        if let Some(group) = self.groups.get_mut(&number) {
            group.ended = true;
            if group.gone {
                self.groups.remove(&number);
            }
        }
        crowd.wake_one(number);
    }

    /// Ends the groups that have been idle for long enough, and waits for the next.
    pub(super) fn end_idle(&mut self, crowd: &Crowd, cx: &mut Context<'_>) {
        let Some(idle) = self.idle else { return };
        loop {
            let last = |number: &u64| self.groups.get(number).map(|group| (group.last, *number));
            let Some((last, number)) = self.live.values().filter_map(last).min() else {
                return;
            };
            let end = after(last, idle);
            if Instant::now() >= end {
                self.end(number, crowd);
                continue;
            }
            self.timer.start_until(end);
            if self.timer.poll(cx).is_pending() {
                return;
            }
        }
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
