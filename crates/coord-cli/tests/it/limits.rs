//! Limits of the system: files that may not become longer, and folders that are not there any more.

use std::process::Command;

use crate::coord::{Folder, done};

/// `coord` with these arguments, behind what a shell does first.
fn after<const N: usize>(folder: &Folder, script: &str, arguments: [&str; N]) -> Command {
    let mut command = folder.command("sh");
    let script = format!("{script}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_coord")]);
    command.args(arguments);
    command
}

#[test]
fn a_journal_that_may_not_become_as_long_as_it_has_to_be_is_told() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'touch started'\n");
    let refused = done(after(&folder, "ulimit -f 8", ["run", "--journal", "j"]));
    refused.exits(96);
    let told = refused.err;
    assert!(told.contains("coord::runs::not_kept"), "{told}");
    assert!(told.contains("journal.db"), "{told}");
    assert_eq!(folder.read("started"), None);
}

#[test]
fn output_that_may_not_be_kept_for_its_length_is_told_and_a_step_meets_the_limit_as_ever() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'prints'\nrun = 'yes 0123456789 | head -n 300000'\n\
         [[step]]\nid = 'writes'\nrun = 'exec head -c 20000000 /dev/zero > file'\noptional = true\n",
    );
    // Of 512 bytes, or of 1024.
    let limit = "ulimit -f 1000";
    let run = done(after(&folder, limit, ["run", "--id", "r", "-q"]));
    run.exits(0).says("killed by SIGXFSZ; it is optional");
    run.says("cannot be kept: File too large");
    let kept = done(folder.coord(["logs", "r", "prints", "-n", "1"]));
    assert!(kept.err.contains("File too large"), "{}", kept.err);
    // What is kept is longer with its times.
    let limit = "exec > all; ulimit -f 500";
    let logs = done(after(
        &folder,
        limit,
        ["logs", "r", "-t", "--color", "never"],
    ));
    logs.exits(110);
    assert!(logs.err.contains("File too large"), "{}", logs.err);
}

#[test]
fn that_the_folder_is_gone_is_told() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'true'\n");
    let gone = "mkdir gone; cd gone; rmdir ../gone";
    let refused = done(after(&folder, gone, ["run", "../coord.toml"]));
    refused.exits(96);
    let told = refused.err;
    assert!(told.contains("coord::set_up::no_folder"), "{told}");
    assert!(told.contains("is gone"), "{told}");
    // Where it is named from the root, it is not needed.
    let path = folder.path().join("coord.toml");
    let path = path.to_str().unwrap();
    let checked = done(after(&folder, gone, ["validate", path]));
    checked.exits(0);
}
