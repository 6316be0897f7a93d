//! `coord attach`: a run that goes on elsewhere, shown as it goes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::io::{self, Write};
use std::sync::Arc;

use coordination::bus::time::{Clock, SystemClock};
use coordination::bus::vocabulary::{NOTIFICATION, Notification, Severity};
use coordination::bus::{Bus, BusExt, Causes, LocalBus, Timestamp};
use coordination::journal::Journal;
use coordination::workflow::{
    Command, RunId, RunJournal, RunQuery, RunState, RunView, Status, StepPhase,
};
use coordination::{CoordinationConfig, CoordinationModule};
use miette::Report;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::lives::Lives;
use super::relay::Relay;
use super::take_up::definition;
use super::{RunsFault, find, journal_flag, open_to_look, refuse, show};
use crate::args::{AttachArgs, Manner, Output};
use crate::definition::Prepared;
use crate::exit_code::ExitCode;
use crate::file::{WorkflowFile, printable};
use crate::hands::Wish;
use crate::kept_output::{Kept, Merged};
use crate::labels::Labels;
use crate::process_name::is_item;
use crate::run::{Ending, Guard, SetUpError, WISHES_MAX, on_runtime};
use crate::screen::{self, BAD, QUIET, Screen, Start, TAIL_LINES, printed};
use crate::signals::{Interrupts, Signals};
use crate::spare_thread::SpareThread;

/// How many unfinished runs, the newest, are looked at for one that goes on.
const LOOKED_AT_MAX: usize = 1_000;

/// Shows a run until it ends or is left.
pub(crate) fn attach(args: &AttachArgs) -> ExitCode {
    let manner = args.manner();
    let done = on_runtime(async |handle| {
        screen::check(manner)?;
        let journal = open_to_look(&args.of.journal)?;
        let runs = RunJournal::of(Arc::clone(&journal));
        let run = match &args.run {
            Some(run) => find(&runs, run).await?,
            None => latest(&runs).await?,
        };
        look_on(&journal, &runs, &run, manner, handle).await
    });
    match done {
        Ok(code) => code,
        Err(report) => refuse(args.of.color, &args.of.journal, &report),
    }
}

/// The latest run that goes on.
async fn latest(runs: &RunJournal) -> Result<RunId, RunsFault> {
    let unfinished = RunQuery::newest().unfinished().limit(LOOKED_AT_MAX);
    for id in runs.runs(&unfinished).await? {
        // One that cannot be read does not hide the others.
        if let Ok(view) = runs.view(&id).await
            && view.state == RunState::Running
        {
            return Ok(id);
        }
    }
    Err(RunsFault::NothingGoesOn)
}

async fn look_on(
    journal: &Arc<Journal>,
    runs: &RunJournal,
    run: &RunId,
    manner: Manner,
    handle: &Handle,
) -> Result<ExitCode, Report> {
    let following = runs.follow(run).await.map_err(RunsFault::from)?;
    let before = following.view().await.map_err(RunsFault::from)?;
    if before.state != RunState::Running {
        return Err(not_going_on(&before).into());
    }
    let definition = definition(runs, run).await?;
    let prepared = Prepared::new(definition.looked_at()?, definition, None);
    let bus = Arc::new(LocalBus::new());
    let mut config = CoordinationConfig::default();
    config.performance_reporting_interval = None;
    config.performance_log = false;
    let module = CoordinationModule::start(Arc::clone(&bus) as _, config);
    let module = Arc::new(module.map_err(SetUpError::from)?);
    let interrupts = Interrupts {
        look_on: true,
        ..Interrupts::default()
    };
    guard(&module, journal, run, manner)?;
    let (wishes, wished) = mpsc::channel(WISHES_MAX);
    let screen = Screen::new(&Start {
        module: &module,
        args: manner,
        file: &prepared.file,
        labels: &Arc::new(Labels::of(&prepared.file)),
        kept: Some(journal_flag(journal)),
        before: Some(&before),
        interrupts: &interrupts,
        wishes: &wishes,
    })
    .map_err(SetUpError::from)?;
    let (lost, ended, failed) = (screen.lost(), screen.ended(), screen.failed());
    let kept = Kept::of(journal.dir(), run);
    let relay = Relay::new(&bus, following, kept.clone());
    let mut relay = relay.map_err(SetUpError::from)?;
    let mut signals = Signals::new().map_err(SetUpError::from)?;
    let shows_on = handle.clone();
    let thread = SpareThread::new("screen").map_err(SetUpError::System)?;
    let mut showing = thread.run(move || shows_on.block_on(screen.show()));

    let is_seen = manner.output == Output::Tui;
    // Also where only those of what fails are told.
    let wants_lines = is_seen || manner.layout.is_quiet;
    let relayed = async {
        relay
            .earlier(&before, &interrupts, is_seen, wants_lines)
            .await?;
        relay.run(&interrupts).await
    };
    let left = tokio::select! {
        relayed = relayed => relayed.map(|()| false),
        never = pausing(runs, run, &interrupts, &bus) => match never {},
        never = granting(runs, run, wished, &bus) => match never {},
        never = signals.watch(&interrupts) => match never {},
        () = interrupts.end.cancelled() => Ok(true),
        () = lost.cancelled() => Ok(true),
    };
    bus.close();
    ended.cancel();
    let ending = Ending {
        interrupts: &interrupts,
        failed: &failed,
        color: manner.color,
    };
    let shown = ending.see(&mut signals, &mut showing, None).await.is_some();
    drop(signals);
    let left = left?;
    if lost.is_cancelled() {
        return Ok(ExitCode::OutputLost);
    }
    if !left && !shown && interrupts.end.is_cancelled() {
        // The run is over, and who is told that does not read it.
        return Ok(left_by(&interrupts));
    }
    if left {
        say_that_it_goes_on(manner, run, journal);
        return Ok(left_by(&interrupts));
    }
    let view = relay.following.view().await.map_err(RunsFault::from)?;
    let journal = journal_flag(journal);
    let written = tell_end(&view, &prepared.file, &kept, manner, &journal);
    match view.state {
        _ if !shown || written.is_err() => Ok(ExitCode::OutputLost),
        RunState::Finished(Status::Completed) => Ok(ExitCode::Done),
        RunState::Finished(Status::Cancelled) => Ok(ExitCode::Interrupted),
        RunState::Finished(_) => Ok(ExitCode::RunFailed),
        _ => Err(not_going_on(&view).into()),
    }
}

/// Says how the run ended.
fn tell_end(
    view: &RunView,
    file: &WorkflowFile,
    kept: &Kept,
    manner: Manner,
    journal: &str,
) -> io::Result<()> {
    let mut out = screen::out(manner.color.into());
    let lives = Lives::read(kept, view)?;
    show::print(&mut out, view, &lives, journal, |phase| {
        !manner.layout.is_quiet || matches!(phase, StepPhase::Failed | StepPhase::NotUndone)
    })?;
    let is_well = view.state == RunState::Finished(Status::Completed);
    if matches!(view.state, RunState::Finished(_)) && !is_well {
        let tails = manner.layout.fails_at_the_end.then_some(kept);
        failures(&mut out, view, &lives, file, tails)?;
        let run = &view.run;
        writeln!(
            out,
            "{QUIET}to do again what is not done: coord retry {run}{journal}{QUIET:#}"
        )?;
    }
    out.flush()
}

/// What failed and where the file has it, as where the run was driven; with the last lines of each, where those
/// are wanted.
fn failures(
    out: &mut impl Write,
    view: &RunView,
    lives: &Lives,
    file: &WorkflowFile,
    tails: Option<&Kept>,
) -> io::Result<()> {
    for (step, unit) in view.steps.iter().zip(&file.units) {
        if lives.phase(step) != StepPhase::Failed || step.optional {
            continue;
        }
        let why = lives.of(step).and_then(|life| life.failed.as_ref());
        let why = step.error.as_ref().or(why).map(|why| printable(why));
        let at = format!("{}:{}", file.path_of(unit), file.place(unit));
        let why = why.unwrap_or_default();
        writeln!(out, "\n{BAD}{} failed: {why}{BAD:#}", step.id)?;
        writeln!(out, "  {QUIET}at {at}{QUIET:#}")?;
        if let Some(kept) = tails {
            for line in last_lines(kept, &step.id)? {
                write!(out, "  {QUIET}|{QUIET:#} ")?;
                printed(out, &line)?;
            }
        }
    }
    Ok(())
}

/// The last lines of a step or service; those of items behind their names.
fn last_lines(kept: &Kept, id: &str) -> io::Result<VecDeque<String>> {
    let mut last = VecDeque::new();
    let mut lines = Merged::new(kept.clone(), Some(id.to_owned()));
    lines.take(true, Timestamp::MAX, |process, record| {
        let line = match is_item(process) {
            true => format!("{process} | {}", record.line),
            false => record.line,
        };
        if process == id || is_item(process) {
            last.push_back(line);
        }
        if last.len() > TAIL_LINES {
            last.pop_front();
        }
        Ok(())
    })?;
    Ok(last)
}

/// Where there is a screen, somebody leaves that, should this be killed.
fn guard(
    module: &CoordinationModule,
    journal: &Journal,
    run: &RunId,
    manner: Manner,
) -> Result<(), SetUpError> {
    match manner.output {
        Output::Tui => Guard::looking_on(journal, run).start(module.processes()?),
        _ => Ok(()),
    }
}

fn say_that_it_goes_on(manner: Manner, run: &RunId, journal: &Journal) {
    let flag = journal_flag(journal);
    let what = format!("run {run} goes on: `coord attach {run}{flag}` shows it again");
    screen::say(manner.color, &what);
}

/// The exit code of who has left: a key did what it is there for, a signal ended the command.
fn left_by(interrupts: &Interrupts) -> ExitCode {
    match interrupts.by_key.is_cancelled() {
        true => ExitCode::Done,
        false => ExitCode::Interrupted,
    }
}

/// Pauses the run and lets it go on, as a person here wants.
async fn pausing(
    runs: &RunJournal,
    run: &RunId,
    interrupts: &Interrupts,
    bus: &LocalBus,
) -> Infallible {
    loop {
        interrupts.pause.notified().await;
        let command = match *interrupts.paused.borrow() {
            true => Command::Continue,
            false => Command::Pause,
        };
        tell(runs, run, command, bus).await;
    }
}

/// Tells the run what a person here wants of its steps.
async fn granting(
    runs: &RunJournal,
    run: &RunId,
    mut wished: mpsc::Receiver<Wish>,
    bus: &LocalBus,
) -> Infallible {
    loop {
        match wished.recv().await {
            Some(wish) => tell(runs, run, wish.into_command(), bus).await,
            None => return pending().await,
        }
    }
}

/// Tells the run something; where that is refused, whoever looks on is told why, and looks on.
async fn tell(runs: &RunJournal, run: &RunId, command: Command, bus: &LocalBus) {
    let Err(error) = runs.tell(run, command).await else {
        return;
    };
    let Ok(notifications) = bus.publisher(&NOTIFICATION) else {
        return;
    };
    let refused = Notification {
        at: SystemClock.now(),
        severity: Severity::Warning,
        title: "coord".to_owned(),
        message: format!("the run was not told: {}", printable(&error.with_causes())),
    };
    // Where the bus is closed, the run has ended.
    let _ = notifications.publish(refused).await;
}

fn not_going_on(view: &RunView) -> RunsFault {
    let run = view.run.to_string();
    let help = match view.state {
        RunState::Finished(_) => {
            format!("`coord show {run}` tells of it, `coord logs {run}` what it printed")
        }
        _ => format!("`coord resume {run}` goes on with it"),
    };
    RunsFault::NotGoingOn {
        run,
        state: view.phase().to_string(),
        help,
    }
}
