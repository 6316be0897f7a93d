//! When a service is started, and when it is ready.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::{Told, start};

use crate::coord::{Folder, done};

/// Before what needs it begins.
const READY_FIRST: [&str; 4] = ["db starting", "db started", "db ready", "test step-started"];

#[test]
fn a_step_begins_when_the_service_that_it_needs_has_said_that_it_is_ready() {
    let told = Told::of(
        r#"
        [[service]]
        id = "db"
        run = "echo loading; sleep 0.2; echo 'listening on 1'; exec sleep 1000"
        ready = { log = "^listening on [0-9]$" }
        [[step]]
        id = "test"
        run = "true"
        needs = ["db"]
        "#,
    );
    told.exits(0).in_order(&READY_FIRST).in_order(&[
        "db | loading",
        "db | listening on 1",
        "db ready",
        "test step-started",
    ]);
}

#[test]
fn a_step_begins_when_a_command_finds_its_service_ready() {
    let told = Told::of(
        r#"
        [[service]]
        id = "db"
        run = "while ! test -f asked; do sleep 0.01; done; sleep 0.1; touch up; exec sleep 1000"
        ready = { exec = "touch asked; test -f up" }
        [[step]]
        id = "test"
        run = "test -f up"
        needs = ["db"]
        "#,
    );
    told.exits(0).in_order(&READY_FIRST).in_order(&[
        "db answers exit code 1",
        "db answers exit code 0",
        "db ready",
    ]);
}

#[test]
fn a_step_begins_when_its_service_can_be_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (_folder, mut running) = start(
        &format!(
            "[[service]]\nid = 'db'\nrun = 'exec sleep 1000'\nready = {{ tcp = '{address}' }}\n\
             [[step]]\nid = 'test'\nrun = 'echo tested'\nneeds = ['db']\n"
        ),
        [],
    );
    running.until("db   · readiness probe: connection refused\n");
    assert!(!running.printed.contains("test"), "{}", running.printed);
    let _listener = TcpListener::bind(address).unwrap();
    running.until("test | tested\n");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
}

#[test]
fn a_step_begins_when_its_service_answers_well() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for status in ["503 Later", "503 Later", "204 Fine"] {
            let (mut client, _) = listener.accept().unwrap();
            let _ = client.read(&mut [0; 1024]);
            write!(client, "HTTP/1.1 {status}\r\nconnection: close\r\n\r\n").unwrap();
        }
    });
    let told = Told::of(&format!(
        "[[service]]\nid = 'db'\nrun = 'exec sleep 1000'\n\
         ready = {{ http = 'http://{address}/health' }}\n\
         [[step]]\nid = 'test'\nrun = 'true'\nneeds = ['db']\n"
    ));
    told.exits(0).in_order(&READY_FIRST).in_order(&[
        "db answers HTTP 503",
        "db answers HTTP 204",
        "test step-started",
    ]);
}

#[test]
fn a_service_that_needs_a_step_or_a_service_starts_after_it() {
    let told = Told::of(
        r#"
        [[step]]
        id = "test"
        run = "true"
        needs = ["api"]
        [[service]]
        id = "api"
        run = "test -f built && test -f up && exec sleep 1000"
        needs = ["build", "db"]
        [[service]]
        id = "db"
        run = "sleep 0.1; touch up; echo up; exec sleep 1000"
        ready = { log = "up" }
        [[step]]
        id = "build"
        run = "sleep 0.1; touch built"
        "#,
    );
    told.exits(0)
        .in_order(&["build step-completed", "api starting", "api ready"])
        .in_order(&["db ready", "api starting", "test step-started"]);
}

#[test]
fn a_service_that_only_a_skipped_step_needs_is_not_started() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [[service]]
        id = "db"
        run = "touch started; exec sleep 1000"
        [[service]]
        id = "api"
        run = "touch started; exec sleep 1000"
        needs = ["db"]
        [[step]]
        id = "test"
        run = "true"
        needs = ["api"]
        when = "false"
        [[step]]
        id = "build"
        run = "true"
        "#,
    );
    let done = done(folder.coord(["run"]));
    done.exits(0).says("done      build");
    assert_eq!(folder.read("started"), None, "{}", done.out);
}

#[test]
fn one_place_is_enough_for_a_service_and_a_step_that_needs_it() {
    let told = Told::of(
        r#"
        concurrency = 1
        [[step]]
        id = "test"
        run = "true"
        needs = ["api"]
        [[service]]
        id = "api"
        run = "exec sleep 1000"
        needs = ["db"]
        [[service]]
        id = "db"
        run = "echo up; exec sleep 1000"
        ready = { log = "up" }
        "#,
    );
    told.exits(0)
        .in_order(&["db ready", "api ready", "test step-completed"]);
}

#[test]
fn parameters_variables_and_the_folder_reach_a_service_and_its_probe() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    folder.write(
        "coord.toml",
        r#"
        name = "w"
        [params]
        port = 1
        [env]
        A = "file"
        B = "file"
        [[service]]
        id = "db"
        run = 'touch "up-$PARAM_PORT"; echo "$PARAM_PORT $A $B $COORD_WORKFLOW $COORD_STEP"; exec sleep 1000'
        dir = "data"
        env = { B = "own" }
        ready = { exec = 'test -f "up-$PARAM_PORT" && test "$B" = own' }
        [[step]]
        id = "test"
        run = "test -f data/up-7"
        needs = ["db"]
        "#,
    );
    let done = done(folder.coord(["run", "--param", "port=7"]));
    done.exits(0).says("db   | 7 file own w db\n");
}
