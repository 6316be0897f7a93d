//! The graphs that all contenders run, of steps that do next to nothing.

use std::iter::once;

/// For each step, the earlier steps that it needs: none, one or two.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) needs: Vec<Vec<usize>>,
}

impl Shape {
    /// Each step after the one before.
    pub(crate) fn chain(steps: usize) -> Self {
        Self {
            name: "chain of 1,000",
            needs: (0..steps)
                .map(|step| step.checked_sub(1).into_iter().collect())
                .collect(),
        }
    }

    /// All steps after the first.
    pub(crate) fn fan_out(steps: usize) -> Self {
        Self {
            name: "fan-out of 1,000",
            needs: once(Vec::new())
                .chain((1..steps).map(|_| vec![0]))
                .collect(),
        }
    }

    /// In layers of a hundred, each step after two of the layer before, chosen at random.
    pub(crate) fn layered(steps: usize) -> Self {
        const LAYER: usize = 100;
        let mut random = fastrand::Rng::with_seed(1);
        let mut needs = |step: usize| match (step / LAYER).checked_sub(1) {
            None => Vec::new(),
            Some(before) => {
                let first = random.usize(..LAYER);
                let second = (first + random.usize(1..LAYER)) % LAYER;
                vec![before * LAYER + first, before * LAYER + second]
            }
        };
        Self {
            name: "layered random graph of 10,000",
            needs: (0..steps).map(&mut needs).collect(),
        }
    }

    pub(crate) fn steps(&self) -> usize {
        self.needs.len()
    }

    /// The steps that need each step.
    pub(crate) fn needed_by(&self) -> Vec<Vec<usize>> {
        let mut needed_by = vec![Vec::new(); self.steps()];
        for (step, needs) in self.needs.iter().enumerate() {
            needs.iter().for_each(|need| needed_by[*need].push(step));
        }
        needed_by
    }

    /// What the last step comes to: every contender has to find this.
    pub(crate) fn expected(&self) -> u64 {
        let mut outputs: Vec<u64> = Vec::with_capacity(self.steps());
        for needs in &self.needs {
            let inputs: Vec<u64> = needs.iter().map(|need| outputs[*need]).collect();
            outputs.push(work(&inputs));
        }
        outputs[outputs.len() - 1]
    }
}

/// What every step does.
pub(crate) fn work(inputs: &[u64]) -> u64 {
    inputs.iter().fold(1, |sum, input| sum.wrapping_add(*input))
}
