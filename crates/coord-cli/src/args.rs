//! The command line. Each flag is defined here and nowhere else.

mod audit;
mod format;
mod journal;
mod lines;
mod logs;
mod value;
mod word;

use std::io::{IsTerminal, stdin, stdout};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use coordination::workflow::OnFailure;

pub(crate) use audit::{AuditArgs, AuditCommand};
pub(crate) use format::{Lines, Listed, Reported, Told};
pub(crate) use journal::{JournalArgs, JournalCommand};
pub(crate) use lines::{Layout, Names, TextArgs};

use crate::job_control::is_left_behind;
use crate::select::Selection;
pub(crate) use logs::{LogsArgs, Stream};
pub(crate) use value::Grep;
use value::{concurrency, json, key_value};
pub(crate) use word::{is_word, meant_by, nearest_command};

/// Runs real processes as workflows in a terminal.
///
/// Without a command, it runs `coord.toml` in this folder.
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

/// The workflow file where none is named.
pub(crate) const DEFAULT_FILE: &str = "coord.toml";

/// Which file, and how to talk of it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FileArgs {
    /// The workflow file; `-` for standard input.
    #[arg(default_value = DEFAULT_FILE)]
    pub(crate) file: PathBuf,

    /// Give a parameter of the file another value; can be repeated.
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) params: Vec<(String, String)>,

    /// Take the parameters and variables of a profile of the file.
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,

    /// Whether to print colours. `auto`: in a terminal, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub(crate) of: FileArgs,

    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Told,
}

/// What of a file is meant.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SelectArgs {
    /// Only this step or service, and what it needs; `*` and `?` stand for any characters of a name, and
    /// for one. Can be repeated, or several with commas.
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    only: Vec<String>,

    /// Only from this step on: itself, all that comes after it, and the services that these need.
    /// What it needs of steps is taken as done.
    #[arg(long, value_name = "STEP", conflicts_with = "only")]
    from: Option<String>,
}

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

/// In which journal the runs are.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct JournalPlace {
    /// The directory of the journal of runs; by default `coord` in `$XDG_STATE_HOME`, or else in
    /// `~/.local/state`.
    #[arg(long, value_name = "DIR")]
    pub(crate) journal: Option<PathBuf>,
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

/// What is talked of in a journal, and in which colours.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OfJournal {
    #[command(flatten)]
    pub(crate) journal: JournalPlace,

    /// Whether to print colours. `auto`: in a terminal, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
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
    /// The run: its id, or the beginning or the end of it.
    pub(crate) run: String,

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

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) of: OfJournal,

    /// Only runs that have not finished.
    #[arg(long)]
    pub(crate) unfinished: bool,

    /// How many runs at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,

    /// For people, or for programs: as one list, or one run a line.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Listed,
}

/// A run in a journal.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OfRun {
    /// The run: its id, or the beginning or the end of it.
    pub(crate) run: String,

    #[command(flatten)]
    pub(crate) of: OfJournal,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) of: OfRun,

    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Told,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) of: OfRun,

    /// Where to write it; by default to standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// A page for a browser, text for a terminal, or a document for programs.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Reported,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WhyArgs {
    #[command(flatten)]
    pub(crate) of: OfRun,

    /// The step.
    pub(crate) step: String,

    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Told,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OfStep {
    #[command(flatten)]
    pub(crate) of: OfRun,

    /// The step or service.
    pub(crate) step: String,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SignalArgs {
    #[command(flatten)]
    pub(crate) of: OfRun,

    /// The signal.
    pub(crate) name: String,

    /// What goes with it, as JSON.
    #[arg(default_value = "null", value_parser = json)]
    pub(crate) payload: serde_json::Value,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GraphArgs {
    #[command(flatten)]
    pub(crate) of: FileArgs,

    #[command(flatten)]
    pub(crate) select: SelectArgs,

    #[command(flatten)]
    pub(crate) journal: JournalPlace,

    /// How to draw it: as plain text in stages, as Mermaid, for Graphviz, or for programs.
    #[arg(long, value_enum, default_value_t = GraphFormat::Ascii)]
    pub(crate) format: GraphFormat,
}

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
pub(crate) enum GraphFormat {
    Ascii,
    Mermaid,
    Dot,
    Json,
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

impl SelectArgs {
    /// The flag that was given, if one was.
    pub(crate) fn flag(&self) -> Option<&'static str> {
        match (&self.from, self.only.is_empty()) {
            (Some(_), _) => Some("--from"),
            (None, false) => Some("--only"),
            (None, true) => None,
        }
    }

    pub(crate) fn selection(&self) -> Selection {
        match &self.from {
            Some(step) => Selection::From(step.clone()),
            None if self.only.is_empty() => Selection::All,
            None => Selection::Only(self.only.clone()),
        }
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

impl Args {
    pub(crate) fn command(self) -> Command {
        self.command.unwrap_or(Command::Run(self.run))
    }
}
