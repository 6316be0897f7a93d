//! Each crate builds alone: with no features, with each single one, and with all. Those single ones of the facade
//! that a program of `outside` uses are built there.

use std::collections::BTreeMap;

use crate::command::{cargo, run};
use crate::{outside, workspace};

/// Runs clippy rather than check: it costs the same, and here too a warning is a failure.
pub(crate) fn check() -> Result<(), String> {
    let mut failures = Vec::new();
    for package in workspace::read()?.packages {
        if !package.manifest_path.starts_with("crates") {
            continue;
        }
        let mut selections = selections(&package.features);
        selections
            .retain(|features| package.name != outside::FACADE || !outside::runs_alone(features));
        for features in selections {
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
