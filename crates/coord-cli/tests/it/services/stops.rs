//! How services are stopped: with their signal, their grace, and all that they have forked.

use rustix::process::Signal;

use super::{interrupt, start};
use crate::coord::{heard, is_gone, pids, run};

/// It, a child of it, and a child that ignores SIGTERM.
const STUBBORN: &str = "trap '' TERM INT; sleep 1000 & echo pid=$!; \
     (trap '' TERM; while true; do sleep 1000; done) & echo pid=$!; \
     echo pid=$$; echo up; while true; do sleep 1000; done";

#[test]
fn a_service_is_stopped_with_the_signal_that_the_file_gives() {
    let done = run(r#"
        [[service]]
        id = "db"
        run = "trap 'echo interrupted; exit 0' INT; echo up; while true; do sleep 0.01; done"
        ready = { log = "up" }
        stop = { signal = "SIGINT" }
        [[step]]
        id = "test"
        run = "true"
        needs = ["db"]
        "#);
    done.exits(0)
        .says("db   | interrupted\n")
        .says("db   · stopped\n");
}

#[test]
fn a_service_that_ignores_its_signal_is_killed_after_its_grace_with_all_it_has_forked() {
    let done = run(&format!(
        "[[service]]\nid = 'db'\nrun = \"{STUBBORN}\"\nready = {{ log = 'up' }}\n\
         stop = {{ grace = '100ms' }}\n\
         [[step]]\nid = 'test'\nrun = 'true'\nneeds = ['db']\n"
    ));
    done.exits(0).says("db   · stopped\n");
    let pids = pids(&done.out);
    assert_eq!(pids.len(), 3);
    assert!(pids.into_iter().all(is_gone), "{}", done.out);
}

#[test]
fn what_a_service_has_forked_is_gone_when_it_has_crashed() {
    let done = run(r#"
        [[service]]
        id = "db"
        run = "(trap '' TERM; while true; do sleep 1000; done) & echo pid=$!; echo up; sleep 0.1; touch over; exit 3"
        ready = { log = "up" }
        [[step]]
        id = "test"
        run = "while ! test -f over; do sleep 0.01; done"
        needs = ["db"]
        "#);
    done.exits(0);
    let pids = pids(&done.out);
    assert!(
        pids.len() == 1 && pids.into_iter().all(is_gone),
        "{}",
        done.out
    );
}

#[test]
fn an_interrupt_stops_steps_first_and_then_the_services() {
    for signal in heard([Signal::INT, Signal::TERM, Signal::HUP]) {
        let (_folder, mut running) = start(
            r#"
            [[service]]
            id = "db"
            run = "trap 'rm up; exit 0' TERM; touch up; echo pid=$$; while true; do sleep 0.01; done"
            ready = { log = "pid" }
            [[step]]
            id = "test"
            run = "trap 'sleep 0.1; test -f up && echo saved; exit 0' TERM; echo pid=$$; while true; do sleep 0.01; done"
            needs = ["db"]
            "#,
            [],
        );
        running.until("test | pid=");
        running.signal(signal);
        let (status, printed) = running.end();
        assert_eq!(status.code(), Some(130), "{printed}");
        assert!(printed.contains("test | saved\n"), "{printed}");
        assert!(printed.contains("\nstopped   db"), "{printed}");
        assert!(pids(&printed).into_iter().all(is_gone), "{printed}");
    }
}

#[test]
fn the_second_interrupt_kills_a_service_that_ignores_the_first() {
    let (_folder, mut running) = start(
        &format!(
            "[[service]]\nid = 'web'\nrun = \"{STUBBORN}\"\nready = {{ log = 'up' }}\n\
             stop = {{ grace = '1h' }}\n"
        ),
        [],
    );
    running.until("all steps are over");
    interrupt(&mut running, "ending");
    interrupt(&mut running, "killed");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    let pids = pids(&printed);
    assert_eq!(pids.len(), 3);
    assert!(pids.into_iter().all(is_gone), "{printed}");
}

#[test]
fn the_second_interrupt_kills_a_service_that_is_being_stopped_while_steps_go_on() {
    let (_folder, mut running) = start(
        &format!(
            "[[service]]\nid = 'db'\nrun = \"{STUBBORN}\"\nready = {{ log = 'up' }}\n\
             stop = {{ grace = '1h' }}\n\
             [[step]]\nid = 'test'\nrun = 'true'\nneeds = ['db']\n\
             [[step]]\nid = 'later'\nneeds = ['test']\n\
             run = \"trap '' TERM; echo pid=$$; while true; do sleep 1000; done\"\n"
        ),
        [],
    );
    running.until("later | pid=");
    interrupt(&mut running, "ending");
    interrupt(&mut running, "killed");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(130), "{printed}");
    let pids = pids(&printed);
    assert_eq!(pids.len(), 4);
    assert!(pids.into_iter().all(is_gone), "{printed}");
}

#[test]
fn the_second_interrupt_leaves_services_to_what_is_undone() {
    let (_folder, mut running) = start(
        &format!(
            "[[service]]\nid = 'db'\nrun = \"{STUBBORN}\"\nready = {{ log = 'up' }}\n\
             stop = {{ grace = '1h' }}\n\
             [[step]]\nid = 'fill'\nrun = 'true'\nneeds = ['db']\n\
             undo = 'sleep 0.2; kill -0 $(cat db) && echo emptied'\n\
             [[step]]\nid = 'waits'\nneeds = ['fill']\n\
             run = \"trap '' TERM; echo pid=$$; while true; do sleep 1000; done\"\n"
        )
        .replace("echo up;", "echo $$ > db; echo up;"),
        [],
    );
    running.until("waits | pid=");
    interrupt(&mut running, "ending");
    interrupt(&mut running, "killed");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(130), "{printed}");
    assert!(printed.contains("undo fill | emptied\n"), "{printed}");
    assert!(pids(&printed).into_iter().all(is_gone), "{printed}");
}

#[test]
fn the_second_interrupt_kills_a_service_that_is_coming_up() {
    let (_folder, mut running) = start(
        &format!(
            "[[service]]\nid = 'db'\nrun = \"{STUBBORN}\"\nready = {{ log = 'never' }}\n\
             stop = {{ grace = '1h' }}\n"
        ),
        [],
    );
    running.until("up");
    interrupt(&mut running, "ending");
    interrupt(&mut running, "killed");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(130), "{printed}");
    let pids = pids(&printed);
    assert_eq!(pids.len(), 3);
    assert!(pids.into_iter().all(is_gone), "{printed}");
}

#[test]
fn the_third_interrupt_leaves_with_nothing_of_a_service_left() {
    let (_folder, mut running) = start(
        &format!(
            "[[service]]\nid = 'db'\nrun = \"{STUBBORN}\"\nready = {{ log = 'up' }}\n\
             stop = {{ grace = '1h' }}\n\
             [[step]]\nid = 'fill'\nrun = 'true'\nneeds = ['db']\n\
             undo = \"trap '' TERM; echo pid=$$; while true; do sleep 1000; done\"\n\
             [[step]]\nid = 'waits'\nrun = 'echo pid=$$; sleep 1000'\nneeds = ['fill']\n"
        ),
        [],
    );
    running.until("waits | pid=");
    running.signal(Signal::INT);
    running.until("undo fill | pid=");
    interrupt(&mut running, "killed");
    running.signal(Signal::INT);
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(130), "{printed}");
    let pids = pids(&printed);
    assert!(pids.len() >= 5, "{printed}");
    assert!(pids.into_iter().all(is_gone), "{printed}");
}
