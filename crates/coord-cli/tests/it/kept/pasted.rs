//! The commands that a person is told can be pasted: they name the journal, where that is not the usual one.

use std::process::Command;

use super::said;
use crate::coord::{Folder, done};

/// The first command that begins so.
fn told(folder: &Folder, said: &str, begins: &str) -> Command {
    let at = said
        .find(begins)
        .unwrap_or_else(|| panic!("no {begins:?} in {said}"));
    let command: String = said[at..]
        .chars()
        .take_while(|it| !"`\n".contains(*it))
        .collect();
    let mut coord = folder.coord([]);
    coord.args(shlex::split(&command).unwrap().into_iter().skip(1));
    coord
}

#[test]
fn a_command_that_is_told_names_the_journal_and_does_what_it_says() {
    let folder = Folder::new();
    folder.write("coord.toml", "[[step]]\nid = 'a'\nrun = 'test -e go'\n");
    let run = ["run", "--id", "r", "--journal", "my journal"];
    done(folder.coord(run)).exits(100);
    let refused = done(folder.coord(["cancel", "r", "--journal", "my journal"]));
    refused.exits(96);
    let said = said(&refused);
    done(told(&folder, &said, "coord show r"))
        .exits(0)
        .says("run r of");
    folder.write("go", "");
    done(told(&folder, &said, "coord retry r")).exits(0);
    let detached = done(folder.coord(["run", "--detach", "--id", "r", "--journal", "my journal"]));
    detached.exits(0);
    done(told(&folder, &detached.err, "coord show r"))
        .exits(0)
        .says("completed");
}
