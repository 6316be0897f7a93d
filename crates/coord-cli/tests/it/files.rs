//! What is wrong with a file or a command line is told before anything starts.

use crate::coord::{Folder, done, run};

#[test]
fn every_fault_of_a_file_is_told_at_once_and_nothing_starts() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
[[step]]
id = "build"
run = "touch started"
timout = "5m"

[[step]]
id = "deploy"
run = "touch started"
needs = ["biuld"]
timeout = "5 parsecs"
"#,
    );
    let done = done(folder.coord(["run", "--color", "never"]));
    done.exits(96);
    for part in [
        "coord.toml:5:1",
        "timeout",
        "coord.toml:10:10",
        "build",
        "coord.toml:11:11",
    ] {
        assert!(done.err.contains(part), "no {part:?} in {}", done.err);
    }
    assert!(!done.err.contains('\u{1b}'), "{}", done.err);
    assert_eq!(folder.read("started"), None);
    assert_eq!(done.out, "");
}

#[test]
fn a_file_that_is_not_there_is_told_by_name() {
    let folder = Folder::new();
    let done = done(folder.coord(["run", "missing.toml"]));
    done.exits(96);
    assert!(done.err.contains("missing.toml"), "{}", done.err);
}

#[test]
fn an_unknown_parameter_is_refused_with_the_nearest() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[params]\ntarget = 'debug'\n[[step]]\nid = 'a'\nrun = 'touch started'\n",
    );
    let done = done(folder.coord(["run", "--param", "tagret=release"]));
    done.exits(96);
    assert!(done.err.contains("target"), "{}", done.err);
    assert_eq!(folder.read("started"), None);
}

#[test]
fn escape_sequences_in_a_file_do_not_reach_the_terminal_with_its_faults() {
    let done = run("[[step]]\nid = \"a\\u001b]0;title\\u0007\"\nrun = 'true'\n# \u{1b}[2J\n");
    done.exits(96);
    assert!(!done.err.contains('\u{1b}'), "{}", done.err.escape_debug());
}

#[test]
fn a_command_line_that_is_not_understood_exits_with_two() {
    let folder = Folder::new();
    let done_with = |arguments| done(folder.coord(arguments));
    done_with(["run", "--concurency"]).exits(2);
    done_with(["run", "--param=novalue"]).exits(2);
    done_with(["run", "--concurrency=0"]).exits(2);
}

#[test]
fn help_and_version_are_answers() {
    let folder = Folder::new();
    done(folder.coord(["--help"])).exits(0).says("Usage");
    let version = concat!("coord ", env!("CARGO_PKG_VERSION"));
    done(folder.coord(["--version"])).exits(0).says(version);
    done(folder.coord(["run", "--help"]))
        .exits(0)
        .says("Exit codes");
}

#[test]
fn a_file_is_checked_and_nothing_of_it_runs() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "name = 'release'\n[params]\ntarget = 'debug'\n\
         [[step]]\nid = 'a'\nrun = 'touch started'\nneeds = ['db']\n\
         [[service]]\nid = 'db'\nrun = 'touch started'\n",
    );
    let checked = done(folder.coord(["validate"]));
    checked.exits(0);
    let said = "coord.toml: no faults in workflow `release`; steps: 1, services: 1\n";
    assert_eq!((&*checked.out, &*checked.err), (said, ""));
    let wrong = done(folder.coord(["validate", "--param", "tagret=release"]));
    wrong.exits(96);
    assert!(wrong.err.contains("target"), "{}", wrong.err);
    folder.write("wrong.toml", "[[step]]\nid = 'a'\n");
    let wrong = done(folder.coord(["validate", "wrong.toml", "--color", "never"]));
    wrong.exits(96);
    assert!(wrong.err.contains("wrong.toml:1:1"), "{}", wrong.err);
    assert_eq!((&*wrong.out, folder.read("started")), ("", None));
}

#[test]
fn the_flows_inside_are_drawn_and_after_a_run_with_what_went_through_them() {
    let folder = Folder::new();
    let drawn = done(folder.coord(["flows"]));
    let text = "
2 flows between 3 topics
  process-crash-to-notification  process-lifecycle -> notification  0.0/s
  process-lifecycle-to-log       process-lifecycle -> log-events    0.0/s
";
    assert_eq!(format!("\n{}", drawn.out), text);
    let drawn = done(folder.coord(["flows", "--format", "mermaid"]));
    drawn.exits(0).says("flowchart LR\n");
    let drawn = done(folder.coord(["flows", "--format", "dot"]));
    drawn.exits(0).says("digraph flows {\n");

    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'true'\n[[step]]\nid = 'b'\nrun = 'false'\noptional = true\n",
    );
    let run = done(folder.coord(["run", "--no-journal", "--flows", "json"]));
    run.exits(0);
    let start = run
        .err
        .find("{\n")
        .unwrap_or_else(|| panic!("no flows: {}", run.err));
    let graph: serde_json::Value = serde_json::from_str(&run.err[start..]).unwrap();
    let flow = |name: &str| {
        let flows = graph["flows"].as_array().unwrap();
        flows
            .iter()
            .find(|flow| flow["name"] == name)
            .unwrap()
            .clone()
    };
    // Two processes that start and exit, of which one crashes.
    let log = flow("process-lifecycle-to-log");
    assert_eq!(log["stats"]["published"], 4, "{log}");
    assert!(log["rate"].as_f64().unwrap() > 0.0, "{log}");
    let crashes = flow("process-crash-to-notification");
    assert_eq!(crashes["stats"]["published"], 1, "{crashes}");
    assert_eq!(crashes["stats"]["filtered"], 3, "{crashes}");
    // What the run says of itself is where it always is.
    assert!(!run.out.contains("process-lifecycle-to-log"), "{}", run.out);
}

#[test]
fn a_graph_shows_what_needs_what_and_what_will_not_run() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "name = 'release'\n[params]\ndeploy = false\n\
         [[step]]\nid = 'build'\nrun = 'touch started'\n\
         [[step]]\nid = 'test'\nrun = 'true'\nneeds = ['build', 'db']\n\
         [[step]]\nid = 'deploy'\nrun = 'true'\nneeds = ['test']\nwhen = \"params.deploy == 'true'\"\n\
         [[service]]\nid = 'db'\nrun = 'true'\n",
    );
    let drawn = done(folder.coord(["graph"]));
    let text = "
release: 4 steps in 3 stages
  1  build
     db (service)
  2  test                                      after build, db
  3  deploy (skipped: its condition is false)  after test
";
    assert_eq!(format!("\n{}", drawn.out), text);
    let drawn = done(folder.coord(["graph", "--param", "deploy=true", "--format", "mermaid"]));
    drawn.exits(0);
    let chart = "
flowchart LR
    s0[\"build\"]
    s1[\"test\"]
    s2[\"deploy\"]
    s3[\"db (service)\"]
    s0 --> s1
    s3 --> s1
    s1 --> s2
";
    assert_eq!(format!("\n{}", drawn.out), chart);
    let drawn = done(folder.coord(["graph", "--format", "dot"]));
    drawn
        .says("digraph \"release\" {\n")
        .says("    \"db\" -> \"test\"\n");
    let drawn = done(folder.coord(["graph", "--format", "json"]));
    let json: serde_json::Value = serde_json::from_str(&drawn.out).unwrap();
    assert_eq!(json["steps"][1]["needs"], serde_json::json!([0, 3]));
    assert_eq!(folder.read("started"), None);
}
