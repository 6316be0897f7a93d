//! Which run is meant: by its id, or by the beginning or the end of it.

use coordination::bus::{Timestamp, text::nearest};
use coordination::workflow::{RunId, RunJournal, RunQuery, RunState, WorkflowError};
use serde::de::IgnoredAny;

use super::RunsFault;
use crate::file::printable;

/// How many runs, the newest, are looked through for one whose id is not written out.
const LOOKED_AT_MAX: usize = 10_000;
/// How many of those that may be meant are named.
const NAMED_MAX: usize = 5;

/// The run that is named, or else the latest.
pub(super) async fn find_or_latest(
    runs: &RunJournal,
    text: Option<&str>,
) -> Result<RunId, RunsFault> {
    match text {
        Some(text) => find(runs, text).await,
        None => latest(runs).await,
    }
}

/// The latest run there is.
pub(super) async fn latest(runs: &RunJournal) -> Result<RunId, RunsFault> {
    let newest = runs.runs(&RunQuery::newest().limit(1)).await?;
    newest.into_iter().next().ok_or(RunsFault::None)
}

/// The one run that is meant.
pub(crate) async fn find(runs: &RunJournal, text: &str) -> Result<RunId, RunsFault> {
    if let Ok(id) = RunId::named(text)
        && is_there(runs, &id).await?
    {
        return Ok(id);
    }
    let ids = runs.runs(&RunQuery::newest().limit(LOOKED_AT_MAX)).await?;
    let is_meant = |id: &&RunId| id.as_str().starts_with(text) || id.as_str().ends_with(text);
    let meant: Vec<&RunId> = match text {
        "" => Vec::new(),
        _ => ids.iter().filter(is_meant).collect(),
    };
    match meant[..] {
        [id] => Ok(id.clone()),
        [] => Err(RunsFault::NoRun {
            run: printable(text),
            help: match nearest(text, ids.iter().map(RunId::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "`coord list` shows the runs".to_owned(),
            },
        }),
        [..] => {
            let named: Vec<_> = meant
                .iter()
                .take(NAMED_MAX)
                .map(ToString::to_string)
                .collect();
            let more = match meant.len() - named.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            Err(RunsFault::Ambiguous {
                run: printable(text),
                count: meant.len(),
                help: format!("{}{more}: write more of it", named.join(", ")),
            })
        }
    }
}

/// When the run of this id began, if it has finished, so that one can begin anew.
pub(super) async fn finished(
    runs: &RunJournal,
    id: &RunId,
) -> Result<Option<Timestamp>, RunsFault> {
    let view = runs.view(id).await?;
    let is_finished = matches!(view.state, RunState::Finished(_));
    Ok(is_finished.then_some(view.started_at))
}

/// Whether there is a run of exactly this id.
pub(super) async fn is_there(runs: &RunJournal, id: &RunId) -> Result<bool, RunsFault> {
    match runs.input::<IgnoredAny>(id).await {
        Ok(_) => Ok(true),
        Err(WorkflowError::NoSuchRun { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
