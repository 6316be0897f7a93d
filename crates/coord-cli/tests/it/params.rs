//! Parameters with types, profiles, and what goes on when a step fails.

use rustix::process::Signal;

use crate::coord::{Done, Folder, Running, done};

const FILE: &str = r#"
[params]
target = { choices = ["debug", "release"], default = "debug" }
jobs = { type = "integer", default = 4 }
factor = { type = "number", default = 0.5 }
version = { description = "what to publish" }
plain = 1

[env]
LEVEL = "info"

[profile.release]
params = { target = "release", jobs = 16 }
env = { LEVEL = "warn" }

[profile.dev]
params = { version = "0" }

[[step]]
id = "a"
run = 'echo "$PARAM_TARGET $PARAM_JOBS $PARAM_FACTOR $PARAM_VERSION $PARAM_PLAIN $LEVEL"'
"#;

fn coord<const N: usize>(flags: [&str; N]) -> Done {
    let folder = Folder::new();
    folder.write("coord.toml", FILE);
    done(folder.coord(flags))
}

#[track_caller]
fn refused(done: &Done, code: &str, texts: &[&str]) {
    done.exits(96);
    for text in [&[code], texts].concat() {
        assert!(done.err.contains(text), "no {text:?} in {}", done.err);
    }
}

#[test]
fn values_are_those_of_the_file_the_profile_and_the_command_line_and_the_later_win() {
    coord(["run", "--param", "version=1"])
        .exits(0)
        .says("a | debug 4 0.5 1 1 info\n");
    coord([
        "run",
        "--profile",
        "release",
        "--param=version=1",
        "--param=jobs=2",
    ])
    .exits(0)
    .says("a | release 2 0.5 1 1 warn\n");
    coord(["run", "--profile=dev"])
        .exits(0)
        .says("a | debug 4 0.5 0 1 info\n");
}

#[test]
fn a_value_that_a_parameter_cannot_have_is_refused_before_anything_starts() {
    let code = "coord::file::param_value";
    refused(
        &coord(["run", "--param=version=1", "--param=jobs=many"]),
        code,
        &[
            "the parameter \"jobs\" takes a whole number, and not \"many\"",
            "--param jobs=…",
        ],
    );
    refused(
        &coord(["validate", "--param=version=1", "--param=target=releas"]),
        code,
        &["did you mean \"release\"?"],
    );
    refused(
        &coord(["validate", "--param=version=1", "--param=target=x"]),
        code,
        &["it is one of \"debug\", \"release\""],
    );
    refused(
        &coord(["run"]),
        "coord::file::param_required",
        &[
            "version = {",
            "give it with --param version=…: what to publish",
        ],
    );
    refused(
        &coord(["run", "--profile=relase", "--param=version=1"]),
        "coord::file::unknown_profile",
        &["did you mean \"release\"?"],
    );
}

#[test]
fn a_profile_is_kept_with_its_run() {
    let folder = Folder::new();
    let waits = "[[step]]\nid = 'b'\nneeds = ['a']\n\
        run = 'test -e again || { touch again; echo pid=$$; exec sleep 60; }; echo $LEVEL'\n";
    folder.write("coord.toml", format!("{FILE}{waits}"));
    let run = ["run", "--id=r", "--profile=release", "--param=version=1"];
    let mut running = Running::start(folder.coord(run));
    running.until("pid=");
    running.signal(Signal::KILL);
    running.end();
    refused(
        &done(folder.coord(["run", "--id=r", "--profile=dev", "--param=version=1"])),
        "coord::runs::",
        &[],
    );
    done(folder.coord(["resume", "r"]))
        .exits(0)
        .says("b | warn\n");
}

#[test]
fn what_goes_on_after_a_failure_is_what_the_command_line_says_or_else_the_file() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        on_failure = "finish-branches"
        concurrency = 1
        [[step]]
        id = "fails"
        run = "false"
        [[step]]
        id = "after"
        run = "echo after >> did"
        needs = ["fails"]
        [[step]]
        id = "other"
        run = "echo other >> did"
        "#,
    );
    let expected = [
        (None, "other", "a failure stops only what needs it"),
        (Some("never"), "", "at most 1 at once\n"),
        (
            Some("dependencies-successful"),
            "other",
            "a failure stops only what needs it",
        ),
        (Some("always"), "after other", "; a failure stops nothing"),
    ];
    for (what, did, dry) in expected {
        let coord = |flag: &str| {
            let mut command = folder.coord(["run"]);
            command.args((!flag.is_empty()).then_some(flag));
            command.args(what.map(|what| format!("--continue={what}")));
            done(command)
        };
        coord("--dry-run").exits(0).says(dry);
        coord("").exits(100);
        // What runs first of those that may is not what this is about.
        let mut lines: Vec<String> = folder
            .read("did")
            .map(|text| text.lines().map(str::to_owned).collect())
            .unwrap_or_default();
        lines.sort_unstable();
        assert_eq!(lines.join(" "), did, "{what:?}");
        let _ = std::fs::remove_file(folder.path().join("did"));
    }
}

#[test]
fn a_file_is_validated_and_drawn_without_values_for_its_parameters() {
    let folder = Folder::new();
    let steps = r#"
        [[step]]
        id = "publish"
        run = "true"
        needs = ["a"]
        when = "params.version != '0' and params.plain == '1'"
        [[step]]
        id = "named"
        run = "true"
        when = "params['version'] | int > 1"
        [[step]]
        id = "each"
        run = "true"
        for_each = { param = "version" }
        [[step]]
        id = "never"
        run = "true"
        when = "params.target == 'none'"
    "#;
    folder.write("coord.toml", format!("{FILE}{steps}"));
    done(folder.coord(["validate"])).exits(0).says(
        "coord.toml: no faults in workflow `coord`; steps: 5, services: 0\n\
         what needs a value of `version` is not checked: a run is to be given one with --param version=…\n",
    );
    let told = done(folder.coord(["validate", "--output=json"]));
    told.exits(0)
        .says("\"valid\": true")
        .says("\"without_value\": [\n    \"version\"\n  ]");
    done(folder.coord(["graph"]))
        .exits(0)
        .says("  2  publish  ")
        .says("never (skipped: its condition is false)\n");
    refused(
        &done(folder.coord(["validate", "--param=jobs=many"])),
        "coord::file::param_value",
        &["takes a whole number"],
    );
    // What there is a value for is checked as ever.
    let given = done(folder.coord(["validate", "--param=version=[1"]));
    refused(&given, "coord::file::items", &[]);
    let code = "coord::file::param_required";
    refused(&done(folder.coord(["run", "--dry-run"])), code, &[]);
}
