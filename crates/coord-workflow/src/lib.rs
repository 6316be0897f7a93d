//! Workflows: steps with dependencies, run side by side, retried, limited, cancelled and undone.
//!
//! A workflow is built from typed steps, whose outputs travel as [`Arc`](std::sync::Arc)s and
//! whose handles make a cycle impossible to write:
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use coord_bus::LocalBus;
//! use coord_workflow::{Retry, StepError, Workflow, WorkflowOrchestrator};
//!
//! struct Image(&'static str);
//!
//! let mut workflow = Workflow::builder("build-deploy");
//! let test = workflow.step("test").run(async || Ok::<_, StepError>(()));
//! let build = workflow
//!     .step("build")
//!     .after(&test)
//!     .run(async || Ok::<_, StepError>(Image("app:1.4")));
//! let deploy = workflow
//!     .step("deploy")
//!     .input(build)
//!     .retry(Retry::exponential().max_attempts(5))
//!     .timeout(Duration::from_secs(300))
//!     .compensate(|url: Arc<String>| async move {
//!         println!("taking {url} down");
//!         Ok::<_, StepError>(())
//!     })
//!     .run(|image: Arc<Image>| async move { Ok::<_, StepError>(format!("https://{}", image.0)) });
//! let workflow = workflow.build()?;
//!
//! let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
//! let outcome = orchestrator.execute_workflow(&workflow, ()).await?;
//! assert_eq!(*outcome.output(&deploy).unwrap(), "https://app:1.4");
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! or from data, with a [`Registry`] of handlers by name: see [`Spec`].
//!
//! A step may also do the same [for each](StepBuilder::for_each) item of a list that an earlier one puts
//! out, [repeat](StepBuilder::repeat) until it is done, or [run](StepBuilder::workflow) another workflow, also one for
//! each item, or for each round.
//!
//! # What is promised
//!
//! - **Order.** A step begins after all that it needs have ended, and where it needs any of some, after
//!   one of those has completed. Steps that are ready run side by side, up to the limit; where more are
//!   ready than may run, the earlier in the workflow begin first.
//! - **Limits.** At most so many steps of a [workflow](WorkflowBuilder::concurrency), of a
//!   [run](OrchestratorBuilder::concurrency) and of
//!   [all runs](OrchestratorBuilder::total_concurrency) at once; at most as many as there are permits of
//!   the [resources](OrchestratorBuilder::resource) that they ask for.
//! - **Failure.** A step that fails for good ends the run: nothing further begins, what runs is
//!   cancelled, and then what had completed is undone, the last to complete first; or first the
//!   branches that do not need the step [come to their end](WorkflowBuilder::on_failure). An
//!   [`optional`](StepBuilder::optional) step harms nobody. A panic is a failure of its step.
//! - **Time.** Each attempt and each run has a limit, and nothing is left running at the end of
//!   either: a step that watches its [token](StepContext::token) is told and has a grace, any
//!   other is dropped where it awaits.
//! - **Ownership.** Runs belong to their orchestrator. They go on when nobody waits for them, and
//!   end with it.
//! - **Threads.** A step is polled in place and has no task of its own. One that holds its thread
//!   does not hold up others: on a runtime with several threads, a run takes as many as it can use. Where steps
//!   hold all of them, their durable runs stay this process's, however long that takes.
//! - **Seen.** Every transition is an event of
//!   [`coord_bus::vocabulary`], published before it takes effect on other steps. Who subscribes
//!   while a run goes on hears of everything from then on. A lossless subscriber that does not read holds the run
//!   up, and what it is at goes on meanwhile; it does not hold up its end. Once the run has failed, is cancelled or
//!   suspended, or is out of time, an event waits for room for a second at most: then it is left out and
//!   [counted](WorkflowOrchestrator::untold), and those after it wait no more until there is room again. Who may
//!   stand still, as a dashboard does, subscribes with another [`Overflow`](coord_bus::Overflow).
//! - **Cost.** A step costs what it asks for. One that is done when it is called takes two
//!   allocations, its future and its output, and less than 100 bytes of state; events cost only
//!   while somebody listens.
//!
//! # Runs that outlive their process
//!
//! A workflow that begins with [`Workflow::durable`], or is made from a [`Spec`], may be run with a
//! journal ([`RunJournal`]: an event log and a keeper of leases, such as `coord-journal`):
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! # use std::sync::Arc;
//! # use coord_bus::{LocalBus, MemoryEventLog, MemoryLeases};
//! use coord_workflow::{RunId, RunJournal, StepContext, StepError, Workflow, WorkflowOrchestrator};
//!
//! let mut workflow = Workflow::durable("order");
//! let order = workflow.input();
//! let charge = workflow
//!     .step("charge")
//!     .input(order)
//!     .run_with(|context: StepContext, order: Arc<u64>| async move {
//!         // The same key if this is asked again after a crash.
//!         let key = context.idempotency_key();
//!         Ok::<_, StepError>(format!("{key}: {order}"))
//!     });
//! let workflow = workflow.build()?;
//!
//! # let (log, leases) = (Arc::new(MemoryEventLog::new()), Arc::new(MemoryLeases::new()));
//! let orchestrator = WorkflowOrchestrator::builder(&LocalBus::new())
//!     .journal(RunJournal::new(log, leases)) // or `RunJournal::of(journal)`
//!     .build()?;
//! orchestrator.resume_runs(&workflow).await?; // what an earlier process left half done
//! let run = orchestrator.start_durable(&workflow, RunId::named("order-1042")?, 7).await?;
//! let charged = run.outcome().await?.output(&charge).unwrap();
//! assert!(charged.ends_with("/charge: 7")); // `order-1042-7f3a09k2xd/charge: 7`
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! - Once [`start_durable`](WorkflowOrchestrator::start_durable) has returned, the run is not lost.
//!   [`start_workflow`](WorkflowOrchestrator::start_workflow) and
//!   [`execute_workflow`](WorkflowOrchestrator::execute_workflow) keep nothing, also of such a workflow.
//! - A step that has completed does not run again. It has completed once the record of that is on the
//!   disk, and before that nothing begins because of it: one sync for all that completed meanwhile, in
//!   whichever run. That is a moment after its function has returned, or 5 ms where no step waits for it: if the
//!   process ends in between, the step was under way.
//! - A step that was under way when its process ended runs again, as the same attempt and with the
//!   same [idempotency key](StepContext::idempotency_key). Where that happens time and again, the run
//!   is [paused](OrchestratorBuilder::max_recovery_attempts).
//! - One process at a time drives a run. Who has lost a run to another can append nothing to it, and begins nothing in
//!   it: no attempt, round or item, no hook, nothing that undoes. Where a process stood still for longer than its
//!   [lease](DEFAULT_LEASE_TTL) lasts, what is to begin waits until it is known whose the run is. (While the machine itself sleeps, no timer goes on that could tell:
//!   after that a process may still begin something before it renews its lease, at most a third of it later.) What was under way
//!   goes on until it is told to stop: what steps write to elsewhere refuses it by their
//!   [fencing token](StepContext::fencing_token).
//! - Waits between attempts, [sleeps](StepBuilder::sleep), the limits of what only waits and of a run go on by the
//!   clock on the wall while nobody drives it, and while the machine sleeps on which somebody does: up to a minute
//!   later then, and never later than by timers. A run has a limit only if it was given one.
//! - A run is taken up with the definition that it was started with, or refused with what differs
//!   ([`WorkflowError::Changed`], or `Record` where that is the type of an output or of the input). How often a step is tried, how long it may take and how many run at
//!   once may be changed meanwhile. What a function does is not seen, nor
//!   where among its inputs that of the run is: that is for you to keep.
//! - Any process may [look at](RunJournal::view) a run, and [tell](RunJournal::tell) it something: to
//!   pause, to go on, to end, to [skip a step](Command::Skip), or what a step waits for; and what the program
//!   that drives it [is to do with a step](Run::next_action).
//!
//! What is published on the bus is what happens; what is in the journal is what lasts. After a crash
//! an event may have been seen whose fact was not kept, and then it happens again.
//!
//! A run of any other workflow lives in memory, and ends with its process.

mod spec;
mod retry;
mod repeat;
mod hook;
mod shape;
mod child;
mod part_error;
mod name;
mod validate;
mod handle;
mod durable;
mod bell;
mod builder;
mod registry;
mod plan;
mod graph;
mod context;
mod heartbeat;
mod course;
mod limits;
mod orchestrator;
mod run;
mod run_id;
mod fingerprint;
mod reason;
mod records;
mod streams;
mod resume;
mod ownership;
mod live_runs;
mod same_json;
mod runs;
mod take_up;
mod run_journal;
mod within;
mod listing;
mod following;
mod ended;
mod signals;
mod waits;
mod view;
mod summary;
mod so_far;
mod outcome;
mod span;
mod took;
mod time_limits;
mod terminate;
mod timeline;
mod critical_path;
mod gantt;
mod error;

pub use builder::{
    Each, NoInput, NoUndo, Repeating, StepBuilder, Undo, UndoWith, Undoing, WorkflowBuilder,
};
pub use context::StepContext;
pub use critical_path::{CriticalPath, CriticalStep};
pub use durable::{Durable, Keeps, Kept, Volatile};
pub use error::{AttemptError, RecordFault, StepError, WorkflowError};
pub use following::Following;
pub use gantt::Gantt;
pub use graph::{Graph, GraphState, GraphStep};
pub use handle::{InputPlace, Inputs, Maybe, Outputs, Step};
pub use hook::HookCall;
pub use listing::{RunPhase, RunQuery};
pub use name::{NAME_LENGTH_MAX, Shown, is_name};
pub use orchestrator::{
    DEFAULT_COMPENSATION_TIMEOUT, DEFAULT_GRACE, DEFAULT_MAX_RECOVERY_ATTEMPTS,
    OrchestratorBuilder, Run, WorkflowOrchestrator,
};
pub use outcome::{Compensation, Outcome, SkipReason, Status, StepReport, StepState};
pub use ownership::DEFAULT_LEASE_TTL;
pub use part_error::PartError;
pub use plan::{DEFAULT_STEP_TIMEOUT, DEFAULT_WORKFLOW_TIMEOUT, Workflow};
pub use registry::{HandlerCall, Registry};
pub use repeat::{Repeat, Round, RoundRun};
pub use retry::{OnExhausted, OnFailure, Retry};
pub use run_id::{RUN_ID_LENGTH_MAX, RunId};
pub use run_journal::RunJournal;
pub use runs::Resumed;
pub use shape::{DEFAULT_ITEM_CONCURRENCY, MAX_DEPTH, MAX_ITEMS, Parent};
pub use signals::{Command, MAX_SIGNALS, Signal, StepAction};
pub use spec::{
    Call, ForEachSpec, HookSpec, Items, RepeatSpec, Spec, StepSpec, UndoSpec, WorkflowSpec,
};
pub use summary::RunSummary;
pub use timeline::{Timeline, TimelineEntry, TimelineEvent};
pub use validate::{Fault, Faults, ValidSpec, validate};
pub use view::{
    Children, Holder, Holders, ItemRun, Progress, RunState, RunView, StepPhase, StepView, Why,
};
