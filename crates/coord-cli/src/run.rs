//! `coord run`: from a file to an exit code.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use coordination::bus::time::{sleep, timeout};
use coordination::bus::{Bus, CancellationToken, LocalBus};
use coordination::patterns::process::ProcessRunner;
use coordination::workflow::{Outcome, Status, Workflow, WorkflowOrchestrator};
use miette::{Diagnostic, Report};
use tokio::sync::oneshot;

use crate::args::RunArgs;
use crate::exit_code::ExitCode;
use crate::file::WorkflowFile;
use crate::job::{self, GRACE, Job};
use crate::screen::{self, Screen};
use crate::signals::{Interrupts, Signals};

/// How long a cancelled step has in all: its processes' grace, and some to read what they said.
const STEP_GRACE: Duration = GRACE.saturating_add(Duration::from_secs(5));
/// How long undoing may take, all together.
const UNDO_DEADLINE: Duration = Duration::from_secs(60);
/// How long the screen may take to print what is left after an interrupt: its reader may be gone.
const SCREEN_DEADLINE: Duration = Duration::from_secs(2);
/// How long a run that was abandoned may take to end by itself after all.
const ABANDON_AFTER: Duration = Duration::from_secs(1);

/// Why it did not come to a run.
#[derive(Debug, thiserror::Error, Diagnostic)]
enum SetUpError {
    #[error("the program could not set itself up to run processes")]
    #[diagnostic(code(coord::set_up::system))]
    System(#[from] std::io::Error),
    #[error("the bus could not be set up")]
    #[diagnostic(code(coord::set_up::bus))]
    Bus(#[from] coordination::bus::BusError),
    #[error("the process runner could not be set up")]
    #[diagnostic(code(coord::set_up::runner))]
    Runner(#[from] coordination::patterns::process::ProcessError),
    #[error("the orchestrator could not be set up")]
    #[diagnostic(code(coord::set_up::orchestrator))]
    Orchestrator(#[from] coordination::workflow::WorkflowError),
    #[error("the workflow could not be made from its file")]
    #[diagnostic(code(coord::set_up::workflow))]
    Workflow(#[from] coordination::workflow::Faults),
}

/// Runs a workflow file.
pub(crate) fn run(args: &RunArgs) -> ExitCode {
    let prepared = match prepare(args) {
        Ok(prepared) => prepared,
        Err(report) => return refuse(args, &report),
    };
    if !prepared.conditions.contains(&true) {
        return screen::nothing_to_do(args, &prepared.file.name);
    }
    match execute(args, prepared) {
        Ok(code) => code,
        Err(error) => refuse(args, &error.into()),
    }
}

/// A workflow file of which everything is known to be right.
struct Prepared {
    file: WorkflowFile,
    params: BTreeMap<String, String>,
    conditions: Vec<bool>,
}

fn prepare(args: &RunArgs) -> Result<Prepared, Report> {
    let file = WorkflowFile::load(&args.file)?;
    let params = file.params_with(&args.params)?;
    // Names and values that are no text cannot be named in a condition.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let conditions = file.conditions(&params, &environment.collect())?;
    Ok(Prepared {
        file,
        params,
        conditions,
    })
}

/// Says on standard error why there is no run.
fn refuse(args: &RunArgs, report: &Report) -> ExitCode {
    match screen::print_report(args, report) {
        Ok(()) => ExitCode::SetUp,
        Err(_) => ExitCode::OutputLost,
    }
}

fn execute(args: &RunArgs, prepared: Prepared) -> Result<ExitCode, SetUpError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let bus = LocalBus::new();
    let interrupts = Interrupts::default();
    // Before anything can be published.
    let screen = Screen::new(&bus, args, &prepared.file, &interrupts)?;
    let (lost, ended) = (screen.lost(), screen.ended());
    let (job, conditions) = job(args, prepared, &bus, &interrupts)?;
    let workflow = job::workflow(&job, &conditions)?;
    let orchestrator = WorkflowOrchestrator::builder(&bus)
        .grace(STEP_GRACE)
        .compensation_timeout(UNDO_DEADLINE)
        .build()?;

    // The screen prints on a thread of its own: a reader that does not read holds up the steps'
    // output, as it should, but never the signals.
    let (printed, printing) = oneshot::channel();
    let handle = runtime.handle().clone();
    thread::spawn(move || {
        // Nobody waits any more for the screen of a run that was abandoned.
        let _ = printed.send(handle.block_on(screen.print()));
    });
    let code = runtime.block_on(async {
        let signals = Signals::new()?;
        let outcome = until_end(&orchestrator, &workflow, signals, &interrupts, &lost).await?;
        ended.cancel();
        bus.close();
        let screen = if interrupts.end.is_cancelled() {
            timeout(SCREEN_DEADLINE, printing).await.ok()
        } else {
            Some(printing.await)
        };
        Ok(finish(
            screen.and_then(Result::ok),
            outcome.as_deref(),
            &job.file,
        ))
    });
    // What still sits in a write to a terminal that nobody reads may stay there.
    runtime.shutdown_background();
    code
}

fn job(
    args: &RunArgs,
    prepared: Prepared,
    bus: &LocalBus,
    interrupts: &Interrupts,
) -> Result<(Arc<Job>, Vec<bool>), SetUpError> {
    let Prepared {
        mut file,
        params,
        conditions,
    } = prepared;
    let processors = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let limit = args.concurrency.or(file.concurrency);
    file.concurrency = Some(limit.unwrap_or(processors));
    let job = Job {
        runner: ProcessRunner::new(bus)?,
        file,
        params,
        interrupts: interrupts.clone(),
    };
    Ok((Arc::new(job), conditions))
}

/// Runs the workflow, and ends it when a signal says so or nobody reads what it prints. `None`:
/// it was abandoned.
async fn until_end(
    orchestrator: &WorkflowOrchestrator,
    workflow: &Workflow,
    signals: Signals,
    interrupts: &Interrupts,
    lost: &CancellationToken,
) -> Result<Option<Arc<Outcome>>, SetUpError> {
    let run = orchestrator.start_workflow(workflow, ())?;
    let cancelled = async {
        tokio::select! {
            () = interrupts.end.cancelled() => {}
            () = lost.cancelled() => {}
        }
        run.cancel();
        std::future::pending::<Infallible>().await
    };
    let abandoned = async {
        interrupts.abandon.cancelled().await;
        sleep(ABANDON_AFTER).await;
    };
    tokio::select! {
        outcome = run.outcome() => Ok(Some(outcome?)),
        () = abandoned => Ok(None),
        never = signals.watch(interrupts) => match never {},
        never = cancelled => match never {},
    }
}

fn finish(screen: Option<Screen>, outcome: Option<&Outcome>, file: &WorkflowFile) -> ExitCode {
    let Some(outcome) = outcome else {
        return ExitCode::Interrupted;
    };
    let written = screen.is_some_and(|screen| screen.finish(outcome, file));
    match outcome.status {
        Status::Cancelled if written => ExitCode::Interrupted,
        _ if !written => ExitCode::OutputLost,
        Status::Completed => ExitCode::Done,
        _ => ExitCode::RunFailed,
    }
}
