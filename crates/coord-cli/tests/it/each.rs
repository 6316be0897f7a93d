//! A step that is done for each item of a list.

use rustix::process::Signal;

use crate::coord::{Folder, Running, done, run, unmarked};

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
    let mut ran = done(folder.coord(["run", "--id=r"]));
    ran.out = unmarked(&ran.out);
    ran.exits(0)
        .says("words:1[two words]       | <two words>\n")
        .says("words:2[three; touch ne…] | <three; touch never>\n")
        .says("words:2[three; touch ne…] | 2 words r/words:2\n")
        .says("words:1[two words]       · done\n")
        .says("json:0[a]                | <a>\n")
        .says("json:1[1]                | <1>\n")
        .says("json:2[{\"b\":2}]          | <{\"b\":2}>\n")
        .says("sizes                    | [\"1\",\"1\",\"7\"]\n")
        .says("fixed:2[true]            | <true>\n")
        .says(": 6 done\n");
    assert!(folder.read("never").is_none());
    let logs = |step: &str| unmarked(&done(folder.coord(["logs", "r", step])).exits(0).out);
    assert_eq!(logs("words:1"), "<two words>\n1 words r/words:1\n");
    assert!(
        logs("fixed").contains("fixed:0 | <x>\n"),
        "{}",
        logs("fixed")
    );
    let dry = done(folder.coord(["run", "--dry-run", "--param", "words=x"]));
    dry.exits(0)
        .says("# for each of 1 items\n")
        .says("# for each of list.json, 2 at once, puts out")
        .says("# for each of 3 items\n");
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
fn of_items_that_fail_each_is_told_with_its_own_last_lines_and_exit_code() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [[step]]
        id = "test"
        run = """
        echo $COORD_ITEM began
        case $COORD_ITEM in
            linux) for i in $(seq 1 9); do echo never shown; done ;;
            mac) echo attempt $COORD_ATTEMPT is torn; exit 3 ;;
            windows) echo is killed; kill -9 $$ ;;
            *) : ;;
        esac
        """
        for_each = { items = ["mac", "linux", "windows", "plan9"], max_parallel = 1 }
        retry = { max_attempts = 2, initial = "10ms" }
        "#,
    );
    let done = done(folder.coord(["run"]));
    done.exits(100).says(
        "\ntest failed: items [0], [2] of 4 failed, the first of them because: exit code 3\n  \
         at coord.toml:3:14\n  \
         test:0[mac]: exit code 3\n  | mac began\n  | attempt 2 is torn\n  \
         test:2[windows]: killed by SIGKILL\n  | windows began\n  | is killed\n\ncoord failed",
    );
}

#[test]
fn of_many_items_that_fail_some_are_told_and_the_others_are_counted() {
    let done = run(r#"
        [[step]]
        id = "test"
        run = "echo $COORD_ITEM; exit 1"
        for_each = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]
        "#);
    done.exits(100)
        .says("  test:0[a]: exit code 1\n  | a\n  test:1[b]: exit code 1\n")
        .says("  test:4[e]: exit code 1\n  | e\n  and 7 more items\n");
}

#[test]
fn hooks_are_told_the_exit_code_and_the_items_of_a_step_whose_items_failed() {
    let folder = Folder::new();
    folder.write(
        "coord.toml",
        r#"
        [hooks]
        failure = 'echo "run $COORD_EXIT_CODE ${COORD_FAILED_ITEMS-none}" >> told'
        [[step]]
        id = "test"
        run = "exit $COORD_ITEM"
        for_each = { items = [0, 7, 0, 9], max_parallel = 1 }
        hooks = { failure = 'echo "$COORD_EXIT_CODE of $COORD_FAILED_ITEMS: $COORD_ERROR" >> told' }
        "#,
    );
    done(folder.coord(["run"])).exits(100);
    let told = "7 of 1 3: items [1], [3] of 4 failed, the first of them because: exit code 7\n\
                run 7 none\n";
    assert_eq!(folder.read("told").as_deref(), Some(told));
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

#[test]
fn what_the_items_of_one_list_put_out_are_the_items_of_the_next() {
    let ran = run(r#"
        [[step]]
        id = "one"
        for_each = ["a", "b"]
        run = 'echo "o=[$COORD_ITEM" >> "$COORD_OUTPUT"'
        outputs = ["o"]
        [[step]]
        id = "two"
        needs = ["one"]
        for_each = { output = "one.o" }
        run = 'echo "<$COORD_ITEM> $COORD_ITEM_INDEX"'
        "#);
    ran.exits(0).says("<[a> 0\n").says("<[b> 1\n");
}
