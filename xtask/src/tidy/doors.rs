//! One door to time and one owner of tasks: who may name what the others must not.

use super::Finding;
use super::imports::{self, Import, Mention};
use super::source::Source;

const TIME: &str = "crates/coord-bus/src/time.rs";
const TASK_SCOPE: &str = "crates/coord-bus/src/task_scope.rs";

/// Paths, and all below them, that only their owners may name.
struct Door {
    paths: &'static [&'static str],
    owners: &'static [&'static str],
    instead: &'static str,
}

const DOORS: [Door; 3] = [
    Door {
        paths: &["tokio::time", "std::time::Instant", "std::thread::sleep"],
        owners: &[TIME, TASK_SCOPE],
        instead: "go through `coord_bus::time`, which tests can pause",
    },
    Door {
        paths: &[
            "jiff::Timestamp::now",
            "jiff::Zoned::now",
            "std::time::SystemTime::now",
        ],
        owners: &[TIME],
        instead: "ask a `coord_bus::time::Clock`, which tests set by hand",
    },
    Door {
        paths: &[
            "tokio::spawn",
            "tokio::task::spawn",
            "tokio::task::spawn_blocking",
            "tokio::task::spawn_local",
        ],
        owners: &[TASK_SCOPE],
        instead: "spawn it on a `coord_bus::TaskScope`, which ends what it began",
    },
];

/// What makes a test slow, and right only by luck.
const SLEEPS: [&str; 2] = ["tokio::time::sleep", "std::thread::sleep"];

pub(super) fn findings(source: &Source) -> Vec<Finding> {
    // No crate depends on these two.
    if source.path.starts_with("benches/") || source.path.starts_with("xtask/") {
        return Vec::new();
    }
    let (imports, mentions) = imports::read(source);
    let folder = source.path.split('/').nth(2);
    if folder == Some("tests") || folder == Some("examples") {
        return sleeps(source, &imports, &mentions);
    }
    let mut findings = Vec::new();
    for door in DOORS
        .iter()
        .filter(|door| !door.owners.contains(&source.path))
    {
        for path in door.paths {
            let text = format!("`{path}` is not for this file; {}", door.instead);
            let lines = lines_behind(path, &imports, &mentions);
            findings.extend(lines.map(|line| Finding::new(line, text.clone())));
        }
    }
    findings
}

/// Where a door is named: at its import, and not again at each use of that.
fn lines_behind(
    door: &str,
    imports: &[Import],
    mentions: &[Mention],
) -> impl Iterator<Item = usize> {
    let is_behind = move |path: &[String]| {
        path.join("::")
            .strip_prefix(door)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let imported = imports.iter().filter(move |import| is_behind(&import.path));
    let named = mentions.iter().filter(move |mention| {
        let mut through = mention.through(imports);
        is_behind(&mention.path)
            || through.any(|(import, path)| is_behind(&path) && !is_behind(&import.path))
    });
    imported
        .map(|import| import.line)
        .chain(named.map(|mention| mention.line))
}

/// The calls that sleep, but for those with a reason.
fn sleeps(source: &Source, imports: &[Import], mentions: &[Mention]) -> Vec<Finding> {
    let is_sleep = |path: &[String]| SLEEPS.contains(&path.join("::").as_str());
    let sleeps = |mention: &&Mention| {
        mention.is_called
            && (is_sleep(&mention.path)
                || mention.through(imports).any(|(_, path)| is_sleep(&path)))
    };
    let is_excused = |line: usize| {
        let nearby = &source.lines[line.saturating_sub(2)..line];
        nearby.iter().any(|line| Source::excuses(line, "sleep"))
    };
    let text = "a test that sleeps is slow, and right by luck; wait for what it waits for, pause \
                time, or write `// tidy: sleep, because …` above it";
    let lines = mentions.iter().filter(sleeps).map(|mention| mention.line);
    lines
        .filter(|line| !is_excused(*line))
        .map(|line| Finding::new(line, text))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tests::printed;

    const SOURCE: &str = "crates/coord-flow/src/a.rs";
    const TEST: &str = "crates/coord-flow/tests/it/main.rs";

    fn lines(path: &str, body: &str) -> Vec<String> {
        printed(path, &format!("//! A.\n{body}\n"))
    }

    #[test]
    fn each_door_is_found_wherever_it_is_named() {
        for named in [
            "fn a() { tokio::spawn(b()); }",
            "use tokio::spawn;",
            "fn a() { ::tokio::task::spawn_blocking(b); }",
            "use tokio::{sync::watch, task::spawn_local};",
            "use tokio::task;\nfn a() { task::spawn(b()); }",
            "fn a() { tokio::select! { () = tokio::time::sleep(b) => {} } }",
            "use tokio::time::{self, Duration};\nfn a() { time::sleep(b); }",
            "use std::time::{Duration, Instant};\nfn a() { Instant::now(); }",
            "use std::time;\nfn a() { time::Instant::now(); }",
            "use std::thread as os;\nfn a() { os::sleep(b); }",
            "use jiff::{Timestamp, Zoned};\nfn a() { Timestamp::now(); }",
            "fn a() { std::time::SystemTime::now(); }",
        ] {
            let lines = lines(SOURCE, named);
            assert!(!lines.is_empty(), "{named}");
            assert!(
                lines
                    .iter()
                    .all(|line| line.contains("is not for this file; ")),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn a_finding_says_where_to_go_instead() {
        assert_eq!(
            lines(SOURCE, "\nfn a() { tokio::spawn(b()); }"),
            [
                "3: `tokio::spawn` is not for this file; spawn it on a `coord_bus::TaskScope`, \
                 which ends what it began"
            ]
        );
    }

    #[test]
    fn an_import_is_found_once_and_not_at_each_use() {
        let lines = lines(
            SOURCE,
            "use tokio::time;\nfn a() { time::sleep(b); time::sleep(b); }",
        );
        assert_eq!(lines.len(), 1, "{lines:?}");
    }

    #[test]
    fn what_is_named_alike_is_no_door() {
        for alike in [
            "use coord_bus::time;\nfn a() { time::sleep(b); }",
            "use crate::task;\nfn a() { task::spawn(b); }",
            "fn a() { scope.spawn(tokio::sync::watch::channel(1)); }",
            "use std::time::Duration;\nuse crate::time::Instant;\nfn a() { Instant::now(); }",
            "use jiff::Timestamp;\nfn a(b: Timestamp) { Timestamp::MIN; }",
            "fn a() { tokio::task::spawn_other(b); }",
            "#[tokio::test(start_paused = true)]\nasync fn a() {}",
        ] {
            assert_eq!(lines(SOURCE, alike), Vec::<String>::new(), "{alike}");
        }
    }

    #[test]
    fn owners_benchmarks_and_xtask_pass() {
        let time = "use std::time::Instant;\nfn a() { tokio::time::sleep(b); }";
        let spawn = "fn a() { tokio::spawn(b); tokio::task::spawn_blocking(c); }";
        for (path, text) in [
            (TIME, time),
            (TASK_SCOPE, spawn),
            ("benches/src/a.rs", time),
            ("xtask/src/a.rs", time),
        ] {
            assert_eq!(lines(path, text), Vec::<String>::new(), "{path}");
        }
        assert_eq!(lines(TIME, spawn).len(), 2);
    }

    #[test]
    fn tests_and_examples_may_spawn_but_not_sleep() {
        let spawn = "fn a() { tokio::spawn(b); tokio::time::timeout(b, c); }";
        assert_eq!(lines(TEST, spawn), Vec::<String>::new());
        for sleep in [
            "fn a() { tokio::time::sleep(b); }",
            "use tokio::time::sleep;\nfn a(sleep: u8) { sleep(b); }",
            "use std::thread;\nfn a() { thread::sleep(b); }",
        ] {
            for path in [TEST, "crates/coord-flow/examples/a.rs"] {
                let lines = lines(path, sleep);
                assert_eq!(lines.len(), 1, "{lines:?}");
                assert!(lines[0].contains("a test that sleeps is slow"), "{lines:?}");
            }
        }
    }

    #[test]
    fn a_sleep_in_a_test_passes_with_a_reason() {
        let reason = "// tidy: sleep, because the clock of the kernel cannot be paused";
        let above = format!("fn a() {{\n    {reason}\n    tokio::time::sleep(b);\n}}");
        assert_eq!(lines(TEST, &above), Vec::<String>::new());
        let beside = format!("fn a() {{\n    tokio::time::sleep(b); {reason}\n}}");
        assert_eq!(lines(TEST, &beside), Vec::<String>::new());
        let far = format!("{reason}\nfn a() {{\n    tokio::time::sleep(b);\n}}");
        assert_eq!(lines(TEST, &far).len(), 1);
    }
}
