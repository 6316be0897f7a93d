//! A run as a page.

use serde_json::Value;

use super::{id, list};
use crate::coord::{Folder, Running, done};

const FILE: &str = "name = 'release'\n\
     [[step]]\nid = 'first'\nrun = 'sleep 0.2'\n\
     [[step]]\nid = 'breaks'\nneeds = ['first']\nrun = 'exit 3'\nretry = { max_attempts = 2, initial = '1ms' }\n\
     [[step]]\nid = 'never'\nneeds = ['breaks']\nrun = 'true'\n";

#[test]
fn the_page_of_a_run_shows_what_its_steps_did_and_nothing_that_was_not_kept() {
    let folder = Folder::new();
    folder.write("coord.toml", FILE);
    done(folder.coord(["run"])).exits(100);
    let runs = list(&folder, "failed");
    let run = id(&runs[0]);
    let printed = done(folder.coord(["report", run]));
    printed.exits(0);
    let page = &printed.out;
    assert!(
        page.starts_with("<!doctype html>") && page.ends_with("</html>\n"),
        "{page}"
    );
    assert!(
        page.contains("<h1>release</h1>") && page.contains(run),
        "{page}"
    );
    assert!(
        page.contains("<b>1 of 3</b><span>steps done</span>"),
        "{page}"
    );
    assert!(page.contains("<b>1</b><span>steps failed</span>"), "{page}");
    assert!(
        page.contains("<td>breaks</td><td class=words>failed</td><td>2</td>"),
        "{page}"
    );
    // What never began has no bar.
    assert_eq!(page.matches("<rect").count(), 2, "{page}");
    assert!(page.contains("<h2>What went wrong</h2>"), "{page}");
    assert!(!page.contains("Resident memory"), "{page}");
    assert!(page.contains("of this one nothing was kept"), "{page}");

    done(folder.coord(["report", run, "--out", "run.html"])).exits(0);
    assert_eq!(folder.read("run.html").as_ref(), Some(page));
    let text = done(folder.coord(["report", run, "--output", "text"]));
    text.exits(0);
    for line in ["steps done: 1 of 3", "WHAT RAN WHEN", "WHAT WENT WRONG"] {
        assert!(text.out.contains(line), "{line}: {}", text.out);
    }
    assert!(!text.out.contains("RESIDENT MEMORY"), "{}", text.out);
    let document = done(folder.coord(["report", run, "--output", "json"]));
    document.exits(0);
    let document: Value = serde_json::from_str(&document.out).unwrap();
    assert_eq!(document["run"], run);
    assert_eq!(document["steps"][1]["id"], "breaks");
    assert_eq!(document["measured"], Value::Null);
    done(folder.coord(["report", run, "--out", "no/such/folder.html"])).exits(110);
    done(folder.coord(["report", "nobody"])).exits(96);
}

#[test]
fn the_page_of_a_run_has_charts_of_what_was_measured_while_it_went_on() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "name = 'busy'\n[[step]]\nid = 'prints'\n\
         run = 'for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.4; done'\n",
    );
    done(folder.coord(["run", "--id", "busy"])).exits(0);
    let printed = done(folder.coord(["report", "busy"]));
    printed.exits(0);
    let page = &printed.out;
    for chart in [
        "Events published",
        "Resident memory",
        "Processor time, of one core",
    ] {
        assert!(page.contains(chart), "{chart}: {page}");
    }
    for line in ["process-output", "this program", "what it runs"] {
        assert!(page.contains(line), "{line}: {page}");
    }
    assert!(page.contains("The charts begin at "), "{page}");
    // How long lines took until they could be read, and what became of steps, as a chart and in all.
    assert!(page.contains("From publication to handled"), "{page}");
    for reader in ["screen ← process-output", "files ← process-output"] {
        let line = format!("<title>{reader} p99</title>");
        assert!(page.contains(&line), "{line}: {page}");
        // Each of the eight lines was printed by itself; the last ones may be shown with the end of the run.
        let row = page.split(&format!("<td>{reader}</td><td>")).nth(1);
        let lines = row.and_then(|row| row.split('<').next()).unwrap();
        assert!(
            (5..=8).contains(&lines.parse::<u32>().unwrap()),
            "{lines} {page}"
        );
    }
    let steps = "<td>screen ← workflow-events</td>";
    assert!(page.contains(steps), "{steps}: {page}");

    let text = done(folder.coord(["report", "busy", "--output", "text"])).out;
    for table in ["RESIDENT MEMORY", "FROM PUBLICATION TO HANDLED", "LATENCY"] {
        assert!(text.contains(table), "{table}: {text}");
    }
    let document = done(folder.coord(["report", "busy", "--output", "json"])).out;
    let document: Value = serde_json::from_str(&document).unwrap();
    let measured = &document["measured"];
    assert!(
        measured["memory_bytes"].as_array().unwrap().len() >= 2,
        "{measured}"
    );
    let readers: Vec<_> = measured["latency"].as_array().unwrap().iter().collect();
    let lines = readers
        .iter()
        .find(|it| it["topic"] == "screen ← process-output");
    assert!(
        lines.unwrap()["total"]["p99"].as_f64().unwrap() > 0.0,
        "{measured}"
    );
}

#[test]
fn what_an_earlier_coord_measured_has_its_charts_without_latencies() {
    let folder = Folder::new();
    let file = "state/coord/output/old/measured.json";
    // It is measured each second, and a busy machine leaves some out.
    let measured = [2.5, 10.0, 60.0].into_iter().find_map(|seconds| {
        let text = format!("name = 'old'\n[[step]]\nid = 'one'\nrun = 'sleep {seconds}'\n");
        folder.write("coord.toml", text);
        done(folder.coord(["run", "--id", "old", "--again"])).exits(0);
        folder.read(file)
    });
    let mut measured: Value = serde_json::from_str(&measured.unwrap()).unwrap();
    measured.as_object_mut().unwrap().remove("latency").unwrap();
    folder.write(file, measured.to_string());
    let printed = done(folder.coord(["report", "old"]));
    printed.exits(0);
    assert!(printed.out.contains("Resident memory"), "{}", printed.out);
    assert!(!printed.out.contains("<h2>Latency</h2>"), "{}", printed.out);
}

#[test]
fn a_service_that_failed_the_run_is_told_as_it_was_by_show_report_and_who_attaches() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "name = 'falls'\n\
         [[service]]\nid = 'db'\nrun = 'echo up; until test -e fall; do sleep 0.02; done; exit 3'\n\
         ready = { log = 'up' }\n\
         restart = { policy = 'on-failure', intensity = 1, within = '10s', initial = '1ms' }\n\
         [[step]]\nid = 'uses'\nneeds = ['db']\nrun = 'while :; do echo using; sleep 0.05; done'\n",
    );
    done(folder.coord(["run", "--id", "falls", "--detach"])).exits(0);
    let attach = folder.coord(["attach", "falls", "--output", "text"]);
    let mut attached = Running::start(attach);
    attached.until("using");
    folder.write("fall", "");
    let (status, out) = attached.end();
    assert_eq!(status.code(), Some(100), "{out}");
    for line in [
        "db failed: exit code 3",
        "coord.toml:3:6",
        "  | up",
        "coord retry falls",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let shown = done(folder.coord(["show", "falls"])).out;
    let db = shown.lines().find(|line| line.contains(" db ")).unwrap();
    assert!(
        db.starts_with("failed ") && db.contains("exit code 3; ") && db.contains("ready in "),
        "{shown}"
    );
    let text = done(folder.coord(["report", "falls", "--output", "text"])).out;
    for line in [
        "steps done: 0 of 2",
        "WHAT WENT WRONG",
        "exit code 3",
        " UTC",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let page = done(folder.coord(["report", "falls"])).out;
    assert!(
        page.contains("<td>db</td><td class=words>failed</td>"),
        "{page}"
    );
    assert!(page.contains("<td>the run</td>"), "{page}");
}

#[test]
fn a_service_that_went_well_is_told_for_as_long_as_it_was_up() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "name = 'lives'\n\
         [[service]]\nid = 'db'\nrun = 'echo up; exec sleep 1000'\nready = { log = 'up' }\n\
         [[step]]\nid = 'uses'\nneeds = ['db']\nrun = 'sleep 1.2'\n",
    );
    done(folder.coord(["run", "--id", "lives"])).exits(0);
    let shown = done(folder.coord(["show", "lives"])).out;
    let db = shown.lines().find(|line| line.contains(" db ")).unwrap();
    assert!(
        db.starts_with("stopped ") && db.contains("ready in "),
        "{shown}"
    );
    // A second and more, and not the few milliseconds until it was ready.
    assert!(db.contains(" s  ready"), "{shown}");
    let text = done(folder.coord(["report", "lives", "--output", "text"])).out;
    assert!(text.contains("stopped"), "{text}");
    assert!(text.contains("steps done: 2 of 2"), "{text}");
}

#[test]
fn programs_are_told_how_services_lived_as_people_are() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[service]]\nid = 'cache'\nrun = 'echo up; exec sleep 1000'\nready = { log = 'up' }\n\
         [[service]]\nid = 'db'\nrun = 'echo up; until test -e fall; do sleep 0.02; done; exit 3'\n\
         ready = { log = 'up' }\n\
         restart = { policy = 'on-failure', intensity = 1, within = '10s', initial = '1ms' }\n\
         [[step]]\nid = 'uses'\nneeds = ['db', 'cache']\nrun = 'touch fall; exec sleep 60'\n",
    );
    done(folder.coord(["run", "--id", "r"])).exits(100);
    for command in ["show", "report"] {
        let document = done(folder.coord([command, "r", "--output", "json"]));
        let document: Value = serde_json::from_str(&document.out).unwrap();
        // Each is a step, which is done once it is ready.
        assert_eq!(document["steps"][1]["phase"], "completed");
        let services = document["services"].as_array().unwrap();
        let [cache, db] = &services[..] else {
            panic!("{document}");
        };
        let is = |service: &Value, id: &str, state: &str| {
            assert_eq!(
                (&service["id"], &service["state"]),
                (&id.into(), &state.into())
            );
            assert!(service["started"].as_f64() < service["ended"].as_f64());
        };
        is(cache, "cache", "stopped");
        is(db, "db", "failed");
        assert_eq!(
            (&cache["starts"], &cache["error"]),
            (&1.into(), &Value::Null)
        );
        assert_eq!(db["starts"], 2);
        let error = db["error"].as_str().unwrap();
        assert!(error.starts_with("exit code 3; "), "{error}");
    }
}

#[test]
fn the_graph_of_a_run_has_where_each_step_is_and_how_long_it_took_in_every_form() {
    let folder = Folder::new();
    folder.write("coord.toml", FILE);
    done(folder.coord(["run", "--id", "r"])).exits(100);
    let graph = |format: &str| done(folder.coord(["graph", "r", "--format", format])).out;
    let json: Value = serde_json::from_str(&graph("json")).unwrap();
    let [first, breaks, never] = [0, 1, 2].map(|step| &json["steps"][step]);
    // A fifth of a second, and what a busy machine makes of it.
    let took = first["duration"].as_f64().unwrap();
    assert!((0.2..100.0).contains(&took), "{json}");
    assert_eq!(
        (&first["state"], &first["attempts"]),
        (&"completed".into(), &1.into())
    );
    assert!(breaks["duration"].is_number(), "{json}");
    assert_eq!(
        (&breaks["state"], &breaks["attempts"]),
        (&"failed".into(), &2.into())
    );
    assert_eq!(never.get("duration"), None, "it never began");
    for (format, breaks, never) in [
        ("ascii", ", 2 attempts) [failed]", "  never [cancelled]"),
        (
            "mermaid",
            ", 2 attempts)\"]:::failed",
            "[\"never\"]:::cancelled",
        ),
        ("dot", ", 2 attempts)\" style=", "\"never\" [style="),
    ] {
        let drawn = graph(format);
        let first = drawn.split_once("first (").expect(&drawn).1;
        let took = first.split_once(')').unwrap().0;
        assert!(
            took.ends_with('s') && took.starts_with(|c: char| c.is_ascii_digit()),
            "{drawn}"
        );
        assert!(drawn.contains(breaks) && drawn.contains(never), "{drawn}");
    }
}
