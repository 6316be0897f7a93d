//! A step that runs a workflow for each item of a list: a run at each, of its own.
//!
//! What is done of the items, and how many go on at once, is as with any step that has [`Items`]; what goes on at
//! one is a [`ChildRun`]. Which of those have begun in a process that is gone is in no record of this run: those that
//! have not ended are found in the journal.

use std::sync::Arc;

use coord_bus::CancellationToken;
use futures_util::{StreamExt, stream};

use super::{ChildRun, End, Items, Shared};
use crate::child::Child;
use crate::context::Start;
use crate::error::AttemptError;
use crate::plan::Output;
use crate::shape::DEFAULT_ITEM_CONCURRENCY;
use crate::view::ItemRun;
use crate::{RunView, StepContext, StepError};

/// The runs that are the work of a step, in one attempt.
pub(crate) struct ItemRuns {
    parent: Arc<Shared>,
    child: Arc<Child>,
    step: usize,
    attempt: u32,
    /// Cancelled when the attempt is to end.
    token: CancellationToken,
}

impl ItemRuns {
    pub(crate) fn of(start: &Start<'_>, child: &Arc<Child>) -> Self {
        Self {
            parent: Arc::clone(start.shared),
            child: Arc::clone(child),
            step: start.step,
            attempt: start.attempt,
            token: StepContext::token(&start.context()),
        }
    }

    /// Runs one for each item that is left, started with its input, and puts all outputs out: what is made of that
    /// of each, in the order of the list.
    pub(crate) async fn each(
        &self,
        items: &Items,
        input: impl Fn(usize) -> Result<Output, StepError>,
        output: impl Fn(&Output) -> Option<Output>,
    ) -> Result<Vec<Output>, StepError> {
        let one = |_, item: usize| {
            let (input, output) = (&input, &output);
            async move {
                // Where it is to end, no other begins: those that had begun are ended below.
                if self.token.is_cancelled() {
                    return Err(AttemptError::Cancelled.into());
                }
                let at = (self.step, Some(item));
                let token = self.token.clone();
                let run = ChildRun::new(&self.parent, &self.child, at, self.attempt, token);
                let ended = run.ended_with(input(item)?).await?;
                output(&ended).ok_or_else(|| StepError::message("its output is of another type"))
            }
        };
        let outputs = items.each(one).await;
        if self.token.is_cancelled()
            && !self.parent.suspend.is_cancelled()
            && let Err(end) = self.end_left().await
        {
            self.parent.leave(end).await;
        }
        outputs
    }

    /// Ends those that are not done and have not begun here: they had begun in a process that is gone.
    async fn end_left(&self) -> Result<(), End> {
        end_of_parts(&self.parent, &self.child, self.step, self.attempt).await
    }
}

impl Shared {
    /// Says in a view of the run which runs go on here at the items of its steps' lists, or in their rounds.
    pub(super) fn tell_part_runs(&self, view: &mut RunView) {
        let places = view.with_part_runs(&self.plan);
        if places.is_empty() {
            return;
        }
        for run in self.settings.runs() {
            if let Some(within) = &run.child_of
                && let Some(item) = within.part
                && within.run == self.id.as_str()
                && let Some(&place) = places
                    .iter()
                    .find(|&&place| view.steps[place].id == within.step)
                && !run.queue().has_finished()
            {
                view.add_part_run(&self.plan, place, ItemRun::new(item, run.id.clone()));
            }
        }
    }
}

/// Ends the runs at the items of a step, or in its rounds, that have begun in an attempt at it, here or in a process that is gone, and
/// have not ended.
///
/// # Errors
///
/// One cannot be ended here.
pub(super) async fn end_of_parts(
    parent: &Arc<Shared>,
    child: &Arc<Child>,
    step: usize,
    attempt: u32,
) -> Result<(), End> {
    let keeping = parent.settings.keeping.as_ref();
    let Some(keeping) = keeping.filter(|_| parent.is_durable) else {
        return Ok(());
    };
    let run_at = |item| {
        let token = CancellationToken::new();
        ChildRun::new(parent, child, (step, Some(item)), attempt, token)
    };
    let (run, step_id) = (&parent.id, &parent.plan.steps[step].id);
    let open = keeping
        .journal
        .open_parts(run, step_id, |item| run_at(item).id);
    let open = open
        .await
        .map_err(|error| End::of_child(step_id, run, error))?;
    let ending = open.into_iter().map(|open| run_at(open.item));
    let ending = ending.map(|run| async move { run.end().await });
    let ended = stream::iter(ending).buffer_unordered(DEFAULT_ITEM_CONCURRENCY.get());
    // All of them, also where one cannot be.
    let ended: Vec<_> = ended.collect().await;
    ended.into_iter().collect()
}
