//! What a shell is told of runs: as a look at them that leaves the journal as it is, within a moment.

use std::sync::Arc;
use std::time::Duration;

use coordination::bus::time::{Instant, timeout, timeout_at};
use coordination::workflow::{RunJournal, RunQuery, RunState, RunSummary, RunView};

use super::find::find_or_latest;
use super::list::local;
use super::place::open_untouched;
use crate::args::JournalPlace;
use crate::run::on_runtime;

/// How long a look may take, so that nobody waits for it.
const LOOK_MAX: Duration = Duration::from_millis(30);
/// How many runs, the newest, are looked through for those that are meant.
const LOOKED_AT_MAX: usize = 1_000;

/// The runs, the newest first, that a command is for, and what there is to say of each: those whose ids begin with
/// what is typed, or else end with it.
pub(crate) fn offered(
    place: &JournalPlace,
    command: &str,
    typed: &str,
    limit: usize,
) -> Vec<(String, String)> {
    let found = look(place, async |runs| {
        let mut query = RunQuery::newest().limit(LOOKED_AT_MAX);
        query.only_unfinished = is_of_unfinished(command);
        let ids = runs.runs(&query).await.ok()?;
        let begin = ids.iter().filter(|id| id.as_str().starts_with(typed));
        let mut meant: Vec<_> = begin.collect();
        if meant.is_empty() {
            meant.extend(ids.iter().filter(|id| id.as_str().ends_with(typed)));
        }
        let until = Instant::now() + LOOK_MAX;
        let mut offered = Vec::new();
        for id in meant {
            if offered.len() == limit {
                break;
            }
            // One that nothing is known of in time may be what is meant, too.
            match timeout_at(until, runs.summary(id)).await {
                Ok(Ok(run)) if is_for(command, &run) => {
                    offered.push((id.to_string(), told(&run)));
                }
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => offered.push((id.to_string(), String::new())),
            }
        }
        Some(offered)
    });
    found.unwrap_or_default()
}

/// A run, as it is named on a command line, or else the latest.
pub(crate) fn looked_at(place: &JournalPlace, run: Option<&str>) -> Option<RunView> {
    look(place, async |runs| {
        let view = async {
            let run = find_or_latest(runs, run).await.ok()?;
            runs.view(&run).await.ok()
        };
        timeout(LOOK_MAX, view).await.ok()?
    })
}

fn look<T>(place: &JournalPlace, work: impl AsyncFnOnce(&RunJournal) -> Option<T>) -> Option<T> {
    let journal = open_untouched(place).ok()?;
    let runs = RunJournal::of(Arc::new(journal));
    on_runtime(async |_| Ok(work(&runs).await)).ok()?
}

fn told(run: &RunSummary) -> String {
    format!(
        "{}, {}, {}",
        run.workflow,
        run.phase(),
        local(run.started_at)
    )
}

/// Whether a command is for none that has finished.
fn is_of_unfinished(command: &str) -> bool {
    let commands = [
        "attach", "cancel", "continue", "pause", "restart", "resume", "signal", "skip", "stop",
    ];
    commands.contains(&command)
}

/// Whether a command does something with a run that is there.
fn is_for(command: &str, run: &RunSummary) -> bool {
    match command {
        "attach" | "restart" | "stop" => run.state == RunState::Running,
        "resume" => run.state == RunState::Interrupted,
        "retry" => matches!(run.state, RunState::Finished(_)),
        "pause" => !run.is_paused && run.ending.is_none(),
        "continue" => run.is_paused,
        _ => true,
    }
}
