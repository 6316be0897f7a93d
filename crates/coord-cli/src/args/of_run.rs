//! The commands about runs that are there: which journal, which run, which of its steps.

use std::path::PathBuf;

use super::value::json;
use super::{Color, Reported, Told};

/// In which journal the runs are.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct JournalPlace {
    /// The directory of the journal of runs; by default `coord` in `$XDG_STATE_HOME`, or else in
    /// `~/.local/state`.
    #[arg(long, value_name = "DIR")]
    pub(crate) journal: Option<PathBuf>,
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

/// A run in a journal.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OfRun {
    /// The run: its id, or the beginning or the end of it.
    pub(crate) run: String,

    #[command(flatten)]
    pub(crate) of: OfJournal,
}

/// A run in a journal that is only looked at, so that it can be the latest where none is named.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OfAnyRun {
    /// The run: its id, or the beginning or the end of it; by default the latest.
    pub(crate) run: Option<String>,

    #[command(flatten)]
    pub(crate) of: OfJournal,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) of: OfAnyRun,

    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Told,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) of: OfAnyRun,

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
    pub(crate) of: OfAnyRun,

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

    /// What tells it from another of its name, as the id of a message: sent twice, it is taken once
    #[arg(long)]
    pub(crate) id: Option<String>,
}
