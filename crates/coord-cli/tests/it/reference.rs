//! What `coord` tells of itself: codes, the schema, completions and manual pages.

use crate::coord::{Folder, done};

#[test]
fn the_code_of_a_fault_is_explained() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[[step]]\nid = 'a'\nrun = 'true'\nneeds = ['a']\n",
    );
    let refused = done(folder.coord(["validate"]));
    refused.exits(96);
    assert!(
        refused.err.contains("coord::file::cycle"),
        "{}",
        refused.err
    );
    let whole = done(folder.coord(["explain", "coord::file::cycle"]));
    whole.exits(0).says("coord::file::cycle").says("in a ring");
    let short = done(folder.coord(["explain", "cycle"]));
    assert_eq!(short.out, whole.out);
}

#[test]
fn a_code_that_is_none_is_answered_with_the_nearest() {
    let folder = Folder::new();
    let refused = done(folder.coord(["explain", "coord::file::cylce"]));
    refused.exits(2);
    assert!(
        refused.err.contains("did you mean `coord::file::cycle`?"),
        "{}",
        refused.err
    );
    assert_eq!(refused.out, "");
    done(folder.coord(["explain"]))
        .exits(0)
        .says("coord::runs::no_run");
}

#[test]
fn the_schema_is_json_that_editors_understand() {
    let folder = Folder::new();
    let schema = done(folder.coord(["schema"]));
    schema.exits(0);
    let schema: serde_json::Value = serde_json::from_str(&schema.out).unwrap();
    assert_eq!(schema["properties"]["step"]["type"], "array");
}

#[test]
fn each_shell_has_a_script() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = done(folder.coord(["completions", shell]));
        script.exits(0);
        // It asks the program that wrote it.
        let asks = env!("CARGO_BIN_EXE_coord");
        assert!(script.out.contains(asks), "{}", script.out);
    }
    // A script that a shell does not understand completes nothing.
    let script = done(folder.coord(["completions", "bash"])).out;
    folder.write("coord.bash", script);
    let mut bash = std::process::Command::new("bash");
    let understood = bash.args(["-n", "coord.bash"]).current_dir(folder.path());
    assert!(understood.status().unwrap().success());
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let folder = Folder::new();
    done(folder.coord(["man"])).exits(0).says(".TH coord 1");
    done(folder.coord(["man", "pages"])).exits(0);
    let page = folder.read("pages/coord-run.1").unwrap();
    assert!(page.contains("Exit codes"), "{page}");
    assert_eq!(folder.read("pages/coord-watchdog.1"), None);
    folder.write("file", "");
    let refused = done(folder.coord(["man", "file/pages"]));
    refused.exits(96);
    assert!(refused.err.contains("file/pages"), "{}", refused.err);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named_without_what_a_terminal_obeys() {
    let folder = Folder::new();
    folder.write("file", "");
    let mut command = folder.coord(["man", "file/\u{1b}[2Jpages"]);
    // As a terminal is told it.
    command.env("CLICOLOR_FORCE", "1");
    let refused = done(command);
    refused.exits(96);
    assert!(!refused.err.contains("\u{1b}[2J"), "{:?}", refused.err);
}
