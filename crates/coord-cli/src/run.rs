//! `coord run`: from a file to an exit code.

mod course;
mod keeper;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use coordination::bus::time::{Instant, timeout};
use coordination::bus::{Bus, LocalBus};
use coordination::monitor::PerformanceMonitor;
use coordination::patterns::process::Watchdog;
use coordination::workflow::Status;
use coordination::{CoordinationConfig, CoordinationModule};
use miette::{Diagnostic, Report};
use tokio::sync::{mpsc, oneshot};

use crate::args::RunArgs;
use crate::ended::Ended;
use crate::exit_code::ExitCode;
use crate::file::WorkflowFile;
use crate::job::{self, GRACE, Job};
use crate::needs::Needs;
use crate::screen::{self, Screen, Start};
use crate::signals::{Interrupts, Signals};
use crate::validate::{Checked, refuse};
use course::Course;

/// How long a cancelled step has in all: its processes' grace, and some to read what they said.
const STEP_GRACE: Duration = GRACE.saturating_add(Duration::from_secs(5));
/// How long undoing may take, all together.
const UNDO_DEADLINE: Duration = Duration::from_secs(60);
/// How long the parts of the module may take to come to rest once nothing runs any more.
const REST: Duration = Duration::from_secs(2);
/// How long the screen may take to print what is left after an interrupt: its reader may be gone.
const SCREEN_DEADLINE: Duration = Duration::from_secs(2);
/// How many wishes of a person may wait.
const WISHES_MAX: usize = 16;

/// Why it did not come to a run.
#[derive(Debug, thiserror::Error, Diagnostic)]
enum SetUpError {
    #[error("the program could not set itself up to run processes")]
    #[diagnostic(code(coord::set_up::system))]
    System(#[from] std::io::Error),
    #[error("the bus could not be set up")]
    #[diagnostic(code(coord::set_up::bus))]
    Bus(#[from] coordination::bus::BusError),
    #[error("the parts of the program could not be set up")]
    #[diagnostic(code(coord::set_up::module))]
    Module(#[from] coordination::CoordinationError),
    #[error("the run could not be started")]
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
        Err(report) => return refuse(&args.of, &report),
    };
    if !prepared.runs.contains(&true) {
        return screen::nothing_to_do(args, &prepared.file.name);
    }
    match execute(args, prepared) {
        Ok(code) => code,
        Err(error) => refuse(&args.of, &error.into()),
    }
}

/// A workflow file of which everything is known to be right.
struct Prepared {
    file: WorkflowFile,
    params: BTreeMap<String, String>,
    /// Whether each unit runs.
    runs: Vec<bool>,
    needs: Needs,
}

fn prepare(args: &RunArgs) -> Result<Prepared, Report> {
    let Checked {
        mut file,
        params,
        mut runs,
    } = Checked::load(&args.of)?;
    let processors = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let limit = args.concurrency.or(file.concurrency);
    file.concurrency = Some(limit.unwrap_or(processors));
    let needs = Needs::of(&file, &runs);
    for (place, unit) in file.units.iter().enumerate() {
        runs[place] &= unit.service().is_none() || needs.is_needed(place);
    }
    Ok(Prepared {
        file,
        params,
        runs,
        needs,
    })
}

fn execute(args: &RunArgs, prepared: Prepared) -> Result<ExitCode, SetUpError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let code = runtime.block_on(execute_on(args, prepared, runtime.handle()));
    // What still sits in a write to a terminal that nobody reads may stay there.
    runtime.shutdown_background();
    code
}

async fn execute_on(
    args: &RunArgs,
    prepared: Prepared,
    handle: &tokio::runtime::Handle,
) -> Result<ExitCode, SetUpError> {
    let bus = Arc::new(LocalBus::new());
    let mut config = CoordinationConfig::default();
    config.workflow_grace = STEP_GRACE;
    config.compensation_timeout = UNDO_DEADLINE;
    let resources = prepared.file.resources.iter();
    config.workflow_resources = resources
        .map(|(name, permits)| (name.clone(), permits.get()))
        .collect();
    let module = Arc::new(CoordinationModule::start(Arc::clone(&bus) as _, config)?);
    let mut watchdog = Command::new(std::env::current_exe()?);
    watchdog.arg("watchdog");
    module.processes()?.guard(Watchdog::start(watchdog)?);
    let interrupts = Interrupts::default();
    let (wishes, wished) = mpsc::channel(WISHES_MAX);
    // Before anything can be published.
    let screen = Screen::new(&Start {
        module: &module,
        args,
        file: &prepared.file,
        interrupts: &interrupts,
        wishes: &wishes,
    })?;
    let (lost, ended) = (screen.lost(), screen.ended());
    let job = Arc::new(Job::new(
        prepared.file,
        prepared.params,
        Arc::clone(&module),
        interrupts.clone(),
    ));
    let workflow = job::workflow(&job, &prepared.runs)?;
    let mut signals = Signals::new()?;

    // The screen prints on a thread of its own: a reader that does not read holds up the steps'
    // output, as it should, but never the signals.
    let (shown, mut showing) = oneshot::channel();
    let handle = handle.clone();
    thread::spawn(move || {
        // Nobody waits any more for the screen of a run that was abandoned.
        let _ = shown.send(handle.block_on(screen.show()));
    });
    let course = Course {
        job: &job,
        workflow: &workflow,
        keeps: args.keep_services,
        lost: &lost,
    };
    let started = Instant::now();
    let end = tokio::select! {
        end = course.run(prepared.needs, wished) => end?,
        never = signals.watch(&interrupts) => match never {},
    };
    let took = started.elapsed();
    let metrics = module
        .monitor()
        .ok()
        .map(PerformanceMonitor::performance_metrics);
    // Whoever asked three times does not wait for that.
    let rest = end.outcome.as_ref().map_or(Duration::ZERO, |_| REST);
    let _ = module.shutdown(rest).await;
    bus.close();
    ended.cancel();
    // A live screen stays for as long as somebody looks at a failure; any other is soon done.
    let screen = tokio::select! {
        screen = &mut showing => screen.ok(),
        never = signals.watch(&interrupts) => match never {},
        () = interrupts.end.cancelled() => {
            let screen = timeout(SCREEN_DEADLINE, &mut showing).await;
            screen.ok().and_then(Result::ok)
        }
    };
    let ended = end.outcome.map(|outcome| Ended {
        outcome,
        service: end.service,
        took,
        metrics,
    });
    Ok(finish(args, screen, ended, &job.file))
}

fn finish(
    args: &RunArgs,
    screen: Option<Screen>,
    ended: Option<Ended>,
    file: &WorkflowFile,
) -> ExitCode {
    let Some(ended) = ended else {
        return ExitCode::Interrupted;
    };
    let written = screen.is_some_and(|screen| screen.finish(args, &ended, file));
    match ended.outcome.status {
        _ if ended.service.is_some() && written => ExitCode::RunFailed,
        Status::Cancelled if written => ExitCode::Interrupted,
        _ if !written => ExitCode::OutputLost,
        Status::Completed => ExitCode::Done,
        _ => ExitCode::RunFailed,
    }
}
