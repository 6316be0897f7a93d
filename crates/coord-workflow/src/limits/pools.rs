//! How many permits there are of each resource, and who waits for them: plain data.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A place in the queues of resources: who came earlier has a lower one.
pub(crate) type Ticket = u64;
/// How many permits of which pools; each pool once.
pub(crate) type Wants = Arc<[(usize, u32)]>;

pub(super) struct Pools<W> {
    pools: Box<[Pool]>,
    waiting: HashMap<Ticket, (W, Wants)>,
    next: Ticket,
}

struct Pool {
    free: u32,
    queue: BTreeSet<Ticket>,
}

impl<W> Pools<W> {
    pub(super) fn new(permits: impl Iterator<Item = u32>) -> Self {
        let pool = |free| Pool {
            free,
            queue: BTreeSet::new(),
        };
        Self {
            pools: permits.map(pool).collect(),
            waiting: HashMap::new(),
            next: 0,
        }
    }

    /// Takes all of these, or else gives a place in the queue of each.
    pub(super) fn ask(&mut self, wants: &Wants, waiter: W) -> Option<Ticket> {
        let ticket = self.next;
        self.next += 1;
        for &(pool, _) in wants.iter() {
            self.pools[pool].queue.insert(ticket);
        }
        if self.has_its_turn(ticket, wants) {
            self.take(ticket, wants);
            return None;
        }
        self.waiting.insert(ticket, (waiter, Arc::clone(wants)));
        Some(ticket)
    }

    /// Gives these back. Who is served thereby, with what they are given.
    pub(super) fn give_back(&mut self, wants: &Wants) -> Vec<(W, Wants)> {
        for &(pool, permits) in wants.iter() {
            self.pools[pool].free += permits;
        }
        self.serve(wants.iter().map(|(pool, _)| *pool).collect())
    }

    /// These wait no longer. Who is served thereby.
    pub(super) fn withdraw(&mut self, tickets: impl Iterator<Item = Ticket>) -> Vec<(W, Wants)> {
        let mut left = BTreeSet::new();
        for ticket in tickets {
            // It may have been served meanwhile.
            let Some((_, wants)) = self.waiting.remove(&ticket) else {
                continue;
            };
            for &(pool, _) in wants.iter() {
                self.pools[pool].queue.remove(&ticket);
                left.insert(pool);
            }
        }
        self.serve(left.into_iter().collect())
    }

    /// Serves who has its turn, in these pools and in those where that makes another the first.
    fn serve(&mut self, mut pools: Vec<usize>) -> Vec<(W, Wants)> {
        let mut served = Vec::new();
        while let Some(pool) = pools.pop() {
            let Some(&first) = self.pools[pool].queue.first() else {
                continue;
            };
            let has_its_turn = match self.waiting.get(&first) {
                Some((_, wants)) => self.has_its_turn(first, wants),
                None => false,
            };
            if has_its_turn && let Some((waiter, wants)) = self.waiting.remove(&first) {
                self.take(first, &wants);
                pools.extend(wants.iter().map(|(pool, _)| *pool));
                served.push((waiter, wants));
            }
        }
        served
    }

    fn has_its_turn(&self, ticket: Ticket, wants: &Wants) -> bool {
        wants.iter().all(|&(pool, permits)| {
            let Pool { free, queue } = &self.pools[pool];
            *free >= permits && queue.first() == Some(&ticket)
        })
    }

    fn take(&mut self, ticket: Ticket, wants: &Wants) {
        for &(pool, permits) in wants.iter() {
            self.pools[pool].free -= permits;
            self.pools[pool].queue.remove(&ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const PERMITS: [u32; 3] = [1, 2, 4];

    #[derive(Debug, Clone)]
    enum Act {
        Ask(Vec<(usize, u32)>),
        /// The one of those that hold or wait, by its place among them.
        GiveBack(prop::sample::Index),
        Withdraw(prop::sample::Index),
    }

    fn act() -> impl Strategy<Value = Act> {
        let wants = prop::collection::btree_map(0..PERMITS.len(), any::<u32>(), 1..=3);
        let wants = wants.prop_map(|wants| {
            let bounded = |(pool, permits)| (pool, permits % PERMITS[pool] + 1);
            wants.into_iter().map(bounded).collect()
        });
        prop_oneof![
            3 => wants.prop_map(Act::Ask),
            2 => any::<prop::sample::Index>().prop_map(Act::GiveBack),
            1 => any::<prop::sample::Index>().prop_map(Act::Withdraw),
        ]
    }

    proptest! {
        #[test]
        fn nobody_is_given_more_than_there_is_nor_passed_by_who_came_later(
            acts in prop::collection::vec(act(), 1..60),
        ) {
            let mut pools = Pools::new(PERMITS.into_iter());
            let (mut held, mut waiting) = (BTreeMap::new(), BTreeMap::<usize, (Ticket, Wants)>::new());
            for (name, act) in acts.into_iter().enumerate() {
                let mut served = Vec::new();
                match act {
                    Act::Ask(wants) => {
                        let wants: Wants = wants.into();
                        match pools.ask(&wants, name) {
                            None => served.push((name, wants)),
                            Some(ticket) => {
                                waiting.insert(name, (ticket, wants));
                            }
                        }
                    }
                    Act::GiveBack(index) if !held.is_empty() => {
                        let holder: usize = *index.get(&held.keys().copied().collect::<Vec<_>>());
                        let wants: Option<Wants> = held.remove(&holder);
                        served = pools.give_back(&wants.unwrap_or_default());
                    }
                    Act::Withdraw(index) if !waiting.is_empty() => {
                        let waiter = *index.get(&waiting.keys().copied().collect::<Vec<_>>());
                        let ticket = waiting.remove(&waiter).map(|(ticket, _)| ticket);
                        served = pools.withdraw(ticket.into_iter());
                    }
                    _ => {}
                }
                for (name, _) in &served {
                    waiting.remove(name);
                }
                for (name, wants) in served {
                    let earlier = waiting.range(..name).flat_map(|(_, (_, wants))| wants.iter());
                    let passed: Vec<_> = earlier
                        .filter(|(pool, _)| wants.iter().any(|(taken, _)| taken == pool))
                        .collect();
                    prop_assert!(passed.is_empty(), "{name} came later and has of {passed:?}");
                    held.insert(name, wants);
                }
                let mut free = PERMITS;
                for &(pool, permits) in held.values().flat_map(|wants| wants.iter()) {
                    prop_assert!(free[pool] >= permits);
                    free[pool] -= permits;
                }
                // Whoever waits either lacks something, or stands behind somebody who came earlier.
                for (name, (_, wants)) in &waiting {
                    let earlier = waiting.range(..name).flat_map(|(_, (_, wants))| wants.iter());
                    let ahead: BTreeSet<usize> = earlier.map(|(pool, _)| *pool).collect();
                    let has_to_wait = |&(pool, permits): &(usize, u32)| {
                        free[pool] < permits || ahead.contains(&pool)
                    };
                    prop_assert!(wants.iter().any(has_to_wait));
                }
            }
        }
    }
}
