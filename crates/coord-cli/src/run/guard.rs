//! The watchdog of a run, and another one where that is gone: it is all that ends what runs, should `coord` be
//! killed.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::time::{Clock, SystemClock, sleep};
use coordination::bus::vocabulary::{NOTIFICATION, Notification, Severity};
use coordination::bus::{BusExt, Causes};
use coordination::journal::Journal;
use coordination::patterns::process::{ProcessRunner, Watchdog};
use coordination::workflow::RunId;
use coordination::{CoordinationError, CoordinationModule};

use super::{Begin, SetUpError};
use crate::output_folder::OutputFolder;
use crate::own_program::own_program;
use crate::runs::journal_flag;

/// How long one is given before it is looked whether it is there: so one that is killed again and again is not
/// started all the time.
const PAUSE: Duration = Duration::from_secs(1);

/// What is told of it is called.
pub(crate) const TITLE: &str = "watchdog";

/// What a watchdog is given.
pub(crate) struct Guard {
    /// Runs that are kept are not taken up by others before it has done.
    journal: Option<Arc<Journal>>,
    outputs: Option<PathBuf>,
    /// What it says where it finds the screen on the terminal.
    says: String,
}

impl Guard {
    pub(super) fn of(
        journal: Option<&Arc<Journal>>,
        begin: &Begin,
        outputs: Option<&OutputFolder>,
    ) -> Self {
        let says = match journal.zip(begin.run()) {
            Some((journal, run)) => {
                let flag = journal_flag(journal);
                format!(
                    "coord was killed, and what ran with it: `coord resume {run}{flag}` goes on"
                )
            }
            None => "coord was killed, and what ran with it".to_owned(),
        };
        Self {
            journal: journal.cloned(),
            outputs: outputs.map(|outputs| outputs.path().to_owned()),
            says,
        }
    }

    /// Of who looks on: there is nothing to end, only a screen to be left.
    pub(crate) fn looking_on(journal: &Journal, run: &RunId) -> Self {
        let flag = journal_flag(journal);
        Self {
            journal: None,
            outputs: None,
            says: format!(
                "coord attach was killed, and the run goes on: `coord attach {run}{flag}` shows it again"
            ),
        }
    }

    /// Starts one.
    pub(crate) fn start(&self, runner: &ProcessRunner) -> Result<(), SetUpError> {
        let mut command = own_program()?;
        command.arg("watchdog").arg("--says").arg(&self.says);
        if let Some(outputs) = &self.outputs {
            command.arg("--outputs").arg(outputs);
        }
        runner.guard(match &self.journal {
            Some(journal) => {
                let presence = journal.presence().map_err(io::Error::other)?;
                Watchdog::start_holding(command, presence)?
            }
            None => Watchdog::start(command)?,
        });
        Ok(())
    }

    /// Starts another whenever there is none, and says so.
    pub(super) async fn keep(
        &self,
        module: &CoordinationModule,
    ) -> Result<Infallible, CoordinationError> {
        let runner = module.processes()?;
        let mut is_told = false;
        loop {
            runner.unguarded().await;
            let message = match self.start(runner) {
                Ok(()) => {
                    is_told = false;
                    "the watchdog was killed, and another one has its place".to_owned()
                }
                // It is tried again, and said once.
                Err(_) if is_told => {
                    sleep(PAUSE).await;
                    continue;
                }
                Err(error) => {
                    is_told = true;
                    let why = error.with_causes();
                    format!(
                        "the watchdog was killed, and no other can be started ({why}): should `coord` be killed, too, \
                         what it runs lives on"
                    )
                }
            };
            let said = Notification {
                at: SystemClock.now(),
                severity: Severity::Warning,
                title: TITLE.to_owned(),
                message,
            };
            // Where so many wait to be shown, this one is not waited for.
            let _ = module.bus().publisher(&NOTIFICATION)?.try_publish(said);
            sleep(PAUSE).await;
        }
    }
}
