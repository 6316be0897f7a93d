//! Runs whose records are not as they were written any more.

use std::fs;

use super::said;
use crate::coord::{Folder, done};

/// Changes one byte where this text is written last in the journal.
fn damage(folder: &Folder, text: &str) {
    let file = folder.path().join("state/coord/journal.db");
    let mut bytes = fs::read(&file).unwrap();
    let mut there = bytes.windows(text.len());
    let at = there.rposition(|there| there == text.as_bytes());
    bytes[at.unwrap()] ^= 1;
    fs::write(&file, bytes).unwrap();
}

fn two_runs() -> Folder {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'true'\n");
    for id in ["one", "two"] {
        done(folder.coord(["run", "--id", id])).exits(0);
    }
    // What is in the journal's log is in its file afterwards.
    let list = done(folder.coord(["list"]));
    list.exits(0).says("1/1");
    folder
}

#[test]
fn a_run_whose_end_is_damaged_is_named_and_hides_no_other() {
    let folder = two_runs();
    damage(&folder, "\"summary\"");
    let list = done(folder.coord(["list"]));
    list.exits(0).says("damaged").says("completed");
    assert_eq!(list.out.matches("damaged").count(), 1, "{list:?}");
    assert_eq!(list.out.matches("completed").count(), 1, "{list:?}");
}

/// Its last record is whole, and says how it ended.
#[test]
fn a_run_whose_course_is_damaged_is_listed_as_it_ended_and_not_shown() {
    let folder = two_runs();
    damage(&folder, "step-completed");
    let list = done(folder.coord(["list"]));
    list.exits(0);
    assert_eq!(list.out.matches("completed").count(), 2, "{list:?}");
    let shown = ["one", "two"].map(|run| done(folder.coord(["show", run])));
    let named = shown.iter().filter(|shown| said(shown).contains("damaged"));
    assert_eq!(named.count(), 1, "{shown:?}");
}
