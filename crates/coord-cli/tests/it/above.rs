//! Where no file is named, and this folder has none: that of the nearest folder above that has one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::coord::{Done, Folder, done};
use crate::terminal::{self, Terminal};

const WHERE: &str = "[[step]]\nid = 'where'\nrun = 'pwd'\n[[step]]\nid = 'other'\nrun = 'true'\n";

/// A folder with a file, and two below it without.
fn folders() -> (Folder, PathBuf) {
    let folder = Folder::new();
    folder.write("coord.toml", WHERE);
    let below = folder.path().join("src/deep");
    fs::create_dir_all(&below).unwrap();
    (folder, below)
}

fn within<const N: usize>(folder: &Folder, below: &Path, arguments: [&str; N]) -> Command {
    let mut command = folder.coord(arguments);
    command.current_dir(below);
    command
}

/// How often it is told which file it is.
fn told(done: &Done, folder: &Folder) -> usize {
    let path = folder.path().join("coord.toml");
    let line = format!(
        "the file is {}, as this folder has no coord.toml\n",
        path.display()
    );
    done.err.matches(&line).count()
}

#[test]
fn the_file_of_the_nearest_folder_above_is_run_in_its_folder_and_told_once() {
    let (folder, below) = folders();
    let here = format!("where | {}\n", folder.path().display());
    for arguments in [&["run"][..], &[], &["run", "--only", "where"]] {
        let mut command = within(&folder, &below, []);
        command.args(arguments);
        let run = done(command);
        run.exits(0).says(&here);
        assert_eq!(told(&run, &folder), 1, "{arguments:?}: {}", run.err);
    }
    let at_home = done(folder.coord(["run"]));
    assert_eq!(at_home.exits(0).err, "");
    let quiet = done(within(&folder, &below, ["run", "-q"]));
    assert_eq!(quiet.exits(0).err, "");
    // It is one run, wherever it is asked for.
    done(folder.coord(["run", "--id", "r"])).exits(0);
    let again = done(within(&folder, &below, ["run", "--id", "r"]));
    assert!(again.exits(0).err.contains("finished"), "{}", again.err);
    fs::write(
        folder.path().join("src/coord.toml"),
        "[[step]]\nid = 'near'\nrun = 'true'\n",
    )
    .unwrap();
    done(within(&folder, &below, ["run"])).exits(0).says("near");
}

#[test]
fn a_run_in_the_background_tells_its_file_above_once_also_where_it_fails() {
    let (folder, below) = folders();
    let begun = done(within(&folder, &below, ["run", "--detach", "--id", "r"]));
    assert_eq!(told(begun.exits(0), &folder), 1, "{}", begun.err);
    folder.write(
        "coord.toml",
        format!("secrets = {{ A = {{ env = 'NO_SUCH' }} }}\n{WHERE}"),
    );
    let failed = done(within(&folder, &below, ["run", "--detach"]));
    assert!(failed.exits(96).err.contains("NO_SUCH"), "{}", failed.err);
    assert_eq!(told(&failed, &folder), 1, "{}", failed.err);
}

#[test]
fn what_only_looks_at_a_file_takes_the_same_one() {
    let (folder, below) = folders();
    let path = folder.path().join("coord.toml");
    let path = path.to_str().unwrap();
    let valid = format!("{path}: no faults in workflow `coord`");
    done(within(&folder, &below, ["validate"]))
        .exits(0)
        .says(&valid);
    let graph = done(within(&folder, &below, ["graph"]));
    graph.exits(0).says("where");
    assert_eq!(told(&graph, &folder), 1, "{}", graph.err);
    let named = format!("\"file\": \"{path}\"");
    for arguments in [
        ["validate", "--output=json", "--color=auto"],
        ["run", "--dry-run", "--output=json"],
    ] {
        done(within(&folder, &below, arguments))
            .exits(0)
            .says(&named);
    }
    let mut completed = within(&folder, &below, ["--", "coord", "run", "--only", "wh"]);
    completed.env("COORD_COMPLETE", "fish");
    completed.env("_CLAP_COMPLETE_INDEX", "3");
    assert_eq!(done(completed).out.trim(), "where");
    let of_step = done(within(&folder, &below, ["where"]));
    let says = format!("`coord run --only where` runs that of {path}");
    assert!(of_step.exits(96).err.contains(&says), "{}", of_step.err);
    folder.write("coord.toml", "[[stp]]\n");
    let wrong = done(within(&folder, &below, ["validate"]));
    assert!(wrong.exits(96).err.contains(path), "{}", wrong.err);
    let told = done(within(&folder, &below, ["validate", "--output=json"]));
    told.exits(96).says(&named);
}

#[test]
fn a_file_that_is_named_is_not_looked_for_above() {
    let (folder, below) = folders();
    for arguments in [
        ["run", "coord.toml"],
        ["validate", "./coord.toml"],
        ["graph", "coord.toml"],
    ] {
        done(within(&folder, &below, arguments)).exits(96);
    }
    fs::create_dir(below.join("coord.toml")).unwrap();
    let directory = done(within(&folder, &below, ["run"]));
    assert!(
        directory.exits(96).err.contains("is a directory"),
        "{}",
        directory.err
    );
}

#[test]
fn where_none_is_found_it_is_told_where_it_was_looked_for() {
    let folder = Folder::apart();
    let below = folder.path().join("below");
    fs::create_dir(&below).unwrap();
    let none = done(within(&folder, &below, []));
    let path = below.display();
    let says =
        format!("there is none in {path}, nor in a folder above it; write one, or name another");
    assert!(none.exits(96).err.contains(&says), "{}", none.err);
}

#[test]
fn the_screen_has_the_file_above_in_its_title() {
    let (folder, below) = folders();
    folder.write("coord.toml", "[[step]]\nid = 'waits'\nsignal = 'go'\n");
    let mut command = terminal::coord(&below);
    command = command.env("XDG_STATE_HOME", folder.path().join("state"));
    let mut terminal = Terminal::start(command, 24, 200);
    let path = folder.path().join("coord.toml").display().to_string();
    let screen = terminal.shows(&path);
    let title = screen.lines().next().unwrap_or_default();
    assert!(
        title.contains("coord running") && title.contains(&path),
        "{screen}"
    );
    terminal.keys("q");
    terminal.end();
}

#[test]
fn a_workflow_file_is_a_program_with_its_own_arguments() {
    let folder = Folder::new();
    let program = "#!/usr/bin/env -S coord run\n[params]\nx = '0'\n\
                   [[step]]\nid = 'release'\nrun = 'echo x is $PARAM_X in $PWD'\n";
    folder.write("release.toml", program);
    let path = folder.path().join("release.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let elsewhere = Folder::apart();
    let coord = Path::new(env!("CARGO_BIN_EXE_coord")).parent().unwrap();
    let path_variable = format!("{}:{}", coord.display(), std::env::var("PATH").unwrap());
    let mut command = elsewhere.command(path.to_str().unwrap());
    command.args(["--param", "x=1"]).env("PATH", &path_variable);
    let says = format!("release | x is 1 in {}\n", folder.path().display());
    done(command).exits(0).says(&says);
    let mut looked_at = folder.command("./release.toml");
    looked_at
        .args(["--dry-run", "--param=x=2"])
        .env("PATH", path_variable);
    done(looked_at).exits(0).says("x=2");
}
