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
//! From OTP's supervisors:
//!
//! - Where each child is restarted for itself, the restarts of each are counted, as if each were below a
//!   supervisor of its own: one that fails too often is given up, and the others go on. Nobody is above
//!   the outermost supervisor of a program to restart all of it. OTP counts those of all; an
//!   [intensity](SupervisorBuilder::intensity) of the supervisor does.
//! - Restarts wait, since what fails at once fails again: with
//!   [`Backoff::constant`](coord_bus::Backoff::constant) of nothing they do not, as in OTP. The waits are no
//!   part of the period of an [intensity](ChildSpec::intensity), so one that is taken from OTP means the same.
//! - A child that has ended well stays ended when others are restarted: [`Child::ended`] has said so to
//!   whoever waited for it, where OTP has only the process of one incarnation to wait for.
//! - OTP waits for the `init` of a child before it starts the next. A child here is a future, which has
//!   begun when it was first polled. Where others are restarted with a child, each begins when the one before
//!   it has begun, and so at their first start: what is to be there for the next is done before the first
//!   `await` that waits. One that holds its thread until then keeps the next waiting, and one that fails
//!   by then begins again before those after it begin. Where each is restarted for itself, they may begin in
//!   another order on several threads.
//!
//! From resilience4j's circuit breaker, whose automatic transition to half-open is off by default and is
//! not here:
//!
//! - The open state ends at its wait, where resilience4j's ends a tick of the clock after it: who is told
//!   to try again in 60 s, and does, is not refused.
//! - A half-open breaker closes or opens by what comes of the calls that it permitted, and has back only
//!   the permits that it gave. resilience4j's also counts calls that the closed one let through and that
//!   end by then, and takes their permits back, so that it permits more than it was told to.
//! - A half-open state that has waited for too long ends then, and is told at the next look at the breaker,
//!   as no thread watches it.
//! - A panic does not count, where resilience4j counts every exception: the call has no result, and a
//!   half-open breaker has its permit back.
//! - How long a call takes is measured from when it first waits, so that one that never does reads no
//!   clock. One that holds its thread is neither slow nor over its time until then, as no timeout of a
//!   runtime is; what asks for [permits](policy::CircuitBreaker::try_acquire) by hand says how long it took.
//!
//! # How a child stops
//!
//! Its [token](ChildContext::token) is cancelled, it has its [`shutdown`](ChildSpec::shutdown)
//! time, and then it is aborted: its future is dropped where it awaits. A child that holds its
//! thread without awaiting cannot be aborted: where it is to be restarted, by itself or with others, that
//! waits until it awaits. [`Supervisor::shutdown`] stops the child that was
//! started last first, one after the other; it waits for none that holds its thread, and names it.
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
//! topic holds up what is told there of all children, in its order, and never a restart or a stop. When
//! 4000 events of a topic wait, further ones are lost; [`Supervisor::untold`] counts both. So it is with
//! what an [`ErrorRecoveryManager`] tells, and with [its count](ErrorRecoveryManager::untold).

pub mod policy;
mod supervisor;
mod recovery;
mod teller;
mod error;

pub use error::RecoveryError;
pub use recovery::{
    Condition, CustomStrategy, DefaultPatterns, ErrorPattern, ErrorRecoveryManager,
    ErrorStatistics, Guard, KeyedGuard, MAX_MATCHES, MAX_NAMED, MAX_NAMES, MAX_PATTERNS,
    MAX_RECOVERING, MAX_STRATEGIES, MAX_WAITING, Matched, OTHER, RECOVERY_FAILED, RESTART_SETTLED,
    Recover, RecoveryStrategy, STORM_ERRORS, STORM_WITHIN, StrategyStatistics, Test,
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
