//! How long a service is there.

use serde_json::Value;

use super::{Told, interrupt, start};
use crate::coord::{Folder, Running, done, is_gone, pids};

#[test]
fn a_service_is_stopped_when_the_last_step_that_needs_it_is_over() {
    let told = Told::of(
        r#"
        [[service]]
        id = "db"
        run = "exec sleep 1000"
        [[step]]
        id = "first"
        run = "true"
        needs = ["db"]
        [[step]]
        id = "second"
        run = "true"
        needs = ["db", "first"]
        [[step]]
        id = "later"
        run = "while ! test -f go; do sleep 0.01; done"
        needs = ["second"]
        [[service]]
        id = "watch"
        run = "trap 'touch go; exit 0' TERM; echo up; while true; do sleep 0.01; done"
        ready = { log = "up" }
        needs = ["db"]
        [[step]]
        id = "third"
        run = "true"
        needs = ["watch", "second"]
        "#,
    );
    // The step that is left ends only when the service is stopped.
    told.exits(0).in_order(&[
        "first step-completed",
        "second step-completed",
        "third step-completed",
        "watch stopping",
        "later step-completed",
        "run-finished",
    ]);
    told.in_order(&["third step-completed", "watch ended", "db ended"]);
}

#[test]
fn services_stop_in_reverse_order_of_start() {
    let told = Told::of(
        r#"
        [[service]]
        id = "c"
        run = "exec sleep 1000"
        needs = ["b"]
        [[service]]
        id = "a"
        run = "trap 'sleep 0.1; exit 0' TERM; echo up; while true; do sleep 0.01; done"
        ready = { log = "up" }
        [[service]]
        id = "b"
        run = "trap 'sleep 0.1; exit 0' TERM; echo up; while true; do sleep 0.01; done"
        ready = { log = "up" }
        needs = ["a"]
        [[step]]
        id = "test"
        run = "true"
        needs = ["c"]
        "#,
    );
    told.exits(0).in_order(&[
        "a starting",
        "b starting",
        "c starting",
        "test step-completed",
        "c stopping",
        "c ended",
        "b stopping",
        "b ended",
        "a stopping",
        "a ended",
    ]);
}

#[test]
fn a_step_that_can_be_undone_keeps_its_services_until_it_has_been() {
    let told = Told::of(
        r#"
        [[service]]
        id = "db"
        run = "trap 'rm up; exit 0' TERM; touch up; echo up; while true; do sleep 0.01; done"
        ready = { log = "up" }
        [[step]]
        id = "fill"
        run = "test -f up"
        undo = "test -f up && echo emptied"
        needs = ["db"]
        [[step]]
        id = "fails"
        run = "sleep 0.2; exit 3"
        needs = ["fill"]
        "#,
    );
    told.exits(100).in_order(&[
        "fill step-completed",
        "fails step-failed",
        "undo fill | emptied",
        "fill compensation-completed",
        "db stopping",
        "db ended",
    ]);
}

#[test]
fn a_service_that_no_step_needs_runs_until_it_is_interrupted_and_that_is_no_failure() {
    let (_folder, mut running) = start(
        r#"
        [[service]]
        id = "web"
        run = "echo pid=$$; exec sleep 1000"
        ready = { log = "pid" }
        needs = ["db"]
        [[service]]
        id = "db"
        run = "echo pid=$$; exec sleep 1000"
        ready = { log = "pid" }
        [[step]]
        id = "test"
        run = "true"
        needs = ["db"]
        "#,
        [],
    );
    running.until("all steps are over");
    let up = pids(&running.printed);
    assert_eq!(up.len(), 2, "{}", running.printed);
    assert!(!up.iter().any(|pid| is_gone(*pid)), "{}", running.printed);
    interrupt(&mut running, "ending");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert!(up.into_iter().all(is_gone), "{printed}");
    assert!(printed.contains("stopped   web"), "{printed}");
}

#[test]
fn services_alone_run_until_they_are_interrupted() {
    let (_folder, mut running) = start(
        "[[service]]\nid = 'web'\nrun = 'echo pid=$$; exec sleep 1000'\nready = { log = 'pid' }\n",
        [],
    );
    running.until("all steps are over");
    interrupt(&mut running, "ending");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert!(pids(&printed).into_iter().all(is_gone), "{printed}");
}

#[test]
fn services_can_be_kept_though_nobody_needs_them_any_more() {
    let workflow = "[[service]]\nid = 'db'\nrun = 'echo pid=$$; exec sleep 1000'\nready = { log = 'pid' }\n\
                    [[step]]\nid = 'test'\nrun = 'true'\nneeds = ['db']\n";
    let (_folder, mut running) = start(workflow, ["--keep-services"]);
    running.until("all steps are over");
    let up = pids(&running.printed);
    assert!(!is_gone(up[0]), "{}", running.printed);
    interrupt(&mut running, "ending");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert!(is_gone(up[0]), "{printed}");
}

#[test]
fn a_run_is_over_when_a_service_that_is_there_for_itself_has_ended_well() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[service]]\nid = 'web'\nrun = 'sleep 0.1; echo bye'\nrestart = 'on-failure'\n",
    );
    let done = done(folder.coord(["run"]));
    done.exits(0).says("web | bye\n").says("stopped   web");
}

#[test]
fn kept_services_do_not_hold_up_a_run_of_many_steps() {
    // Two events a step: more than a topic holds for a subscriber that does not read.
    let step = |id: u32| format!("[[step]]\nid = 's{id}'\ncommand = ['true']\n");
    let folder = Folder::new();
    folder.write("coord.toml", (0..600).map(step).collect::<String>());
    let mut running = Running::start(folder.coord(["run", "--keep-services"]));
    running.until("coord completed in ");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
}

/// A service that is ready only when somebody has seen that it is not.
const SLOW: &str =
    "[[service]]\nid = 'slow'\nrun = 'echo begins; exec sleep 1000'\nready = { log = 'up' }\n";

#[test]
fn a_service_that_nobody_needs_before_it_is_ready_is_no_failure() {
    let told = Told::of(&format!(
        "{SLOW}
        [[service]]
        id = 'on-slow'
        run = 'touch started'
        needs = ['slow']
        [[service]]
        id = 'fast'
        run = 'exec sleep 1000'
        [[step]]
        id = 'any'
        needs_any = ['on-slow', 'fast']
        run = 'true'
        "
    ));
    told.exits(0)
        .in_order(&["any step-completed", "slow ended", "run-finished"]);
    let all = told.all();
    assert!(
        !all.iter()
            .any(|line| line.contains("failed") || line.starts_with("on-slow p")),
        "{all:#?}"
    );
}

#[test]
fn a_service_whose_only_step_is_skipped_before_it_is_ready_is_no_failure() {
    let folder = Folder::new();
    let test = "[[step]]\nid = 'test'\nneeds = ['slow']\nrun = 'true'\n";
    folder.write("coord.toml", format!("{SLOW}{test}"));
    let mut running = Running::start(folder.coord(["run", "--id", "r"]));
    running.until("slow | begins");
    done(folder.coord(["skip", "r", "test"])).exits(0);
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
}

#[test]
fn a_run_is_over_though_a_service_was_kept_for_an_undo_when_the_last_for_its_own_sake_has_ended() {
    let told = Told::of(
        r#"
        [[service]]
        id = "db"
        run = "trap 'touch gone; exit 0' TERM; while true; do sleep 0.01; done"
        [[service]]
        id = "own"
        run = "until test -e gone; do sleep 0.01; done"
        [[step]]
        id = "fill"
        needs = ["db"]
        run = "true"
        undo = "false"
        "#,
    );
    told.exits(0)
        .in_order(&["run-up", "db stopping", "own ended", "run-finished"]);
}

/// How long something took, of the columns of a line: `stopped db 1.2 s`.
fn took(printed: &str) -> f64 {
    let line = printed.lines().find(|line| line.contains(" db "));
    let line = line.unwrap_or_else(|| panic!("{printed}"));
    let words: Vec<_> = line.split_whitespace().collect();
    let number: f64 = words[2].parse().unwrap();
    match words[3] {
        "ms" => number / 1_000.0,
        "s" => number,
        unit => panic!("{unit}"),
    }
}

#[test]
fn how_long_a_service_lived_is_the_same_wherever_it_is_told() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[service]]\nid = 'db'\nrun = 'sleep 0.3; echo up; test -e again && exec sleep 100; touch again; exit 1'\n\
         ready = { log = 'up' }\nrestart = { policy = 'on-failure', initial = '200ms' }\n\
         [[step]]\nid = 'uses'\nneeds = ['db']\nrun = 'until test -e again; do sleep 0.01; done; sleep 0.6'\n",
    );
    let is_told_alike = |id: &str| {
        let ran = done(folder.coord(["run", "--id", id, "--output", "text"]));
        ran.exits(0).says("started 2 times");
        let summary = &ran.out[ran.out.find("\n\n").unwrap()..];
        let told = took(summary);
        assert!(told > 0.8, "{summary}");
        let shown = done(folder.coord(["show", id])).out;
        std::fs::remove_file(folder.path().join("again")).unwrap();
        (took(&shown) - told).abs() < 0.2
    };
    // More than once only where the machine has other things to do.
    assert!(
        ["one", "two", "three", "four"]
            .into_iter()
            .any(is_told_alike)
    );

    let ran = done(folder.coord(["run", "--id", "json", "--output", "json"]));
    let of_run: Value = serde_json::from_str(&ran.out).unwrap();
    let shown = done(folder.coord(["show", "json", "--output", "json"]));
    let of_show: Value = serde_json::from_str(&shown.out).unwrap();
    for document in [&of_run, &of_show] {
        let db = &document["services"][0];
        assert_eq!(
            (&db["id"], &db["state"]),
            (&"db".into(), &"stopped".into()),
            "{db}"
        );
        assert_eq!(db["starts"], 2, "{db}");
        let at = |key: &str| db[key].as_f64().unwrap();
        assert!(at("ready") - at("started") >= 0.3, "{db}");
        assert!(at("ended") - at("started") > 0.8, "{db}");
    }
}
