//! Which steps decided how long a run took, and how much time the others had to spare.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::course::Course;
use crate::plan::Plan;
use crate::span::{Span, Spans, holders};
use crate::took::Took;
use crate::{Outcome, StepReport};

/// The steps that decided how long a run took; made by [`Outcome::critical_path`].
///
/// The last of them ended last of all steps; each before it is the one that the next had to wait
/// for. What is undone afterwards is not counted. As text it is a line for each step.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CriticalPath<'o> {
    /// The steps, from the first to the last. None if the run ended before any began.
    pub steps: Vec<CriticalStep<'o>>,
    /// From the beginning of the run to the end of the last of them: all their waits and durations.
    pub length: Duration,
    slack: Vec<Option<Duration>>,
}

/// One step of a [`CriticalPath`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CriticalStep<'o> {
    /// For how long the run had ended, and was to be [retried](crate::WorkflowOrchestrator::retry_run), after
    /// what the step needs had; the time of its attempts before that among it.
    pub until_retried: Duration,
    /// How long it was ready and did not begin: until there was room for it.
    pub wait: Duration,
    /// How long it took, waits between attempts included.
    pub duration: Duration,
    /// What came of it.
    pub step: StepReport<'o>,
}

impl CriticalPath<'_> {
    /// By how much each step could have ended later without the run ending later, in the workflow's
    /// order, if every step that waits for it had taken as long as it did, its waits for room,
    /// and for the run to be retried, included. `None`: it had not begun when the run was stopped.
    ///
    /// Of those that a step needs any of, the first to complete is taken to be the only one that would
    /// do.
    pub fn slack(&self) -> &[Option<Duration>] {
        &self.slack
    }
}

impl Outcome {
    /// Which steps decided how long the run took, and how much time the others had to spare.
    ///
    /// ```
    /// # let mut runtime = tokio::runtime::Builder::new_current_thread();
    /// # let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    /// # runtime.block_on(async {
    /// use std::time::Duration;
    /// use coord_bus::{LocalBus, time::sleep};
    /// use coord_workflow::{StepError, Workflow, WorkflowOrchestrator};
    ///
    /// async fn work(seconds: u64) -> Result<(), StepError> {
    ///     sleep(Duration::from_secs(seconds)).await;
    ///     Ok(())
    /// }
    /// let mut workflow = Workflow::builder("release");
    /// let fetch = workflow.step("fetch").run(|| work(1));
    /// let lint = workflow.step("lint").after(&fetch).run(|| work(2));
    /// let build = workflow.step("build").after(&fetch).run(|| work(5));
    /// workflow.step("publish").after(&lint).after(&build).run(|| work(1));
    /// let workflow = workflow.build()?;
    ///
    /// let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
    /// let outcome = orchestrator.execute_workflow(&workflow, ()).await?;
    /// let path = outcome.critical_path();
    /// let steps: Vec<&str> = path.steps.iter().map(|on_it| on_it.step.id).collect();
    /// assert_eq!(steps, ["fetch", "build", "publish"]);
    /// let lint = path.slack()[1];
    /// assert!(lint >= Some(Duration::from_secs(3)));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn critical_path(&self) -> CriticalPath<'_> {
        let spans = Spans::new(&self.plan, &self.course);
        let on_path = path(&spans);
        let steps = on_path.iter().filter_map(|&step| {
            let span = spans.of[step]?;
            Some(CriticalStep {
                until_retried: Duration::from_nanos(span.ready - span.freed),
                wait: Duration::from_nanos(span.started - span.ready),
                duration: Duration::from_nanos(span.ended - span.started),
                step: self.report(step),
            })
        });
        let slack = slack(&self.plan, &self.course, &spans).into_iter();
        CriticalPath {
            steps: steps.collect(),
            length: Duration::from_nanos(end(&spans)),
            slack: slack.map(|slack| slack.map(Duration::from_nanos)).collect(),
        }
    }
}

/// When the last step ended.
fn end(spans: &Spans) -> u64 {
    let ends = spans.of.iter().flatten().map(|span| span.ended);
    ends.max().unwrap_or(0)
}

/// The steps on the path, from the first to the last.
pub(crate) fn path(spans: &Spans) -> Vec<usize> {
    // Of several that ended at the same time, one that the others waited for is not the last.
    let ended = |step: &usize| spans.of[*step].map(|span| span.ended);
    let last = spans.order.iter().copied().max_by_key(ended);
    let last = last.filter(|last| spans.of[*last].is_some());
    let freed_by = |step: &usize| spans.of[*step].and_then(|span| span.freed_by);
    let mut path: Vec<usize> = std::iter::successors(last, freed_by).collect();
    path.reverse();
    path
}

/// By how much each step could have ended later.
fn slack(plan: &Plan, course: &Course, spans: &Spans) -> Vec<Option<u64>> {
    let mut latest = vec![end(spans); spans.of.len()];
    for &step in spans.order.iter().rev() {
        let Some(Span { freed, ended, .. }) = spans.of[step] else {
            continue;
        };
        // When what it needs would have to have ended, for it to end at the latest possible time.
        let freed_latest = latest[step] - (ended - freed);
        for need in holders(plan, course, step) {
            latest[need] = latest[need].min(freed_latest);
        }
    }
    let spans = spans.of.iter().zip(latest);
    spans
        .map(|(span, latest)| span.map(|span| latest - span.ended))
        .collect()
}

impl Display for CriticalPath<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for CriticalStep {
            until_retried,
            wait,
            duration,
            step,
        } in &self.steps
        {
            if !until_retried.is_zero() {
                let retried = Took(*until_retried);
                writeln!(formatter, "{retried:>7}  until the run was retried")?;
            }
            if !wait.is_zero() {
                writeln!(formatter, "{:>7}  waiting for room", Took(*wait))?;
            }
            writeln!(formatter, "{:>7}  {}", Took(*duration), step.id)?;
        }
        writeln!(formatter, "{:>7}  in all", Took(self.length))
    }
}
