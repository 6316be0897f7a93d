//! Runs that are done again, or begun anew.

use std::collections::BTreeSet;

use crate::coord::{Folder, Running, done, until};

#[test]
fn a_retry_says_what_of_the_run_is_kept() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'first'\nrun = 'true'\n\
         [[step]]\nid = 'second'\nrun = 'true'\nneeds = ['first']\n\
         [[step]]\nid = 'third'\nrun = 'test -e mended'\nneeds = ['second']\n",
    );
    done(folder.coord(["run", "--id", "r"])).exits(100);
    done(folder.coord(["retry", "r"]))
        .exits(100)
        .says("run r: 2 of 3 steps are done already\n");
    folder.write("mended", "");
    done(folder.coord(["retry", "r", "--from", "second"]))
        .exits(0)
        .says("run r: 1 of 3 steps are done already\n");
    done(folder.coord(["retry", "r", "--from", "first"]))
        .exits(0)
        .says("run r: 0 of 3 steps are done already\n");
}

#[test]
fn a_run_is_replaced_only_once_the_one_that_begins_anew_has_begun() {
    let folder = Folder::new();
    let step = "[[step]]\nid = 'a'\nrun = 'echo ran'\n";
    folder.write("coord.toml", step);
    done(folder.coord(["run", "--id", "dev"])).exits(0);
    let is_there = || {
        let shown = done(folder.coord(["show", "dev"]));
        shown.exits(0).says("run dev of coord: completed");
        assert_eq!(done(folder.coord(["logs", "dev"])).out, "a | ran\n");
    };
    let again = ["run", "--id", "dev", "--again"];
    // What it is to begin with cannot be had.
    let secret = "[secrets]\nIT = { env = 'NOWHERE' }\n";
    folder.write("coord.toml", format!("{secret}{step}"));
    done(folder.coord(again)).exits(96);
    is_there();
    let detached = ["run", "--id", "dev", "--again", "--detach"];
    done(folder.coord(detached)).exits(96);
    is_there();
    // And it is killed before.
    let secret = "[secrets]\nIT = { command = ['sh', '-c', 'touch asked; while test -e asked; do sleep 0.01; done'] }\n";
    folder.write("coord.toml", format!("{secret}{step}"));
    let mut killed = folder.coord(again).spawn().unwrap();
    until(|| folder.read("asked").is_some());
    killed.kill().unwrap();
    killed.wait().unwrap();
    std::fs::remove_file(folder.path().join("asked")).unwrap();
    is_there();
}

#[test]
fn who_begins_a_run_anew_that_another_has_begun_meanwhile_takes_nothing_from_it() {
    let folder = Folder::new();
    let step = "[[step]]\nid = 'a'\nrun = 'echo ran; until test -e end; do sleep 0.01; done'\n";
    folder.write("coord.toml", step);
    folder.write("end", "");
    done(folder.coord(["run", "--id", "dev"])).exits(0);
    std::fs::remove_file(folder.path().join("end")).unwrap();
    // The first that asks for it waits.
    let secret = "[secrets]\nIT = { command = ['sh', '-c', \
                  'if mkdir asked; then until test -e go; do sleep 0.01; done; fi; echo s3cr3t'] }\n";
    folder.write("coord.toml", format!("{secret}{step}"));
    let again = ["run", "--id", "dev", "--again"];
    let late = Running::start(folder.coord(again));
    until(|| folder.path().join("asked").exists());
    let mut running = Running::start(folder.coord(again));
    running.until("ran");
    let kept = || {
        let dir = folder.path().join("state/coord/output/dev");
        let names = std::fs::read_dir(dir).into_iter().flatten();
        let names = names.map(|entry| entry.unwrap().file_name());
        names.collect::<BTreeSet<_>>()
    };
    until(|| done(folder.coord(["logs", "dev"])).out == "a | ran\n");
    let before = kept();
    folder.write("go", "");
    assert_eq!(late.end().0.code(), Some(96));
    let after = kept();
    folder.write("end", "");
    assert_eq!(running.end().0.code(), Some(0));
    assert!(after.is_superset(&before), "{before:?}, then {after:?}");
    assert_eq!(done(folder.coord(["logs", "dev"])).out, "a | ran\n");
}
