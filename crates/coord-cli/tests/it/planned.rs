//! What a run would do is told as it is, and none of it is done; how a run ended is one document.

use serde_json::Value;

use crate::coord::{Folder, done};

const RELEASE: &str = include_str!("planned/release.toml");

fn release() -> Folder {
    let folder = Folder::new();
    folder.write("coord.toml", RELEASE);
    folder.write(".env", "PASSWORD=hunter2\nHOST=db\n");
    folder
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Without where it is, which is another place each time.
fn anywhere(folder: &Folder, text: &str) -> String {
    let path = folder.path().canonicalize().unwrap();
    text.replace(path.to_str().unwrap(), "/folder")
}

#[test]
fn a_dry_run_is_one_document_of_everything_that_would_be_done() {
    let folder = release();
    let dry = folder.coord(["run", "--dry-run", "--output=json", "--profile=fast"]);
    let dry = done(dry);
    dry.exits(0);
    assert_eq!(dry.err, "");
    let told = anywhere(&folder, &dry.out);
    assert_eq!(told, include_str!("planned/release.json"));
    assert!(!folder.path().join("fetched").exists());
    assert!(!folder.path().join("state").exists());
}

#[test]
fn the_lines_of_a_dry_run_are_the_parts_of_its_document() {
    let folder = release();
    let dry = |output| {
        let dry = done(folder.coord(["run", "--dry-run", "--output", output]));
        dry.exits(0);
        dry.out
    };
    let mut whole = document(&dry("json"));
    let lines = dry("jsonl");
    let mut lines: Vec<Value> = lines.lines().map(document).collect();
    let run = lines.pop().unwrap();
    let units = whole.as_object_mut().unwrap().remove("units").unwrap();
    assert_eq!(units, Value::Array(lines));
    assert_eq!(whole, run);
}

#[test]
fn a_dry_run_for_people_says_what_it_is_given_and_no_secret() {
    let folder = release();
    let dry = done(folder.coord(["run", "--dry-run"]));
    dry.exits(0);
    let told = anywhere(&folder, &dry.out);
    assert_eq!(told, include_str!("planned/release.txt"));
}

const FAILS: &str = r#"
[[step]]
id = "version"
run = "echo tag=1.2 >> $COORD_OUTPUT; echo loud"
outputs = ["tag"]
undo = "exit 9"
[[step]]
id = "test"
needs = ["version"]
run = "exit 3"
retry = { max_attempts = 2, initial = "1ms" }
[[step]]
id = "killed"
run = "kill -9 $$"
optional = true
[[step]]
id = "later"
needs = ["test"]
run = "true"
"#;

#[test]
fn how_a_run_ended_is_one_document_on_standard_output_and_nothing_else() {
    let folder = Folder::new();
    folder.write("coord.toml", FAILS);
    let ran = done(folder.coord(["run", "--output=json", "--concurrency=1"]));
    ran.exits(100);
    assert_eq!(ran.err, "");
    let told = document(&ran.out);
    assert_eq!(told["state"], "failed");
    assert_eq!(told["exit_code"], 100);
    assert_eq!(told["exits"]["test"]["code"], 3);
    assert_eq!(told["exits"]["killed"]["signal"], 9);
    assert_eq!(told["exits"]["version"]["code"], 0, "not that of its undo");
    assert_eq!(told["exits"].get("later"), None);
    assert_eq!(told["steps"][0]["output"]["outputs"]["tag"], "1.2");
    assert_eq!(told["steps"][1]["attempts"], 2);
    // What the journal keeps is told alike.
    let run = told["run"].as_str().unwrap();
    let shown = done(folder.coord(["show", run, "--output=json"]));
    let shown = document(&shown.exits(0).out);
    for key in ["run", "workflow", "state", "started_at"] {
        assert_eq!(told[key], shown[key]);
    }
    let of = |told: &Value, key: &str| {
        let steps = told["steps"].as_array().unwrap().iter();
        steps.map(|step| step[key].clone()).collect::<Vec<_>>()
    };
    for key in ["id", "phase", "attempts", "output", "error"] {
        assert_eq!(of(&told, key), of(&shown, key), "{key}");
    }
}

#[test]
fn a_run_of_nothing_is_a_document_too() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'x'\nwhen = 'false'\n",
    );
    let ran = done(folder.coord(["run", "--output=json"]));
    let told = document(&ran.exits(4).out);
    assert_eq!(
        (&told["state"], &told["exit_code"]),
        (&"nothing-to-do".into(), &4.into())
    );
}

#[test]
fn a_service_and_a_hook_that_failed_are_in_the_document() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[hooks]\nfailure = 'exit 5'\n\
         [[service]]\nid = 'api'\nrun = 'sleep 0.1; exit 7'\nrestart = 'exit-on-failure'\n\
         [[step]]\nid = 'a'\nneeds = ['api']\nrun = 'sleep 100'\n",
    );
    let ran = done(folder.coord(["run", "--output=json"]));
    let told = document(&ran.exits(100).out);
    assert_eq!(told["service"]["id"], "api");
    assert_eq!(told["exits"]["api"]["code"], 7);
    assert_eq!(told["hooks"][0]["id"], Value::Null);
}

#[test]
fn whether_a_file_is_right_is_told_to_programs_with_the_place_of_each_fault() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'x'\n");
    let right = done(folder.coord(["validate", "--output=json"]));
    let right = document(&right.exits(0).out);
    assert_eq!(
        (&right["valid"], &right["steps"]),
        (&true.into(), &1.into())
    );
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrnu = 'x'\nneeds = ['b']\n",
    );
    let wrong = done(folder.coord(["validate", "--output=json"]));
    assert_eq!(wrong.err, "");
    let wrong = document(&wrong.exits(96).out);
    assert_eq!(
        (&wrong["valid"], &wrong["fault_count"]),
        (&false.into(), &2.into())
    );
    let first = &wrong["faults"][0];
    assert_eq!(first["code"], "coord::file::unknown_key");
    assert_eq!(first["at"], "coord.toml:3:1");
    assert_eq!(first["help"], "did you mean `run`?");
}

#[test]
fn why_a_step_waits_and_all_runs_are_told_as_documents() {
    let folder = Folder::new();
    folder.write("coord.toml", FAILS);
    for run in ["one", "two"] {
        done(folder.coord(["run", "--id", run])).exits(100);
    }
    let why = done(folder.coord(["why", "one", "test", "--output=json"]));
    let why = document(&why.exits(0).out);
    assert_eq!(
        (&why["step"], &why["phase"]),
        (&"test".into(), &"failed".into())
    );
    assert_eq!(why["error"], "exit code 3");
    let list = |output| {
        done(folder.coord(["list", "--output", output]))
            .exits(0)
            .out
            .clone()
    };
    let runs = document(&list("json"));
    let lines: Vec<Value> = list("jsonl").lines().map(document).collect();
    assert_eq!(runs, Value::Array(lines));
    assert_eq!(
        (&runs[0]["run"], &runs[1]["run"]),
        (&"two".into(), &"one".into())
    );
}

#[test]
fn a_screen_without_a_terminal_is_refused_before_anything_starts() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'touch never'\n");
    let refused = done(folder.coord(["run", "--output=tui"]));
    refused.exits(96);
    assert!(
        refused.err.contains("coord::set_up::no_terminal"),
        "{}",
        refused.err
    );
    assert_eq!((&*refused.out, folder.read("never")), ("", None));
}

#[test]
fn a_page_that_cannot_be_written_is_told_with_its_place() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'true'\n");
    done(folder.coord(["run", "--id=r"])).exits(0);
    let refused = done(folder.coord(["report", "r", "--out=no/such/page.html"]));
    refused.exits(110);
    assert!(refused.err.contains("no/such/page.html"), "{}", refused.err);
}

#[test]
fn an_item_with_a_nul_is_refused() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[params]\nwords = ''\n[[step]]\nid = 'a'\nrun = 'touch never'\nfor_each = { param = 'words' }\n",
    );
    let words = r#"words=["good", "b\u0000d"]"#;
    let refused = done(folder.coord(["run", "--param", words]));
    refused.exits(96);
    assert!(refused.err.contains("item 1 has a NUL"), "{}", refused.err);
    assert_eq!(folder.read("never"), None);
}

#[test]
fn what_takes_the_list_of_a_step_that_does_not_run_does_not_run_either() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [params]
        all = "no"
        [[step]]
        id = "a"
        when = "params.all == 'yes'"
        run = "true"
        outputs = ["list"]
        [[step]]
        id = "b"
        needs = ["a"]
        for_each = { output = "a.list" }
        run = "true"
        [[step]]
        id = "c"
        needs = ["b"]
        run = "true"
        "#,
    );
    let text = done(folder.coord(["run", "--dry-run", "--output=text"]));
    text.exits(0)
        .says("a  not this: its condition is false")
        .says("b  not this: `a`, whose output it takes, has none");
    let json = done(folder.coord(["run", "--dry-run", "--output=json"]));
    let json = document(&json.out);
    let units = json["units"].as_array().unwrap().iter();
    let runs: Vec<_> = units
        .filter(|unit| unit["runs"] == true)
        .map(|unit| &unit["id"])
        .collect();
    assert_eq!(runs, ["c"]);
    // As it is done.
    let run = done(folder.coord(["run", "--output=text"]));
    run.exits(0)
        .says("a · skipped")
        .says("b · skipped")
        .says("c · done");
}

#[test]
fn a_dry_run_says_nothing_of_a_run_that_has_a_name() {
    let folder = release();
    let dry = done(folder.coord(["run", "--dry-run", "--id=r"]));
    dry.exits(2);
    assert!(dry.err.contains("--id"), "{}", dry.err);
}
