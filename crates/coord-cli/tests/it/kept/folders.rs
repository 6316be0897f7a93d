//! Runs whose folder is not there when they are to go on, as of a disk that is not mounted yet.

use std::fs;

use super::{kill, list, on, said};
use crate::coord::{Folder, done};

/// Charges, then waits for a file; the undoing is seen, too.
const CHARGE: &str = "[[step]]\nid = 'charge'\nrun = 'echo charge >> ../effects'\n\
     undo = 'echo refund >> ../effects'\n\
     [[step]]\nid = 'ship'\nneeds = ['charge']\n\
     run = 'echo began; until test -e ../go; do sleep 0.01; done; echo ship >> ../effects; test -e ../right'\n";

/// A run of a file on a disk, which is killed as it ships; then the disk is away.
fn unmounted() -> Folder {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("disk")).unwrap();
    folder.write("disk/coord.toml", CHARGE);
    kill(on(
        &folder,
        ["run", "--id", "v", "disk/coord.toml"],
        "began",
        1,
    ));
    list(&folder, "interrupted");
    unmount(&folder);
    folder
}

fn unmount(folder: &Folder) {
    fs::rename(folder.path().join("disk"), folder.path().join("away")).unwrap();
}

fn mount(folder: &Folder) {
    fs::rename(folder.path().join("away"), folder.path().join("disk")).unwrap();
}

#[test]
fn a_run_whose_folder_is_not_there_is_left_interrupted_and_the_others_go_on() {
    let folder = unmounted();
    fs::create_dir(folder.path().join("other")).unwrap();
    folder.write("other/coord.toml", CHARGE);
    kill(on(
        &folder,
        ["run", "--id", "o", "other/coord.toml"],
        "began",
        1,
    ));
    list(&folder, "interrupted");
    folder.write("go", "");
    folder.write("right", "");
    let all = done(folder.coord(["resume", "--all"]));
    all.exits(96).says("2 done");
    assert!(said(&all).contains("disk, the folder of its file, does not exist"));
    assert!(said(&all).contains("`coord resume v` goes on"), "{all:?}");
    done(folder.coord(["show", "v"]))
        .exits(0)
        .says(": interrupted, started");
    for resume in [&["resume"][..], &["resume", "v"]] {
        let mut command = folder.coord([]);
        command.args(resume);
        done(command).exits(96);
    }
    mount(&folder);
    done(folder.coord(["resume"])).exits(0).says("2 done");
    let effects = folder.read("effects").unwrap();
    assert_eq!(effects, "charge\ncharge\nship\nship\n");
    // One that has finished is shown, and needs no folder.
    unmount(&folder);
    done(folder.coord(["resume", "v"])).exits(0);
}

#[test]
fn a_folder_that_is_empty_is_where_a_disk_is_to_be_mounted() {
    let folder = unmounted();
    folder.write("go", "");
    folder.write("right", "");
    fs::create_dir(folder.path().join("disk")).unwrap();
    let resumed = done(folder.coord(["resume"]));
    resumed.exits(96);
    assert!(said(&resumed).contains("the folder of its file, is empty"));
    assert_eq!(folder.read("effects").as_deref(), Some("charge\n"));
    fs::remove_dir(folder.path().join("disk")).unwrap();
    mount(&folder);
    done(folder.coord(["resume"])).exits(0);
}

#[test]
fn what_failed_is_not_done_again_where_its_folder_is_not_there() {
    let folder = unmounted();
    mount(&folder);
    folder.write("go", "");
    done(folder.coord(["resume"])).exits(100);
    unmount(&folder);
    for (retry, again) in [
        (&["retry", "v"][..], "`coord retry v` goes on"),
        (
            &["retry", "v", "--from", "ship"],
            "`coord retry v --from ship` goes on",
        ),
    ] {
        let mut command = folder.coord([]);
        command.args(retry);
        let refused = done(command);
        refused.exits(96);
        assert!(said(&refused).contains(again), "{refused:?}");
    }
    let effects = || folder.read("effects").unwrap();
    assert_eq!(effects(), "charge\nship\nrefund\n");
    mount(&folder);
    folder.write("right", "");
    done(folder.coord(["retry", "v"])).exits(0);
    assert_eq!(effects(), "charge\nship\nrefund\ncharge\nship\n");
}
