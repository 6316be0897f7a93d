//! What is shown of a run: subscribers of the bus, and the only part that writes to the terminal.

mod document;
mod groups;
mod jsonl;
mod out;
mod page;
mod paper;
mod summary;
mod text;
mod tui;

use std::future::pending;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use coordination::bus::{CancellationToken, DEFAULT_CAPACITY, Subscriber};
use coordination::workflow::RunView;
use coordination::{CoordinationError, CoordinationModule};
use tokio::sync::mpsc;

use crate::args::{Manner, Output};
use crate::board::Board;
use crate::ended::Ended;
use crate::exit_code::ExitCode;
use crate::file::WorkflowFile;
use crate::hands::Wish;
use crate::job_control::wait_until_in_front;
use crate::labels::Labels;
use crate::run::SetUpError;
use crate::signals::Interrupts;
pub(crate) use out::{Out, is_told, out, print_whole};
pub(crate) use page::{nothing_to_do, print_report, say};
use paper::Paper;
pub(crate) use summary::failures::TAIL_LINES;
pub(crate) use text::{BAD, GOOD, NAME_WIDTH_MAX, NAMES, ODD, QUIET, printed};
use tui::Tui;
pub(crate) use tui::give_back_after;

/// What a screen begins with.
pub(crate) struct Start<'s> {
    pub(crate) module: &'s Arc<CoordinationModule>,
    pub(crate) args: Manner,
    pub(crate) file: &'s WorkflowFile,
    /// What items are called.
    pub(crate) labels: &'s Arc<Labels>,
    /// Which flag names the journal that the run is in, so that it can be retried.
    pub(crate) kept: Option<String>,
    /// Where the run was, if it is taken up.
    pub(crate) before: Option<&'s RunView>,
    pub(crate) interrupts: &'s Interrupts,
    /// Where a person's wishes go.
    pub(crate) wishes: &'s mpsc::Sender<Wish>,
}

/// Shows a run as it goes.
pub(crate) struct Screen {
    form: Form,
    module: Arc<CoordinationModule>,
    /// Cancelled when there is nothing more to come.
    ended: CancellationToken,
    /// Cancelled when what is shown can no longer be seen.
    lost: CancellationToken,
    /// Cancelled when the run did not come to an end, and nothing is left to be looked at.
    failed: CancellationToken,
}

enum Form {
    Paper(Box<Paper>),
    Tui(Box<Tui>),
}

impl Screen {
    /// A screen that misses nothing of what is published from now on.
    pub(crate) fn new(start: &Start<'_>) -> Result<Self, CoordinationError> {
        let form = match start.args.output {
            Output::Tui => Form::Tui(Box::new(Tui::new(start)?)),
            _ => Form::Paper(Box::new(Paper::new(start)?)),
        };
        let lost = match &form {
            Form::Paper(paper) => paper.page.lost(),
            Form::Tui(_) => CancellationToken::new(),
        };
        Ok(Self {
            form,
            module: Arc::clone(start.module),
            ended: CancellationToken::new(),
            failed: CancellationToken::new(),
            lost,
        })
    }

    /// Cancelled when what is shown can no longer be seen.
    pub(crate) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// To be cancelled when there is nothing more to come, so that the last frame comes at once.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// To be cancelled when the run did not come to an end, so that nobody is shown how it ended.
    pub(crate) fn failed(&self) -> CancellationToken {
        self.failed.clone()
    }

    /// Shows what happens until the bus is closed and everything has been shown.
    pub(crate) async fn show(mut self) -> Self {
        // A screen that panics is lost, too.
        let lost = self.lost.clone().drop_guard();
        let shown = match &mut self.form {
            Form::Paper(paper) => {
                paper.print(&self.module, &self.ended).await;
                true
            }
            Form::Tui(tui) => {
                let shown = tui.show(&self.failed).await.is_ok();
                if !shown {
                    self.lost.cancel();
                    tui.read_on().await;
                }
                shown
            }
        };
        if shown {
            lost.disarm();
        }
        self
    }

    /// Prints how the run ended. Whether everything could be written.
    pub(crate) fn finish(
        self,
        args: Manner,
        ended: &Ended,
        code: ExitCode,
        file: &WorkflowFile,
    ) -> bool {
        if self.lost.is_cancelled() {
            return false;
        }
        let board: &Board = match &self.form {
            Form::Paper(paper) => &paper.page.board,
            Form::Tui(tui) => &tui.board,
        };
        let mut out = out::out(args.color.into());
        let written = match args.output {
            Output::Jsonl => return true,
            Output::Json => document::print(&mut out, ended, code, file, board),
            _ => summary::print(&mut out, ended, file, board, args.layout),
        };
        written.and_then(|()| out.flush()).is_ok()
    }
}

/// Whether a screen can be shown where it is to be: once it can, where others are in front. So nothing has been
/// started by then.
pub(crate) fn check(manner: Manner) -> Result<(), SetUpError> {
    match manner.output == Output::Tui {
        true if !io::stdout().is_terminal() => Err(SetUpError::NoTerminal),
        true => Ok(wait_until_in_front()?),
        false => Ok(()),
    }
}

/// Takes what is there, and no more than was there at the beginning: a topic holds so many.
fn drain<E>(events: &mut Subscriber<E>, mut take: impl FnMut(&E)) {
    for _ in 0..DEFAULT_CAPACITY {
        match events.try_recv() {
            Ok(event) => take(&event),
            Err(_) => return,
        }
    }
}

/// The next interrupt that has not been noted.
async fn interrupt(interrupts: &Interrupts, noted: usize) {
    match noted {
        0 => interrupts.end.cancelled().await,
        1 => interrupts.kill.cancelled().await,
        2 => interrupts.abandon.cancelled().await,
        _ => pending().await,
    }
}
