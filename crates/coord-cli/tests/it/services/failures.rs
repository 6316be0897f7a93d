//! A service that does not come up ends the run, and it is said why.

use super::{Told, start};
use crate::coord::{is_gone, pids, run};

#[test]
fn a_service_that_does_not_become_ready_fails_the_run_with_what_it_said_last() {
    let done = run(r#"
        [[service]]
        id = "db"
        run = "sleep 1000 & echo pid=$!; echo pid=$$; echo disk is full; wait"
        ready = { exec = "echo no answer from the disk; exit 3", period = "100ms", failure_threshold = 2 }
        [[step]]
        id = "test"
        run = "echo tested"
        needs = ["db"]
        "#);
    done.exits(100)
        .says("db   · readiness probe: exit code 3: no answer from the disk\n")
        .says("db   · did not become ready: exit code 3: no answer from the disk\n")
        .says("\nfailed    db")
        .says("\nnot run   test\n")
        .says("\ndb failed: not ready within 200 ms: exit code 3: no answer from the disk\n")
        .says("  at coord.toml:3:14\n")
        .says("\n  | disk is full\n");
    assert!(!done.out.contains("| tested"), "{}", done.out);
    let pids = pids(&done.out);
    assert!(pids.len() >= 2 && pids.into_iter().all(is_gone));
}

#[test]
fn a_line_that_never_comes_is_what_is_missed() {
    let done = run(r#"
        [[service]]
        id = "db"
        run = "echo loading; exec sleep 1000"
        ready = { log = "^listening", period = "50ms", failure_threshold = 2 }
        "#);
    done.exits(100)
        .says("db · did not become ready: no line matched `^listening`\n")
        .says("\n  | loading\n");
}

#[test]
fn a_service_that_ends_before_it_is_ready_fails_the_run() {
    for (end, why) in [
        ("exit 3", "exit code 3"),
        ("exit 0", "it ended before it was ready"),
        ("kill -9 $$", "killed by SIGKILL"),
    ] {
        let done = run(&format!(
            "[[service]]\nid = 'db'\nrun = 'echo bad config; {end}'\nready = {{ log = 'up' }}\n\
             [[step]]\nid = 'test'\nrun = 'echo tested'\nneeds = ['db']\n"
        ));
        done.exits(100)
            .says(&format!("db   · failed: {why}\n"))
            .says(&format!(
                "\ndb failed: {why}\n  at coord.toml:2:6\n  | bad config\n"
            ))
            .says(" failed in ")
            .says(": 1 not run, 1 service failed\n");
        assert!(!done.out.contains("| tested"), "{}", done.out);
    }
}

#[test]
fn a_service_whose_program_is_missing_fails_the_run() {
    let told = Told::of(
        "[[service]]\nid = 'db'\ncommand = ['./there-is-none']\nrestart = 'always'\n\
         [[step]]\nid = 'test'\nrun = 'true'\nneeds = ['db']\n",
    );
    told.exits(100)
        .in_order(&["db starting", "db not-started", "db ended", "run-finished"]);
    assert_eq!(told.story("test"), Vec::<String>::new());
}

#[test]
fn what_was_done_is_undone_when_a_service_does_not_come_up_while_others_are_there() {
    let told = Told::of(
        r#"
        [[service]]
        id = "db"
        run = "trap 'rm up; exit 0' TERM; touch up; echo up; while true; do sleep 0.01; done"
        ready = { log = "up" }
        [[step]]
        id = "fill"
        run = "true"
        undo = "test -f up && echo emptied"
        needs = ["db"]
        [[service]]
        id = "api"
        run = "exit 1"
        ready = { log = "up" }
        needs = ["fill"]
        "#,
    );
    told.exits(100).in_order(&[
        "api ended",
        "api step-failed",
        "undo fill | emptied",
        "fill compensation-completed",
        "db ended",
    ]);
}

#[test]
fn a_run_that_is_interrupted_while_a_service_comes_up_leaves_nothing_of_it() {
    let (_folder, mut running) = start(
        "[[service]]\nid = 'db'\nrun = 'sleep 1000 & echo pid=$!; echo pid=$$; wait'\n\
         ready = { exec = 'false' }\n\
         [[step]]\nid = 'test'\nrun = 'true'\nneeds = ['db']\n",
        [],
    );
    running.until("pid=");
    running.until("pid=");
    super::interrupt(&mut running, "ending");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(130), "{printed}");
    assert!(pids(&printed).into_iter().all(is_gone), "{printed}");
}
