//! What happens when a service that was ready ends by itself.

use super::{Told, start};
use crate::coord::{Folder, Running, is_gone, pids, run};

/// A service that crashes once it has been ready `times` times, told by a file, and a step that
/// needs it and waits for the file `over`.
fn crashing(times: u32, restart: &str) -> String {
    let crash = format!(
        "echo up; echo x >> starts; sleep 0.05; if test $(wc -l < starts) -le {times}; \
         then echo out of memory; exit 3; fi; touch over; exec sleep 1000"
    );
    format!(
        "[[service]]\nid = 'db'\nrun = '''{crash}'''\nready = {{ log = 'up' }}\n\
         restart = {restart}\n\
         [[step]]\nid = 'test'\nneeds = ['db']\n\
         run = 'while ! test -f over; do sleep 0.01; done'\n"
    )
}

const SOON: &str = "{ policy = 'on-failure', initial = '1ms', max = '2ms', intensity = 3 }";

#[test]
fn a_service_that_crashes_is_started_again_and_the_run_goes_on() {
    let done = run(&crashing(1, SOON));
    done.exits(0)
        .says("db   · ended: exit code 3\n")
        .says("db   · is started again in 1 ms\n")
        .says("started 2 times\n")
        .says(" completed in ");
}

#[test]
fn a_service_that_crashes_too_often_is_given_up_and_the_run_fails() {
    let workflow = crashing(9, SOON).replace(
        "run = 'while",
        "run = 'trap \"echo told; exit 1\" TERM; while",
    );
    let done = run(&workflow);
    done.exits(100)
        .says("db   · is given up: ")
        .says("test | told\n")
        .says("\nfailed    db")
        .says("started 4 times\n")
        .says("\ncancelled test")
        .says("\ndb failed: exit code 3; ")
        .says("\n  at coord.toml:2:6\n")
        .says("\n  | out of memory\n")
        .says("coord failed in ");
}

#[test]
fn what_was_done_is_undone_while_the_services_that_are_left_are_up() {
    let told = Told::of(
        r#"
        [[service]]
        id = "store"
        run = "trap 'rm up; exit 0' TERM; touch up; echo up; while true; do sleep 0.01; done"
        ready = { log = "up" }
        [[step]]
        id = "fill"
        run = "true"
        undo = "test -f up && echo emptied"
        needs = ["store"]
        [[service]]
        id = "db"
        run = "echo up; while ! test -f tests; do sleep 0.01; done; exit 3"
        ready = { log = "up" }
        restart = "exit-on-failure"
        needs = ["fill"]
        [[step]]
        id = "test"
        run = "trap 'echo told; exit 1' TERM; touch tests; while true; do sleep 0.01; done"
        needs = ["db"]
        "#,
    );
    told.exits(100).in_order(&[
        "db ended",
        "db gave-up",
        "test stopping",
        "test exited",
        "test step-cancelled",
        "undo fill | emptied",
        "fill compensation-completed",
        "run-finished",
        "store stopping",
        "store ended",
    ]);
}

#[test]
fn a_service_that_may_end_the_run_does_so_at_its_first_failure() {
    let done = run(&crashing(1, "'exit-on-failure'"));
    done.exits(100)
        .says("\ndb failed: exit code 3\n")
        .says("\n  | out of memory\n");
    assert!(!done.out.contains("started again"), "{}", done.out);
}

#[test]
fn a_service_that_may_end_the_run_may_end_well() {
    let workflow = crashing(1, "'exit-on-failure'").replace("exit 3", "touch over; exit 0");
    run(&workflow).exits(0).says("\nstopped   db");
}

#[test]
fn a_service_that_is_not_restarted_may_crash_and_the_run_goes_on() {
    let folder = Folder::new();
    folder.write("coord.toml", crashing(1, "'no'"));
    let mut running = Running::start(folder.coord(["run"]));
    // Only then: who needs it no more would have stopped it.
    running.until("db   · ended: exit code 3");
    folder.write("over", "");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    for text in ["\nfailed    db", "done      test"] {
        assert!(printed.contains(text), "{text}: {printed}");
    }
    assert!(!printed.contains("started again"), "{printed}");
}

#[test]
fn a_service_that_is_always_restarted_is_so_after_it_has_ended_well() {
    let workflow = crashing(2, &SOON.replace("on-failure", "always")).replace("exit 3", "exit 0");
    run(&workflow).exits(0).says("started 3 times\n");
}

#[test]
fn a_service_that_is_restarted_after_failures_is_not_after_it_has_ended_well() {
    let workflow = crashing(1, SOON).replace("exit 3", "touch over; exit 0");
    let done = run(&workflow);
    done.exits(0);
    assert!(!done.out.contains("started again"), "{}", done.out);
}

#[test]
fn a_service_that_crashes_before_it_is_ready_may_come_up_the_next_time() {
    let done = run(r#"
        [[service]]
        id = "db"
        run = "test -f was || { touch was; exit 3; }; echo up; exec sleep 1000"
        ready = { log = "up" }
        restart = { policy = "on-failure", initial = "1ms", max = "1ms" }
        [[step]]
        id = "test"
        run = "echo tested"
        needs = ["db"]
        "#);
    done.exits(0)
        .says("test | tested\n")
        .says("started 2 times\n");
}

#[test]
fn a_service_that_is_not_well_any_more_is_started_again() {
    let told = Told::of(
        r#"
        [[service]]
        id = "db"
        run = "echo x >> starts; test $(wc -l < starts) = 1 || touch well over; echo up; exec sleep 1000"
        ready = { log = "up" }
        live = { exec = "test -f well", period = "20ms", failure_threshold = 2 }
        restart = { policy = "on-failure", initial = "1ms", max = "1ms" }
        [[step]]
        id = "test"
        run = "while ! test -f over; do sleep 0.01; done"
        needs = ["db"]
        "#,
    );
    told.exits(0)
        .in_order(&["db answers exit code 1", "db unhealthy", "db attempting"]);
    let starts = told
        .story("db")
        .iter()
        .filter(|what| *what == "starting")
        .count();
    assert_eq!(starts, 2, "{:#?}", told.all());
}

#[test]
fn a_service_that_is_there_for_itself_and_is_given_up_fails_a_run_whose_steps_are_over() {
    let (_folder, running) = start(
        r#"
        [[service]]
        id = "web"
        run = "echo pid=$$; while ! test -f crash; do sleep 0.01; done; exit 3"
        restart = "exit-on-failure"
        [[service]]
        id = "db"
        run = "echo pid=$$; exec sleep 1000"
        [[step]]
        id = "test"
        run = "sleep 0.1; touch crash"
        "#,
        [],
    );
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(100), "{printed}");
    assert!(printed.contains("\nweb failed: exit code 3\n"), "{printed}");
    assert!(printed.contains("\nstopped   db"), "{printed}");
    assert!(pids(&printed).into_iter().all(is_gone), "{printed}");
}

#[test]
fn the_last_service_to_end_may_fail_the_run() {
    // All at once, so often that each order is seen.
    for _ in 0..10 {
        let done = run("[[service]]\nid = 'db'\nrun = 'exit 1'\nrestart = 'exit-on-failure'\n");
        done.exits(100).says("\ndb failed: exit code 1\n");
        assert_eq!(done.err, "");
    }
}
