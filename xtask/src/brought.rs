//! Nothing is compiled that was not asked for: which of the heavy crates each feature of the facade brings.

use std::collections::BTreeSet;

use crate::command::{self, cargo};
use crate::workspace;

/// What takes its time to compile, or drags much along. None of it comes by itself.
const HEAVY: [&str; 13] = [
    "blake3",
    "clap",
    "governor",
    "hyper",
    "metrics",
    "minijinja",
    "notify",
    "petgraph",
    "ratatui",
    "rusqlite",
    "sysinfo",
    "toml",
    "tracing",
];

/// What each feature brings of these, alone; what it does not name brings none, nor does the facade without
/// features.
const BROUGHT: [(&str, &[&str]); 13] = [
    ("workflows", &["petgraph"]),
    ("optimization", &["governor"]),
    ("performance-monitoring", &["sysinfo"]),
    ("error-recovery", &["governor"]),
    ("journal", &["blake3", "rusqlite"]),
    ("http-probe", &["hyper"]),
    ("audit-trail", &["blake3"]),
    ("process-monitoring", &["sysinfo"]),
    ("interactive-cli", &["clap"]),
    ("dynamic-ui", &["notify", "toml"]),
    ("config-file", &["toml"]),
    ("tracing", &["tracing"]),
    ("metrics", &["metrics", "sysinfo"]),
];

pub(crate) fn check() -> Result<(), String> {
    let workspace = workspace::read()?;
    let facade = workspace
        .packages
        .iter()
        .find(|package| package.name == "coordination");
    let facade = facade.ok_or("there is no crate `coordination` in the workspace")?;
    let mut faults: Vec<_> = BROUGHT
        .iter()
        .filter(|(feature, _)| !facade.features.contains_key(*feature))
        .map(|(feature, _)| {
            format!("xtask/src/brought.rs: `coordination` has no feature `{feature}`")
        })
        .collect();
    let all = ["default", "full"];
    let alone = facade.features.keys().map(String::as_str);
    for feature in alone.filter(|name| !all.contains(name)).chain([""]) {
        faults.extend(fault(feature, &crates_of(feature)?));
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(faults.join("\n          ")),
    }
}

/// All crates that a program has which depends on the facade with this feature alone.
fn crates_of(feature: &str) -> Result<BTreeSet<String>, String> {
    let mut tree =
        cargo("tree --quiet --package coordination --edges normal,build --no-default-features");
    tree.args(["--prefix", "none", "--format", "{p}", "--features", feature]);
    let listed = command::output(&mut tree)?;
    let listed = String::from_utf8_lossy(&listed);
    let names = listed.lines().filter_map(|line| line.split(' ').next());
    Ok(names.map(str::to_owned).collect())
}

fn fault(feature: &str, crates: &BTreeSet<String>) -> Option<String> {
    let expected = BROUGHT.iter().find(|(name, _)| *name == feature);
    let expected: BTreeSet<_> = expected
        .into_iter()
        .flat_map(|(_, brought)| *brought)
        .collect();
    let there: BTreeSet<_> = HEAVY
        .iter()
        .filter(|heavy| crates.contains(**heavy))
        .collect();
    let uninvited: Vec<_> = there
        .difference(&expected)
        .map(|name| format!("`{name}`"))
        .collect();
    let missing: Vec<_> = expected
        .difference(&there)
        .map(|name| format!("`{name}`"))
        .collect();
    let feature = match feature {
        "" => "`coordination` without features".to_owned(),
        _ => format!("`coordination` with `{feature}` alone"),
    };
    let uninvited = (!uninvited.is_empty()).then(|| {
        format!(
            "{feature} brings {}, which nobody asked for: put it behind a feature, or name it in \
             xtask/src/brought.rs",
            uninvited.join(", ")
        )
    });
    let missing = (!missing.is_empty()).then(|| {
        format!(
            "{feature} brings no {} any more: take it out of xtask/src/brought.rs",
            missing.join(", ")
        )
    });
    uninvited.or(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_of(feature: &str, crates: &[&str]) -> Option<String> {
        fault(feature, &crates.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_named_may_come_and_what_is_light() {
        assert_eq!(fault_of("workflows", &["serde", "petgraph"]), None);
        assert_eq!(fault_of("", &["serde", "tokio"]), None);
    }

    #[test]
    fn what_comes_uninvited_is_named_with_the_feature() {
        let fault = fault_of("process-monitoring", &["sysinfo", "hyper"]).unwrap();
        assert!(
            fault.starts_with(
                "`coordination` with `process-monitoring` alone brings `hyper`, which"
            ),
            "{fault}"
        );
        let fault = fault_of("", &["clap"]).unwrap();
        assert!(
            fault.starts_with("`coordination` without features brings `clap`"),
            "{fault}"
        );
    }

    #[test]
    fn what_comes_no_more_is_taken_out_of_the_table() {
        let fault = fault_of("journal", &["rusqlite"]).unwrap();
        assert!(fault.contains("brings no `blake3` any more"), "{fault}");
    }

    #[test]
    fn what_the_table_names_is_looked_for() {
        for (feature, brought) in BROUGHT {
            for name in brought {
                assert!(HEAVY.contains(name), "{feature}: {name}");
            }
        }
    }
}
