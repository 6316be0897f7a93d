//! `coord list`: which runs.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use coordination::bus::Timestamp;
use coordination::workflow::{RunPhase, RunQuery};

use super::OfJournal;
use super::format::Listed;
use super::value::since;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) of: OfJournal,

    /// Only runs that have not finished.
    #[arg(long)]
    unfinished: bool,

    /// Only runs of this name: `name` in their file.
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,

    /// Only runs in this state, or in one of several.
    #[arg(long, value_name = "STATE", value_delimiter = ',', num_args = 1.., value_parser = state())]
    state: Vec<RunPhase>,

    /// Only runs that started since then: `2h` ago, or a time such as `2026-03-01T09:30:00Z`, local where it does
    /// not say otherwise.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,

    /// Only runs that have finished since then.
    #[arg(long, value_name = "TIME", value_parser = since)]
    finished_since: Option<Timestamp>,

    /// Only runs that began before this one: what comes after it in the list.
    #[arg(long, value_name = "RUN")]
    pub(crate) before: Option<String>,

    /// How many runs at most.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,

    /// For people, or for programs: as one list, or one run a line.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Listed,
}

/// States by their words, which are named where there is no such.
fn state() -> impl TypedValueParser<Value = RunPhase> {
    let words = RunPhase::ALL.map(RunPhase::name);
    let words = PossibleValuesParser::new(words);
    words.try_map(|word| RunPhase::named(&word).ok_or("there is no such state"))
}

impl ListArgs {
    /// What is asked for, but for the run that it is to be before.
    pub(crate) fn query(&self) -> RunQuery {
        let mut query = RunQuery::newest().limit(self.limit);
        query.only_unfinished = self.unfinished;
        query.workflow.clone_from(&self.workflow);
        query.states.clone_from(&self.state);
        (query.started_since, query.finished_since) = (self.since, self.finished_since);
        query
    }
}
