//! Recovery from errors: a [`Policy`](policy::Policy) guards an operation, a [`Supervisor`]
//! restarts what fails, and an [`ErrorRecoveryManager`]
//! recognises errors on the bus of [`coord_bus`], does something about them, and counts them.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use coord_bus::vocabulary::{ERROR_DETECTED, ERROR_RECOVERY, Recovery};
//! use coord_bus::{Backoff, BusExt, LocalBus, time::SystemClock};
//! use coord_recovery::{ChildContext, ChildError, ChildSpec, Supervisor};
//!
//! let bus = LocalBus::new();
//! let mut errors = bus.subscribe(&ERROR_DETECTED)?;
//! let mut recoveries = bus.subscribe(&ERROR_RECOVERY)?;
//!
//! let supervisor = Supervisor::new("services", &bus, Arc::new(SystemClock))?;
//! let spec = ChildSpec::new("api")
//!     .backoff(Backoff::constant(Duration::from_millis(200)))
//!     .intensity(5, Duration::from_secs(60));
//! let api = supervisor.start(spec, |context: ChildContext| async move {
//!     if context.incarnation() == 1 {
//!         return Err(ChildError::message("the port is taken"));
//!     }
//!     context.ready();
//!     context.token().cancelled().await;
//!     Ok(())
//! })?;
//! api.ready().await?;
//!
//! assert_eq!(errors.recv().await.unwrap().message, "the port is taken");
//! let wait = Duration::from_millis(200);
//! let attempting = Recovery::Attempting { attempt: 1, wait };
//! assert_eq!(recoveries.recv().await.unwrap().progress, attempting);
//! let recovered = Recovery::Recovered { attempt: 1, duration: wait };
//! assert_eq!(recoveries.recv().await.unwrap().progress, recovered);
//! # Ok(())
//! # }
//! ```
//!
//! # When a child is restarted
//!
//! As its [`Restart`] says: always, after a failure, or never; an error that is
//! [permanent](ChildError::permanent) gives the child up at once. A panic is a failure. Each
//! restart waits for the child's backoff, and when there would be more than its
//! [intensity](ChildSpec::intensity) allows, the child is given up: what follows from that is for
//! whoever awaits [`Supervisor::gave_up`] to decide. Others may be restarted with it, and counted with
//! it: see [`Strategy`].
//!
//! # Where it differs from OTP and resilience4j
//!
//! - A supervisor that restarts each child for itself counts the restarts of each, unless its
//!   [intensity](SupervisorBuilder::intensity) is said: OTP counts those of all.
//! - A child that has ended well stays ended when others are restarted, and restarts wait: OTP's do not.
//! - Where the rest is restarted too, a child that fails while later ones wait to be restarted waits for
//!   them. On several threads, later ones begin in order, and may run at the same time.
//! - What a call comes to counts in a breaker only in the state in which it was let through, and the open
//!   state ends at exactly its wait: resilience4j counts late ones in the new state, and needs more than
//!   the wait. A breaker goes to half-open with the next call, not by itself.
//! - How long a call takes is measured from when it first waits. One that holds its thread is neither slow
//!   nor over its time until then.
//!
//! # How a child stops
//!
//! Its [token](ChildContext::token) is cancelled, it has its [`shutdown`](ChildSpec::shutdown)
//! time, and then it is aborted: its future is dropped where it awaits. A child that holds its
//! thread without awaiting cannot be aborted. [`Supervisor::shutdown`] stops the child that was
//! started last first, one after the other.
//!
//! # What is told
//!
//! | topic | what | when |
//! |---|---|---|
//! | `error-detected` | `child-failed`, `panic` | an incarnation failed |
//! | | `child-ended`, a warning | one ended well that is there to stay |
//! | `error-recovery` | `attempting` | it will be restarted, after the wait |
//! | | `recovered` | it was restarted and is ready; the duration is since the first failure |
//! | | `gave-up` | there is no other restart |
//!
//! Restarts by hand are not failures, and are not told. Telling goes on beside supervision: a full
//! topic holds up what is told of all children, in its order, and never a restart or a stop. When
//! 4000 events wait, further ones are lost; [`Supervisor::untold`] counts both.

pub mod policy;
mod supervisor;
mod recovery;
mod teller;
mod error;

pub use error::RecoveryError;
pub use recovery::{
    Condition, CustomStrategy, DefaultPatterns, ErrorPattern, ErrorRecoveryManager,
    ErrorStatistics, Guard, MAX_MATCHES, MAX_NAMED, MAX_NAMES, MAX_PATTERNS, MAX_RECOVERING,
    MAX_STRATEGIES, MAX_WAITING, Matched, OTHER, RECOVERY_FAILED, Recover, RecoveryStrategy,
    STORM_ERRORS, STORM_WITHIN, StrategyStatistics, Test,
};
pub use supervisor::{
    AutoShutdown, Child, ChildContext, ChildEnd, ChildError, ChildFailure, ChildSpec, ChildState,
    ChildStatus, Closing, DEFAULT_BACKOFF, DEFAULT_MAX_RESTARTS, DEFAULT_SHUTDOWN, DEFAULT_WITHIN,
    GaveUp, GiveUpReason, MAX_CHILDREN, MAX_RESTARTS, Restart, Strategy, Supervisor,
    SupervisorBuilder, SupervisorReport,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
