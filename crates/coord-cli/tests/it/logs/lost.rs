//! Output that cannot be kept: the run goes on, and says so.

use super::logs;
use crate::coord::{Folder, Running, done, until};
use crate::mounts::{Mount, skipped};

/// Prints two megabytes, and then something every now and then.
const FILE: &str = "[[step]]\nid = 's'\n\
     run = 'yes 0123456789 | head -n 200000; echo filled; until test -e go; do echo on; sleep 0.05; done'\n";

#[test]
fn where_the_disk_is_full_the_run_goes_on_and_is_told_and_what_is_missing_is_known() {
    const TEST: &str =
        "where_the_disk_is_full_the_run_goes_on_and_is_told_and_what_is_missing_is_known";
    let folder = Folder::new();
    let disk = match Mount::memory(folder.path().join("state/coord/output"), 1 << 20) {
        Ok(disk) => disk,
        Err(why) => return skipped(TEST, &why),
    };
    // The directory has to be a journal's, to be made one: whatever is in it.
    std::fs::write(folder.path().join("state/coord/journal.db"), "").unwrap();
    folder.write("coord.toml", FILE);
    let mut running = Running::start(folder.coord(["run", "--id", "r"]));
    running.until("cannot be kept: No space left on device");
    running.until("filled");
    let full = logs(&folder, ["s", "-n", "1"]);
    assert!(
        full.err.contains("lines or more are missing"),
        "{}",
        full.err
    );
    assert!(full.err.contains("No space left"), "{}", full.err);
    // It is tried again.
    disk.change("size=64m");
    until(|| logs(&folder, ["s", "-n", "1"]).out == "on\n");
    folder.write("go", "");
    let (status, printed) = running.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    assert_eq!(printed.matches("cannot be kept").count(), 1);
    // Each line that is there is whole.
    let kept = logs(&folder, ["s"]);
    assert!(!kept.err.contains("cannot be read"), "{}", kept.err);
    let is_whole = |line: &str| ["0123456789", "filled", "on"].contains(&line);
    assert!(kept.out.lines().all(is_whole));
    let lines = kept.out.lines().count();
    assert!((10_000..100_000).contains(&lines), "{lines}");
}

#[test]
fn where_no_file_can_be_made_the_run_goes_on_and_is_told() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 's'\nrun = 'true'\n");
    done(folder.coord(["run", "--id", "first"])).exits(0);
    let output = folder.path().join("state/coord/output");
    std::fs::remove_dir_all(&output).unwrap();
    std::fs::write(&output, "no directory").unwrap();
    folder.write("coord.toml", "[[step]]\nid = 's'\nrun = 'echo said'\n");
    let run = done(folder.coord(["run", "--id", "r"]));
    run.exits(0).says("s | said\n");
    assert!(
        format!("{}{}", run.out, run.err).contains("what is printed cannot be kept: "),
        "{run:?}"
    );
    std::fs::remove_file(&output).unwrap();
    let kept = logs(&folder, []);
    assert_eq!(kept.err, "the output of run r was not kept\n");
}
