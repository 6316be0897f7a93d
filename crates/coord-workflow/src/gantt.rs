//! A run as a chart of bars in time.

use std::fmt::{self, Display, Formatter};

use crate::critical_path::path;
use crate::span::{Span, Spans};
use crate::took::Took;
use crate::{Outcome, StepReport, StepState};

/// How wide a chart is where nothing else is said, in characters.
const DEFAULT_WIDTH: usize = 80;
/// The least that is left to the bars, whatever the width.
const BARS_MIN: usize = 10;

/// A run as a chart, a row for each step; made by [`Outcome::gantt`], shown by [`Display`].
///
/// A bar is as long as the step took, and what comes before it is how long the step was ready and
/// waited for room. Steps on the [critical path](Outcome::critical_path) have bars of their own kind.
#[derive(Debug, Clone)]
pub struct Gantt<'o> {
    outcome: &'o Outcome,
    width: usize,
    marks: Marks,
}

/// What the bars are made of.
#[derive(Debug, Clone, Copy)]
struct Marks {
    wait: char,
    step: char,
    critical: char,
    border: char,
    cut: char,
}

const ASCII: Marks = Marks {
    wait: '.',
    step: '=',
    critical: '#',
    border: '|',
    cut: '~',
};

const UNICODE: Marks = Marks {
    wait: '·',
    step: '▒',
    critical: '█',
    border: '│',
    cut: '…',
};

impl Outcome {
    /// The run as a chart: 80 characters wide, in ASCII.
    ///
    /// ```
    /// # let mut runtime = tokio::runtime::Builder::new_current_thread();
    /// # let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    /// # runtime.block_on(async {
    /// # use std::time::Duration;
    /// # use coord_bus::{LocalBus, time::sleep};
    /// # use coord_workflow::{StepError, Workflow, WorkflowOrchestrator};
    /// # async fn work(seconds: u64) -> Result<(), StepError> {
    /// #     sleep(Duration::from_secs(seconds)).await;
    /// #     Ok(())
    /// # }
    /// # let mut workflow = Workflow::builder("release");
    /// # let fetch = workflow.step("fetch").run(|| work(2));
    /// # let lint = workflow.step("lint").after(&fetch).run(|| work(4));
    /// # let build = workflow.step("build").after(&fetch).run(|| work(8));
    /// # let workflow = workflow.build()?;
    /// # let orchestrator = WorkflowOrchestrator::new(&LocalBus::new())?;
    /// # let outcome = orchestrator.execute_workflow(&workflow, ()).await?;
    /// let text = "
    /// release: completed in 10.0s, # on the critical path
    ///   fetch |####                |  2.0s
    ///   lint  |    ========        |  4.0s
    ///   build |    ################|  8.0s
    /// ";
    /// assert_eq!(outcome.gantt().width(36).to_string(), text.trim_start());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn gantt(&self) -> Gantt<'_> {
        Gantt {
            outcome: self,
            width: DEFAULT_WIDTH,
            marks: ASCII,
        }
    }
}

impl Gantt<'_> {
    /// This many characters wide. Ids are cut after a third of it, and the bars keep at least 10.
    #[must_use]
    pub fn width(mut self, characters: usize) -> Self {
        self.width = characters;
        self
    }

    /// With blocks in place of ASCII.
    #[must_use]
    pub fn unicode(mut self) -> Self {
        self.marks = UNICODE;
        self
    }

    fn id(&self, id: &str) -> String {
        let most = (self.width / 3).max(1);
        match id.chars().count() <= most {
            true => id.to_owned(),
            false => id.chars().take(most - 1).chain([self.marks.cut]).collect(),
        }
    }

    fn bar(&self, span: Span, is_critical: bool, width: usize) -> String {
        let total = self.outcome.duration.as_nanos().max(1);
        // The column in which a time falls.
        let column = |time: u64| {
            let at = u128::from(time) * width as u128 / total;
            usize::try_from(at).map_or(width, |at| at.min(width))
        };
        let started = column(span.started).min(width - 1);
        let ready = column(span.ready).min(started);
        let ended = column(span.ended).max(started + 1);
        let mark = match is_critical {
            true => self.marks.critical,
            false => self.marks.step,
        };
        let mut bar = " ".repeat(ready);
        bar.extend(std::iter::repeat_n(self.marks.wait, started - ready));
        bar.extend(std::iter::repeat_n(mark, ended - started));
        bar
    }
}

impl Display for Gantt<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self { outcome, marks, .. } = self;
        let spans = Spans::new(&outcome.plan, &outcome.course);
        let mut is_critical = vec![false; spans.of.len()];
        path(&spans)
            .into_iter()
            .for_each(|step| is_critical[step] = true);
        let rows = outcome.steps().map(|step| (self.id(step.id), told(&step)));
        let rows: Vec<(String, String)> = rows.collect();
        let widest = |of: fn(&(String, String)) -> &String| {
            let widths = rows.iter().map(|row| of(row).chars().count());
            widths.max().unwrap_or(0)
        };
        let (ids, tolds) = (widest(|row| &row.0), widest(|row| &row.1));
        // Two before the id, a blank and a border before the bar, a border after it.
        let width = self.width.saturating_sub(ids + tolds + 5).max(BARS_MIN);
        writeln!(
            formatter,
            "{}: {} in {}, {} on the critical path",
            outcome.workflow,
            outcome.status,
            Took(outcome.duration),
            marks.critical,
        )?;
        for (step, (id, told)) in rows.iter().enumerate() {
            let bar = spans.of[step].filter(|_| outcome.course.step(step).begun() > 0);
            let bar = bar.map(|span| self.bar(span, is_critical[step], width));
            let (border, bar) = (marks.border, bar.unwrap_or_default());
            writeln!(formatter, "  {id:ids$} {border}{bar:width$}{border}{told}")?;
        }
        Ok(())
    }
}

/// How long a step took, and how it ended, if not well.
fn told(step: &StepReport<'_>) -> String {
    let took = match step.started {
        Some(_) => Took(step.duration).to_string(),
        None => String::new(),
    };
    match step.state {
        StepState::Completed => format!("{took:>6}"),
        state => format!("{took:>6} {}", state.name()),
    }
}
