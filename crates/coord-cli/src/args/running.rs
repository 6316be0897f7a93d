//! The commands that run something or show how it goes: `run`, `resume`, `retry` and `attach`.

use std::io::{IsTerminal, stdin, stdout};
use std::num::NonZeroUsize;

use clap::ValueEnum;
use coordination::workflow::OnFailure;

use super::value::concurrency;
use super::{Color, FileArgs, GraphFormat, JournalPlace, Layout, OfJournal, SelectArgs, TextArgs};
use crate::job_control::is_left_behind;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) of: FileArgs,

    #[command(flatten)]
    pub(crate) select: SelectArgs,

    /// Say what would be done, and do nothing of it; with `--output json` or `jsonl`, for programs.
    #[arg(long, conflicts_with = "id")]
    pub(crate) dry_run: bool,

    /// What goes on when a step fails: nothing; what does not need it; or all. By default what the file
    /// says, or else nothing.
    #[arg(long = "continue", value_enum, value_name = "WHAT")]
    continues: Option<Continue>,

    #[command(flatten)]
    pub(crate) manner: MannerArgs,

    #[command(flatten)]
    pub(crate) journal: JournalPlace,

    /// Keep no journal: the run ends with `coord`, and nothing of it is written.
    #[arg(long, conflicts_with_all = ["journal", "id"])]
    pub(crate) no_journal: bool,

    /// What the run is called. Where there is a run of this name, of the same file and parameters, it
    /// is that one that goes on, or has finished.
    #[arg(long)]
    pub(crate) id: Option<String>,

    /// Where the run of this name has finished, forget it, and begin anew.
    #[arg(long, requires = "id")]
    pub(crate) again: bool,

    #[command(flatten)]
    pub(crate) background: BackgroundArgs,
}

/// Whether the run goes on in the background.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BackgroundArgs {
    /// Leave the run to itself once it has begun, and print its id: `coord attach` shows it.
    #[arg(long, short, conflicts_with_all = ["no_journal", "dry_run", "output", "flows"])]
    pub(crate) detach: bool,

    /// What `--detach` starts.
    #[arg(long, hide = true)]
    pub(crate) in_background: bool,
}

/// How a run is run and shown, whatever it does.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct MannerArgs {
    /// How many steps run at once at most, or how many percent of the processors that is; by default
    /// what the file says, or else one for each processor.
    #[arg(long, value_name = "N|P%", value_parser = concurrency)]
    pub(crate) concurrency: Option<NonZeroUsize>,

    /// What to show: a live screen or text; for programs how it ended, as one document, or one event
    /// a line; by default the screen in a terminal, and text elsewhere.
    #[arg(long, value_enum)]
    output: Option<Output>,

    /// Keep services running until Ctrl-C, also when the last step that needs them is over.
    #[arg(long)]
    pub(crate) keep_services: bool,

    #[command(flatten)]
    text: TextArgs,

    /// At the end, draw on standard error how events flowed inside `coord`, with how many a second.
    #[arg(long, value_enum, value_name = "FORMAT")]
    flows: Option<GraphFormat>,
}

/// How a run is run and shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) concurrency: Option<NonZeroUsize>,
    pub(crate) output: Output,
    pub(crate) keep_services: bool,
    pub(crate) flows: Option<GraphFormat>,
    pub(crate) color: Color,
    pub(crate) layout: Layout,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ResumeArgs {
    /// The run: its id, or the beginning or the end of it; by default the latest that was interrupted.
    pub(crate) run: Option<String>,

    /// Go on with all runs that were interrupted, one after the other, the oldest first.
    #[arg(long, conflicts_with = "run")]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) manner: MannerArgs,

    #[command(flatten)]
    pub(crate) of: OfJournal,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RetryArgs {
    /// The run: its id, or the beginning or the end of it; by default the latest.
    pub(crate) run: Option<String>,

    /// The step to begin from, also if it was done; by default all that failed, was stopped or undone.
    #[arg(long, value_name = "STEP")]
    pub(crate) from: Option<String>,

    #[command(flatten)]
    pub(crate) manner: MannerArgs,

    #[command(flatten)]
    pub(crate) of: OfJournal,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AttachArgs {
    /// The run: its id, or the beginning or the end of it; by default the latest that goes on.
    pub(crate) run: Option<String>,

    /// What to show: a live screen or text; by default the screen in a terminal, and text elsewhere.
    #[arg(long, value_enum)]
    output: Option<Shown>,

    /// Print only what fails, with its last lines, and how the run ended; as text, also in a terminal.
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    pub(crate) of: OfJournal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Tui,
    Text,
    Json,
    Jsonl,
}

/// What goes on when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Continue {
    /// What runs is stopped, and nothing begins.
    Never,
    /// What does not need the step.
    DependenciesSuccessful,
    /// What needs the step, too.
    Always,
}

/// What people are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shown {
    Tui,
    Text,
}

impl RunArgs {
    /// What becomes of the rest when a step fails, if that is said.
    pub(crate) fn on_failure(&self) -> Option<OnFailure> {
        self.continues.map(|continues| match continues {
            Continue::Never => OnFailure::FailFast,
            Continue::DependenciesSuccessful => OnFailure::FinishBranches,
            Continue::Always => OnFailure::FinishAll,
        })
    }
}

impl MannerArgs {
    pub(crate) fn manner(&self, color: Color) -> Manner {
        Manner {
            concurrency: self.concurrency,
            output: self.output.unwrap_or_else(|| fit(self.text.quiet)),
            keep_services: self.keep_services,
            flows: self.flows,
            color,
            layout: self.text.layout(),
        }
    }
}

impl AttachArgs {
    pub(crate) fn manner(&self) -> Manner {
        let output = match self.output {
            Some(Shown::Tui) => Output::Tui,
            Some(Shown::Text) => Output::Text,
            None => fit(self.quiet),
        };
        Manner {
            concurrency: None,
            output,
            keep_services: false,
            flows: None,
            color: self.of.color,
            layout: match self.quiet {
                true => Layout::QUIET_STREAM,
                false => Layout::STREAM,
            },
        }
    }
}

/// What the terminal is fit for; who wants little to be told wants text.
fn fit(is_quiet: bool) -> Output {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let is_terminal = stdin().is_terminal() && stdout().is_terminal();
    match is_terminal && !is_dumb && !is_quiet && !is_left_behind() {
        true => Output::Tui,
        false => Output::Text,
    }
}
