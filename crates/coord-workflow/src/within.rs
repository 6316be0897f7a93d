//! The runs within a run: which of those at the items of a step's list, or in its rounds, have not ended, and forgetting
//! them all. No record of the run itself says which have begun, so they are found by their ids, which follow from it.

use std::collections::HashSet;

use coord_bus::{StreamInfo, StreamOrder, StreamQuery};
use futures_util::{StreamExt, stream};

use crate::course::Course;
use crate::plan::Plan;
use crate::run_journal::any_run;
use crate::view::ItemRun;
use crate::{RunId, RunJournal, RunView, WorkflowError, records, streams};

/// How many runs are forgotten at once: they share what the journal syncs.
const FORGOTTEN_AT_ONCE: usize = 64;

impl RunJournal {
    /// Those that have not ended of the runs that are the work of a step in this attempt: at which items, or in
    /// which round.
    pub(crate) async fn open_parts(
        &self,
        run: &RunId,
        step: &str,
        id_at: impl Fn(usize) -> RunId,
    ) -> Result<Vec<ItemRun>, WorkflowError> {
        let begin = run.of_parts(step);
        let stream = records::stream(&begin);
        let mut query = StreamQuery::by_name().open();
        query.order = StreamOrder::Name {
            after: Some(streams::before(&stream)),
        };
        let mut found = Vec::new();
        loop {
            let page = self.log.streams(&query).await.map_err(any_run)?;
            for info in &page {
                if !info.name.starts_with(&stream) {
                    return Ok(found);
                }
                // Among them may be runs within these, and others that are named alike.
                let item_of = |run: &RunId| {
                    let (item, _) = run.as_str().strip_prefix(&*begin)?.split_once('-')?;
                    item.parse().ok().filter(|item| id_at(*item) == *run)
                };
                found.extend(
                    records::run_of(&info.name)
                        .and_then(|run| Some(ItemRun::new(item_of(&run)?, run))),
                );
            }
            match page.last() {
                Some(last) if page.len() >= query.limit => query = query.after(last),
                _ => return Ok(found),
            }
        }
    }

    /// Forgets what was within a run that another one has just taken the place of, and has not gone on yet. What
    /// cannot be forgotten now is for who keeps the journal small: nothing needs it any more.
    pub(crate) async fn forget_within(&self, run: &RunId) {
        let begin = records::stream(&run.of_all());
        let mut gone = HashSet::from([records::stream(run.as_str())]);
        loop {
            let known = gone.len();
            let mut query = StreamQuery::by_name();
            query.order = StreamOrder::Name {
                after: Some(streams::before(&begin)),
            };
            while let Ok(page) = self.log.streams(&query).await
                && let Some(last) = page.last()
            {
                query = query.after(last);
                let is_last = !last.name.starts_with(&begin);
                let mut within = Vec::new();
                for StreamInfo {
                    name, needed_by, ..
                } in page
                {
                    let is_within = needed_by.is_some_and(|by| gone.contains(&by));
                    if is_within && name.starts_with(&begin) && gone.insert(name.clone()) {
                        within.push(name);
                    }
                }
                let forget = |name: String| async move { self.log.forget(&name).await };
                let forgetting = within.into_iter().map(forget);
                let mut forgetting = stream::iter(forgetting).buffer_unordered(FORGOTTEN_AT_ONCE);
                while forgetting.next().await.is_some() {}
                if is_last {
                    break;
                }
            }
            // Ids that are long are cut, so what is within one may stand before it.
            if gone.len() == known {
                return;
            }
        }
    }

    /// Says in a view of a run that has come this far which runs go on at the items of its steps' lists, or in their
    /// rounds.
    pub(crate) async fn tell_part_runs(
        &self,
        view: &mut RunView,
        plan: &Plan,
        course: &Course,
    ) -> Result<(), WorkflowError> {
        for step in view.with_part_runs(plan) {
            let run = &view.run;
            let attempt = view.steps[step].attempts;
            let id_at = |item| course.child(plan, run, (step, Some(item)), attempt);
            let open = self.open_parts(run, &plan.steps[step].id, id_at).await?;
            for found in open {
                view.add_part_run(plan, step, found);
            }
        }
        Ok(())
    }
}
