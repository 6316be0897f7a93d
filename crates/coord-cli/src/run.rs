//! `coord run`: from a file to an exit code.

mod course;
mod guard;
mod keeper;
mod left;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::time::{Clock, Instant, SystemClock, timeout};
use coordination::bus::{Bus, CancellationToken, LocalBus};
use coordination::journal::Journal;
use coordination::monitor::{MAX_HISTORY, PerformanceMonitor};
use coordination::patterns::process::{EndedGroup, GroupLedger, reap_adopted};
use coordination::workflow::{RunId, RunJournal, RunState, RunView, Status};
use coordination::{CoordinationConfig, CoordinationModule};
use miette::{Diagnostic, Report};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::args::{Color, Manner, Output, RunArgs};
use crate::definition::{Definition, Prepared};
use crate::ended::Ended;
use crate::exit_code::ExitCode;
use crate::file::{WorkflowFile, is_stdin};
use crate::flows;
use crate::job::{self, GRACE, Job};
use crate::kept_output::{Keeping, Kept};
use crate::labels::Labels;
use crate::measured::Measured;
use crate::output_folder::OutputFolder;
use crate::plan;
use crate::runs::{self, RUNS_KEPT, RunsFault};
use crate::screen::{self, Screen, Start};
use crate::secrets::{self, SecretFault};
use crate::signals::{Interrupts, Signals};
use crate::spare_thread::SpareThread;
use crate::validate::{Checked, refuse};
use course::Course;
pub(crate) use guard::{Guard, TITLE as WATCHDOG};
pub(crate) use left::{Living, end_cancelled, living};

/// How long a cancelled step has in all: its processes' grace, and some to read what they said.
const STEP_GRACE: Duration = GRACE.saturating_add(Duration::from_secs(5));
/// How long undoing may take, all together.
const UNDO_DEADLINE: Duration = Duration::from_secs(60);
/// How long the parts of the module may take to come to rest once nothing runs any more.
const REST: Duration = Duration::from_secs(2);
/// How long the screen may take to print what is left after an interrupt: its reader may be gone.
const SCREEN_DEADLINE: Duration = Duration::from_secs(2);
/// The same once a run is abandoned, which is to be left within two seconds in all.
const LAST_LOOK: Duration = Duration::from_millis(250);
/// How many descriptors a runtime opens, and two more.
const DESCRIPTORS: usize = 8;
/// How many wishes of a person may wait.
pub(crate) const WISHES_MAX: usize = 16;

/// Why it did not come to a run.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum SetUpError {
    #[error("the program could not set itself up to run processes")]
    #[diagnostic(code(coord::set_up::system))]
    System(#[from] io::Error),
    #[error("the folder in which `coord` was started is gone, or may not be looked up")]
    #[diagnostic(
        code(coord::set_up::no_folder),
        help("go to a folder that is there, `cd`, and name the file from there")
    )]
    NoFolder(#[source] io::Error),
    #[error("the bus could not be set up")]
    #[diagnostic(code(coord::set_up::bus))]
    Bus(#[from] coordination::bus::BusError),
    #[error("the parts of the program could not be set up")]
    #[diagnostic(code(coord::set_up::module))]
    Module(#[from] coordination::CoordinationError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] RunsFault),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Secret(#[from] SecretFault),
    #[error("the live screen needs a terminal, and standard output is none")]
    #[diagnostic(
        code(coord::set_up::no_terminal),
        help("leave `--output` out, or use `--output text`")
    )]
    NoTerminal,
    #[error("the workflow could not be made from its file")]
    #[diagnostic(code(coord::set_up::workflow))]
    Workflow(#[from] coordination::workflow::Faults),
}

/// How a run begins.
pub(crate) enum Begin {
    /// Nothing of it is kept.
    Unkept,
    /// With nothing, under this id.
    New(RunId),
    /// The same, in place of the one of this id, which has finished.
    Anew(RunId),
    /// Where it was interrupted.
    Resumed(RunId),
    /// With what is to be done again, from a step on if one is named.
    Retried(RunId, Option<String>),
}

impl Begin {
    /// The run that is kept.
    fn run(&self) -> Option<&RunId> {
        match self {
            Self::New(run) | Self::Anew(run) => Some(run),
            begin => begin.before(),
        }
    }

    /// The run that was there before.
    pub(crate) fn before(&self) -> Option<&RunId> {
        match self {
            Self::Resumed(run) | Self::Retried(run, _) => Some(run),
            Self::Unkept | Self::New(_) | Self::Anew(_) => None,
        }
    }
}

/// Runs a workflow file.
pub(crate) fn run(args: &RunArgs) -> ExitCode {
    let color = args.of.color;
    let manner = args.manner.manner(color);
    if args.background.in_background {
        runs::begin_in_background();
    }
    let prepared = Checked::load(&args.of, &args.select.selection()).and_then(|checked| {
        let checked = checked.with_on_failure(args.on_failure());
        // The screen says so itself, and who started this in the background has.
        if manner.output != Output::Tui && !manner.layout.is_quiet && !args.background.in_background
        {
            checked.say_where(color);
        }
        let definition = Definition::of(&checked).map_err(SetUpError::NoFolder)?;
        Ok(Prepared::new(checked, definition, manner.concurrency))
    });
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(report) => return refuse(color, &report),
    };
    if args.dry_run {
        return plan::say(&prepared, manner);
    }
    if !prepared.runs.contains(&true) {
        return screen::nothing_to_do(manner, &prepared.file.name);
    }
    if args.background.detach {
        let source = is_stdin(prepared.file.path().as_ref()).then_some(&*prepared.file.source);
        return runs::detach(args, color, source);
    }
    let run = on_runtime(async |handle| {
        if args.no_journal {
            runs::check_unkept(&prepared, manner)?;
            return execute(manner, prepared, None, Begin::Unkept, handle).await;
        }
        let journal = runs::open_for_run(&args.journal)?;
        let (prepared, begin) = runs::begin(&journal, args, prepared, manner).await?;
        execute(manner, prepared, Some(journal), begin, handle).await
    });
    match run {
        Ok(code) => code,
        Err(report) => runs::refuse(color, &args.journal, &report),
    }
}

/// Does something on a runtime of its own.
pub(crate) fn on_runtime<T>(
    work: impl AsyncFnOnce(&Handle) -> Result<T, Report>,
) -> Result<T, Report> {
    check_descriptors().map_err(SetUpError::System)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(SetUpError::System)?;
    let done = runtime.block_on(work(runtime.handle()));
    // What still sits in a write to a terminal that nobody reads may stay there.
    runtime.shutdown_background();
    done
}

/// Whether there is room for the descriptors that a runtime opens, which takes it for granted.
fn check_descriptors() -> io::Result<()> {
    let pipes = (0..DESCRIPTORS / 2).map(|_| io::pipe());
    pipes.collect::<io::Result<Vec<_>>>().map(drop)
}

/// Runs what is prepared, and shows it.
pub(crate) async fn execute(
    manner: Manner,
    prepared: Prepared,
    journal: Option<Arc<Journal>>,
    begin: Begin,
    handle: &Handle,
) -> Result<ExitCode, Report> {
    let code = execute_on(manner, prepared, journal, begin, handle).await;
    Ok(code?)
}

// tidy: long, because it is the course of a run from its beginning to its end, of which each part needs
// what came before.
async fn execute_on(
    manner: Manner,
    mut prepared: Prepared,
    journal: Option<Arc<Journal>>,
    begin: Begin,
    handle: &Handle,
) -> Result<ExitCode, SetUpError> {
    screen::check(manner)?;
    // Also where who started the run said so.
    prepared.definition.keep_services |= manner.keep_services;
    // They may ask who is there: before there is a screen.
    let secrets = secrets::fetch(&prepared.file)?;
    let bus = Arc::new(LocalBus::new());
    let kept = journal.clone().map(RunJournal::of);
    let before = before(kept.as_ref(), &begin).await?;
    let was_over = was_over(&begin, before.as_ref(), journal.as_deref());
    if let Some(what) = &was_over {
        screen::say(manner.color, what);
    }
    let output = journal.as_deref().zip(begin.run());
    let output = output.map(|(journal, run)| Kept::of(journal.dir(), run));
    // Before anything that was left behind is ended: a Ctrl-C is not to stop that half way through.
    let interrupts = Interrupts::default();
    let mut signals = Signals::new()?;
    let left = tokio::select! {
        left = end_left(output.as_ref(), kept.as_ref(), &begin, &interrupts, manner.color) => left?,
        never = signals.watch(&interrupts) => match never {},
    };
    if let Some(run) = begin.before()
        && interrupts.end.is_cancelled()
    {
        let resume = resume(run, journal.as_deref());
        screen::say(
            manner.color,
            &format!("nothing has begun: run {run} goes on with `{resume}`"),
        );
        return Ok(ExitCode::Interrupted);
    }
    let outputs = OutputFolder::of(&prepared.file)?;
    if let (Begin::Anew(run), Some(runs), Some(output)) = (&begin, &kept, &output) {
        // What begins anew is not to go on in the files of the one before.
        runs::forget_output(runs, run, output).await?;
    }
    let module = module(&bus, kept, &prepared.file)?;
    let monitor = module.monitor()?;
    let retried = matches!(begin, Begin::Retried(..));
    let keeping = output
        .clone()
        .map(|output| Keeping::new(&module, output, retried));
    let keeping = keeping.transpose()?;
    // Before anything begins.
    let (keeps, shows) = (SpareThread::new("output")?, SpareThread::new("screen")?);
    let guard = Guard::of(journal.as_ref(), &begin, outputs.as_ref());
    guard.start(module.processes()?)?;
    let notes = note(&module, output.as_ref(), manner.color)?;
    let (wishes, wished) = mpsc::channel(WISHES_MAX);
    let journal_flag = journal.as_deref().map(runs::journal_flag);
    let labels = Arc::new(Labels::of(&prepared.file));
    // Before anything can be published.
    let screen = Screen::new(&Start {
        module: &module,
        args: manner,
        file: &prepared.file,
        labels: &labels,
        kept: journal_flag.clone(),
        before: before.as_ref(),
        interrupts: &interrupts,
        wishes: &wishes,
    })?;
    left::tell(&bus, &left).await;
    let (lost, ended, failed) = (screen.lost(), screen.ended(), screen.failed());
    let job = Job::new(
        prepared.file,
        prepared.params,
        secrets,
        Arc::clone(&module),
        interrupts.clone(),
        labels,
        before.as_ref(),
    );
    let job = Arc::new(job.with_outputs(outputs));
    let stays = prepared.definition.keep_services || prepared.needs.any_for_itself();
    let gone_on = gone_on(&begin, before.as_ref());
    let workflow = job::workflow(&job, &prepared.runs, stays, gone_on)?;

    let course = Course {
        job: &job,
        workflow: &workflow,
        begin: &begin,
        keeps: prepared.definition.keep_services,
        lost: &lost,
    };
    if runs::is_taken_back() {
        return Ok(ExitCode::Interrupted);
    }
    // Before there is a screen: why a run is not started is told without one.
    let begun = tokio::select! {
        begun = course.start(prepared.definition) => begun?,
        never = signals.watch(&interrupts) => match never {},
    };
    let kept = keeping.map(|keeping| keeping.start(keeps, handle.clone()));
    // A reader that does not read holds up the steps' output, as it should, but never the signals.
    let shows_on = handle.clone();
    let mut showing = shows.run(move || shows_on.block_on(screen.show()));
    let started = Instant::now();
    let measured = output.map(|output| Measured::of(output.dir()));
    let end = tokio::select! {
        end = course.run(begun, prepared.needs, wished) => end,
        never = signals.watch(&interrupts) => match never {},
        never = keep(measured.as_ref(), monitor) => match never {},
        never = guard.keep(&module) => match never? {},
        never = reap() => match never {},
    };
    let took = started.elapsed();
    let metrics = monitor.performance_metrics();
    let is_over = end.as_ref().is_ok_and(|end| end.outcome.is_some());
    come_to_rest(&module, is_over, notes.as_deref()).await;
    // By now they have handled all that there was.
    let flows = manner.flows.zip(flows::of(&module).ok());
    if end.is_err() {
        failed.cancel();
    }
    bus.close();
    ended.cancel();
    let ending = Ending {
        interrupts: &interrupts,
        failed: &failed,
        color: manner.color,
    };
    let screen = ending.see(&mut signals, &mut showing, kept).await;
    if let Some(outputs) = &job.outputs {
        outputs.remove();
    }
    // Nothing runs any more, and the terminal is given back.
    drop(signals);
    let end = end?;
    let ended = end.outcome.map(|outcome| Ended {
        took: was_over.map_or(took, |_| outcome.duration),
        outcome,
        kept: journal_flag,
        service: end.service,
        hooks: job.failed_hooks(),
        metrics,
    });
    if ended.is_none()
        && let Some(run) = begin.run()
    {
        let resume = resume(run, journal.as_deref());
        let left = format!("run {run} is left as it is: it goes on with `{resume}`");
        screen::say(manner.color, &left);
    }
    if let Some(measured) = measured {
        keep_the_last(&measured, monitor, manner.color);
    }
    let code = finish(manner, screen, ended, &job, &lost);
    if let Some((format, flows)) = flows {
        flows::tell(manner.color, &flows, format);
    }
    if let Some(journal) = journal.filter(|_| is_over) {
        // The run has come to its end, and has been told: that others are kept is no reason to fail.
        let _ = runs::forget(&journal, RUNS_KEPT).await;
    }
    Ok(code)
}

/// The command that goes on with a run.
fn resume(run: &RunId, journal: Option<&Journal>) -> String {
    let flag = journal.map(runs::journal_flag);
    format!("coord resume {run}{}", flag.unwrap_or_default())
}

/// The end of a run, as far as others have to come to theirs.
pub(crate) struct Ending<'e> {
    pub(crate) interrupts: &'e Interrupts,
    /// Cancelled when the run did not come to an end.
    pub(crate) failed: &'e CancellationToken,
    pub(crate) color: Color,
}

impl Ending<'_> {
    /// Waits until everything is shown that is to be shown, and written that was printed. The screen,
    /// if it is still there.
    pub(crate) async fn see(
        &self,
        signals: &mut Signals,
        showing: &mut oneshot::Receiver<Screen>,
        kept: Option<oneshot::Receiver<Option<String>>>,
    ) -> Option<Screen> {
        let Self {
            interrupts, failed, ..
        } = self;
        // A live screen stays for as long as somebody looks at a failure; any other is soon done.
        let screen = tokio::select! {
            screen = &mut *showing => screen.ok(),
            never = signals.watch(interrupts) => match never {},
            () = either(&interrupts.end, failed) => {
                let deadline = match interrupts.abandon.is_cancelled() {
                    true => LAST_LOOK,
                    false => SCREEN_DEADLINE,
                };
                let screen = timeout(deadline, &mut *showing).await;
                screen.ok().and_then(Result::ok)
            }
        };
        let untold = tokio::select! {
            untold = kept_to_the_end(kept) => untold,
            never = signals.watch(interrupts) => match never {},
            () = interrupts.abandon.cancelled() => None,
        };
        // Told on a terminal that is given back.
        if let Some(untold) = untold {
            screen::say(self.color, &untold);
        }
        screen
    }
}

/// Told on a terminal that is given back, if it cannot be kept.
fn keep_the_last(measured: &Measured, monitor: &PerformanceMonitor, color: Color) {
    if let Err(error) = measured.write(monitor) {
        let what = "what was measured cannot be kept for `coord report`";
        screen::say(color, &format!("{what}: {error}"));
    }
}

async fn keep(measured: Option<&Measured>, monitor: &PerformanceMonitor) -> Infallible {
    match measured {
        Some(measured) => measured.keep(monitor).await,
        None => pending().await,
    }
}

/// Does what is left to process 1, where this is it: in a container, as what it was told to run.
async fn reap() -> Infallible {
    if std::process::id() == 1 {
        // Without that, the run goes on.
        let _ = reap_adopted().await;
    }
    pending().await
}

/// Ends what lives on of the run, if it is taken up.
async fn end_left(
    output: Option<&Kept>,
    runs: Option<&RunJournal>,
    begin: &Begin,
    interrupts: &Interrupts,
    color: Color,
) -> Result<Vec<EndedGroup>, SetUpError> {
    let (Some(output), Some(runs), Some(run)) = (output, runs, begin.before()) else {
        return Ok(Vec::new());
    };
    left::end(output.dir(), runs, run, interrupts, color).await
}

/// Where it is noted which processes run, if the run is kept.
fn note(
    module: &CoordinationModule,
    output: Option<&Kept>,
    color: Color,
) -> Result<Option<Arc<GroupLedger>>, SetUpError> {
    let notes = output.and_then(|output| left::note(output.dir(), color));
    if let Some(notes) = &notes {
        module.processes()?.note_in(Arc::clone(notes));
    }
    Ok(notes)
}

/// Lets the parts end, of a run that has come to its end or was abandoned.
async fn come_to_rest(module: &CoordinationModule, is_over: bool, notes: Option<&GroupLedger>) {
    // Whoever asked three times does not wait for that.
    let rest = if is_over { REST } else { Duration::ZERO };
    let _ = module.shutdown(rest).await;
    if let Some(notes) = notes {
        notes.close();
    }
}

/// Waits until everything is written that was printed; what there is to say of that.
async fn kept_to_the_end(kept: Option<oneshot::Receiver<Option<String>>>) -> Option<String> {
    kept?.await.ok().flatten()
}

/// Where the run goes on, if it is taken up.
async fn before(kept: Option<&RunJournal>, begin: &Begin) -> Result<Option<RunView>, RunsFault> {
    let Some(kept) = kept else { return Ok(None) };
    Ok(match begin {
        Begin::Unkept | Begin::New(_) | Begin::Anew(_) => None,
        Begin::Resumed(run) => Some(kept.view(run).await?),
        Begin::Retried(run, from) => Some(kept.view_retried(run, from.as_deref()).await?),
    })
}

/// What there is to say of a run that is only shown, as it has finished before.
fn was_over(begin: &Begin, before: Option<&RunView>, journal: Option<&Journal>) -> Option<String> {
    let (Begin::Resumed(run), RunState::Finished(status)) = (begin, before?.state) else {
        return None;
    };
    let flag = journal.map(runs::journal_flag).unwrap_or_default();
    Some(format!(
        "nothing is started: run {run} has finished before: {status}; `coord logs {run}{flag}` has what it printed, \
         `coord run --id {run} --again{flag}` begins anew"
    ))
}

async fn either(one: &CancellationToken, other: &CancellationToken) {
    tokio::select! {
        () = one.cancelled() => {}
        () = other.cancelled() => {}
    }
}

/// How the parts are set, whatever is run.
pub(crate) fn config() -> CoordinationConfig {
    let mut config = CoordinationConfig::default();
    // The screen says what goes wrong, and how much goes on, by itself.
    config.performance_reporting_interval = None;
    config.stream_reporting_interval = None;
    config.performance_log = false;
    // For the charts of `coord report`.
    config.performance_history = MAX_HISTORY;
    config
}

/// All parts on a bus.
fn module(
    bus: &Arc<LocalBus>,
    kept: Option<RunJournal>,
    file: &WorkflowFile,
) -> Result<Arc<CoordinationModule>, SetUpError> {
    let mut config = config();
    config.workflow_journal = kept;
    config.workflow_grace = STEP_GRACE;
    config.compensation_timeout = UNDO_DEADLINE;
    let resources = file.resources.iter();
    config.workflow_resources = resources
        .map(|(name, permits)| (name.clone(), permits.get()))
        .collect();
    let module = CoordinationModule::start(Arc::clone(bus) as _, config)?;
    Ok(Arc::new(module))
}

/// What the time limit of a run does not count: what went by before it was taken up. Who does it
/// again has it counted anew in any case.
fn gone_on(begin: &Begin, before: Option<&RunView>) -> Duration {
    match (begin, before) {
        (Begin::Resumed(_), Some(before)) => {
            let gone_on = SystemClock.now().duration_since(before.started_at);
            let gone_on = Duration::try_from(gone_on).unwrap_or_default();
            // A run that was retried or continued has had its limit counted anew since then.
            gone_on.saturating_sub(before.timed_from.unwrap_or_default())
        }
        _ => Duration::ZERO,
    }
}

fn finish(
    manner: Manner,
    screen: Option<Screen>,
    ended: Option<Ended>,
    job: &Job,
    lost: &CancellationToken,
) -> ExitCode {
    let Some(ended) = ended else {
        return ExitCode::Interrupted;
    };
    let Some(screen) = screen else {
        // Somebody had enough of waiting for whoever does not read.
        let is_left = job.interrupts.end.is_cancelled() && !lost.is_cancelled();
        return match is_left {
            true => ExitCode::Interrupted,
            false => ExitCode::OutputLost,
        };
    };
    let code = match ended.outcome.status {
        _ if ended.service.is_some() => ExitCode::RunFailed,
        Status::Cancelled => ExitCode::Interrupted,
        Status::Completed if ended.hooks.is_empty() => ExitCode::Done,
        _ => ExitCode::RunFailed,
    };
    match screen.finish(manner, &ended, code, &job.file) {
        true => code,
        false => ExitCode::OutputLost,
    }
}
