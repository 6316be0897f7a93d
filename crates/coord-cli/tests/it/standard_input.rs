//! A workflow file that comes from standard input.

use std::io::Write;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::coord::{Done, Folder, Running, done};
use crate::kept::list;

/// A program to which this is said.
fn given(mut command: Command, file: &str) -> Done {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(file.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    Done::of(output)
}

#[test]
fn a_file_from_standard_input_runs_in_the_current_folder_and_takes_in_others_from_there() {
    let folder = Folder::new();
    folder.write(
        "more.toml",
        "[[step]]\nid = 'b'\nrun = 'echo b in ${PWD##*/}'\n",
    );
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let file =
        "include = ['more.toml']\n[[step]]\nid = 'a'\nrun = 'echo a in ${PWD##*/}'\ndir = 'sub'\n";
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    given(folder.coord(["run", "-", "--id", "r"]), file)
        .exits(0)
        .says("a | a in sub\n")
        .says(&format!("b | b in {name}\n"))
        .says("\nstdin completed in ");
    given(folder.coord(["graph", "-"]), file)
        .exits(0)
        .says("stdin: 2 steps");
    given(folder.coord(["run", "-", "--dry-run"]), file)
        .exits(0)
        .says("stdin: would run this");
}

#[test]
fn what_is_wrong_in_standard_input_is_told_with_its_place() {
    let folder = Folder::new();
    let wrong = "[[step]]\nid = 'a'\nrnu = 'true'\n";
    for command in ["run", "validate"] {
        let refused = given(folder.coord([command, "-"]), wrong);
        refused.exits(96);
        for told in ["<stdin> cannot be run: ", "[<stdin>:3:1]"] {
            assert!(refused.err.contains(told), "{}", refused.err);
        }
    }
    given(folder.coord(["run", "-"]), "").exits(96);
    let failed = given(
        folder.coord(["run", "-"]),
        "[[step]]\nid = 'a'\nrun = 'exit 3'\n",
    );
    failed.exits(100).says("\n  at <stdin>:2:6\n");
}

/// Waits for a file.
const WAITS: &str = "[[step]]\nid = 'a'\nrun = 'echo waits; until test -e go; do sleep 0.01; done'\n\
                     [[step]]\nid = 'b'\nneeds = ['a']\nrun = 'exit 3'\n";

#[test]
fn a_run_from_standard_input_is_taken_up_without_it() {
    let folder = Folder::new();
    folder.write("waits.toml", WAITS);
    let mut command = folder.coord(["run", "-", "--id", "r"]);
    command.stdin(std::fs::File::open(folder.path().join("waits.toml")).unwrap());
    let mut running = Running::start(command);
    running.until("waits");
    running.signal(Signal::KILL);
    running.end();
    list(&folder, "interrupted");
    folder.write("go", "");
    let resumed = done(folder.coord(["resume", "r"]));
    resumed
        .exits(100)
        .says("a · done in")
        .says("\n  at <stdin>:5:6\n");
    assert!(!resumed.err.contains("cannot be read"), "{}", resumed.err);
    let again = given(
        folder.coord(["run", "-", "--id", "r"]),
        &format!("{WAITS}\n"),
    );
    again.exits(96);
    assert!(
        again.err.contains("coord::runs::other_file"),
        "{}",
        again.err
    );
}

#[test]
fn a_run_from_standard_input_goes_on_in_the_background() {
    let folder = Folder::new();
    let left = given(folder.coord(["run", "-qd", "-", "--id", "r"]), WAITS);
    left.exits(0);
    assert_eq!(left.out, "r\n");
    let mut logs = Running::start(folder.coord(["logs", "r", "-f"]));
    logs.until("waits");
    folder.write("go", "");
    list(&folder, "failed");
}
