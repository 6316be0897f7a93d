//! A workflow file takes in others, and what is wrong in those is told there.

use rustix::process::Signal;

use crate::coord::{Folder, Running, done};

fn folder(main: &str, checks: &str) -> Folder {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("steps")).unwrap();
    folder.write("coord.toml", main);
    folder.write("steps/checks.toml", checks);
    folder
}

const MAIN: &str = r#"
include = ["steps/checks.toml"]
[params]
level = "main"
[[step]]
id = "last"
run = 'echo "last $PARAM_LEVEL $KIND"'
needs = ["check"]
"#;

const CHECKS: &str = r#"
[params]
level = "included"
other = 1
[env]
KIND = "quick"
[[step]]
id = "check"
run = 'echo "check $PARAM_LEVEL $PARAM_OTHER"; test ! -e broken'
"#;

#[test]
fn what_an_included_file_declares_is_as_if_it_stood_in_this_one() {
    let folder = folder(MAIN, CHECKS);
    done(folder.coord(["run", "--param=other=2"]))
        .exits(0)
        .says("check | check main 2\n")
        .says("last  | last main quick\n");
    folder.write("broken", "");
    done(folder.coord(["run"]))
        .exits(100)
        .says("check failed: exit code 1\n  at steps/checks.toml:8:6\n");
    done(folder.coord(["validate"])).says("steps: 2, services: 0\n");
}

#[test]
fn what_is_wrong_is_told_in_the_file_where_it_stands() {
    let folder = folder(
        "include = [\"steps/checks.toml\"]\n[[step]]\nid = \"a\"\nrun = \"x\"\nneeds = [\"chek\"]",
        "name = \"x\"\n[[step]]\nid = \"check\"\nrun = \"x\"\nneeds = [\"b\"]\n[[step]]\nid = \"a\"\nrun = 3\n",
    );
    let refused = done(folder.coord(["run"]));
    refused.exits(96);
    for told in [
        "[coord.toml:5:10]",
        "did you mean \"check\"?",
        "[steps/checks.toml:1:1]",
        "an included file has no key \"name\"",
        "[steps/checks.toml:5:10]",
        "[steps/checks.toml:8:7]",
        "two steps or services have the same id \"a\"",
        "[coord.toml:3:6]",
        "[steps/checks.toml:7:6]",
    ] {
        assert!(refused.err.contains(told), "no {told} in {}", refused.err);
    }
    folder.write("steps/checks.toml", "[[step]]\nid = \"check\nrun = 3\n");
    let refused = done(folder.coord(["run"]));
    refused.exits(96);
    let err = refused.err;
    assert!(
        err.contains("coord::file::syntax") && err.contains("[steps/checks.toml:2:"),
        "{err}"
    );
}

#[test]
fn a_file_elsewhere_itself_twice_or_none_is_refused_with_its_place() {
    let folder = folder("", CHECKS);
    let outside = Folder::new();
    outside.write("out.toml", CHECKS);
    std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
    folder.write("latin.toml", b"# \xe9");
    let absolute = outside.path().join("out.toml");
    for (names, why) in [
        (
            "'../out.toml'",
            "it is not below the folder of the workflow file",
        ),
        (
            &*format!("'{}'", absolute.display()),
            "it is not below the folder of the workflow file",
        ),
        (
            "'link/out.toml'",
            "it is not below the folder of the workflow file",
        ),
        ("'coord.toml'", "it is this file itself"),
        (
            "'steps/checks.toml', 'steps/checks.toml'",
            "it is included already",
        ),
        ("'gone.toml'", "No such file"),
        ("'steps'", "this is a directory"),
        ("'latin.toml'", "it is not UTF-8 text"),
    ] {
        folder.write(
            "coord.toml",
            format!("include = [{names}]\n[[step]]\nid = 'a'\nrun = 'x'\n"),
        );
        let refused = done(folder.coord(["run"]));
        refused.exits(96);
        let err = refused.err;
        assert!(
            err.contains("coord::file::include") && err.contains(why),
            "{names}: {err}"
        );
        assert!(err.contains("[coord.toml:1:"), "{err}");
    }
}

#[test]
fn a_run_goes_on_with_the_files_that_it_was_started_with() {
    let waits = "test -e again || { touch again; echo pid=$$; exec sleep 60; }";
    let folder = folder(MAIN, &CHECKS.replace("test ! -e broken", waits));
    let mut running = Running::start(folder.coord(["run", "--id=r"]));
    running.until("pid=");
    running.signal(Signal::KILL);
    running.end();
    folder.write("steps/checks.toml", "");
    let resumed = done(folder.coord(["resume", "r"]));
    resumed.exits(0).says("last  | last main quick\n");
    assert!(
        resumed.err.contains("checks.toml has changed since"),
        "{}",
        resumed.err
    );
}

#[test]
fn included_files_include_others_from_their_own_folders_and_what_two_name_is_there_once() {
    let folder = folder(
        "include = ['steps/checks.toml', 'steps/more.toml']\n[params]\na = 'main'\n",
        "include = ['deep/base.toml']\n[params]\na = 'checks'\nb = 'checks'\n\
         [[step]]\nid = 'check'\nrun = 'echo $PARAM_A $PARAM_B $PARAM_C'\nneeds = ['base']\n",
    );
    folder.write(
        "steps/more.toml",
        "include = ['./deep/base.toml']\n[params]\nc = 'more'\n",
    );
    std::fs::create_dir(folder.path().join("steps/deep")).unwrap();
    folder.write(
        "steps/deep/base.toml",
        "include = ['../../top.toml']\n[params]\nb = 'base'\nc = 'base'\n\
         [[step]]\nid = 'base'\nrun = 'echo base'\nneeds = ['top']\n",
    );
    folder.write("top.toml", "[[step]]\nid = 'top'\nrun = 'echo top'\n");
    done(folder.coord(["run", "--id=r"]))
        .exits(0)
        .says("check | main checks more\n");
    let planned = done(folder.coord(["run", "--dry-run", "--output=json"]));
    let planned: serde_json::Value = serde_json::from_str(&planned.out).unwrap();
    let files = [
        "steps/checks.toml",
        "steps/more.toml",
        "steps/deep/base.toml",
        "top.toml",
    ];
    assert_eq!(planned["included"], serde_json::json!(files));
    // They are kept, too.
    for file in files {
        folder.write(file, "");
    }
    done(folder.coord(["retry", "r", "--from", "check"]))
        .exits(0)
        .says("check | main checks more\n");
}

#[test]
fn files_that_include_each_other_in_a_ring_are_told_of_with_their_lines() {
    let folder = folder(
        "# A comment.\ninclude = ['steps/checks.toml']\n[[step]]\nid = 'a'\nrun = 'x'\n",
        "include = ['other.toml']\n",
    );
    folder.write("steps/other.toml", "[env]\n# Not there.\n");
    done(folder.coord(["validate"])).exits(0);
    folder.write(
        "steps/other.toml",
        "\n\ninclude = [\n 'checks.toml',\n '../coord.toml']\n",
    );
    let refused = done(folder.coord(["validate"]));
    refused.exits(96);
    let said: Vec<_> = refused
        .err
        .split(['\n', ' ', '│'])
        .filter(|word| !word.is_empty())
        .collect();
    let said = said.join(" ");
    for told in [
        "in a ring: steps/checks.toml:1, steps/other.toml:4",
        "in a ring: coord.toml:2, steps/checks.toml:1, steps/other.toml:5",
        "[steps/other.toml:4:2]",
    ] {
        assert!(said.contains(told), "no {told} in {said}");
    }
    folder.write("steps/other.toml", "include = [3]\n");
    let refused = done(folder.coord(["validate"]));
    refused.exits(96);
    let err = refused.err;
    assert!(err.contains("[steps/other.toml:1:12]"), "{err}");
}

#[test]
fn what_is_wrong_in_an_included_file_is_told_also_where_another_declares_it_before() {
    let folder = folder(
        "include = ['steps/checks.toml', 'more.toml']\n[params]\np = 'main'\n[env]\nE = 'x'\n\
         [resources]\ngpu = 1\n[[step]]\nid = 'a'\nrun = 'x'\n",
        "[params]\np = [1]\n[env]\nE = 1.5\n[resources]\ngpu = 0\n",
    );
    folder.write("more.toml", "[params]\np = { chioces = ['a'] }\n");
    let refused = done(folder.coord(["validate"]));
    refused.exits(96).says("");
    for told in [
        "[steps/checks.toml:2:5]",
        "[steps/checks.toml:4:5]",
        "[steps/checks.toml:6:7]",
        "[more.toml:2:7]",
    ] {
        assert!(refused.err.contains(told), "no {told} in {}", refused.err);
    }
    folder.write("steps/checks.toml", "[params]\np = 2\n[env]\nE = 'y'\n");
    folder.write("more.toml", "[profile.x.params]\np = 'z'\n");
    done(folder.coord(["validate"])).exits(0);
}
