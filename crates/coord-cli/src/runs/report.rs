//! `coord report`: a run as a page of HTML, as text, or as a document for programs.
//!
//! Its steps, and when they began and ended, are from the journal; how fast events were and what
//! memory and processor time it took was [measured](crate::measured) by who drove the run last.

use std::fs;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use coordination::bus::Timestamp;
use coordination::bus::time::{Clock, SystemClock};
use coordination::monitor::{Page, Span, SpanKind};
use coordination::workflow::{RunJournal, RunState, RunView, StepPhase, StepView};
use serde::Serialize;

use super::find::find_or_latest;
use super::list::between;
use super::lives::Lives;
use super::{RunsFault, with_journal};
use crate::args::{ReportArgs, Reported};
use crate::board::Lived;
use crate::exit_code::ExitCode;
use crate::kept_output::Kept;
use crate::measured::{Measured, Measures};
use crate::screen;
use crate::spoken::Spoken;

/// A run, for programs.
#[derive(Serialize)]
struct Document<'r> {
    #[serde(flatten)]
    view: &'r RunView,
    /// As how they were: in the view a service is a step, done once it was ready.
    services: Vec<Lived<'r>>,
    /// Nothing, where nothing was kept.
    measured: Option<&'r Measures>,
}

/// Writes the report of a run.
pub(crate) fn report(args: &ReportArgs) -> ExitCode {
    with_journal(&args.of.of, async |journal| {
        let runs = RunJournal::of(Arc::clone(journal));
        let run = find_or_latest(&runs, args.of.run.as_deref()).await?;
        let kept = Kept::of(journal.dir(), &run);
        let measured = Measured::of(kept.dir()).read()?;
        let view = runs.view(&run).await?;
        let lives = Lives::read(&kept, &view)?;
        let page = || page(&view, &lives, measured.as_ref());
        let page = match args.output {
            Reported::Html => page().to_string(),
            Reported::Text => page().to_text(),
            Reported::Json => {
                let document = Document {
                    view: &view,
                    services: lives.told(&view),
                    measured: measured.as_ref(),
                };
                let document = serde_json::to_string_pretty(&document).map_err(io::Error::from)?;
                document + "\n"
            }
        };
        match &args.out {
            Some(file) => fs::write(file, page).map_err(|source| RunsFault::Report {
                path: file.clone(),
                source,
            })?,
            None => {
                let mut out = screen::out(args.of.of.color.into());
                out.write_all(page.as_bytes())?;
                out.flush()?;
            }
        }
        Ok(())
    })
}

fn page(view: &RunView, lives: &Lives, measured: Option<&Measures>) -> Page {
    let lasted = lasted(view, lives);
    let is = |phase| {
        let steps = view.steps.iter();
        steps.filter(|step| lives.phase(step) == phase).count()
    };
    let again: u32 = view
        .steps
        .iter()
        .map(|step| step.attempts.saturating_sub(1))
        .sum();
    let subtitle = format!("run {}, started {}", view.run, utc(view.started_at));
    let mut page = Page::new(&view.workflow, subtitle)
        .tile("the run", view.phase().name())
        .tile("in all", Spoken(lasted).to_string())
        .tile(
            "steps done",
            format!("{} of {}", is(StepPhase::Completed), view.steps.len()),
        );
    for (name, count) in [
        (
            "steps failed",
            is(StepPhase::Failed) + is(StepPhase::NotUndone),
        ),
        ("steps skipped", is(StepPhase::Skipped)),
        ("steps undone", is(StepPhase::Undone)),
        ("further attempts", again as usize),
    ] {
        if count > 0 {
            page = page.tile(name, count.to_string());
        }
    }
    let spans = view
        .steps
        .iter()
        .filter_map(|step| span(view, lives, step, lasted));
    let rows = view.steps.iter().map(|step| row(view, lives, step));
    let heads = ["step", "state", "attempts", "began after", "took", "after"];
    let page = page
        .spans(
            "What ran when",
            lasted.as_secs_f64(),
            &spans.collect::<Vec<_>>(),
        )
        .table("Steps", &heads, &rows.collect::<Vec<_>>());
    // That of a step stands with that.
    let of_run = view.error.iter().filter(|_| view.failed_step().is_none());
    let of_run = of_run.map(|error| vec!["the run".to_owned(), error.clone()]);
    let errors = view.steps.iter().filter_map(|step| {
        let life = lives.of(step).and_then(|life| life.failed.as_ref());
        let error = step.error.as_ref().or(life)?;
        Some(vec![step.id.clone(), error.clone()])
    });
    let errors = of_run.chain(errors);
    let page = page.table(
        "What went wrong",
        &["step", "error"],
        &errors.collect::<Vec<_>>(),
    );
    let Some(measured) = measured else {
        return page.note(
            "Without charts of events, memory and processor time: a run is measured once a second, \
             and of this one nothing was kept.",
        );
    };
    let since = measured
        .history
        .at
        .first()
        .copied()
        .map(utc)
        .unwrap_or_default();
    page.latencies(&measured.latency)
        .history(&measured.history)
        .note(&format!(
            "The charts begin at {since}: they are of the `coord` that drove the run last, and of its \
             last hour."
        ))
}

/// A time as it is everywhere: the page may be read elsewhere.
fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// How long the run took, or goes on; of one that nobody drives, how far it had come.
fn lasted(view: &RunView, lives: &Lives) -> Duration {
    let moments = view.steps.iter().flat_map(|step| {
        let life = lives.of(step).and_then(|life| life.moments(view).1);
        [step.started, step.ended, life]
    });
    let last = moments.flatten().max().unwrap_or_default();
    match (view.duration, view.state) {
        (Some(took), _) => took.max(last),
        (None, RunState::Running) => {
            let gone_on = SystemClock.now().duration_since(view.started_at);
            Duration::try_from(gone_on).unwrap_or_default().max(last)
        }
        (None, _) => last,
    }
}

fn span(view: &RunView, lives: &Lives, step: &StepView, lasted: Duration) -> Option<Span> {
    let life = lives.of(step);
    let (began, ended) = match life {
        Some(life) => life.moments(view),
        None => (step.started?, step.ended.filter(|_| step.phase.is_over())),
    };
    let kind = match lives.phase(step) {
        _ if life.is_some() && ended.is_none() => SpanKind::Open,
        StepPhase::Completed => SpanKind::Good,
        StepPhase::Failed | StepPhase::NotUndone => SpanKind::Bad,
        phase if phase.is_over() => SpanKind::Odd,
        _ => SpanKind::Open,
    };
    let ended = ended.unwrap_or(lasted);
    let took = Spoken(ended.saturating_sub(began)).to_string();
    let remark = match kind {
        SpanKind::Good => took,
        _ => format!("{took}, {}", state_of(lives, step)),
    };
    let moments = (began.as_secs_f64(), ended.as_secs_f64());
    Some(Span::new(&step.id, remark, moments, kind))
}

/// Where a step is, or what became of a service, in a word.
fn state_of(lives: &Lives, step: &StepView) -> String {
    match lives.of(step) {
        Some(life) => life.state().1.to_owned(),
        None => step.phase.to_string(),
    }
}

fn row(view: &RunView, lives: &Lives, step: &StepView) -> Vec<String> {
    let needs = step.needs.iter().chain(&step.needs_any);
    let needs: Vec<_> = needs.map(|need| &*view.steps[*need].id).collect();
    let took = match (lives.of(step), step.phase.is_over()) {
        (Some(life), _) => life.took(),
        (None, true) => between(step.started, step.ended),
        (None, false) => String::new(),
    };
    vec![
        step.id.clone(),
        state_of(lives, step),
        step.attempts.to_string(),
        step.started
            .map(|began| Spoken(began).to_string())
            .unwrap_or_default(),
        took,
        needs.join(", "),
    ]
}
