//! The steps that may begin: the earliest in the workflow comes first.

use crate::plan::PlannedStep;

/// A set of steps, a bit each.
pub(super) struct Ready {
    words: Box<[u64]>,
    /// Which of all steps take no place; empty where each takes one.
    free: Box<[u64]>,
    /// Before this word there is none.
    from: usize,
    count: usize,
}

impl Ready {
    /// None, of these steps.
    pub(super) fn new(steps: &[PlannedStep]) -> Self {
        let words: Box<[u64]> = vec![0; steps.len().div_ceil(64)].into();
        let mut free: Box<[u64]> = Box::default();
        for (step, _) in steps
            .iter()
            .enumerate()
            .filter(|(_, step)| !step.takes_place())
        {
            if free.is_empty() {
                free = words.clone();
            }
            free[step / 64] |= 1 << (step % 64);
        }
        Self {
            words,
            free,
            from: 0,
            count: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a step that is not among them.
    #[inline]
    pub(super) fn insert(&mut self, step: usize) {
        let word = step / 64;
        self.words[word] |= 1 << (step % 64);
        self.from = self.from.min(word);
        self.count += 1;
    }

    pub(super) fn contains(&self, step: usize) -> bool {
        self.words[step / 64] & (1 << (step % 64)) != 0
    }

    /// Takes this one away, if it is among them.
    pub(super) fn remove(&mut self, step: usize) {
        if self.contains(step) {
            self.words[step / 64] &= !(1 << (step % 64));
            self.count -= 1;
        }
    }

    /// The earliest.
    pub(super) fn first(&self) -> Option<usize> {
        let mut words = self.words.iter().enumerate();
        let (place, word) = words.find(|(_, word)| **word != 0)?;
        Some(place * 64 + word.trailing_zeros() as usize)
    }

    /// Takes the earliest.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<usize> {
        if self.count == 0 {
            return None;
        }
        while self.words[self.from] == 0 {
            self.from += 1;
        }
        let word = &mut self.words[self.from];
        let step = self.from * 64 + word.trailing_zeros() as usize;
        // The lowest bit that is set.
        *word &= *word - 1;
        self.count -= 1;
        Some(step)
    }

    /// Whether this step takes no place.
    pub(super) fn is_free(&self, step: usize) -> bool {
        let word = self.free.get(step / 64);
        word.is_some_and(|word| word & (1 << (step % 64)) != 0)
    }

    /// The earliest of those that take no place.
    pub(super) fn first_free(&self) -> Option<usize> {
        let mut words = self.free.iter().zip(&self.words).enumerate();
        words.find_map(|(place, (free, ready))| {
            let both = free & ready;
            (both != 0).then(|| place * 64 + both.trailing_zeros() as usize)
        })
    }

    /// Takes that.
    pub(super) fn pop_free(&mut self) -> Option<usize> {
        let step = self.first_free()?;
        self.remove(step);
        Some(step)
    }
}
