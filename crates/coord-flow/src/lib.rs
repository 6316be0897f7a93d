//! Typed flows between the topics of a bus: what is published to one is filtered, transformed and
//! published to another.
//!
//! An [`EventFlow`] says from where to where and what happens on the way. An
//! [`EventChoreographer`] runs flows, each in one task however many stages it has, knows all of
//! them, and stops them with nothing lost.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use std::time::Duration;
//! use coord_bus::{BusExt, LocalBus, Topic};
//! use coord_flow::{EventChoreographer, EventFlow};
//!
//! const USER_INPUT: Topic<String> = Topic::new("user-input");
//! const COMMANDS: Topic<Vec<String>> = Topic::new("commands");
//!
//! let bus = Arc::new(LocalBus::new());
//! let choreographer = EventChoreographer::new(bus.clone())?;
//! choreographer.add_event_flow(
//!     EventFlow::from(&USER_INPUT)
//!         .filter(|input| !input.is_empty())
//!         .map(|input| input.split(' ').map(str::to_owned).collect())
//!         .to(&COMMANDS)
//!         .named("parse-input"),
//! )?;
//!
//! let mut commands = bus.subscribe(&COMMANDS)?;
//! bus.publisher(&USER_INPUT)?.publish("git status".to_owned()).await?;
//! assert_eq!(*commands.recv().await.unwrap(), ["git", "status"]);
//!
//! let report = choreographer.shutdown(Duration::from_secs(5)).await;
//! assert!(report.is_complete());
//! # Ok(())
//! # }
//! ```
//!
//! A flow whose types do not fit does not compile:
//!
//! ```compile_fail,E0308
//! # use coord_bus::Topic;
//! # use coord_flow::EventFlow;
//! const LINES: Topic<String> = Topic::new("lines");
//! const LENGTHS: Topic<usize> = Topic::new("lengths");
//! let _ = EventFlow::from(&LINES).map(|line| line.trim().to_owned()).to(&LENGTHS);
//! ```
//!
//! # Where to read on
//!
//! | module | what is in it |
//! |---|---|
//! | `flow` | from where to where, and what happens on the way: [`EventFlow`], [`FlowSource`], [`FlowStages`] |
//! | `window` | which items go together: [`Window`] |
//! | `options` | what becomes of failures: [`OnFailure`] |
//! | `sinks` | where items go: [`Route`] |
//! | `choreographer` | who runs flows, pauses, replaces and stops them: [`EventChoreographer`] |
//! | `arrows` | which topic feeds which |
//! | `course` | a flow that runs: what it has done, and how it ends |
//! | `run` | the task of a flow |
//! | `stage` | what is pulled through: a file for each kind of stage |
//! | `origin` | which event an item came from |
//! | `failure` | what failed on the way: who is told, where the event goes |
//! | `report` `latency` | what flows did and left: [`FlowReport`], [`FlowStats`], [`FlowLatency`] |
//! | `graph` | all flows, to be drawn: [`FlowGraph`] |
//! | [`builtin`] | flows between the topics of the shared vocabulary |
//! | `error` | what can go wrong: [`FlowError`] |
//!
//! # Promises
//!
//! **Loss.** A flow takes every event that is accepted by its sources after it was added, in order,
//! unless it asks for another [`Overflow`](coord_bus::Overflow); of what a topic retains from before,
//! as one of dead letters does, it takes nothing. Each is published, filtered out,
//! merged into something, or failed, and counted as such, with what is made of it beyond one for one:
//! [`FlowStats`]. While its sink is full a flow waits, and so, once its source is full, do the
//! publishers of its source: memory stays flat. What windows and `enrich` hold is bounded, and comes
//! out when the flow ends.
//!
//! **Stages** of a flow are one type and one task: between two of them nothing is boxed or queued,
//! but that `enrich` boxes its futures, and `try_map` and windows a timer.
//!
//! **Failure.** What fails in `try_map` or `enrich` is tried again as often as the flow says. What
//! has failed then, or panicked in any stage, or could not be published, is the failure of that one
//! item: it is counted, told to `error-detected` (source `flow/NAME`), published as a
//! [`Fault`](coord_bus::Fault) of its event where somebody listens for these, and by default the event becomes
//! a dead letter of its topic ([`OnFailure`]). A stage that keeps state meets a panic as that left it.
//! Where `error-detected` or the faults are full the report is lost, and the count stays; for dead
//! letters a flow waits. A flow that `error-detected` feeds, directly or through others, does not
//! tell it of its own failures, for its reports would come back to it.
//!
//! **Loops.** A flow that would feed itself, directly or around a ring of flows, dead letters and
//! faults included, is refused: it would feed itself for ever, or wait for itself once that is full.
//! With [`allow_loop`](EventFlow::allow_loop) it is not, and waits for nobody in a way that others
//! wait for. A definition that a flow is to go on as counts from when that is asked. Only flows of one
//! choreographer are looked at; no arrow is what a stage publishes by itself, what a handler or
//! another subscriber does between two topics, and that flows tell `error-detected` of what fails,
//! which is cut as said above.
//!
//! **Changes.** A flow that is paused takes nothing and loses nothing. One that is replaced hands its
//! place in its sources on, and what waits in a `zip` for its partner, so that no event is lost or
//! comes twice.
//!
//! **Causes.** What a flow makes of an event that has details carries its id as causation id, and
//! its correlation id. An event without details costs nothing for it.
//!
//! **The end.** A removed flow first handles what had been published to its source by then. A flow
//! whose source is closed ends when it has handled everything. One whose sink is closed fails the
//! event in its hand and ends, and its report says what it left: so shut the choreographer down
//! before you close the bus. Dropping the choreographer aborts its flows where they wait.
//!
//! **Cancellation.** Any future of this crate may be dropped at any time; flows go on in an orderly
//! way. An aborted flow has published an event or has not: nothing is published by halves or twice.

mod flow;
mod window;
mod options;
mod sinks;
mod choreographer;
mod arrows;
mod course;
mod run;
mod stage;
mod origin;
mod failure;
mod report;
mod latency;
mod graph;
pub mod builtin;
mod error;

pub use choreographer::{EventChoreographer, MAX_FLOWS};
pub use error::FlowError;
pub use flow::{EventFlow, FlowSource, FlowStages};
pub use graph::{FlowGraph, GraphFlow};
pub use latency::FlowLatency;
pub use options::OnFailure;
pub use report::{FlowReport, FlowState, FlowStats, ShutdownReport};
pub use sinks::Route;
pub use window::Window;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
