//! Who waits for something, first come, first served.

use std::collections::VecDeque;

/// A queue that one may leave from its middle. Everybody in it has a place, a number that no other
/// ever has: the first is 1, and they only rise.
pub(super) struct Line<T> {
    next: u64,
    waiting: VecDeque<(u64, T)>,
}

/// Room that an empty line keeps for later.
const KEPT: usize = 128;

impl<T> Line<T> {
    pub(super) const fn new() -> Self {
        Self {
            next: 1,
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many have ever joined.
    pub(super) fn joined(&self) -> u64 {
        self.next - 1
    }

    /// The place at its end.
    #[inline]
    pub(super) fn join(&mut self, who: T) -> u64 {
        let place = self.next;
        self.next += 1;
        self.waiting.push_back((place, who));
        place
    }

    /// Who has waited longest, and its place.
    #[inline]
    pub(super) fn serve(&mut self) -> Option<(u64, T)> {
        let served = self.waiting.pop_front();
        self.forget();
        served
    }

    /// Who leaves from this place, if it still waits.
    #[inline]
    pub(super) fn leave(&mut self, place: u64) -> Option<T> {
        let index = self.find(place)?;
        let (_, who) = self.waiting.remove(index)?;
        self.forget();
        Some(who)
    }

    /// Who waits at this place.
    pub(super) fn get_mut(&mut self, place: u64) -> Option<&mut T> {
        let index = self.find(place)?;
        self.waiting.get_mut(index).map(|(_, who)| who)
    }

    pub(super) fn contains(&self, place: u64) -> bool {
        self.find(place).is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.waiting.iter().map(|(_, who)| who)
    }

    /// Those who leave because of what is said of them.
    pub(super) fn leave_if(&mut self, mut leaves: impl FnMut(&T) -> bool) -> Vec<T> {
        let (gone, stay) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(_, who)| leaves(who));
        self.waiting = stay;
        let gone: VecDeque<(u64, T)> = gone;
        gone.into_iter().map(|(_, who)| who).collect()
    }

    fn find(&self, place: u64) -> Option<usize> {
        self.waiting
            .binary_search_by_key(&place, |(at, _)| *at)
            .ok()
    }

    /// A long line that is over should not cost memory for ever.
    #[inline]
    fn forget(&mut self) {
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT {
            self.waiting = VecDeque::new();
        }
    }
}
