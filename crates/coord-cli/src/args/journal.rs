//! What can be asked of a journal.

use std::path::PathBuf;

use clap::Subcommand;

use super::Color;
use super::format::Told;

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
    /// Give the space back that nothing in a journal takes any more, and say how large it was and is.
    #[command(after_help = JOURNAL_EXIT_CODES)]
    Compact {
        #[command(flatten)]
        of: JournalArgs,

        /// Forget first the runs that have finished, with what they printed, but the newest N; by default
        /// nothing is forgotten.
        #[arg(long, value_name = "N")]
        keep_runs: Option<u64>,

        /// For people, or for programs.
        #[arg(long, value_enum, default_value_t)]
        output: Told,
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
