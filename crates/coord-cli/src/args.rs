//! The command line. Each flag is defined here and nowhere else.

mod audit;
mod file;
mod format;
mod journal;
mod lines;
mod list;
mod logs;
mod of_run;
mod running;
mod value;
mod word;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use audit::{AuditArgs, AuditCommand};
pub(crate) use file::{DEFAULT_FILE, FileArgs, GraphArgs, GraphFormat, SelectArgs, ValidateArgs};
pub(crate) use format::{Lines, Listed, Reported, Told};
pub(crate) use journal::{JournalArgs, JournalCommand};
pub(crate) use lines::{Layout, Names, TextArgs};
pub(crate) use list::ListArgs;
pub(crate) use logs::{LogsArgs, Stream};
pub(crate) use of_run::{
    JournalPlace, OfJournal, OfRun, OfStep, ReportArgs, ShowArgs, SignalArgs, WhyArgs,
};
pub(crate) use running::{AttachArgs, Manner, MannerArgs, Output, ResumeArgs, RetryArgs, RunArgs};
pub(crate) use value::Grep;
pub(crate) use word::{is_word, meant_by, nearest_command};

/// Runs real processes as workflows in a terminal.
///
/// Without a command, it runs `coord.toml`, of this folder or else of the nearest above that has one.
#[derive(Debug, Parser)]
#[command(name = "coord", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the steps and services of a workflow file.
    #[command(after_help = EXIT_CODES)]
    Run(RunArgs),
    /// Check a workflow file, and run nothing.
    Validate(ValidateArgs),
    /// Draw what needs what in a workflow file or a run, and run nothing.
    Graph(GraphArgs),
    /// Draw how events flow inside `coord` while it runs something, and run nothing.
    Flows(FlowsArgs),
    /// Go on with a run where it was interrupted.
    #[command(after_help = EXIT_CODES)]
    Resume(ResumeArgs),
    /// Do again what failed in a run that has finished, or one step and all that comes after it.
    #[command(after_help = EXIT_CODES)]
    Retry(RetryArgs),
    /// Show a run that goes on elsewhere as it goes; leaving it does nothing to it.
    #[command(after_help = ATTACH_EXIT_CODES)]
    Attach(AttachArgs),
    /// List the runs, the newest first.
    List(ListArgs),
    /// Show a run: where it is, and each of its steps.
    Show(ShowArgs),
    /// Write a report of a run, as a page of HTML: what ran when, how long each step took, what went wrong.
    Report(ReportArgs),
    /// Say what a step of a run waits for.
    #[command(allow_missing_positional = true)]
    Why(WhyArgs),
    /// Print what the steps and services of a run have printed, or one of them.
    Logs(LogsArgs),
    /// Cancel a run: what runs is stopped, and what was done is undone.
    Cancel {
        #[command(flatten)]
        of: OfRun,
        /// End a run that nobody drives as it is, with nothing undone: for one that cannot be resumed.
        #[arg(long)]
        no_undo: bool,
        /// Why, for who looks at the run later.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let no further step of a run begin; what runs goes on.
    Pause(OfRun),
    /// Let the steps of a paused run begin again.
    Continue(OfRun),
    /// Send a run a signal that one of its steps waits for.
    Signal(SignalArgs),
    /// Skip a step of a run: it is not run, or not again, and what needs it goes on.
    Skip(OfStep),
    /// Restart a step that runs, or a service: it is stopped and started again, and has not failed.
    Restart(OfStep),
    /// Stop a step, which has failed then, or a service, which is not started again; `coord cancel` ends a run.
    Stop(OfStep),
    /// Check a journal, or export what is in it.
    Journal {
        #[command(subcommand)]
        of: JournalCommand,
    },
    /// Verify, show or export an audit trail.
    Audit {
        #[command(subcommand)]
        of: AuditCommand,
    },
    /// Explain a code that an error began with, or list all codes.
    Explain(ExplainArgs),
    /// Print the JSON schema of workflow files, for editors.
    Schema,
    /// Print what makes a shell complete what is typed of `coord`: commands, flags, and what there is.
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for each command into a directory.
    Man(ManArgs),
    /// What `coord run` starts beside itself, to end what it leaves behind if it is killed.
    #[command(hide = true)]
    Watchdog {
        /// The folder of its outputs, to be removed then.
        #[arg(long)]
        outputs: Option<PathBuf>,
        /// What it says on a terminal that the screen is left on.
        #[arg(long)]
        says: Option<String>,
    },
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 2 the command line was not understood; 4 nothing to do; 96 a bad file or \
system; 100 the run failed; 110 the output could not be written; 130 ended by a signal.";

const ATTACH_EXIT_CODES: &str = "\
Exit codes: 0 the run is done, or was left by a key; 4 no run goes on; 96 there is no such run, or nobody drives it; 100 it \
failed; 110 the output could not be written; 130 it was cancelled, or a signal ended the command.";

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FlowsArgs {
    /// How to draw it: as plain text, as Mermaid, for Graphviz, or for programs.
    #[arg(long, value_enum, default_value_t = GraphFormat::Ascii)]
    pub(crate) format: GraphFormat,

    /// Whether to print colours. `auto`: in a terminal, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The code, such as `coord::file::cycle`, or its last part; by default, all codes are listed.
    pub(crate) code: Option<String>,

    /// Whether to print colours. `auto`: in a terminal, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ManArgs {
    /// Where to write `coord.1`, `coord-run.1` and so on; by default, that of `coord` is printed.
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

impl From<Color> for anstream::ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

impl Args {
    pub(crate) fn command(self) -> Command {
        self.command.unwrap_or(Command::Run(self.run))
    }
}
