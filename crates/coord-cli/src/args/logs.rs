//! `coord logs`: which lines of which process.

use clap::ValueEnum;
use coordination::bus::Timestamp;

use super::OfJournal;
use super::format::Lines;
use super::value::{Grep, grep, since};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LogsArgs {
    /// The run: its id, or the beginning or the end of it; by default the latest, also where only a step is named.
    pub(crate) run: Option<String>,

    /// The step or service, with what undoes it; by default all of them, each line behind its name.
    pub(crate) step: Option<String>,

    #[command(flatten)]
    pub(crate) of: OfJournal,

    /// Only lines in which this regular expression matches.
    #[arg(long, short, value_name = "REGEX", value_parser = grep)]
    pub(crate) grep: Option<Grep>,

    /// Let `--grep` take capitals and small letters for the same.
    #[arg(long, short, requires = "grep")]
    pub(crate) ignore_case: bool,

    /// Only lines in which it does not match.
    #[arg(long, short = 'v', requires = "grep")]
    pub(crate) invert_match: bool,

    /// Go on with what is printed until the run has ended.
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// Only the last lines, so many.
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) tail: Option<usize>,

    /// Only what was printed since then: `10m` ago, or a time such as `2026-03-01T09:30:00Z`, local
    /// where it does not say otherwise.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<Timestamp>,

    /// When each line was printed, before it.
    #[arg(long, short)]
    pub(crate) timestamps: bool,

    /// Only what was printed there.
    #[arg(long, value_enum)]
    pub(crate) stream: Option<Stream>,

    /// Only this attempt at a step, or incarnation of a service.
    #[arg(long, value_name = "N")]
    pub(crate) attempt: Option<u32>,

    /// For people, or for programs: each line as an object, which says when it was printed.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Lines,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}
