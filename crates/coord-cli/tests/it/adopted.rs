//! What is left to `coord` where it is process 1, as what a container runs.

use std::process::Command;

use crate::coord::{Folder, done};
use crate::mounts::{run, skipped};

/// A command whose program is process 1 of a system of its own.
pub(crate) const FIRST: [&str; 4] = ["--pid", "--fork", "--mount-proc", "--kill-child"];

#[test]
fn as_process_1_it_reaps_what_steps_have_left_and_takes_none_of_its_own_for_that() {
    const TEST: &str =
        "as_process_1_it_reaps_what_steps_have_left_and_takes_none_of_its_own_for_that";
    if let Err(why) = run(Command::new("unshare").args(FIRST).arg("true")) {
        return skipped(TEST, &why);
    }
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
[[step]]
id = "leaves"
timeout = "30s"
run = """
touch left
for i in 1 2 3; do (setsid sh -c 'echo $$ >> left' &); done
until [ "$(wc -l < left)" -eq 3 ]; do sleep 0.05; done
for pid in $(cat left); do while test -e /proc/$pid; do sleep 0.05; done; done
"""

[[step]]
id = "own"
for_each = { param = "items" }
run = "exit 0"

[params]
items = "1\n2\n3\n4\n5\n6\n7\n8"
"#,
    );
    let mut command = folder.command("unshare");
    command.args(FIRST).arg(env!("CARGO_BIN_EXE_coord"));
    command.args(["run", "--no-journal"]);
    done(command).exits(0);
}
