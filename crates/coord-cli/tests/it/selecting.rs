//! A part of a file can be run, and what a run would do can be asked.

use crate::coord::{Folder, done};

const FILE: &str = r#"
[[step]]
id = "fetch"
run = "echo fetch >> done"
[[step]]
id = "lint"
run = "echo lint >> done"
needs = ["fetch"]
[[step]]
id = "build"
run = "echo build >> done"
needs = ["fetch"]
[[service]]
id = "api"
run = "echo api >> done; exec sleep 100"
needs = ["build"]
ready = { exec = "grep -q api done" }
[[step]]
id = "test"
run = "echo test >> done; test ! -e broken"
needs = ["api"]
timeout = "1m"
retry = { max_attempts = 2, initial = "1ms" }
[[step]]
id = "deploy"
run = "echo deploy >> done"
needs = ["test", "lint"]
when = "env.DEPLOY is defined"
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("coord.toml", FILE);
    folder
}

fn did(folder: &Folder) -> String {
    folder.read("done").unwrap_or_default().replace('\n', " ")
}

#[test]
fn only_what_is_named_and_what_it_needs_is_run() {
    let folder = folder();
    done(folder.coord(["run", "--only", "build"])).exits(0);
    assert_eq!(did(&folder), "fetch build ");
    let both = folder.coord(["run", "--concurrency=1", "--only=lint,build"]);
    done(both).exits(0);
    assert_eq!(did(&folder), "fetch build fetch lint build ");
}

#[test]
fn from_a_step_on_what_it_needs_of_steps_is_taken_as_done() {
    let folder = folder();
    let mut from = folder.coord(["run", "--from", "test"]);
    from.env("DEPLOY", "1");
    done(from).exits(0);
    assert_eq!(did(&folder), "api test deploy ");
}

#[test]
fn a_run_of_a_part_is_taken_up_as_that_part() {
    let folder = folder();
    folder.write("broken", "");
    done(folder.coord(["run", "--id", "a", "--from", "test"])).exits(100);
    assert_eq!(did(&folder), "api test test ");
    std::fs::remove_file(folder.path().join("broken")).unwrap();
    std::fs::remove_file(folder.path().join("done")).unwrap();
    done(folder.coord(["retry", "a"])).exits(0);
    assert_eq!(did(&folder), "api test ");
    // The whole of it is another run.
    let other = done(folder.coord(["run", "--id", "a"]));
    other.exits(96);
    assert!(
        other.err.contains("coord::runs::other_file"),
        "{}",
        other.err
    );
}

#[test]
fn what_is_not_in_the_file_is_answered_with_the_nearest_and_nothing_starts() {
    let folder = folder();
    for flag in ["--only=biuld", "--from=biuld"] {
        let refused = done(folder.coord(["run", flag]));
        refused.exits(96);
        assert!(
            refused.err.contains("did you mean \"build\"?"),
            "{}",
            refused.err
        );
    }
    done(folder.coord(["run", "--only=build", "--from=build"])).exits(2);
    assert_eq!(did(&folder), "");
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing_of_it() {
    let folder = folder();
    let dry = done(folder.coord(["run", "--dry-run", "--concurrency=3"]));
    dry.exits(0);
    let wanted = "\
coord: would run this, at most 3 at once
  1. fetch   echo fetch >> done
  2. lint    echo lint >> done  # after fetch
     build   echo build >> done  # after fetch
  3. api     echo api >> done; exec sleep 100  # a service, awaited until exec `grep -q api done` says it is ready, after build
  4. test    echo test >> done; test ! -e broken  # up to 2 attempts, at most 1 min 0 s, after api
   - deploy  not this: its condition is false
";
    assert_eq!(dry.out, wanted);
    assert_eq!(did(&folder), "");
    assert!(!folder.path().join("state").exists());
}

#[test]
fn a_dry_run_says_a_program_as_a_shell_would_take_it_and_an_undo_in_one_line() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
[[step]]
id = "say"
command = ["printf", "%s", "a b", "; rm -rf x"]
undo = """
echo one
echo two
"""
"#,
    );
    let dry = done(folder.coord(["run", "--dry-run"]));
    dry.exits(0)
        .says("say  printf '%s' 'a b' '; rm -rf x'  # ")
        .says("undone by `echo one; echo two`");
}

#[test]
fn a_dry_run_tells_programs_a_line_for_each_step_and_service() {
    let folder = folder();
    let dry = done(folder.coord(["run", "--dry-run", "--from=test", "--output=jsonl"]));
    dry.exits(0);
    let lines: Vec<serde_json::Value> = dry
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of_run = lines.last().unwrap();
    assert_eq!(
        (&of_run["kind"], &of_run["on_failure"]),
        (&"run".into(), &"fail-fast".into())
    );
    let lines = &lines[..3];
    let told = |key: &str| {
        lines
            .iter()
            .map(|line| line[key].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(told("id"), ["api", "test", "deploy"]);
    assert_eq!(told("stage"), [1, 2, 3]);
    assert_eq!(told("kind"), ["service", "step", "step"]);
    assert_eq!(told("runs"), [true, true, false]);
    assert_eq!(lines[1]["shell"], "echo test >> done; test ! -e broken");
    assert_eq!(lines[1]["max_attempts"], 2);
    assert_eq!(lines[1]["timeout_ms"], 60_000);
    assert_eq!(lines[0].get("timeout_ms"), None);
}

#[test]
fn a_dry_run_of_nothing_says_so_with_its_exit_code() {
    let folder = folder();
    folder.write(
        "off.toml",
        "[[step]]\nid = 'a'\nrun = 'touch done'\nwhen = 'false'\n",
    );
    done(folder.coord(["run", "--dry-run", "off.toml"]))
        .exits(4)
        .says("a  not this: its condition is false");
}
