//! The processes of a run that live on though their `coord` was killed, and its watchdog with it, or was suspended
//! for so long that the run is not its own any more: they are ended before anything of the run runs again. And the
//! note of those that run now.

use std::convert::Infallible;
use std::fs;
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::time::{Clock, Instant, SystemClock, sleep};
use coordination::bus::vocabulary::{NOTIFICATION, Notification, Severity};
use coordination::bus::{BusExt, LocalBus};
use coordination::patterns::process::{EndedGroup, GroupEnd, GroupLedger, LeftBehind};
use coordination::workflow::{RunId, RunJournal, RunState};
use serde::Serialize;

use super::SetUpError;
use crate::args::Color;
use crate::file::printable;
use crate::job::{GRACE, RUN_ID};
use crate::runs::{GONE_LOOK, GONE_WITHIN, RunsFault};
use crate::screen;
use crate::signals::Interrupts;

/// What the notes are called, before the number of the `coord` whose they are.
const NAME: &str = "groups.";
/// How long another `coord` may take to end the same, or to go on.
const HELD_WITHIN: Duration = GRACE.saturating_add(Duration::from_secs(3));
/// After which of it is said what is waited for.
const SAID_AFTER: Duration = Duration::from_secs(1);
/// How many processes are named; the others are counted.
const NAMED_MAX: usize = 8;

/// What there is of earlier `coord`s.
#[derive(Default)]
struct Found {
    left: Vec<LeftBehind>,
    /// The notes of those that live, or whose somebody else is about to end.
    held: Vec<PathBuf>,
}

/// Why it lives on.
#[derive(Clone, Copy)]
enum Why {
    Killed,
    Suspended,
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

/// A process that lives on of a run which nobody drives: the first of its group.
#[derive(Serialize)]
pub(crate) struct Living {
    /// What it is called.
    pub(crate) process: String,
    pub(crate) id: u32,
}

/// What lives on of a run that nobody drives. Nobody who ends it meanwhile is held up.
pub(crate) fn living(dir: &Path, run: &RunId) -> io::Result<Vec<Living>> {
    let left = read(&notes(dir)?, run)?;
    let living = left.iter().flat_map(LeftBehind::living);
    let living = living.map(|(process, id)| Living { process, id });
    Ok(living.collect())
}

/// Ends what lives on of a run that is cancelled, and that nobody is going to take up for that. What a `coord` has
/// that was suspended is ended by that, once it goes on and hears of it.
pub(crate) async fn end_cancelled(dir: &Path, run: &RunId, color: Color) -> io::Result<()> {
    let again = || Ok(look(dir, run)?.left);
    end_all(again()?, again, Why::Killed, &Interrupts::default(), color).await?;
    Ok(())
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
    let mut is_said = false;
    loop {
        let found = look(dir, run)?;
        if found.left.is_empty() && found.held.is_empty() {
            return Ok(Vec::new());
        }
        let is_any_living = found.left.iter().any(|left| !left.living().is_empty());
        let waited = since.elapsed();
        let state = runs.view(run).await.map_err(RunsFault::from)?.state;
        let is_held = state == RunState::Interrupted && !found.held.is_empty();
        let waits = match state {
            // The watchdog may be at it. Whether somebody drives the run, who starts it is told.
            RunState::Running => is_any_living && waited < GONE_WITHIN,
            // Somebody else is about to take it up.
            RunState::Interrupted => is_held && waited < HELD_WITHIN,
            _ => false,
        };
        if !waits {
            let again = || Ok(look(dir, run)?.left);
            let mut ended = end_all(found.left, again, Why::Killed, interrupts, color).await?;
            if is_held {
                let again = || read(&found.held, run);
                let held = end_all(again()?, again, Why::Suspended, interrupts, color).await?;
                ended.extend(held);
            }
            return Ok(ended);
        }
        if is_held && waited >= SAID_AFTER && !std::mem::replace(&mut is_said, true) {
            let driver = driver(&found.held);
            let what = format!("{driver} has processes of this run, and does not go on with it");
            let waits = format!("it is waited for, {} s at most", HELD_WITHIN.as_secs());
            screen::say(color, &format!("{what}: {waits}"));
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
    let variable = variable(run);
    for notes in notes(dir)? {
        match GroupLedger::left_behind(&notes, &variable) {
            Ok(left) => found.left.extend(left),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => found.held.push(notes),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The notes that there are of a run.
fn notes(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut notes = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(NAME)) {
            notes.push(entry.path());
        }
    }
    Ok(notes)
}

/// In the environment of each process of a run.
fn variable(run: &RunId) -> String {
    format!("{RUN_ID}={run}")
}

/// Whose the notes are.
fn driver(held: &[PathBuf]) -> String {
    let names = held.iter().filter_map(|notes| notes.file_name()?.to_str());
    let ids: Vec<_> = names.filter_map(|name| name.strip_prefix(NAME)).collect();
    format!("another `coord` (process {})", ids.join(", "))
}

/// What is in these notes, also in those of a `coord` that lives.
fn read(notes: &[PathBuf], run: &RunId) -> io::Result<Vec<LeftBehind>> {
    let variable = variable(run);
    let read = notes.iter().map(|path| GroupLedger::held(path, &variable));
    read.filter_map(Result::transpose).collect()
}

/// Ends these; `again` gives those that are left, where they are to be killed at once.
async fn end_all(
    left: Vec<LeftBehind>,
    again: impl Fn() -> io::Result<Vec<LeftBehind>>,
    why: Why,
    interrupts: &Interrupts,
    color: Color,
) -> io::Result<Vec<EndedGroup>> {
    let living: Vec<_> = left.iter().flat_map(LeftBehind::living).collect();
    for (process, id) in living.iter().take(NAMED_MAX) {
        let what = format!("{}: process {id} lives on", printable(process));
        let why = match why {
            Why::Killed => "as the `coord` that ran it was killed, with its watchdog",
            Why::Suspended => "as the `coord` that runs it was suspended, and has lost the run",
        };
        screen::say(color, &format!("{what}, {why}: it is ended"));
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
            end_each(again()?, Duration::ZERO, &mut ended).await;
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

#[cfg(all(test, target_os = "linux"))]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use std::future::pending;

    use coordination::bus::vocabulary::PROCESS_LIFECYCLE;
    use coordination::bus::{MemoryEventLog, MemoryLeases};
    use coordination::patterns::process::{ProcessRunner, ProcessSpec, Stop};
    use coordination::workflow::{StepError, Workflow, WorkflowOrchestrator};
    use tokio::join;

    use super::*;

    /// A run that was begun and is driven by nobody.
    async fn interrupted(run: &RunId) -> RunJournal {
        let (log, leases) = (MemoryEventLog::new(), MemoryLeases::new());
        let runs = RunJournal::new(Arc::new(log), Arc::new(leases));
        let bus = LocalBus::new();
        let orchestrator = WorkflowOrchestrator::builder(&bus).journal(runs.clone());
        let orchestrator = orchestrator.build().unwrap();
        let mut workflow = Workflow::<()>::durable("w");
        workflow
            .step("s")
            .run(async || pending::<Result<(), StepError>>().await);
        let workflow = workflow.build().unwrap();
        let started = orchestrator.start_durable(&workflow, run.clone(), ());
        drop(started.await.unwrap());
        drop(orchestrator);
        while runs.view(run).await.unwrap().state != RunState::Interrupted {
            sleep(Duration::from_millis(1)).await;
        }
        runs
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_suspended_coord_runs_is_ended_where_the_run_is_not_its_own_any_more() {
        let run = RunId::named("r").unwrap();
        let runs = interrupted(&run).await;
        let folder = tempfile::tempdir().unwrap();
        // Held by this process, which lives and does nothing about it.
        let notes = folder.path().join("groups.1");
        let ledger = Arc::new(GroupLedger::create(&notes).unwrap());
        let bus = LocalBus::new();
        let mut events = bus.subscribe(&PROCESS_LIFECYCLE).unwrap();
        let runner = ProcessRunner::new(&bus).unwrap();
        runner.note_in(Arc::clone(&ledger));
        let (spec, stop) = (ProcessSpec::shell("b", "sleep 1000"), Stop::default());
        let interrupts = Interrupts::default();
        let ending = async {
            events.recv().await.unwrap();
            let (dir, begin) = (folder.path(), Instant::now());
            let ended = end(dir, &runs, &run, &interrupts, Color::Never).await;
            assert!(begin.elapsed() >= HELD_WITHIN, "it might have gone on");
            ended.unwrap()
        };
        let (exit, ended) = join!(runner.run(&spec, &stop), ending);
        assert!(exit.unwrap().signal.is_some());
        let ended: Vec<_> = ended.iter().map(said).collect();
        assert!(ended[0].contains("was ended"), "{ended:?}");
        assert_eq!(ended.len(), 1);
    }
}
