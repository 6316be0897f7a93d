//! Which runs there are: what is asked, and in which words it is answered where each of them is.

use std::fmt;

use coord_bus::{StreamInfo, StreamOrder, StreamQuery, Timestamp};
use futures_util::future::join_all;

use crate::resume::Begun;
use crate::run_journal::any_run;
use crate::{
    RunId, RunJournal, RunState, RunSummary, RunView, Status, WorkflowError, records, streams,
};

/// How many streams are listed at once at least.
const PAGE_MIN: usize = 64;

/// How many runs are read at once at most, never more than there are still to be found: an answer of a journal's
/// thread takes longer to come than to be made.
const AHEAD_MAX: usize = 32;

/// Which runs to list: the newest first.
///
/// # What it costs
///
/// A run that has finished costs one record, however many it has. One that has not costs all of them up to 100; if
/// it has more, its first, which has its steps and its input, and its last ones: what is read of it grows with the
/// commands that it was told since it last went on, and with nothing else. A page of the newest costs what is on
/// it. What is asked for by [`only_unfinished`](Self::only_unfinished), [`only_top_level`](Self::only_top_level),
/// [`parent`](Self::parent), [`finished_since`](Self::finished_since) and by states in which no run has finished is told
/// from the entry of a run in the journal, and so is how far to go for [`before`](Self::before). By a workflow's name,
/// by states in which a run has finished and by when it started, runs are read, several at once, until there are as
/// many as asked for: one record each to leave one out, so of 100,000, that is seconds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunQuery {
    /// Whether to leave out those that have finished; `false` by default.
    pub only_unfinished: bool,
    /// Whether to leave out those that are the work of another run's step; `false` by default.
    pub only_top_level: bool,
    /// Only those that are the work of a step of this one.
    pub parent: Option<RunId>,
    /// Only those of the workflow of this name.
    pub workflow: Option<String>,
    /// Only those that are in one of these states; empty, the default, in any.
    pub states: Vec<RunPhase>,
    /// Only those that started then or later, by the clock of who started them. Of which the journal has kept
    /// nothing since, by its own clock, are not looked at.
    pub started_since: Option<Timestamp>,
    /// Only those that have finished, then or later, by the clock of the journal.
    pub finished_since: Option<Timestamp>,
    /// Only those that began before this one: with the last run of a page, the next page. It has to be there still.
    pub before: Option<RunId>,
    /// How many at most; 100 by default.
    pub limit: usize,
}

impl Default for RunQuery {
    fn default() -> Self {
        Self {
            only_unfinished: false,
            only_top_level: false,
            parent: None,
            workflow: None,
            states: Vec::new(),
            started_since: None,
            finished_since: None,
            before: None,
            limit: 100,
        }
    }
}

impl RunQuery {
    /// The newest runs.
    pub fn newest() -> Self {
        Self::default()
    }

    /// Only those that have not finished.
    #[must_use]
    pub fn unfinished(mut self) -> Self {
        self.only_unfinished = true;
        self
    }

    /// Only those that are not the work of another run's step. (An earlier version of this crate did not say of the
    /// runs that it began whose work they are, so those are among them.)
    #[must_use]
    pub fn top_level(mut self) -> Self {
        self.only_top_level = true;
        self
    }

    /// Only those that are the work of a step of this run: not those within them.
    #[must_use]
    pub fn parent(mut self, run: &RunId) -> Self {
        self.parent = Some(run.clone());
        self
    }

    /// Only those of the workflow of this name.
    #[must_use]
    pub fn workflow(mut self, name: impl Into<String>) -> Self {
        self.workflow = Some(name.into());
        self
    }

    /// Only those that are in one of these states.
    #[must_use]
    pub fn states(mut self, states: impl IntoIterator<Item = RunPhase>) -> Self {
        self.states = states.into_iter().collect();
        self
    }

    /// Only those that started then or later.
    #[must_use]
    pub fn started_since(mut self, since: Timestamp) -> Self {
        self.started_since = Some(since);
        self
    }

    /// Only those that have finished, then or later.
    #[must_use]
    pub fn finished_since(mut self, since: Timestamp) -> Self {
        self.finished_since = Some(since);
        self
    }

    /// Only those that began before this one: what comes after it in a list.
    #[must_use]
    pub fn before(mut self, run: &RunId) -> Self {
        self.before = Some(run.clone());
        self
    }

    /// At most so many.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Whether only those are asked for that have not finished.
    fn is_of_unfinished(&self) -> bool {
        let has_ended = |phase: &RunPhase| phase.has_ended();
        self.only_unfinished || !self.states.is_empty() && !self.states.iter().any(has_ended)
    }

    /// Whether a run may be asked for, of which nothing is known but its stream.
    fn admits(&self, stream: &StreamInfo) -> bool {
        let is_open_asked = self.states.is_empty() || !self.states.iter().all(RunPhase::has_ended);
        let is_since = |since: Option<Timestamp>| since.is_none_or(|since| stream.at >= since);
        if !self.is_within(stream.needed_by.as_deref()) {
            return false;
        }
        match stream.is_closed {
            true => is_since(self.finished_since) && is_since(self.started_since),
            false => {
                let is_asked = is_open_asked && self.finished_since.is_none();
                is_asked && is_since(self.started_since)
            }
        }
    }

    /// Whether a run is asked for that is the work of a step of the run of this stream.
    fn is_within(&self, stream: Option<&str>) -> bool {
        let parent = stream.and_then(records::run_of);
        match &self.parent {
            Some(run) => parent.as_ref() == Some(run),
            None => !self.only_top_level || parent.is_none(),
        }
    }

    /// Whether what is asked for is told by more than the stream of a run.
    fn is_read(&self) -> bool {
        self.workflow.is_some() || !self.states.is_empty() || self.started_since.is_some()
    }

    /// Whether a run is asked for that is of this workflow and started then.
    fn is_of(&self, workflow: &str, started_at: Timestamp) -> bool {
        let is_named = self.workflow.as_deref().is_none_or(|name| name == workflow);
        is_named && self.started_since.is_none_or(|since| started_at >= since)
    }

    fn is_for(&self, run: &RunSummary) -> bool {
        let is_in_state = self.states.is_empty() || self.states.contains(&run.phase());
        is_in_state && self.is_of(&run.workflow, run.started_at)
    }
}

/// Where a run is, in a word: what there is to say of it first. It is its [`RunState`], and of one that goes on what
/// it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunPhase {
    /// Steps of it run, or may begin.
    Running,
    /// It goes on, and is to be continued.
    Paused,
    /// Every step is over, and it stays up for [something](crate::Spec::stay).
    Up,
    /// A step has failed, and what was done is being undone.
    Failing,
    /// It was cancelled, and what was done is being undone.
    Cancelling,
    /// Its time is over, and what was done is being undone.
    TimingOut,
    /// It has not finished, and nobody drives it.
    Interrupted,
    /// It has finished.
    Ended(Status),
}

impl RunPhase {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Running,
        Self::Paused,
        Self::Up,
        Self::Failing,
        Self::Cancelling,
        Self::TimingOut,
        Self::Interrupted,
        Self::Ended(Status::Completed),
        Self::Ended(Status::Failed),
        Self::Ended(Status::Cancelled),
        Self::Ended(Status::TimedOut),
    ];

    /// The word for it, such as `timing-out`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Up => "up",
            Self::Failing => "failing",
            Self::Cancelling => "cancelling",
            Self::TimingOut => "timing-out",
            Self::Interrupted => "interrupted",
            Self::Ended(status) => status.name(),
        }
    }

    /// The one of this word.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }

    /// Whether a run that is there has finished.
    fn has_ended(&self) -> bool {
        matches!(self, Self::Ended(_))
    }

    fn of(state: RunState, ending: Option<Status>, is_paused: bool, is_up: bool) -> Self {
        match (state, ending) {
            (RunState::Finished(status), _) => Self::Ended(status),
            (RunState::Interrupted, _) => Self::Interrupted,
            (RunState::Running, Some(Status::Cancelled)) => Self::Cancelling,
            (RunState::Running, Some(Status::TimedOut)) => Self::TimingOut,
            (RunState::Running, Some(_)) => Self::Failing,
            (RunState::Running, None) if is_up => Self::Up,
            (RunState::Running, None) if is_paused => Self::Paused,
            (RunState::Running, None) => Self::Running,
        }
    }
}

impl fmt::Display for RunPhase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl RunView {
    /// Where it is, in a word.
    pub fn phase(&self) -> RunPhase {
        RunPhase::of(self.state, self.ending, self.is_paused, self.is_up)
    }
}

impl RunSummary {
    /// Where it is, in a word.
    pub fn phase(&self) -> RunPhase {
        RunPhase::of(self.state, self.ending, self.is_paused, self.is_up)
    }
}

/// A run that was listed, or why it cannot be read.
type Listed = (RunId, Result<RunSummary, WorkflowError>);

impl RunJournal {
    /// The ids of runs, the newest first.
    ///
    /// # Errors
    ///
    /// As for [`list_runs`](Self::list_runs).
    pub async fn runs(&self, query: &RunQuery) -> Result<Vec<RunId>, WorkflowError> {
        if query.is_read() {
            let listed = self.list_runs(query).await?;
            return Ok(listed.into_iter().map(|(run, _)| run).collect());
        }
        let mut found = Vec::new();
        let mut pages = Pages::of(self, query).await?;
        while found.len() < query.limit
            && let Some(page) = pages.next().await?
        {
            found.extend(page.into_iter().map(|(run, _)| run));
        }
        found.truncate(query.limit);
        Ok(found)
    }

    /// Runs in a line each, the newest first. One that cannot be read is among them, with the reason, as long as
    /// nothing that is known says that it was not asked for: it is no reason not to list the others.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # use std::sync::Arc;
    /// # use coord_bus::{LocalBus, MemoryEventLog, MemoryLeases};
    /// # use coord_workflow::{RunId, RunJournal, StepError, Workflow, WorkflowOrchestrator};
    /// use coord_workflow::{RunPhase, RunQuery, Status};
    ///
    /// # let journal = RunJournal::new(Arc::new(MemoryEventLog::new()), Arc::new(MemoryLeases::new()));
    /// # let bus = LocalBus::new();
    /// # let orchestrator = WorkflowOrchestrator::builder(&bus).journal(journal.clone()).build()?;
    /// # for day in ["monday", "tuesday", "wednesday"] {
    /// #     let mut workflow = Workflow::durable("backup");
    /// #     workflow.step("copy").run(async || Ok::<_, StepError>(()));
    /// #     let workflow = workflow.build()?;
    /// #     let run = orchestrator.start_durable(&workflow, RunId::named(day)?, ()).await?;
    /// #     run.outcome().await?;
    /// # }
    /// let mut query = RunQuery::newest().workflow("backup").limit(2);
    /// query = query.states([RunPhase::Ended(Status::Completed)]);
    /// let page = journal.list_runs(&query).await?;
    /// let names: Vec<_> = page.iter().map(|(run, _)| run.as_str()).collect();
    /// assert_eq!(names, ["wednesday", "tuesday"]);
    /// query = query.before(&page[1].0);
    /// assert_eq!(journal.runs(&query).await?[0].as_str(), "monday");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`WorkflowError::Journal`], or `NoSuchRun` where that is not there which they are to be
    /// [before](RunQuery::before).
    pub async fn list_runs(&self, query: &RunQuery) -> Result<Vec<Listed>, WorkflowError> {
        let mut found = Vec::new();
        let mut pages = Pages::of(self, query).await?;
        while let Some(page) = pages.next().await? {
            let mut page = page.into_iter();
            while page.len() > 0 {
                let ahead = AHEAD_MAX.min(query.limit - found.len());
                if ahead == 0 {
                    return Ok(found);
                }
                let asked = page.by_ref().take(ahead).map(async |(run, stream)| {
                    let told = self.asked_for(query, &run, &stream).await;
                    (run, told)
                });
                for (run, told) in join_all(asked).await {
                    match told {
                        // It was forgotten meanwhile.
                        Ok(None) | Err(WorkflowError::NoSuchRun { .. }) => {}
                        Ok(Some(summary)) => found.push((run, Ok(summary))),
                        Err(error) => found.push((run, Err(error))),
                    }
                }
            }
        }
        Ok(found)
    }

    /// A run, if it is asked for.
    async fn asked_for(
        &self,
        query: &RunQuery,
        run: &RunId,
        stream: &StreamInfo,
    ) -> Result<Option<RunSummary>, WorkflowError> {
        // The first record says already of most that they are not, and an unfinished one may be long.
        if !stream.is_closed && (query.workflow.is_some() || query.started_since.is_some()) {
            let Some(begun) = Begun::first(&*self.log, run).await? else {
                return Ok(None);
            };
            if !query.is_of(&begun.workflow, begun.started_at) {
                return Ok(None);
            }
        }
        let summary = self.summary_of(run, Some(stream)).await?;
        Ok(query.is_for(&summary).then_some(summary))
    }

    /// A run in a line: what [`view`](Self::view) has, without its steps.
    ///
    /// Of one that has finished its last record is read alone, however many there are; of one that has not, and has
    /// more than 100, the first and the last ones. So what is wrong with the others is not seen here. All are read
    /// where an earlier version of this crate wrote the last, which did not say there what it takes.
    ///
    /// # Errors
    ///
    /// As for a view.
    pub async fn summary(&self, run: &RunId) -> Result<RunSummary, WorkflowError> {
        let stream = self.stream_of(run).await?;
        self.summary_of(run, stream.as_ref()).await
    }

    /// The same, if it has finished and its last record says it all.
    pub(crate) async fn ended_before(
        &self,
        run: &RunId,
    ) -> Result<Option<RunSummary>, WorkflowError> {
        match self.stream_of(run).await? {
            Some(stream) => self.ended_as(run, &stream).await,
            None => Ok(None),
        }
    }

    async fn ended_as(
        &self,
        run: &RunId,
        stream: &StreamInfo,
    ) -> Result<Option<RunSummary>, WorkflowError> {
        if !stream.is_closed {
            return Ok(None);
        }
        let last = self.log.read(&stream.name, stream.version, 1).await;
        let last = last.map_err(|error| WorkflowError::journal(run, error))?;
        Ok(last.iter().find_map(|last| RunSummary::of_last(run, last)))
    }

    pub(crate) async fn stream_of(&self, run: &RunId) -> Result<Option<StreamInfo>, WorkflowError> {
        let found = streams::find(&*self.log, &records::stream(run.as_str())).await;
        found.map_err(|error| WorkflowError::journal(run, error))
    }

    /// The same, of whose stream this is known.
    async fn summary_of(
        &self,
        run: &RunId,
        stream: Option<&StreamInfo>,
    ) -> Result<RunSummary, WorkflowError> {
        if let Some(stream) = stream {
            let told = match stream.is_closed {
                true => self.ended_as(run, stream).await?,
                false => self.summary_so_far(run, stream).await?,
            };
            if let Some(summary) = told {
                let parent = stream.needed_by.as_deref().and_then(records::run_of);
                return Ok(RunSummary { parent, ..summary });
            }
        }
        self.view(run).await.map(RunSummary::of)
    }
}

/// The runs that may be asked for, by their streams, some at a time.
struct Pages<'q> {
    journal: &'q RunJournal,
    query: &'q RunQuery,
    /// `None`: there are no more.
    streams: Option<StreamQuery>,
}

impl<'q> Pages<'q> {
    async fn of(journal: &'q RunJournal, query: &'q RunQuery) -> Result<Self, WorkflowError> {
        // Between them are streams of other names, few for the most part.
        let page = match query.is_read() || query.finished_since.is_some() {
            true => StreamQuery::DEFAULT_LIMIT,
            false => query.limit.clamp(PAGE_MIN, StreamQuery::DEFAULT_LIMIT),
        };
        let mut streams = StreamQuery::newest_first().limit(page);
        streams.only_open = query.is_of_unfinished();
        if let Some(run) = &query.before {
            let Some(found) = journal.stream_of(run).await? else {
                let run = run.to_string();
                return Err(WorkflowError::NoSuchRun { run });
            };
            let before = Some(found.number);
            streams.order = StreamOrder::NewestFirst { before };
        }
        Ok(Self {
            journal,
            query,
            streams: Some(streams),
        })
    }

    async fn next(&mut self) -> Result<Option<Vec<(RunId, StreamInfo)>>, WorkflowError> {
        let Some(streams) = self.streams.take() else {
            return Ok(None);
        };
        let page = self.journal.log.streams(&streams).await.map_err(any_run)?;
        let is_full = page.len() >= streams.limit;
        self.streams = page
            .last()
            .filter(|_| is_full)
            .map(|last| streams.after(last));
        let asked = page.into_iter().filter(|stream| self.query.admits(stream));
        let runs = asked.filter_map(|stream| Some((records::run_of(&stream.name)?, stream)));
        Ok(Some(runs.collect()))
    }
}
