//! Runs whose disk fills up, and runs whose power is cut.

use std::fs::{File, OpenOptions, remove_file};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use super::{effects, kill, on, said};
use crate::coord::{Folder, Running, done, is_gone, pids};
use crate::mounts::{Mount, run, skipped};

/// Writes a file until there is no room for more.
fn fill(path: &Path) {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    while file.write_all(&[7; 512]).is_ok() {}
}

#[test]
fn a_run_whose_journal_fails_ends_with_nothing_left_and_goes_on_when_there_is_room() {
    const TEST: &str =
        "a_run_whose_journal_fails_ends_with_nothing_left_and_goes_on_when_there_is_room";
    let folder = Folder::new();
    let disk = match Mount::memory(folder.path().join("state"), 2 << 20) {
        Ok(disk) => disk,
        Err(why) => return skipped(TEST, &why),
    };
    // More steps than there may be room for in what the journal has of the disk already.
    let mut file = "[[step]]\nid = 's0'\n\
         run = 'echo s0 >> effects; echo began; until test -e go; do sleep 0.01; done'\n\
         [[step]]\nid = 'beside'\nrun = 'echo pid=$$; test -e room || exec sleep 1000'\n"
        .to_owned();
    for step in 1..100 {
        file += &format!(
            "[[step]]\nid = 's{step}'\nneeds = ['s{}']\nrun = 'echo s{step} >> effects'\n",
            step - 1
        );
    }
    folder.write("coord.toml", file);
    let mut command = folder.coord(["run", "--id", "r", "--concurrency", "4"]);
    command.stderr(File::create(folder.path().join("said")).unwrap());
    let mut running = Running::start(command);
    running.until("pid=");
    if !running.printed.contains("began") {
        running.until("began");
    }
    let filler = disk.path().join("filler");
    fill(&filler);
    folder.write("go", "");
    let (status, printed) = running.end();
    let told = folder.read("said").unwrap();
    // As one line, without the frame.
    let told = told.replace('│', "");
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(status.code(), Some(96), "{printed}\n{told}");
    for said in ["is full", "free some space"] {
        assert!(told.contains(said), "no {said:?} in {told}");
    }
    assert!(told.contains("coord resume r"), "{told}");
    assert!(pids(&printed).into_iter().all(is_gone));
    let before = effects(&folder);
    assert!(before.len() < 100, "{before:?}");

    remove_file(filler).unwrap();
    disk.change("size=64m");
    folder.write("room", "");
    done(folder.coord(["resume", "r"]))
        .exits(0)
        .says("101 done");
    let after = effects(&folder);
    // What was under way when the journal failed is done again, and nothing else is.
    assert!(after.len() <= 101, "{before:?}\n{after:?}");
    let mut each = after.clone();
    each.dedup();
    assert_eq!(each.len(), 100, "{after:?}");
}

/// How many steps the runs have whose power is cut.
const STEPS: usize = 30;

#[test]
fn a_run_whose_power_is_cut_goes_on_and_does_nothing_again_that_was_done() {
    const TEST: &str = "a_run_whose_power_is_cut_goes_on_and_does_nothing_again_that_was_done";
    let folder = Folder::new();
    let image = folder.path().join("image");
    let made = File::create_new(&image).and_then(|file| file.set_len(64 << 20));
    made.expect("there is room for an image");
    let formatted = run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
    let mounted = formatted.and_then(|()| Mount::image(folder.path().join("disk"), &image));
    let _disk = match mounted {
        Ok(disk) => disk,
        Err(why) => return skipped(TEST, &why),
    };
    let mut file = String::new();
    for step in 0..STEPS {
        let needs = match step {
            0 => String::new(),
            _ => format!("needs = ['s{}']\n", step - 1),
        };
        file += &format!(
            "[[step]]\nid = 's{step}'\n{needs}run = 'echo {step} >> effects; echo began {step}'\n"
        );
    }
    folder.write("coord.toml", file);
    for (cut, at) in [0, 1, 7, 16, STEPS - 2].into_iter().enumerate() {
        let _ = remove_file(folder.path().join("effects"));
        let id = format!("run-{cut}");
        let began = format!("began {at}");
        kill(on(
            &folder,
            ["run", "--journal", "disk/journal", "--id", &id],
            &began,
            1,
        ));
        // What the file system has not written to its disk is not in the copy, as after a power cut.
        let copy = folder.path().join("copy");
        let mut copying = Command::new("cp");
        copying.arg("--sparse=always").args([&image, &copy]);
        run(&mut copying).expect("it is copied");
        let after = Mount::image(folder.path().join("after"), &copy).expect("it mounts, as before");
        // Until nothing of it runs that could still write.
        while done(folder.coord(["list", "--journal", "disk/journal"]))
            .out
            .contains("  running  ")
        {}
        // That a step began is what acknowledges that those before it are done.
        let ledger: Vec<usize> = numbers(&folder);
        let begun = *ledger.last().unwrap();
        let checked = done(folder.coord(["journal", "check", "after/journal"]));
        checked.exits(0);
        let resumed = done(folder.coord(["resume", &id, "--journal", "after/journal"]));
        resumed.exits(0).says("30 done");
        let mut expected = ledger.clone();
        let again = numbers(&folder).get(ledger.len()).copied();
        // By the kill it may have been done, and that may have been kept: also of the last of all.
        let again = again.unwrap_or(STEPS);
        assert!(
            (begun..=begun + 1).contains(&again),
            "{again} after {ledger:?}"
        );
        expected.extend(again..STEPS);
        assert_eq!(numbers(&folder), expected, "{}", said(&resumed));
        drop(after);
        remove_file(copy).expect("it is ours");
    }
}

fn numbers(folder: &Folder) -> Vec<usize> {
    let effects = folder.read("effects").unwrap();
    effects.lines().map(|line| line.parse().unwrap()).collect()
}
