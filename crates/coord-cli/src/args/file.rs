//! Which workflow file, and what of it is meant; the commands that only look at one.

use std::path::PathBuf;

use clap::ValueEnum;

use super::value::key_value;
use super::{Color, JournalPlace, Told};
use crate::select::Selection;

/// The workflow file where none is named.
pub(crate) const DEFAULT_FILE: &str = "coord.toml";

/// Which file, and how to talk of it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FileArgs {
    /// The workflow file; `-` for standard input; by default `coord.toml`, of this folder or else of the nearest
    /// above that has one.
    pub(crate) file: Option<PathBuf>,

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    Ascii,
    Mermaid,
    Dot,
    Json,
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
