//! What a finished run tells: its timeline, its critical path and slack, its chart and its graph.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::LocalBus;
use coord_bus::time::sleep;
use coord_workflow::{
    GraphState, Outcome, Retry, Status, Step, StepContext, StepError, StepState, TimelineEvent,
    Workflow, WorkflowOrchestrator,
};
use proptest::prelude::*;

/// A step that takes so many milliseconds; when it needs which earlier ones, by bit.
#[derive(Debug, Clone)]
struct Shape {
    needs: u16,
    /// Which it needs any of.
    needs_any: u16,
    takes: u64,
    /// It fails, which harms nobody.
    fails: bool,
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let takes = prop_oneof![1 => Just(0_u64), 4 => 1..50_u64];
    let needs_any = prop_oneof![2 => Just(0), 1 => any::<u16>()];
    let shape = (any::<u16>(), needs_any, takes, prop::bool::weighted(0.2));
    let shape = shape.prop_map(|(needs, needs_any, takes, fails)| Shape {
        needs: needs & needs.rotate_left(5),
        needs_any,
        takes,
        fails,
    });
    prop::collection::vec(shape, 1..12)
}

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn build(shapes: &[Shape], limit: usize) -> Workflow {
    let limit = NonZeroUsize::new(limit).unwrap();
    let mut workflow = Workflow::builder("told").concurrency(limit);
    let mut handles: Vec<Step<()>> = Vec::new();
    for (index, shape) in shapes.iter().enumerate() {
        let Shape { takes, fails, .. } = *shape;
        let mut step = workflow.step(format!("s{index}")).optional();
        for (need, handle) in handles.iter().enumerate() {
            if shape.needs & (1 << need) != 0 {
                step = step.after(handle);
            }
        }
        let any = (0..index).filter(|need| shape.needs_any & (1 << need) != 0);
        step = step.after_any(any.map(|need| &handles[need]));
        handles.push(step.run(move || async move {
            if takes > 0 {
                sleep(ms(takes)).await;
            }
            match fails {
                true => Err(StepError::message("it was to fail")),
                false => Ok(()),
            }
        }));
    }
    workflow.build().unwrap()
}

/// Runs it, and cancels it after this time, if it still goes on.
fn execute(workflow: &Workflow, cancel_after: Option<u64>) -> Arc<Outcome> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let orchestrator = WorkflowOrchestrator::new(&LocalBus::new()).unwrap();
        let run = orchestrator.start_workflow(workflow, ()).unwrap();
        if let Some(wait) = cancel_after {
            sleep(ms(wait)).await;
            run.cancel();
        }
        run.outcome().await.unwrap()
    })
}

/// Rounded: timers of a paused clock fire to the millisecond.
fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

proptest! {
    #[test]
    fn the_critical_path_is_a_chain_as_long_as_the_steps_took_and_without_slack(
        shapes in shapes(),
        limit in 1..13_usize,
        cancel_after in prop::option::weighted(0.3, 0..60_u64),
    ) {
        let outcome = execute(&build(&shapes, limit), cancel_after);
        let path = outcome.critical_path();
        prop_assert!(path.length <= outcome.duration);
        let whole: Duration = path.steps.iter().map(|on_it| on_it.wait + on_it.duration).sum();
        prop_assert_eq!(whole, path.length);
        let index = |id: &str| id[1..].parse::<usize>().unwrap();
        for pair in path.steps.windows(2) {
            let (before, after) = (index(pair[0].step.id), index(pair[1].step.id));
            let needs = shapes[after].needs | shapes[after].needs_any;
            prop_assert!(needs & (1 << before) != 0);
        }
        for on_it in &path.steps {
            prop_assert_eq!(path.slack()[index(on_it.step.id)], Some(Duration::ZERO));
        }
        for (step, slack) in outcome.steps().zip(path.slack()) {
            // One that began has some, or none; nothing is said of one that had no chance to.
            let is_told = !matches!(step.state, StepState::Cancelled) || step.started.is_some();
            prop_assert_eq!(slack.is_some(), is_told);
            if let (Some(slack), Some(started)) = (slack, step.started) {
                prop_assert!(started + step.duration + *slack <= path.length);
            }
        }
        if outcome.status == Status::Completed {
            prop_assert_eq!(path.length, outcome.duration);
        }
    }

    #[test]
    fn a_step_that_takes_longer_by_its_slack_holds_nothing_up_and_by_more_it_does(
        mut shapes in shapes(),
        which in any::<prop::sample::Index>(),
    ) {
        let which = which.index(shapes.len());
        // Where another would do, a step has more time than is told.
        shapes.iter_mut().for_each(|shape| shape.needs_any = 0);
        let whole = |shapes: &[Shape]| execute(&build(shapes, usize::MAX), None);
        let before = whole(&shapes);
        let slack = in_ms(before.critical_path().slack()[which].unwrap());
        for (longer, expected) in [(slack, 0), (slack + 7, 7)] {
            let mut later = shapes.clone();
            later[which].takes += longer;
            let after = whole(&later);
            prop_assert_eq!(in_ms(after.duration), in_ms(before.duration) + expected);
        }
    }

    #[test]
    fn a_timeline_is_in_the_order_of_time_and_of_what_needs_what(
        shapes in shapes(),
        limit in 1..13_usize,
        cancel_after in prop::option::weighted(0.3, 0..60_u64),
    ) {
        let outcome = execute(&build(&shapes, limit), cancel_after);
        let timeline = outcome.timeline();
        let entries = &timeline.entries;
        prop_assert!(entries.is_sorted_by_key(|entry| entry.at));
        let place = |start: bool, index: usize| entries.iter().position(|entry| {
            let (is_start, step) = match &entry.event {
                TimelineEvent::StepStarted(step) => (true, step),
                TimelineEvent::StepEnded(step) => (false, step),
                _ => return false,
            };
            is_start == start && step.id == format!("s{index}")
        });
        prop_assert!(matches!(entries.first().unwrap().event, TimelineEvent::RunStarted));
        prop_assert!(matches!(entries.last().unwrap().event, TimelineEvent::RunFinished(_)));
        let mut count = 2;
        for (index, (shape, step)) in shapes.iter().zip(outcome.steps()).enumerate() {
            let (started, ended) = (place(true, index), place(false, index));
            prop_assert!(ended.is_some());
            prop_assert_eq!(started.is_some(), step.started.is_some());
            count += 1 + usize::from(started.is_some());
            let Some(started) = started else { continue };
            prop_assert!(Some(started) < ended);
            for need in (0..index).filter(|need| shape.needs & (1 << need) != 0) {
                prop_assert!(place(false, need) < Some(started));
            }
        }
        prop_assert_eq!(entries.len(), count);
    }

    #[test]
    fn no_line_of_a_chart_is_longer_than_it_may_be_and_each_step_that_began_has_a_bar(
        shapes in shapes(),
        limit in 1..13_usize,
        width in 40..120_usize,
        cancel_after in prop::option::weighted(0.3, 0..60_u64),
    ) {
        let outcome = execute(&build(&shapes, limit), cancel_after);
        let chart = outcome.gantt().width(width).to_string();
        let rows: Vec<&str> = chart.lines().skip(1).collect();
        prop_assert_eq!(rows.len(), shapes.len());
        prop_assert!(chart.is_ascii());
        let path = outcome.critical_path();
        for (row, step) in rows.iter().zip(outcome.steps()) {
            prop_assert!(row.len() <= width, "{row}");
            let on_it = path.steps.iter().any(|on_it| on_it.step.id == step.id);
            prop_assert_eq!(row.contains('#'), on_it && step.started.is_some());
            prop_assert_eq!(row.contains('='), !on_it && step.started.is_some());
        }
    }
}

/// `fetch` for 2 s, then `lint`, which fails twice, beside `build`; then `push`, which cannot, after
/// a step that is skipped. One step at a time.
fn release() -> Arc<Outcome> {
    let mut workflow = Workflow::builder("release").concurrency(NonZeroUsize::MIN);
    let wait = |seconds| async move {
        sleep(Duration::from_secs(seconds)).await;
        Ok::<_, StepError>(())
    };
    let fetch = workflow
        .step("fetch")
        .compensate(|_: Arc<()>| async { Ok::<_, StepError>(()) })
        .run(move || wait(2));
    let lint = workflow
        .step("lint")
        .after(&fetch)
        .optional()
        .retry(Retry::constant(Duration::ZERO).max_attempts(2))
        .run_with(move |context: StepContext| async move {
            wait(3 - u64::from(context.attempt())).await?;
            Err::<(), _>(StepError::message("two spaces"))
        });
    let build = workflow
        .step("build")
        .after(&fetch)
        .compensate(|_: Arc<()>| async { Err(StepError::message("locked").permanent()) })
        .run(move || wait(4));
    let notes = workflow.step("notes").when(|| false).run(move || wait(1));
    let push = workflow
        .step("push")
        .after(&lint)
        .after(&build)
        .after(&notes)
        .run(|| async { Err::<(), _>(StepError::message("offline")) });
    workflow.step("announce").after(&push).run(move || wait(1));
    execute(&workflow.build().unwrap(), None)
}

#[test]
fn a_timeline_reads_like_a_diary() {
    let expected = "
    0.000s  the run started
    0.000s  fetch started
    2.000s  fetch completed
    2.000s  lint started
    5.000s  lint failed in attempt 2: two spaces
    5.000s  build started
    9.000s  build completed
    9.000s  notes skipped: its condition is false
    9.000s  push started
    9.000s  push failed: offline
    9.000s  announce cancelled
    9.000s  the run ended: failed
";
    assert_eq!(without_micros(&release().timeline().to_string()), expected);
}

/// Timers of a paused clock fire up to a millisecond late, which is not what is shown here.
fn without_micros(text: &str) -> String {
    let digit_before = |line: &str| match line.split_once('.') {
        Some((seconds, rest)) if rest.starts_with("00") => format!("{seconds}.000{}", &rest[3..]),
        _ => line.to_owned(),
    };
    let lines = text.lines().map(|line| digit_before(line) + "\n");
    String::from("\n") + &lines.collect::<String>()
}

#[test]
fn a_wait_for_room_is_on_the_critical_path_of_who_waited() {
    let outcome = release();
    let path = outcome.critical_path();
    let steps: Vec<(u64, &str)> = path
        .steps
        .iter()
        .map(|on_it| (on_it.wait.as_secs(), on_it.step.id))
        .collect();
    assert_eq!(steps, [(0, "fetch"), (3, "build"), (0, "push")]);
    assert!(path.to_string().contains("3.0s  waiting for room\n"));
    assert_eq!(path.slack()[5], None, "it never began");
}

#[test]
fn a_chart_shows_waits_bars_and_what_did_not_end_well() {
    let expected = "
release: failed in 9.0s, # on the critical path
  fetch    |######                       |  2.0s
  lint     |      ==========             |  3.0s failed
  build    |      ..........#############|  4.0s
  notes    |                             |       skipped
  push     |                            #| 0.0ms failed
  announce |                             |       cancelled
";
    let outcome = release();
    let chart = outcome.gantt().width(58);
    assert_eq!(format!("\n{chart}"), expected);
    let blocks = outcome.gantt().unicode().width(58).to_string();
    assert!(blocks.contains("│██████      "), "{blocks}");
    let narrow = outcome.gantt().width(20).to_string();
    assert!(narrow.contains("\n  annou~ |"), "{narrow}");
}

#[test]
fn the_graph_of_a_run_has_its_states_in_every_form() {
    let graph = release().graph();
    let expected = "release: 6 steps in 4 stages
  1  fetch (2.0s) [undone]
     notes [skipped]
  2  lint (optional, 3.0s, 2 attempts) [failed]  after fetch
     build (4.0s) [not-undone]                   after fetch
  3  push (0.0ms) [failed]                       after lint, build, notes
  4  announce [cancelled]                        after push
";
    assert_eq!(graph.to_string(), expected);
    let states: Vec<_> = graph.steps.iter().filter_map(|step| step.state).collect();
    assert_eq!(states[0], GraphState::Undone);
    assert_eq!(states[2], GraphState::NotUndone);
    let mermaid = graph.to_mermaid();
    assert!(
        mermaid.contains("s2[\"build (4.0s)\"]:::not_undone\n"),
        "{mermaid}"
    );
    let classes: Vec<&str> = mermaid
        .lines()
        .filter(|line| line.contains("classDef"))
        .collect();
    assert_eq!(classes.len(), 5, "{mermaid}");
    let dot = graph.to_dot();
    let cancelled = "\"announce\" [style=filled fillcolor=\"#eaeef2\" color=\"#57606a\"]";
    assert!(dot.contains(cancelled), "{dot}");
    let json = serde_json::to_value(&graph).unwrap();
    let build = &json["steps"][2];
    assert_eq!(build["state"], "not-undone");
    assert_eq!(build["duration"], 4.0);
    assert_eq!(json["steps"][1]["attempts"], 2);
    assert_eq!(json["steps"][5].get("duration"), None, "it never began");
}
