//! Conditions over what earlier steps put out.

use rustix::process::Signal;

use crate::coord::{Folder, Running, done, run};

/// A step that says whether something has changed, and others that go by it.
const FILE: &str = r#"
[params]
force = "false"
[[step]]
id = "look-at"
run = 'echo "changed=$(cat changed)" >> "$COORD_OUTPUT"'
outputs = ["changed"]
[[step]]
id = "build"
run = "echo built"
needs = ["look-at"]
when = "steps['look-at'].outputs.changed == 'true' or params.force == 'true'"
[[step]]
id = "test"
run = "echo tested"
needs = ["build"]
[[step]]
id = "deploy"
run = "echo deployed"
needs = ["test"]
when = "steps['look-at'].outputs.changed == 'true' and env.STAGE | default('live') == 'live'"
"#;

fn folder(changed: &str) -> Folder {
    let folder = Folder::new();
    folder.write("coord.toml", FILE);
    folder.write("changed", changed);
    folder
}

#[test]
fn a_step_runs_or_is_skipped_by_what_an_earlier_one_put_out() {
    let folder = folder("true");
    done(folder.coord(["run"]))
        .exits(0)
        .says("build   | built\n")
        .says("deploy  | deployed\n");
    folder.write("changed", "false");
    let ran = done(folder.coord(["run"]));
    ran.exits(0)
        .says("build   · skipped: ")
        .says("test    | tested\n");
    assert!(!ran.out.contains("deployed"), "{}", ran.out);
    done(folder.coord(["run", "--param", "force=true"]))
        .exits(0)
        .says("build   | built\n");
}

#[test]
fn what_was_decided_stays_decided_when_the_run_is_taken_up() {
    let folder = folder("false");
    let file = FILE.replace(
        "echo tested",
        "echo pid=$$; until test -e go; do sleep 0.01; done",
    );
    folder.write("coord.toml", file);
    let mut running = Running::start(folder.coord(["run", "--id", "r"]));
    running.until("pid=");
    running.signal(Signal::KILL);
    running.end();
    folder.write("go", "");
    folder.write("changed", "true");
    let resumed = done(folder.coord(["resume", "r"]));
    resumed.exits(0).says("deploy  · skipped: ");
    let shown = done(folder.coord(["show", "r"])).out;
    assert!(shown.contains("skipped    build"), "{shown}");
}

#[test]
fn where_nothing_was_put_out_the_step_is_skipped_unless_its_condition_asks() {
    let ran = run(r#"
        [[step]]
        id = "a"
        run = "false"
        outputs = ["x"]
        optional = true
        [[step]]
        id = "b"
        run = "echo b"
        needs = ["a"]
        when = "steps.a.outputs.x == 'yes'"
        [[step]]
        id = "c"
        run = "echo c"
        needs = ["a"]
        when = "steps.a.outputs.x is not defined"
        [[step]]
        id = "d"
        run = "echo d"
        needs = ["a"]
        when = "steps.a.outputs.x | default('yes') == 'yes'"
        "#);
    ran.exits(0)
        .says("b · skipped: ")
        .says("c | c\n")
        .says("d | d\n");
}

#[test]
fn a_condition_that_cannot_be_decided_fails_its_step_with_its_place() {
    let ran = run(
        "[[step]]\nid = 'a'\nrun = 'echo x=many >> $COORD_OUTPUT'\noutputs = ['x']\n\
         [[step]]\nid = 'b'\nrun = 'echo b'\nneeds = ['a']\nwhen = 'steps.a.outputs.x | int > 4'\n",
    );
    ran.exits(100)
        .says("b · failed: the condition cannot be evaluated: ")
        .says("(coord.toml:9:");
    let ran = run(
        "[[step]]\nid = 'a'\nrun = 'echo x=many >> $COORD_OUTPUT'\noutputs = ['x']\n\
         [[step]]\nid = 'b'\nrun = 'echo b'\nneeds = ['a']\nwhen = 'steps.a.outputs.x | first'\n",
    );
    ran.exits(100)
        .says("it gives a string, neither true nor false");
}

#[test]
fn what_a_condition_takes_is_put_out_by_a_step_before() {
    let file = |when: &str, needs: &str| {
        format!(
            "[[step]]\nid = 'build'\nrun = 'true'\noutputs = ['changed']\n\
             [[step]]\nid = 'b'\nrun = 'true'\nneeds = [{needs}]\nwhen = \"{when}\"\n"
        )
    };
    for (when, needs, told) in [
        (
            "steps.build.outputs.chnged == '1'",
            "'build'",
            "did you mean \"build.changed\"?",
        ),
        (
            "steps.biuld.outputs.changed == '1'",
            "'build'",
            "did you mean the step \"build\"?",
        ),
        (
            "steps.build.outputs.changed == '1'",
            "",
            "coord::file::output_not_needed",
        ),
        (
            "steps.build.changed == '1'",
            "'build'",
            "write steps.build.outputs.changed",
        ),
        (
            "step.build.outputs.changed == '1'",
            "'build'",
            "`steps`, such as",
        ),
    ] {
        let folder = Folder::new();
        folder.write("coord.toml", file(when, needs));
        let refused = done(folder.coord(["validate"]));
        refused.exits(96);
        assert!(refused.err.contains(told), "{}", refused.err);
        // At the output, in the condition.
        assert!(refused.err.contains("coord.toml:9:9"), "{}", refused.err);
    }
}

#[test]
fn what_is_decided_later_is_told_before() {
    let folder = folder("true");
    done(folder.coord(["run", "--dry-run"])).exits(0).says(
        "# if steps['look-at'].outputs.changed == 'true' or params.force == 'true', after look-at",
    );
}
