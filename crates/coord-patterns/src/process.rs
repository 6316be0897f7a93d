//! Real processes: run in groups of their own, ended as groups, their output as events.
//!
//! A [`ProcessRunner`] runs what a [`ProcessSpec`] describes, and publishes to two topics of a bus:
//! [`process-lifecycle`][`PROCESS_LIFECYCLE`] says how processes start and end, and
//! [`process-output`][`PROCESS_OUTPUT`] has each line that they print. [`ProcessRunner::run`] is one
//! future, without tasks of its own: run as many at once as you like, with `join!` or on a
//! [`TaskScope`](coord_bus::TaskScope).
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), coord_patterns::process::ProcessError> {
//! use coord_bus::{BusExt, LocalBus, vocabulary::PROCESS_OUTPUT};
//! use coord_patterns::process::{ProcessRunner, ProcessSpec, Stop};
//!
//! let bus = LocalBus::new();
//! let mut output = bus.subscribe(&PROCESS_OUTPUT)?;
//!
//! let runner = ProcessRunner::new(&bus)?;
//! let greet = ProcessSpec::shell("greet", "echo hello; exit 3");
//! let exit = runner.run(&greet, &Stop::default()).await?;
//!
//! assert_eq!(exit.code, Some(3));
//! assert_eq!(output.recv().await.unwrap().line, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! # Starting
//!
//! A process is started in a process group of its own, so the Ctrl-C of a terminal does not reach
//! it. Its standard input is empty, and its environment is its parent's, with what its spec adds. A
//! [command line](ProcessSpec::shell) that a shell would only hand on is run without one.
//!
//! To start a process takes until its program is loaded. Where others run already, that is done on a thread
//! which the runtime has for what blocks, eight at once, so that nobody else is held up.
//!
//! # Output
//!
//! Lines are valid UTF-8 (what is not becomes `U+FFFD`), and fit to be shown on a terminal as they
//! are: control characters but tabs, characters that turn the direction of writing round, and
//! escape sequences but colours are removed. `\n`, `\r\n` and a lone `\r` end a line, so a progress
//! bar becomes a line for each of its states; so does an end without a newline. A line of more than
//! [`MAX_LINE`] bytes comes in parts.
//!
//! The lines of one stream come in order. Between standard output and standard error there is none,
//! for these are two pipes.
//!
//! A line goes with the [time](coord_bus::Meta::time) at which it was published where it is the first of
//! those that were read at once, once in a millisecond at most: a sample for who measures how long lines
//! are under way, which does not hold up who prints much.
//!
//! The values of [`Secrets`] that a process is given are replaced where it prints them.
//!
//! # Falling behind
//!
//! Publishing waits for lossless subscribers, so a slow one slows the process itself, as a full
//! pipe does, and memory stays flat. A lossless subscriber that never receives keeps a process's
//! end from being published, but not the process from being stopped.
//!
//! # Stopping
//!
//! [`Stop::graceful`] sends SIGTERM, or the [signal](ProcessSpec::stop_signal) that the process
//! wants, to each process of the group, and SIGCONT, so that suspended ones hear it too. The group
//! then has its [grace](ProcessSpec::grace): not only the process that was started, for a shell
//! that dies at once often leaves behind the server that it began, which is still saving its work.
//! When the grace is over, or at once with [`Stop::immediate`], SIGKILL follows. The
//! [`Exit`](coord_bus::vocabulary::Exit) is that of the process that was started.
//!
//! # Suspending
//!
//! The groups do not hear the Ctrl-Z of a terminal either. A program that is suspended by it calls
//! [`ProcessRunner::suspend`] first, and [`ProcessRunner::resume`] when it is continued. A process that is being
//! started hears it, though, as long as it has no group of its own: [`HeldStarts`].
//!
//! # Ending
//!
//! What a process leaves behind in its group is ended with it: a child in the background gets
//! SIGKILL as soon as the process that was started has exited by itself. When
//! [`run`](ProcessRunner::run) returns, nothing of the group lives, for up to a second is waited
//! until the kernel is done with what was killed. All output has been published before
//! [`Exited`](coord_bus::vocabulary::ProcessState::Exited) is.
//!
//! A process that moves to a group or a session of its own (`setsid`) has left: it is neither
//! signalled nor waited for, and what it prints after the group's end is not read.
//!
//! # When the program is killed
//!
//! Dropping a future ends its group, but a program that gets SIGKILL drops nothing. A [`Watchdog`]
//! is a small process beside it that kills what it has left: [`ProcessRunner::guard`]. Where both are
//! killed, whoever comes next ends what a [`GroupLedger`] has noted: [`ProcessRunner::note_in`].
//!
//! # As process 1
//!
//! A process whose parent has gone is given to process 1: in a container that may be this program, which is to
//! reap it then, by [`reap_adopted`].
//!
//! # Systems
//!
//! Only Unix has process groups, so this crate does not compile elsewhere. Signals never hit a
//! group whose id was used again, for the process that was started is reaped only after the last
//! of them. Only Linux can say whether a group still has living members; on other systems the
//! grace ends with the process that was started, and what was killed is not waited for.
//!
//! [`PROCESS_LIFECYCLE`]: coord_bus::vocabulary::PROCESS_LIFECYCLE
//! [`PROCESS_OUTPUT`]: coord_bus::vocabulary::PROCESS_OUTPUT

mod adopted;
mod spec;
mod stamps;
mod starts;
mod secrets;
mod stop;
mod stop_signal;
mod runner;
mod watch;
mod watchdog;
mod ledger;
mod left_behind;
mod identity;
mod birth;
mod simple_line;
mod quiet;
mod group;
mod another_thread;
mod groups;
mod exit;
mod pipe;
mod lines;
mod line_reader;
mod error;

pub use adopted::reap_adopted;
pub use error::ProcessError;
pub use ledger::GroupLedger;
pub use left_behind::{EndedGroup, GroupEnd, LeftBehind};
pub use lines::MAX_LINE;
pub use runner::ProcessRunner;
pub use secrets::Secrets;
pub use spec::{DEFAULT_GRACE, ProcessSpec};
pub use starts::HeldStarts;
pub use stop::Stop;
pub use stop_signal::{StopSignal, UnknownStopSignal};
pub use watchdog::Watchdog;

pub(crate) use lines::plain;
pub(crate) use watch::Watch;
