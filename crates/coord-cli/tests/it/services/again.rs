//! Services that have ended are started again by hand, in a run that goes on.

use crate::coord::{Folder, Running, done, until};
use crate::terminal::{DOWN, Terminal, coord};

/// A database and what needs it, each of which notes when it is started and when it ends, and something that
/// falls until it is mended; and a step for as long as there is no file `go`.
const HOUSE: &str = r#"
[[service]]
id = "db"
run = "trap 'echo db >> ends; exit 0' TERM; echo db $COORD_ATTEMPT >> starts; echo up; while :; do sleep 0.01; done"
ready = { log = "up" }
[[service]]
id = "api"
run = "trap 'echo api >> ends; exit 0' TERM; echo api $COORD_ATTEMPT >> starts; echo up; while :; do sleep 0.01; done"
ready = { log = "up" }
needs = ["db"]
[[service]]
id = "bad"
run = "echo up; until test -e fall; do sleep 0.01; done; test -e mended || exit 3; exec sleep 1000"
ready = { log = "up" }
restart = "no"
[[step]]
id = "work"
run = "echo working; until test -e go; do sleep 0.01; done"
needs = ["api", "bad"]
"#;

fn house() -> (Folder, Running) {
    let folder = Folder::new();
    folder.write("coord.toml", HOUSE);
    let mut running = Running::start(folder.coord(["run", "--id", "r"]));
    running.until("work | working");
    (folder, running)
}

fn told(folder: &Folder, arguments: [&str; 3]) -> String {
    let told = done(folder.coord(arguments));
    told.exits(0);
    told.out
}

/// Until it is told of a service that this became of it.
fn became(folder: &Folder, service: &str, what: &str) {
    let what = format!("{service}: {what}\n");
    until(|| told(folder, ["why", "r", service]) == what);
}

#[test]
fn one_that_was_stopped_or_has_crashed_is_started_again_from_another_process() {
    let (folder, mut running) = house();
    told(&folder, ["stop", "r", "api"]);
    became(&folder, "api", "is stopped");
    folder.write("fall", "");
    became(&folder, "bad", "has failed: exit code 3");
    let why = done(folder.coord(["why", "r", "bad", "--output=json"]));
    why.says("\"phase\": \"failed\"")
        .says("\"error\": \"exit code 3\"");

    let says = "run r starts the service `api` again\n";
    assert_eq!(told(&folder, ["restart", "r", "api"]), says);
    became(&folder, "api", "is ready");
    folder.write("mended", "");
    told(&folder, ["restart", "r", "bad"]);
    became(&folder, "bad", "is ready");
    assert_eq!(folder.read("starts").unwrap(), "db 1\napi 1\napi 2\n");
    let shown = done(folder.coord(["show", "r"])).out;
    assert_eq!(shown.matches("started 2 times").count(), 2, "{shown}");
    let logs = told(&folder, ["logs", "r", "bad"]);
    assert_eq!(logs, "up\n· ended: exit code 3; started again\nup\n");

    folder.write("go", "");
    running.until("completed in");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert_eq!(printed.matches("started 2 times").count(), 2, "{printed}");
    assert!(!printed.contains("failed    "), "{printed}");
}

#[test]
fn those_that_it_needs_are_started_first_and_are_stopped_after_it_all_the_same() {
    let (folder, running) = house();
    for service in ["api", "db"] {
        told(&folder, ["stop", "r", service]);
        became(&folder, service, "is stopped");
    }
    told(&folder, ["restart", "r", "api"]);
    became(&folder, "api", "is ready");
    let starts = folder.read("starts").unwrap();
    assert_eq!(starts, "db 1\napi 1\ndb 2\napi 2\n");
    folder.write("go", "");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert_eq!(folder.read("ends").unwrap(), "api\ndb\napi\ndb\n");
}

#[test]
fn one_that_is_started_again_while_it_stops_comes_back_once_it_has() {
    let folder = Folder::new();
    let slow = HOUSE.replace("echo api >> ends", "until test -e end; do sleep 0.01; done");
    folder.write("coord.toml", slow);
    let mut running = Running::start(folder.coord(["run", "--id", "r"]));
    running.until("work | working");
    told(&folder, ["stop", "r", "api"]);
    told(&folder, ["restart", "r", "api"]);
    folder.write("end", "");
    until(|| folder.read("starts").unwrap().contains("api 2\n"));
    folder.write("go", "");
    assert_eq!(running.end().0.code(), Some(0));
}

#[test]
fn a_run_that_is_up_for_its_services_is_so_for_one_that_was_started_again() {
    let folder = Folder::new();
    let one = |id| {
        format!(
            "[[service]]\nid = '{id}'\nrun = 'echo up; exec sleep 1000'\nready = {{ log = 'up' }}\n"
        )
    };
    folder.write("coord.toml", one("first") + &one("second"));
    let mut running = Running::start(folder.coord(["run", "--id", "r"]));
    running.until("the services run on");
    told(&folder, ["stop", "r", "first"]);
    became(&folder, "first", "is stopped");
    told(&folder, ["restart", "r", "first"]);
    became(&folder, "first", "is ready");
    told(&folder, ["stop", "r", "second"]);
    became(&folder, "second", "is stopped");
    became(&folder, "first", "is ready");
    told(&folder, ["stop", "r", "first"]);
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
}

#[test]
fn a_key_starts_it_again_also_for_who_looks_on() {
    let folder = Folder::new();
    folder.write("coord.toml", HOUSE);
    let run = ["run", "--id", "r", "--journal", "state/coord"];
    let here = Terminal::start(coord(folder.path()).args(run), 24, 80);
    here.shows("working");
    let attach = ["attach", "r", "--journal", "state/coord"];
    let elsewhere = Terminal::start(coord(folder.path()).args(attach), 24, 80);
    elsewhere.shows("working");
    // Who looks on is told later: first of what the other did.
    for (ready, starts, terminal) in [("api  ready", 2, &here), ("api  ready x2", 3, &elsewhere)] {
        // To the first row, and to the second.
        let selects = ["<", DOWN].concat();
        terminal.keys(&selects);
        terminal.shows(ready);
        terminal.keys("K");
        terminal.shows("api  stopped");
        terminal.keys(&selects);
        terminal.shows("r start again");
        terminal.keys("r");
        terminal.shows("starting api again");
        until(|| {
            folder
                .read("starts")
                .unwrap()
                .contains(&format!("api {starts}\n"))
        });
        terminal.shows("api  ready");
    }
    folder.write("go", "");
}
