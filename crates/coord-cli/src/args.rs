//! The command line. Each flag is defined here and nowhere else.

use std::io::{IsTerminal, stdin, stdout};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

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
    Validate(FileArgs),
    /// Draw what needs what in a workflow file, and run nothing.
    Graph(GraphArgs),
    /// Check a journal, or export what is in it.
    Journal {
        #[command(subcommand)]
        of: JournalCommand,
    },
    /// What `coord run` starts beside itself, to end what it leaves behind if it is killed.
    #[command(hide = true)]
    Watchdog,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 2 the command line was not understood; 4 nothing to do; 96 a bad file or \
system; 100 the run failed; 110 the output could not be written; 130 ended by a signal.";

/// Which file, and how to talk of it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FileArgs {
    /// The workflow file.
    #[arg(default_value = "coord.toml")]
    pub(crate) file: PathBuf,

    /// Give a parameter of the file another value; can be repeated.
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) params: Vec<(String, String)>,

    /// Whether to print colours. `auto`: in a terminal, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) of: FileArgs,

    /// How many steps run at once at most; by default what the file says, or else one for each
    /// processor.
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<NonZeroUsize>,

    /// What to show: a live screen, text, or one event a line for programs; by default the screen
    /// in a terminal, and text elsewhere.
    #[arg(long, value_enum)]
    output: Option<Output>,

    /// Keep services running until Ctrl-C, also when the last step that needs them is over.
    #[arg(long)]
    pub(crate) keep_services: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GraphArgs {
    #[command(flatten)]
    pub(crate) of: FileArgs,

    /// How to draw it: as plain text in stages, as Mermaid, for Graphviz, or for programs.
    #[arg(long, value_enum, default_value_t = GraphFormat::Ascii)]
    pub(crate) format: GraphFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Compare everything in a journal with its checksums, and name what is damaged.
    #[command(after_help = JOURNAL_EXIT_CODES)]
    Check(JournalArgs),
    /// Print the records of a journal, or of one stream, each as a line of JSON.
    #[command(after_help = JOURNAL_EXIT_CODES)]
    Export {
        #[command(flatten)]
        of: JournalArgs,

        /// The stream; by default all of them, in the order of their names.
        stream: Option<String>,
    },
}

const JOURNAL_EXIT_CODES: &str = "\
Exit codes: 0 done, no damage was met; 1 damaged; 2 the command line was not understood; 96 there is \
no such journal or stream, or it cannot be read; 110 the output could not be written.";

/// Which journal, and how to talk of it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct JournalArgs {
    /// The directory of the journal, which has to be there.
    pub(crate) dir: PathBuf,

    /// Whether to print colours. `auto`: in a terminal, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
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
    Jsonl,
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
    /// What to show, and where nothing else was said, what the terminal is fit for.
    pub(crate) fn output(&self) -> Output {
        let fit = || {
            let is_dumb =
                std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
            stdin().is_terminal() && stdout().is_terminal() && !is_dumb
        };
        match self.output {
            Some(output) => output,
            None if fit() => Output::Tui,
            None => Output::Text,
        }
    }
}

impl Args {
    pub(crate) fn command(self) -> Command {
        self.command.unwrap_or(Command::Run(self.run))
    }
}

fn key_value(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text
        .split_once('=')
        .ok_or("a parameter is given as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
