//! A command that runs, and how it tells how far it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::ArgMatches;
use coord_bus::time::{self, Clock, Instant};
use coord_bus::vocabulary::{CliCommand, CliParse, CliState, UiChange, UiUpdate};
use coord_bus::{CancellationToken, Publisher};

/// How long a command may take before it is worth saying how far it is.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often that is said at most.
const PACE: Duration = Duration::from_millis(100);

/// A command that is to run.
#[derive(Debug)]
#[non_exhaustive]
pub struct RunningCommand {
    /// What was given, as clap has parsed it.
    pub matches: ArgMatches,
    /// How far it is: for the command to say.
    pub progress: Progress,
    /// Cancelled when it is to end. A command that does not watch it is dropped a second later.
    pub cancelled: CancellationToken,
}

/// How far a command is. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Mutex<Done>>);

#[derive(Debug, Clone, Default)]
struct Done {
    done: u64,
    total: Option<u64>,
    message: String,
}

impl Progress {
    /// So much of so much is done, where that is known, and this is being done. Set as often as
    /// you like: it is told at most ten times a second.
    pub fn set(&self, done: u64, total: Option<u64>, message: impl Into<String>) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = Done {
            done,
            total,
            message: message.into(),
        };
    }

    fn get(&self) -> Done {
        let now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }
}

/// What a command line tells, and where.
#[derive(Debug, Clone)]
pub(super) struct Voice {
    pub(super) commands: Publisher<CliCommand>,
    pub(super) parses: Publisher<CliParse>,
    pub(super) updates: Publisher<UiUpdate>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Voice {
    /// Tells of a command. Nobody waits for who reads it.
    pub(super) fn command(&self, command: &str, run: u64, state: CliState) {
        let _ = self.commands.try_publish(CliCommand {
            command: command.to_owned(),
            run,
            at: self.clock.now(),
            state,
        });
    }

    /// Tells how far a command is, for as long as it runs.
    pub(super) async fn follow(&self, command: &str, progress: &Progress, begun: Instant) -> ! {
        time::sleep(PATIENCE).await;
        loop {
            self.progress(command, progress, begun);
            time::sleep(PACE).await;
        }
    }

    pub(super) fn progress(&self, command: &str, progress: &Progress, begun: Instant) {
        let Done {
            done,
            total,
            message,
        } = progress.get();
        let _ = self.updates.try_publish(UiUpdate {
            component: format!("command.{}", command.replace(' ', ".")),
            at: self.clock.now(),
            change: UiChange::Progress {
                done,
                total,
                elapsed: begun.elapsed(),
                message,
            },
        });
    }
}

/// Whether a command was worth telling how far it was.
pub(super) fn was_long(begun: Instant) -> bool {
    begun.elapsed() >= PATIENCE
}
