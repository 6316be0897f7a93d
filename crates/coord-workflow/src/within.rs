//! The runs that are the work of a step at the items of its list, or in its rounds: which of them have not ended. No record of the run
//! itself says which have begun, so they are found by their ids, which follow from it.

use coord_bus::{StreamOrder, StreamQuery};

use crate::course::Course;
use crate::plan::Plan;
use crate::run_journal::any_run;
use crate::view::ItemRun;
use crate::{RunId, RunJournal, RunView, WorkflowError, records, streams};

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
