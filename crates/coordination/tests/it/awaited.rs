//! A run that another process drives is waited for, to its end, or until that process is killed.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use coord_bus::time::sleep;
use coord_journal::Journal;
use coord_workflow::{RunId, RunJournal, RunState, RunSummary, Status, WorkflowError};
use tempfile::tempdir;

use crate::kills::child::{Kill, Plot, RUN, play};

/// What comes of waiting for a run that another process drives, which is killed then, or not.
fn awaited(dir: &Path, kill: Option<Kill>) -> Result<RunSummary, WorkflowError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let runs = RunJournal::of(Arc::new(Journal::open(dir.join("journal")).unwrap()));
    let run = RunId::named(RUN).unwrap();
    thread::scope(|scope| {
        let driven = scope.spawn(|| play(Plot::Completes, dir, kill));
        let ended = runtime.block_on(async {
            loop {
                match runs.ended(&run).await {
                    // tidy: sleep, because the other process is on its way.
                    Err(WorkflowError::NoSuchRun { .. }) => {
                        sleep(std::time::Duration::from_millis(2)).await;
                    }
                    ended => return ended,
                }
            }
        });
        driven.join().unwrap();
        ended
    })
}

#[test]
fn the_end_of_a_run_that_another_process_drives_is_waited_for() {
    let dir = tempdir().unwrap();
    let ended = awaited(dir.path(), None).unwrap();
    assert_eq!(ended.state, RunState::Finished(Status::Completed));
    assert_eq!((ended.done, ended.steps), (8, 8));
}

#[test]
fn who_waits_for_a_run_whose_process_is_killed_is_told_that_nobody_drives_it() {
    let dir = tempdir().unwrap();
    let ended = awaited(dir.path(), Some(Kill::BeforeAppend(6)));
    let is_told = matches!(&ended, Err(WorkflowError::NotDriven { run }) if run == RUN);
    assert!(is_told, "{ended:?}");
    // Taken up by another, it comes to its end.
    let ended = awaited(dir.path(), None);
    let ended = match ended {
        // It was asked for before that one had it.
        Err(WorkflowError::NotDriven { .. }) => awaited(dir.path(), None),
        ended => ended,
    };
    assert_eq!(ended.unwrap().state, RunState::Finished(Status::Completed));
}
