//! Services: processes that are to stay, asked whether they are ready, and then whether they are
//! well.
//!
//! A [`ServiceRunner`] runs what a [`ServiceSpec`] describes, once: whether it is run again is for
//! a supervisor to say. Besides the topics of its [process](crate::process) it publishes to two of
//! its own: [`service-lifecycle`][`SERVICE_LIFECYCLE`] says how services get on, and
//! [`process-health`][`PROCESS_HEALTH`] has each answer of a probe that differs from the last one.
//! [`ServiceRunner::run`] is one future, without tasks of its own.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use coord_bus::LocalBus;
//! use coord_patterns::process::{ProcessRunner, ProcessSpec, Stop};
//! use coord_patterns::service::{Check, Probe, ServiceRunner, ServiceSpec};
//!
//! let bus = LocalBus::new();
//! let runner = ServiceRunner::new(&bus, ProcessRunner::new(&bus)?)?;
//!
//! let process = ProcessSpec::shell("server", "echo listening on 8080; exec sleep 1000");
//! let server = ServiceSpec::new(process).ready(Probe::new(Check::log("listening on [0-9]+")?));
//! let stop = Stop::default();
//! let exit = runner.run(&server, &stop, || {
//!     // It is ready: whatever needs it may begin. This has seen enough.
//!     stop.graceful.cancel();
//! });
//! assert_eq!(exit.await?.signal, Some(15));
//! # Ok(())
//! # }
//! ```
//!
//! # Checks
//!
//! A [`Check`] asks by [HTTP](Check::http), by a [connection](Check::tcp), by a
//! [command](Check::exec), or looks for a line in the service's [log](Check::log). An answer that
//! takes longer than the probe's [timeout](Probe::timeout) is a bad one. A question never outlives
//! its service: when the process ends, or is asked to stop, the question is dropped, and the group
//! of its command is killed. Only the lookup of a host's name, for which the system has no end,
//! goes on in a thread of the runtime until it is answered; an address needs none.
//!
//! # Readiness
//!
//! The first question is asked [`start_delay`](Probe::start_delay) after the process has started.
//! Until the service is ready it is asked again sooner than every [`period`](Probe::period): after
//! 50 ms, 100 ms, 200 ms, and so on up to the period, so that a server which needs 300 ms is not
//! noticed after 10 s. It is ready after [`success_threshold`](Probe::success_threshold) good
//! answers in a row. If it is not within [`failure_threshold`](Probe::failure_threshold) periods
//! after the start delay, which are 30 s by default, it never will be: it is stopped, and
//! [`ServiceError::NotReady`] has the last answer.
//!
//! A service without a probe is ready as soon as its process has started. One that is looked for in
//! its log is ready once the line that says so was published.
//!
//! # Liveness
//!
//! The first question is asked `start_delay` after the service is ready, and then one every period,
//! from beginning to beginning; one that takes longer is followed by the next at once. After
//! `failure_threshold` bad answers in a row the service is stopped, and
//! [`ServiceError::Unhealthy`] has the last of them.
//!
//! # Suspending
//!
//! While its processes are [suspended](crate::process::ProcessRunner::suspend), a service is asked
//! nothing, and the clocks of its probes stand still: for the period, for the timeout, and for the
//! time in which it has to become ready.
//!
//! [`PROCESS_HEALTH`]: coord_bus::vocabulary::PROCESS_HEALTH
//! [`SERVICE_LIFECYCLE`]: coord_bus::vocabulary::SERVICE_LIFECYCLE

mod spec;
mod probe;
mod check;
mod runner;
mod care;
mod answer;
mod sight;
mod news;
mod error;

pub use check::Check;
pub use error::{CheckError, ServiceError};
pub use probe::Probe;
pub use runner::ServiceRunner;
pub use spec::ServiceSpec;
