//! Runs whose process is killed with SIGKILL, at every record and at any other moment, until they
//! end: nothing that was kept is done twice, and they come to the same end. All the while, and while nobody drives
//! them, whatever may be of the runs within them is forgotten.

pub(crate) mod child;
mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coord_bus::EventLog;
use coord_journal::Journal;
use coord_workflow::{
    RunId, RunJournal, RunQuery, RunState, RunView, Status, StepPhase, WorkflowError,
};

use child::{Kill, Plot, effects, play};

/// How many random moments are tried for each plot.
const RANDOM: usize = 40;

/// How a run ended: of each step its phase and output, and what was undone.
#[derive(Debug, PartialEq)]
struct Ending {
    status: RunState,
    steps: Vec<(String, StepPhase, Option<String>)>,
    undone: BTreeSet<String>,
}

/// What is known of a run while its process is gone. `None`: it was killed before it had begun.
fn look(dir: &Path, check: bool) -> Option<RunView> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(async {
        let journal = Arc::new(Journal::open(dir.join("journal")).unwrap());
        if check {
            assert!(journal.check().await.unwrap().is_clean());
        }
        let runs = RunJournal::of(journal);
        match runs.view(&RunId::named(child::RUN).unwrap()).await {
            Ok(view) => Some(view),
            Err(WorkflowError::NoSuchRun { .. }) => None,
            Err(error) => panic!("{error:?}"),
        }
    })
}

/// Forgets what may be of the runs within the run, while nobody drives it.
fn forget_all(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(async {
        let journal = Journal::open(dir.join("journal")).unwrap();
        journal.retain(child::none_within()).await.unwrap();
    });
}

/// What is known to be done beside steps: items, rounds, and steps of runs within the run. With whether a
/// run is left that has not finished.
fn parts_done(dir: &Path) -> (BTreeSet<String>, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(async {
        let journal = Arc::new(Journal::open(dir.join("journal")).unwrap());
        let mut done = BTreeSet::new();
        let records = journal.read(&format!("run.{}", child::RUN), 1, 1_000).await;
        for stored in records.unwrap() {
            if stored.record.kind == "part-completed" {
                let record: serde_json::Value =
                    serde_json::from_slice(&stored.record.payload).unwrap();
                let (step, part) = (record["step"].as_str().unwrap(), &record["part"]);
                // What is done at an item, or in a round, of which each has a run is that run's.
                if !matches!(step, "fan" | "turns") {
                    done.insert(format!("{step}:{part}"));
                }
            }
        }
        let runs = RunJournal::of(journal);
        for run in runs.runs(&RunQuery::newest()).await.unwrap() {
            if run.as_str() != child::RUN {
                let view = runs.view(&run).await.unwrap();
                let item = view.parent.as_ref().and_then(|parent| parent.part);
                let item = item.map_or_else(String::new, |item| format!(":{item}"));
                let steps = completed(Some(&view)).into_iter();
                done.extend(steps.map(|step| step + &item));
            }
        }
        let unfinished = runs.runs(&RunQuery::newest().unfinished()).await;
        (done, !unfinished.unwrap().is_empty())
    })
}

/// The steps that completed, in the order in which that was kept.
fn completions(dir: &Path) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let records = runtime.unwrap().block_on(async {
        let journal = Journal::open(dir.join("journal")).unwrap();
        let stream = format!("run.{}", child::RUN);
        journal.read(&stream, 1, 1_000).await.unwrap()
    });
    let completed = records
        .iter()
        .filter(|stored| matches!(&*stored.record.kind, "step-completed" | "items-completed"));
    let steps = completed.map(|stored| {
        let record: serde_json::Value = serde_json::from_slice(&stored.record.payload).unwrap();
        record["step"].as_str().unwrap().to_owned()
    });
    steps.collect()
}

/// What was undone: the last that completed first, and one after another. Of what is undone again, as nobody
/// knew that it had been, nothing comes between.
fn undone_in_order(dir: &Path, view: &RunView, seen: &[String]) -> Vec<String> {
    let undone = seen.iter().filter_map(|seen| seen.strip_prefix("undo "));
    let mut undone: Vec<_> = undone.map(str::to_owned).collect();
    undone.dedup();
    let is_undone =
        |step: &String| view.step(step).map(|step| step.phase) == Some(StepPhase::Undone);
    let mut expected = completions(dir);
    expected.retain(is_undone);
    expected.reverse();
    assert_eq!(undone, expected, "undone in another order");
    undone
}

/// Whatever was asked for was under one key in all processes, and under that of nothing else: its own where
/// it is of the run itself, and of the run within it for that one's steps.
fn check_keys(plot: Plot, seen: &[String]) {
    let keys = seen.iter().filter_map(|effect| effect.strip_prefix("key "));
    let keys: BTreeSet<_> = keys.map(|key| key.split_once(' ').unwrap()).collect();
    let whats: BTreeSet<_> = keys.iter().map(|(what, _)| what).collect();
    assert_eq!(
        keys.len(),
        whats.len(),
        "one of them had two keys: {keys:?}"
    );
    for (what, key) in &keys {
        let (run, step) = key.split_once('/').unwrap();
        let run_of = match what.split_once(['-', ':']) {
            Some(("inner", _)) => "killed.child-".to_owned(),
            Some((of @ ("each" | "turn"), part)) if part.starts_with(['a', 'b']) => {
                let (at, part) = what.split_once(':').unwrap();
                let of = if of == "each" { "fan" } else { "turns" };
                assert_eq!(step, at);
                assert!(run.starts_with(&format!("killed.{of}.{part}-")), "{key}");
                continue;
            }
            _ => format!("{}-", child::RUN),
        };
        assert_eq!(step, *what);
        assert!(run.starts_with(&run_of), "{key}");
    }
    let expected = match plot {
        Plot::Completes | Plot::Fails => 6,
        // Items, rounds, the steps of the run within, and of each of the three, twice.
        Plot::Parts | Plot::PartsFail => 4 + 4 + 2 + 3 * 2 + 3 * 2,
    };
    assert_eq!(keys.len(), expected, "{keys:?}");
}

fn completed(view: Option<&RunView>) -> BTreeSet<String> {
    let steps = view.into_iter().flat_map(|view| &view.steps);
    let done = steps.filter(|step| {
        matches!(
            step.phase,
            StepPhase::Completed | StepPhase::Undone | StepPhase::NotUndone
        )
    });
    done.map(|step| step.id.clone()).collect()
}

/// Runs the plot to its end, killed each time as is said, and then not any more.
fn run(plot: Plot, kills: impl IntoIterator<Item = Kill>) -> (Ending, usize) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut kills = kills.into_iter().fuse();
    // Effects of steps, by the time at which those were known to be completed.
    let mut before: BTreeMap<String, usize> = BTreeMap::new();
    let mut before_parts: BTreeMap<String, usize> = BTreeMap::new();
    let mut processes = 0;
    loop {
        let kill = kills.next();
        let records = play(plot, dir, kill);
        processes += 1;
        let view = look(dir, false);
        // Nothing that was known to be completed has begun again.
        let seen = effects(dir);
        for (step, ends) in &before {
            let now = seen
                .iter()
                .filter(|effect| *effect == &format!("begin {step}"))
                .count();
            assert_eq!(
                now, *ends,
                "`{step}` began again after it had completed: {kill:?}"
            );
        }
        let (parts, is_left) = parts_done(dir);
        let begun = |part: &str| {
            let begins = seen.iter().filter(|seen| **seen == format!("begin{part}"));
            begins.count()
        };
        // Also of what is forgotten by now.
        for (part, known) in &before_parts {
            assert_eq!(begun(part), *known, "`{part}` began again: {kill:?}");
        }
        for part in parts {
            let part = format!("-part {part}");
            before_parts.insert(part.clone(), begun(&part));
            assert!(
                seen.contains(&format!("end{part}")),
                "`{part}` has no effect"
            );
        }
        for step in completed(view.as_ref()) {
            let begun = seen
                .iter()
                .filter(|effect| *effect == &format!("begin {step}"))
                .count();
            before.insert(step, begun);
        }
        assert!(processes < 200, "it comes to no end");
        let Some(view) = view.filter(|view| matches!(view.state, RunState::Finished(_))) else {
            forget_all(dir);
            continue;
        };
        look(dir, true);
        assert!(!is_left, "a run within it was left behind");
        // A sleep leaves no trace but its end, and what has parts leaves theirs.
        let has_parts = matches!(plot, Plot::Parts | Plot::PartsFail);
        let plain = view
            .steps
            .iter()
            .filter(|step| step.id != "nap" && !has_parts);
        for step in plain {
            let count = |what: &str| {
                let effect = format!("{what} {}", step.id);
                seen.iter().filter(|seen| **seen == effect).count()
            };
            if step.phase == StepPhase::Completed || step.phase == StepPhase::Undone {
                assert!(count("end") >= 1, "`{}` has no effect", step.id);
                assert!(count("end") <= processes, "`{}` has too many", step.id);
            }
            assert_eq!(
                count("undo") > 0,
                step.phase == StepPhase::Undone,
                "{}",
                step.id
            );
        }
        check_keys(plot, &seen);
        let undone = undone_in_order(dir, &view, &seen);
        let text = |step: &coord_workflow::StepView| step.output.as_ref().map(ToString::to_string);
        let steps = view.steps.iter();
        let ending = Ending {
            status: view.state,
            steps: steps
                .map(|step| (step.id.clone(), step.phase, text(step)))
                .collect(),
            undone: undone.into_iter().collect(),
        };
        return (ending, records);
    }
}

fn killed_at_every_record(plot: Plot, status: Status) {
    let (undisturbed, records) = run(plot, []);
    assert_eq!(undisturbed.status, RunState::Finished(status));
    assert!(records > 5, "{records}");
    for record in 0..records {
        for kill in [Kill::BeforeAppend(record), Kill::AfterAppend(record)] {
            let (ending, _) = run(plot, [kill]);
            assert_eq!(ending, undisturbed, "{kill:?}");
        }
    }
    // Killed after each append that it makes, again and again.
    let (ending, _) = run(plot, (0..100).map(|_| Kill::AfterAppend(1)));
    assert_eq!(ending, undisturbed);
}

fn killed_at_any_moment(plot: Plot) {
    let (undisturbed, _) = run(plot, []);
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..RANDOM {
        let times: Vec<_> = (0..random.usize(1..4))
            .map(|_| Duration::from_micros(random.u64(2_000..60_000)))
            .collect();
        let (ending, _) = run(plot, times.iter().map(|time| Kill::At(*time)));
        assert_eq!(ending, undisturbed, "seed {seed}, {times:?}");
    }
}

#[test]
fn a_run_that_completes_is_killed_at_every_record() {
    killed_at_every_record(Plot::Completes, Status::Completed);
}

#[test]
fn a_run_that_fails_and_is_undone_is_killed_at_every_record() {
    killed_at_every_record(Plot::Fails, Status::Failed);
}

#[test]
fn a_run_that_completes_is_killed_at_any_moment() {
    killed_at_any_moment(Plot::Completes);
}

#[test]
fn a_run_that_fails_and_is_undone_is_killed_at_any_moment() {
    killed_at_any_moment(Plot::Fails);
}

#[test]
fn a_run_of_items_rounds_and_runs_within_it_is_killed_at_every_record() {
    killed_at_every_record(Plot::Parts, Status::Completed);
}

#[test]
fn a_run_of_items_rounds_and_runs_within_it_that_fails_is_killed_at_every_record() {
    killed_at_every_record(Plot::PartsFail, Status::Failed);
}

#[test]
fn a_run_of_items_rounds_and_runs_within_it_that_fails_is_killed_at_any_moment() {
    killed_at_any_moment(Plot::PartsFail);
}
