//! Limits of the system: files that may not become longer, and folders that are not there any more.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::coord::{Done, Folder, done};
use crate::mounts::{run, skipped};

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

/// Either the run has ended, however, or it has not begun.
#[track_caller]
fn has_ended_or_never_begun(folder: &Folder, done: &Done, limit: u32) {
    assert!(!done.err.contains("panicked"), "{limit}: {}", done.err);
    assert!(matches!(done.code, Some(0 | 96 | 100)), "{limit}: {done:?}");
    let runs = crate::coord::done(folder.coord(["list", "--journal", "j"]));
    assert!(
        !runs.out.contains("interrupted"),
        "{limit}: {} {done:?}",
        runs.out
    );
}

#[test]
fn where_few_files_may_be_open_a_run_ends_or_does_not_begin() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'true; true'\n");
    for limit in 4..32 {
        let script = format!("ulimit -n {limit}");
        let run = done(after(&folder, &script, ["run", "--journal", "j"]));
        has_ended_or_never_begun(&folder, &run, limit);
    }
}

#[test]
fn where_there_may_be_few_threads_a_run_ends_or_does_not_begin() {
    const TEST: &str = "where_there_may_be_few_threads_a_run_ends_or_does_not_begin";
    // Nobody else is this user: what there may be is counted for each. A superuser may always have more.
    const USER: [&str; 3] = ["--reuid=3141592", "--regid=3141592", "--clear-groups"];
    let folder = Folder::new();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'true; true'\n");
    let mut probe = folder.command("setpriv");
    if let Err(why) = run(probe
        .args(USER)
        .args([env!("CARGO_BIN_EXE_coord"), "validate"]))
    {
        return skipped(TEST, &why);
    }
    let mut codes = Vec::new();
    // What watched over the run before may not have ended yet, and counts: so the last has room enough.
    for limit in (1..32).chain([1000]) {
        let mut command = folder.command("setpriv");
        command.args(USER).arg("prlimit");
        command.arg(format!("--nproc={limit}"));
        command.args([env!("CARGO_BIN_EXE_coord"), "run", "--journal", "j"]);
        let run = done(command);
        has_ended_or_never_begun(&folder, &run, limit);
        codes.push(run.code);
    }
    assert!(codes.contains(&Some(96)), "{codes:?}");
    assert_eq!(codes.last(), Some(&Some(0)), "{codes:?}");
}
