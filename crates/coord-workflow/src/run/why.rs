//! Who has what a step waits for, among all the runs of an orchestrator.

use std::sync::Arc;

use super::Shared;
use super::queue::Queue;
use crate::view::{Holding, RunView, Why};

/// What steps of a run have.
struct Held {
    run: Arc<Shared>,
    /// By step: whether it has a place, too.
    steps: Vec<(usize, bool)>,
}

/// What a step that could begin waits for.
enum Lack {
    Permits,
    /// One of those that the steps of its run share.
    OwnPlace,
    /// One of those that the steps of all runs share.
    Place,
}

impl Shared {
    /// Why a step does not begin that could, but for what is limited: given a view of the run.
    pub(crate) fn why_limited(self: &Arc<Self>, view: &RunView, step: &str) -> Option<Why> {
        let place = self.plan.place(step)?;
        let lack = self.queue().lack(place);
        let mut held = vec![self.held()];
        if !matches!(lack, Lack::OwnPlace) {
            held.extend(self.others().iter().map(Self::held));
        }
        let holding = held.iter().flat_map(Held::holding);
        Some(match lack {
            Lack::Permits => view.permits(view.step(step)?, holding),
            Lack::OwnPlace | Lack::Place => view.place(holding),
        })
    }

    /// The other runs of the orchestrator.
    fn others(self: &Arc<Self>) -> Vec<Arc<Self>> {
        let mut others = self.settings.runs();
        others.retain(|other| !Arc::ptr_eq(other, self));
        others
    }

    fn held(self: &Arc<Self>) -> Held {
        let steps = self.queue().held(&self.plan);
        Held {
            run: Arc::clone(self),
            steps,
        }
    }
}

impl Held {
    fn holding(&self) -> impl Iterator<Item = Holding<'_>> {
        let run = &self.run;
        self.steps.iter().map(|&(step, has_place)| Holding {
            run: &run.id,
            step: &run.plan.steps[step].id,
            resources: &run.plan.steps[step].resources,
            has_place,
        })
    }
}

impl Queue {
    fn lack(&self, step: usize) -> Lack {
        match () {
            () if self.waits.is_for_permits(step) => Lack::Permits,
            () if self.waits.is_for_place() => Lack::Place,
            () => Lack::OwnPlace,
        }
    }
}
