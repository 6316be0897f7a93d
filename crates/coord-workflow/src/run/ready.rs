//! The steps that may begin: the earliest in the workflow comes first.

/// A set of steps, a bit each.
pub(super) struct Ready {
    words: Box<[u64]>,
    /// Before this word there is none.
    from: usize,
    count: usize,
}

impl Ready {
    /// None, of this many steps.
    pub(super) fn new(steps: usize) -> Self {
        Self {
            words: vec![0; steps.div_ceil(64)].into(),
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
}
