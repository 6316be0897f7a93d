//! A step that is done for each item of a list.

use rustix::process::Signal;

use crate::coord::{Folder, Running, done};

const FILE: &str = r#"
[params]
words = "one\ntwo words\n\nthree; touch never"

[[step]]
id = "list"
run = """
echo 'json=["a", 1, {"b": 2}]' >> "$COORD_OUTPUT"
"""
outputs = ["json"]

[[step]]
id = "words"
run = 'echo "<$COORD_ITEM>"; echo "$COORD_ITEM_INDEX $COORD_STEP $COORD_IDEMPOTENCY_KEY"'
for_each = { param = "words" }

[[step]]
id = "json"
run = """
echo "<$COORD_ITEM>"
echo "size=${#COORD_ITEM}" >> "$COORD_OUTPUT"
"""
needs = ["list"]
for_each = { output = "list.json", max_parallel = 2 }
outputs = ["size"]

[[step]]
id = "sizes"
run = 'echo "$SIZES"'
needs = ["json"]
env = { SIZES = { output = "json.size" } }

[[step]]
id = "fixed"
run = 'echo "<$COORD_ITEM>"'
for_each = ["x", 2, true]

[[step]]
id = "none"
run = "touch never"
for_each = []
"#;

#[test]
fn what_is_done_for_no_items_puts_out_an_empty_list() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
[[step]]
id = "json"
run = "exit 1"
for_each = []
outputs = ["size"]
[[step]]
id = "sizes"
run = 'set -u; echo "sizes: $SIZES"'
needs = ["json"]
env = { SIZES = { output = "json.size" } }
"#,
    );
    done(folder.coord(["run"])).exits(0).says("sizes: []\n");
}

#[test]
fn items_of_a_list_a_parameter_and_an_output_reach_a_process_each() {
    let folder = Folder::new();
    folder.write("coord.toml", FILE);
    done(folder.coord(["run", "--id=r"]))
        .exits(0)
        .says("words:1 | <two words>\n")
        .says("words:2 | <three; touch never>\nwords:2 | 2 words r/words:2\n")
        .says("words:2 · done\n")
        .says("json:0  | <a>\n")
        .says("json:1  | <1>\n")
        .says("json:2  | <{\"b\":2}>\n")
        .says("sizes   | [\"1\",\"1\",\"7\"]\n")
        .says("fixed:2 | <true>\n")
        .says(": 6 done\n");
    assert!(folder.read("never").is_none());
    let logs = |step: &str| done(folder.coord(["logs", "r", step])).exits(0).out.clone();
    assert_eq!(logs("words:1"), "<two words>\n1 words r/words:1\n");
    assert!(
        logs("fixed").contains("fixed:0 | <x>\n"),
        "{}",
        logs("fixed")
    );
    let dry = done(folder.coord(["run", "--dry-run", "--param", "words=x"]));
    dry.exits(0)
        .says("# for each of 1 items, at most")
        .says("# for each of list.json, 2 at once, at most")
        .says("# for each of 3 items, ");
    done(folder.coord(["run", "--dry-run", "--output=jsonl"]))
        .says(r#""for_each":{"items":["one","two words","three; touch never"]}"#)
        .says(r#""for_each":{"output":"list.json","max_parallel":2}"#);
}

#[test]
fn only_items_that_are_not_done_are_done_again_after_a_failure_and_a_crash() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [[step]]
        id = "each"
        run = """
        echo $COORD_ITEM $COORD_ATTEMPT >> did
        case $COORD_ITEM in
            b) test $COORD_ATTEMPT = 2 ;;
            c) test -e again || { touch again; echo pid=$$; exec sleep 60; } ;;
        esac
        """
        for_each = { items = ["a", "b", "c"], max_parallel = 1 }
        retry = { max_attempts = 2, initial = "10ms" }
        "#,
    );
    let mut running = Running::start(folder.coord(["run", "--id=r"]));
    running.until("pid=");
    // That it is done is kept soon after it was.
    let is_kept = || {
        done(folder.coord(["show", "r", "--output=json"]))
            .out
            .contains("\"done\": 1")
    };
    assert!((0..10_000).any(|_| is_kept()));
    running.signal(Signal::KILL);
    running.end();
    done(folder.coord(["resume", "r"])).exits(0);
    let did = folder.read("did").unwrap();
    let did: Vec<_> = did.lines().collect();
    assert_eq!(did, ["a 1", "b 1", "c 1", "b 1", "c 1", "b 2"]);
}

#[test]
fn no_more_items_run_at_once_than_are_allowed_and_one_that_fails_is_named() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [[step]]
        id = "each"
        run = """
        mkdir one-$COORD_ITEM 2>/dev/null; ls -d one-* | wc -l >> counts; sleep 0.05; rmdir one-$COORD_ITEM
        test $COORD_ITEM != 3
        """
        for_each = { items = [1, 2, 3, 4, 5, 6], max_parallel = 2 }
        "#,
    );
    done(folder.coord(["run"]))
        .exits(100)
        .says("each failed: ")
        .says("exit code 1");
    let counts = folder.read("counts").unwrap();
    let counts: Vec<u32> = counts
        .lines()
        .map(|it| it.trim().parse().unwrap())
        .collect();
    assert_eq!(counts.len(), 6);
    assert_eq!(counts.iter().max(), Some(&2), "{counts:?}");
}

#[test]
fn a_parameter_or_an_output_that_is_no_list_is_told() {
    let folder = Folder::new();
    folder.write("coord.toml", FILE);
    let refused = done(folder.coord(["run", "--param", "words=[1"]));
    refused.exits(96);
    let err = &refused.err;
    assert!(
        err.contains("coord::file::items") && err.contains("param = \"words\""),
        "{err}"
    );
    folder.write(
        "coord.toml",
        FILE.replace(r#"["a", 1, {"b": 2}]"#, r#"["a", "#),
    );
    done(folder.coord(["run"]))
        .exits(100)
        .says("list failed: what it put out as \"json\" is no list that can be gone over: ");
}
