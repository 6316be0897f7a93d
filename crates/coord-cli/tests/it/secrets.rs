//! Secrets and files of variables: they reach the steps, and nothing else.

use std::path::Path;

use crate::coord::{Folder, done};

const CANARY: &str = "canary-5up3r-s3cr3t";

const FILE: &str = r#"
dotenv = [".env", "local.env"]
[env]
WON = "by env"
[secrets]
TOKEN = { env = "CANARY" }
KEY = { file = "key" }
PASSWORD = { command = ["sh", "-c", "cat key | tr a-z A-Z"] }
[[step]]
id = "tell"
run = '''
echo "$TOKEN" "$PORT" "$WON" "$LATER"
echo "key: $KEY" >&2
printf "%s" "${TOKEN%%-*}"; printf "%s\n" "-${TOKEN#*-}"
test ${#PASSWORD} = 19 && echo "$PASSWORD"
'''
[[step]]
id = "fail"
run = "echo $TOKEN; exit 1"
needs = ["tell"]
[[service]]
id = "server"
run = "sleep 100"
ready = { exec = "echo not $TOKEN; false", period = "10ms" }
needs = ["tell"]
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("coord.toml", FILE);
    folder.write("key", format!("{CANARY}\n"));
    folder.write(
        ".env",
        "\u{feff}PORT=80\n# comment\nWON='by dotenv'\nLATER=no\n",
    );
    folder.write("local.env", "export LATER=\"yes\"\n");
    folder
}

#[test]
fn a_secret_that_is_put_out_in_another_form_than_it_should_be_is_not_told() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
[secrets]
TOKEN = { env = "CANARY" }
[[step]]
id = "alone"
run = 'echo "$TOKEN" >> "$COORD_OUTPUT"'
outputs = ["tag"]
[[step]]
id = "unended"
run = 'echo "tag<<$TOKEN" >> "$COORD_OUTPUT"'
outputs = ["tag"]
"#,
    );
    let ran = done({
        let mut run = folder.coord(["run", "--continue", "always"]);
        // As base64 ends.
        run.env("CANARY", format!("{CANARY}="));
        run
    });
    ran.exits(100);
    for said in [&ran.out, &ran.err] {
        assert!(!said.contains(CANARY), "{said}");
    }
    assert!(ran.out.contains("is not NAME=value"), "{}", ran.out);
    search(folder.path(), &[]);
}

/// Fails if the canary is in any file of this folder but these.
fn search(folder: &Path, but: &[&str]) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, but);
        } else if !but.iter().any(|name| path.ends_with(name)) {
            let bytes = std::fs::read(&path).unwrap();
            let found = |canary: &[u8]| bytes.windows(canary.len()).any(|part| part == canary);
            let is_in = found(CANARY.as_bytes()) || found(CANARY.to_uppercase().as_bytes());
            assert!(!is_in, "in {}", path.display());
        }
    }
}

#[test]
fn a_secret_is_in_nothing_that_is_printed_or_kept() {
    let folder = folder();
    for output in ["text", "jsonl"] {
        let mut run = folder.coord(["run", "--output", output, "--color", "always"]);
        let ran = done({
            run.env("CANARY", CANARY);
            run
        });
        ran.exits(100);
        for said in [&ran.out, &ran.err] {
            assert!(!said.contains(CANARY), "{said}");
            assert!(!said.contains("S3CR3T"), "{said}");
        }
        ran.says("*** 80 by env yes").says("key: ***");
    }
    search(folder.path(), &["key"]);
}

#[test]
fn a_secret_is_fetched_anew_where_a_run_is_taken_up() {
    let folder = folder();
    let mut first = folder.coord(["run", "--id", "a"]);
    first.env("CANARY", CANARY);
    done(first).exits(100);
    // Without it nothing goes on, and nothing is said of its value.
    let without = done(folder.coord(["retry", "a"]));
    without.exits(96);
    assert!(
        without.err.contains("coord::secrets::no_variable"),
        "{}",
        without.err
    );
    let mut again = folder.coord(["retry", "a"]);
    again.env("CANARY", "another-secret");
    let again = done(again);
    again.exits(100).says("| ***");
    assert!(!again.out.contains("another"), "{}", again.out);
}

#[test]
fn a_secret_that_cannot_be_had_is_told_before_anything_starts() {
    let folder = Folder::new();
    let refused = |source: &str, code: &str| {
        let step = "[[step]]\nid = 'a'\nrun = 'touch started'\n";
        folder.write("coord.toml", format!("[secrets]\nIT = {source}\n{step}"));
        let refused = done(folder.coord(["run"]));
        refused.exits(96);
        assert!(refused.err.contains(code), "{}", refused.err);
        assert_eq!(folder.read("started"), None);
        refused.err
    };
    refused(
        "{ env = 'NOT_SET_ANYWHERE' }",
        "coord::secrets::no_variable",
    );
    refused("{ file = 'missing' }", "coord::secrets::unreadable");
    refused(
        "{ command = ['no-such-program'] }",
        "coord::secrets::not_started",
    );
    refused(
        "{ command = ['sh', '-c', 'exit 7'] }",
        "coord::secrets::failed",
    );
    folder.write("short", "abc\n");
    let told = refused("{ file = 'short' }", "coord::secrets::short");
    assert!(told.contains("IT") && !told.contains("abc"), "{told}");
    folder.write("bytes", b"\xff\xff\xff\xff\xff");
    refused("{ file = 'bytes' }", "coord::secrets::not_text");
    refused("'the value itself'", "coord::file::wrong_type");
    refused("{ env = 'A', file = 'b' }", "coord::file::secret");
    refused("{ }", "coord::file::secret");
}

#[test]
fn a_file_of_variables_that_cannot_be_read_is_told_without_what_is_in_it() {
    let folder = folder();
    folder.write("local.env", format!("A=b\n{CANARY} = 'x\n"));
    let refused = done(folder.coord(["validate"]));
    refused.exits(96);
    assert!(
        refused.err.contains("line 2 is not NAME=value"),
        "{}",
        refused.err
    );
    assert!(!refused.err.contains(CANARY), "{}", refused.err);
    std::fs::remove_file(folder.path().join("local.env")).unwrap();
    let refused = done(folder.coord(["validate"]));
    assert!(
        refused.err.contains("coord::file::dotenv"),
        "{}",
        refused.err
    );
}

#[test]
fn all_secrets_that_cannot_be_had_are_told_at_once() {
    let folder = Folder::new();
    let step = "[[step]]\nid = 'a'\nrun = 'true'\n";
    let secrets =
        "[secrets]\nT = { env = 'NO_T' }\nU = { file = 'none' }\nV = { command = ['false'] }\n";
    folder.write("coord.toml", format!("{secrets}{step}"));
    let refused = done(folder.coord(["run"]));
    refused.exits(96);
    for told in ["3 secrets cannot be had", "`T`", "`U`", "`V`"] {
        assert!(refused.err.contains(told), "no {told} in {}", refused.err);
    }
}

#[test]
fn variables_of_files_are_seen_by_conditions() {
    let folder = Folder::new();
    folder.write(".env", "A=ye\nDEPLOY=${A}s\n");
    let step = "[[step]]\nid = 'a'\nrun = 'true'\nwhen = \"env.DEPLOY == 'yes'\"\n";
    folder.write("coord.toml", format!("dotenv = '.env'\n{step}"));
    done(folder.coord(["run"])).exits(0);
    folder.write(".env", "DEPLOY=no\n");
    done(folder.coord(["run"])).exits(4);
}

#[test]
fn a_secret_is_what_the_file_calls_one_whatever_a_file_of_variables_says() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "dotenv = '.env'\n[secrets]\nKEY = { file = 'key' }\n[[step]]\nid = 'a'\nrun = 'test $KEY = s3cr3t-key; echo \"<$KEY>\"'\n",
    );
    folder.write("key", "s3cr3t-key\n");
    folder.write(".env", "KEY=from-dotenv\n");
    let run = done(folder.coord(["run", "--output=text"]));
    run.exits(0);
    assert!(run.out.contains("<***>"), "{}", run.out);
}

#[test]
fn a_secret_of_which_some_is_coloured_is_masked_where_colours_are_taken_out() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        "[secrets]\nKEY = { file = 'key' }\n[[step]]\nid = 'a'\nrun = 'printf \"s3c\\033[31mr3t\\033[0m-key\\n\"'\n",
    );
    folder.write("key", "s3cr3t-key\n");
    let run = done(folder.coord(["run", "--output=text", "--id=r"]));
    run.exits(0);
    assert!(run.out.contains("a | ***\n"), "{}", run.out);
    assert_eq!(done(folder.coord(["logs", "r", "a"])).out, "***\n");
}

#[test]
fn a_secret_that_no_variable_can_hold_is_not_read_to_its_end() {
    let folder = Folder::new();
    folder.write("long", "s3cr3t\n".repeat(200_000));
    for source in ["file = 'long'", "command = ['cat', 'long']"] {
        folder.write(
            "coord.toml",
            format!("[secrets]\nLONG = {{ {source} }}\n[[step]]\nid = 'a'\nrun = 'true'\n"),
        );
        let refused = done(folder.coord(["run"]));
        refused.exits(96);
        assert!(
            refused.err.contains("coord::secrets::long"),
            "{}",
            refused.err
        );
    }
}
