//! The processes of a run that live on though their `coord` was killed, and its watchdog with it: they
//! are ended before anything of the run runs again. And the note of those that run now.

use std::convert::Infallible;
use std::fs;
use std::future::pending;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::time::{Clock, Instant, SystemClock, sleep};
use coordination::bus::vocabulary::{NOTIFICATION, Notification, Severity};
use coordination::bus::{BusExt, LocalBus};
use coordination::patterns::process::{EndedGroup, GroupEnd, GroupLedger, LeftBehind};
use coordination::workflow::{RunId, RunJournal, RunState};

use super::SetUpError;
use crate::args::Color;
use crate::file::printable;
use crate::job::{GRACE, RUN_ID};
use crate::runs::{GONE_LOOK, GONE_WITHIN, RunsFault};
use crate::screen;
use crate::signals::Interrupts;

/// What the notes are called, before the number of the `coord` whose they are.
const NAME: &str = "groups.";
/// How long another `coord` may take to end the same.
const HELD_WITHIN: Duration = GRACE.saturating_add(Duration::from_secs(3));
/// How many processes are named; the others are counted.
const NAMED_MAX: usize = 8;

/// What there is of earlier `coord`s.
#[derive(Default)]
struct Found {
    left: Vec<LeftBehind>,
    /// Whether one of them lives, or somebody else is about to end what it has left.
    is_held: bool,
}

/// Notes which processes run from now on. Where that cannot be, the run goes on, and it is said.
pub(super) fn note(dir: &Path, color: Color) -> Option<Arc<GroupLedger>> {
    let own = format!("{NAME}{}", std::process::id());
    match GroupLedger::create(&dir.join(own)) {
        Ok(ledger) => Some(Arc::new(ledger)),
        // Not on this system.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => None,
        Err(error) => {
            let what = "it cannot be noted which processes run";
            screen::say(
                color,
                &format!(
                    "{what}: {error}; should `coord` and its watchdog be killed, they live on"
                ),
            );
            None
        }
    }
}

/// Ends what lives on of a run that is taken up. Once that is interrupted, nothing more is waited for than
/// what is being ended.
pub(super) async fn end(
    dir: &Path,
    runs: &RunJournal,
    run: &RunId,
    interrupts: &Interrupts,
    color: Color,
) -> Result<Vec<EndedGroup>, SetUpError> {
    let since = Instant::now();
    loop {
        let found = look(dir, run)?;
        if found.left.is_empty() && !found.is_held {
            return Ok(Vec::new());
        }
        let is_any_living = found.left.iter().any(|left| !left.living().is_empty());
        let waited = since.elapsed();
        let waits = match runs.view(run).await.map_err(RunsFault::from)?.state {
            // The watchdog may be at it. Whether somebody drives the run, who starts it is told.
            RunState::Running => is_any_living && waited < GONE_WITHIN,
            // Somebody else is about to take it up.
            RunState::Interrupted => found.is_held && waited < HELD_WITHIN,
            _ => false,
        };
        if !waits {
            return end_all(found.left, dir, run, interrupts, color).await;
        }
        drop(found);
        tokio::select! {
            () = sleep(GONE_LOOK) => {}
            () = interrupts.end.cancelled() => return Ok(Vec::new()),
        }
    }
}

fn look(dir: &Path, run: &RunId) -> io::Result<Found> {
    let mut found = Found::default();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    let variable = format!("{RUN_ID}={run}");
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name.starts_with(NAME)) {
            continue;
        }
        match GroupLedger::left_behind(&entry.path(), &variable) {
            Ok(left) => found.left.extend(left),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => found.is_held = true,
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

async fn end_all(
    left: Vec<LeftBehind>,
    dir: &Path,
    run: &RunId,
    interrupts: &Interrupts,
    color: Color,
) -> Result<Vec<EndedGroup>, SetUpError> {
    let living: Vec<_> = left.iter().flat_map(LeftBehind::living).collect();
    for (process, id) in living.iter().take(NAMED_MAX) {
        let what = format!("{}: process {id} lives on", printable(process));
        let why = "as the `coord` that ran it was killed, with its watchdog";
        screen::say(color, &format!("{what}, {why}: it is ended first"));
    }
    if let more @ 1.. = living.len().saturating_sub(NAMED_MAX) {
        screen::say(color, &format!("and {more} more"));
    }
    let saying = async {
        interrupts.end.cancelled().await;
        screen::say(
            color,
            "ending: what lives on has its grace to stop; once more kills it",
        );
        pending::<Infallible>().await
    };
    let mut ended = Vec::new();
    tokio::select! {
        () = end_each(left, GRACE, &mut ended) => {}
        never = saying => match never {},
        () = interrupts.kill.cancelled() => {
            // Those that are still being ended are noted there.
            end_each(look(dir, run)?.left, Duration::ZERO, &mut ended).await;
        }
    }
    for group in ended.iter().filter(|group| group.end == GroupEnd::Lives) {
        let process = printable(&group.process);
        screen::say(color, &format!("{process}: {}", said(group)));
    }
    Ok(ended)
}

async fn end_each(left: Vec<LeftBehind>, grace: Duration, ended: &mut Vec<EndedGroup>) {
    for left in left {
        ended.extend(left.end(grace).await);
    }
}

/// Tells whoever looks at the run what was ended, and how.
pub(super) async fn tell(bus: &LocalBus, ended: &[EndedGroup]) {
    let Ok(notifications) = bus.publisher(&NOTIFICATION) else {
        return;
    };
    for group in ended.iter().take(NAMED_MAX) {
        let said = Notification {
            at: SystemClock.now(),
            severity: Severity::Warning,
            title: group.process.clone(),
            message: said(group),
        };
        // The bus has just been made: it is open.
        let _ = notifications.publish(said).await;
    }
}

fn said(group: &EndedGroup) -> String {
    let id = group.group;
    let what = format!("process {id} of an earlier `coord`");
    match group.end {
        GroupEnd::Stopped => format!("{what} was ended with SIGTERM"),
        GroupEnd::Killed => format!("{what} was ended with SIGKILL"),
        _ => format!(
            "{what} could not be ended, and lives on beside what runs now: `kill -9 -- -{id}`"
        ),
    }
}
