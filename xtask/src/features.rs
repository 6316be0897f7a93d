//! Each crate builds alone: with no features, with each single one, and with all.

use std::collections::BTreeMap;

use crate::command::{cargo, run};
use crate::workspace;

/// Runs clippy rather than check: it costs the same, and here too a warning is a failure.
pub(crate) fn check() -> Result<(), String> {
    let mut failures = Vec::new();
    for package in workspace::read()?.packages {
        if !package.manifest_path.starts_with("crates") {
            continue;
        }
        for features in selections(&package.features) {
            let mut command = cargo("clippy --quiet --profile ci --no-default-features");
            command.args(["--package", &package.name]);
            if !features.is_empty() {
                command.args(["--features", &features]);
            }
            failures.extend(run(command.args(["--", "-D", "warnings"])).err());
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n          "))
    }
}

/// None, each, and all together where that is not the same as one of them.
fn selections(features: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let names: Vec<&str> = features
        .keys()
        .map(String::as_str)
        .filter(|name| *name != "default")
        .collect();
    let mut selections = vec![String::new()];
    selections.extend(names.iter().map(ToString::to_string));
    if names.len() > 1 {
        selections.push(names.join(","));
    }
    selections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selections_of(names: &[&str]) -> Vec<String> {
        selections(
            &names
                .iter()
                .map(|name| (name.to_string(), Vec::new()))
                .collect(),
        )
    }

    #[test]
    fn none_then_each_then_all() {
        assert_eq!(
            selections_of(&["default", "local", "test"]),
            ["", "local", "test", "local,test"]
        );
    }

    #[test]
    fn nothing_is_built_twice() {
        assert_eq!(selections_of(&["default", "local"]), ["", "local"]);
        assert_eq!(selections_of(&[]), [""]);
    }
}
