//! The process that is killed: this program itself, which runs a workflow and leaves traces.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use coord_bus::time::sleep;
use coord_bus::{AppendTo, Appended, BoxFuture, EventLog, EventLogError, EventLogProxy, LocalBus};
use coord_journal::{Journal, JournalOptions, Retention};
use coord_workflow::{
    Durable, Retry, RunId, RunJournal, Step, StepContext, StepError, Workflow, WorkflowOrchestrator,
};
use rustix::process::{Signal, getpid, kill_process};

use super::parts;

pub(crate) const RUN: &str = "killed";

const PLOT: &str = "COORD_KILLS_PLOT";
const DIR: &str = "COORD_KILLS_DIR";
const APPENDS: &str = "COORD_KILLS_APPENDS";
const AFTER: &str = "COORD_KILLS_AFTER";

/// What the workflow comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plot {
    Completes,
    Fails,
    /// Items of a list, rounds and a run of another workflow; then it completes.
    Parts,
    /// The same, and then it fails.
    PartsFail,
}

/// When the process is killed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kill {
    /// Before the append of this number is made, from 0.
    BeforeAppend(usize),
    /// After it has been acknowledged, and before anybody knows.
    AfterAppend(usize),
    /// So long after its start.
    At(Duration),
}

/// A process that runs the workflow, from where it is to its end or until it is killed. How many
/// appends it made, if it came to its end.
pub(crate) fn play(plot: Plot, dir: &Path, kill: Option<Kill>) -> usize {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "kills::child::in_its_role",
            "--ignored",
            "--nocapture",
        ])
        .env(PLOT, format!("{plot:?}"))
        .env(DIR, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match kill {
        Some(Kill::BeforeAppend(appends)) => command.env(APPENDS, appends.to_string()),
        Some(Kill::AfterAppend(appends)) => {
            command.env(APPENDS, appends.to_string()).env(AFTER, "1")
        }
        _ => &mut command,
    };
    let mut child = command.spawn().unwrap();
    if let Some(Kill::At(time)) = kill {
        // The kernel's clock, not the test's: what is waited for has no sign to give.
        let killed = thread::scope(|scope| {
            let (gone, told) = std::sync::mpsc::channel::<()>();
            let pid = child.id();
            scope.spawn(move || {
                if told
                    .recv_timeout(time)
                    .is_err_and(|why| why == std::sync::mpsc::RecvTimeoutError::Timeout)
                    && let Some(pid) = rustix::process::Pid::from_raw(pid as i32)
                {
                    let _ = kill_process(pid, Signal::KILL);
                }
            });
            // Not reaped before the other knows, so the number is nobody else's.
            let ended = rustix::process::waitid(
                rustix::process::WaitId::Pid(rustix::process::Pid::from_child(&child)),
                rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT,
            );
            drop(gone);
            ended
        });
        killed.unwrap();
    }
    let status = child.wait().unwrap();
    assert!(status.success() || kill.is_some(), "{status}");
    let appends = std::fs::read_to_string(dir.join("appends")).unwrap_or_default();
    appends.parse().unwrap_or_default()
}

/// What steps did, in whichever process.
pub(super) fn effects(dir: &Path) -> Vec<String> {
    let effects = std::fs::read_to_string(dir.join("effects")).unwrap_or_default();
    effects.lines().map(str::to_owned).collect()
}

#[derive(Clone)]
pub(super) struct Effects(PathBuf);

impl Effects {
    /// One write to the end of a file: it is there, or it is not.
    pub(super) fn add(&self, what: &str, step: &str) {
        let file = OpenOptions::new().append(true).create(true).open(&self.0);
        file.unwrap()
            .write_all(format!("{what} {step}\n").as_bytes())
            .unwrap();
    }

    /// Under which key something is asked for.
    pub(super) fn add_key(&self, what: &str, context: &StepContext) {
        self.add("key", &format!("{what} {}", context.idempotency_key()));
    }
}

/// A journal whose process dies at an append.
struct Deadly {
    journal: Arc<Journal>,
    made: AtomicUsize,
    dies_at: Option<usize>,
    after: bool,
}

impl EventLogProxy for Deadly {
    fn log(&self) -> &dyn EventLog {
        &*self.journal
    }

    fn on_append(&self, append: AppendTo) -> BoxFuture<'_, Result<Appended, EventLogError>> {
        let made = self.made.fetch_add(1, Ordering::SeqCst);
        let dies = self.dies_at == Some(made);
        if dies && !self.after {
            die();
        }
        Box::pin(async move {
            let appended = self.journal.append(append).await;
            if dies {
                die();
            }
            appended
        })
    }
}

fn die() {
    let _ = kill_process(getpid(), Signal::KILL);
    // It is on its way.
    loop {
        thread::park();
    }
}

/// Fans out to four, one of which needs another attempt, comes together, sleeps a little, and ends
/// with a step that fails or does not.
fn workflow(plot: Plot, effects: &Effects) -> Workflow<(), Durable> {
    let mut workflow = Workflow::durable("killed");
    let work = |takes: u64, fails_before: u32, output: u64| {
        let effects = effects.clone();
        move |context: StepContext| {
            let effects = effects.clone();
            async move {
                let step = context.step().to_owned();
                effects.add_key(&step, &context);
                effects.add("begin", &step);
                sleep(Duration::from_millis(takes)).await;
                if context.attempt() < fails_before {
                    return Err(StepError::message("not yet"));
                }
                effects.add("end", &step);
                Ok::<u64, StepError>(output)
            }
        }
    };
    let retry = Retry::constant(Duration::from_millis(2)).max_attempts(3);
    let undo = |step: &'static str| {
        let effects = effects.clone();
        move |_: Arc<u64>| {
            effects.add("undo", step);
            std::future::ready(Ok::<_, StepError>(()))
        }
    };
    let first = workflow
        .step("first")
        .compensate(undo("first"))
        .run_with(work(0, 1, 1));
    let mut parts: Vec<Step<u64>> = Vec::new();
    for (part, name) in ["part-0", "part-1", "part-2", "part-3"]
        .into_iter()
        .enumerate()
    {
        let step = workflow
            .step(name)
            .after(&first)
            .retry(retry)
            .compensate(undo(name));
        let attempts = if part == 2 { 2 } else { 1 };
        parts.push(step.run_with(work(part as u64, attempts, part as u64)));
    }
    let sum = effects.clone();
    let sum = workflow
        .step("sum")
        .input(parts)
        .run_with(move |context: StepContext, parts| {
            let (sum, step) = (sum.clone(), context.step().to_owned());
            async move {
                sum.add("begin", &step);
                sum.add("end", &step);
                let parts: Vec<Arc<u64>> = parts;
                Ok::<u64, StepError>(parts.iter().map(|part| **part).sum())
            }
        });
    let nap = workflow
        .step("nap")
        .after(&sum)
        .sleep(Duration::from_millis(5));
    let fails = if plot == Plot::Fails { 100 } else { 1 };
    workflow
        .step("last")
        .after(&nap)
        .retry(retry)
        .run_with(work(1, fails, 7));
    workflow.build().unwrap()
}

/// All runs within the one that is killed, if they may be forgotten: it is looked at in the end.
pub(super) fn none_within() -> Retention {
    Retention::of(format!("{}{RUN}.", RunJournal::RUNS)).keep_newest(0)
}

/// Forgets them, again and again.
async fn forget_all(journal: &Journal) {
    loop {
        journal.retain(none_within()).await.unwrap();
        sleep(Duration::from_millis(1)).await;
    }
}

#[test]
#[ignore = "a role that other tests start this program in"]
fn in_its_role() {
    let (Ok(plot), Some(dir)) = (std::env::var(PLOT), std::env::var_os(DIR)) else {
        return;
    };
    let plot = match &*plot {
        "Fails" => Plot::Fails,
        "Parts" => Plot::Parts,
        "PartsFail" => Plot::PartsFail,
        _ => Plot::Completes,
    };
    let dir = PathBuf::from(dir);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let appends = std::env::var(APPENDS).ok();
        let dies_at = appends.and_then(|appends| appends.parse().ok());
        // Where it dies at an append, each other time on the journal's own thread.
        let options = match dies_at {
            Some(append) if append % 2 == 0 => JournalOptions::new(),
            _ => JournalOptions::new().commit_in_place(),
        };
        let journal = Arc::new(options.open(dir.join("journal")).unwrap());
        let forgetful = Arc::clone(&journal);
        let deadly = Arc::new(Deadly {
            journal: Arc::clone(&journal),
            made: AtomicUsize::new(0),
            dies_at,
            after: std::env::var_os(AFTER).is_some(),
        });
        let counted = Arc::clone(&deadly);
        let bus = LocalBus::new();
        let orchestrator = WorkflowOrchestrator::builder(&bus)
            .journal(RunJournal::new(deadly, journal))
            .build()
            .unwrap();
        let effects = Effects(dir.join("effects"));
        let workflow = match plot {
            Plot::Completes | Plot::Fails => workflow(plot, &effects),
            Plot::Parts | Plot::PartsFail => parts::workflow(plot, &effects),
        };
        let run = orchestrator.start_durable(&workflow, RunId::named(RUN).unwrap(), ());
        let ended = async { run.await.unwrap().outcome().await.unwrap() };
        tokio::select! {
            biased;
            _ = ended => {}
            () = forget_all(&forgetful) => {}
        }
        let made = counted.made.load(Ordering::SeqCst);
        std::fs::write(dir.join("appends"), made.to_string()).unwrap();
        orchestrator.shutdown(Duration::from_secs(5)).await;
    });
}
