//! The map of the house is whole: `docs/architecture.md` names, for each crate, each of its modules in a row, and
//! no module that is not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::workspace;

const PAGE: &str = "docs/architecture.md";
const SECTION: &str = "### Inside ";

pub(crate) fn check() -> Result<(), String> {
    let page = fs::read_to_string(PAGE).map_err(|error| format!("cannot read {PAGE}: {error}"))?;
    let files = workspace::files(&["crates/*/src/*.rs"])?;
    let faults = faults_of(&page, &files);
    match faults.is_empty() {
        true => Ok(()),
        false => Err(faults.join("\n          ")),
    }
}

/// What is missing, and what is there in vain; of the files only those that are directly in `crates/CRATE/src`.
fn faults_of(page: &str, files: &[String]) -> Vec<String> {
    let there: BTreeSet<(&str, &str)> = files.iter().filter_map(|file| module(file)).collect();
    let crates: BTreeSet<&str> = there.iter().map(|(name, _)| *name).collect();
    let told: BTreeSet<(&str, &str)> = page
        .split(SECTION)
        .skip(1)
        .filter_map(|section| section.split_once('\n'))
        .filter(|(name, _)| crates.contains(name))
        .flat_map(|(name, section)| modules(section).map(move |module| (name, module)))
        .collect();
    let missing = there
        .difference(&told)
        .map(|(name, module)| format!("{PAGE}: “Inside {name}” has no row for `{module}`"));
    let gone = told
        .difference(&there)
        .map(|(name, module)| format!("{PAGE}: “Inside {name}” names `{module}`, which is gone"));
    missing.chain(gone).collect()
}

/// The crate and the name of a file's module, if it is one of the first rank.
fn module(file: &str) -> Option<(&str, &str)> {
    let (name, path) = file.strip_prefix("crates/")?.split_once("/src/")?;
    let module = path.strip_suffix(".rs")?;
    let is_one = Path::new(path).components().count() == 1 && module != "lib";
    is_one.then_some((name, module))
}

/// The words in code in the first column of a section's table, without the paths that lead further in.
fn modules(section: &str) -> impl Iterator<Item = &str> {
    let section = section.split("\n## ").next().unwrap_or(section);
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" |").next())
        .flat_map(|cell| cell.split('`'))
        .filter(|word| !word.trim().is_empty() && !word.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 4] = [
        "crates/coord-bus/src/lib.rs",
        "crates/coord-bus/src/bus.rs",
        "crates/coord-bus/src/log.rs",
        "crates/coord-bus/src/log/chunks.rs",
    ];

    fn faults(page: &str) -> Vec<String> {
        faults_of(page, &FILES.map(str::to_owned))
    }

    #[test]
    fn a_page_with_each_module_in_a_row_is_whole() {
        let page = "### Inside coord-bus\n\n| `bus` `log` | `much` in `log/chunks` |\n\n## Next\n| `other` |\n";
        assert_eq!(faults(page), Vec::<String>::new());
    }

    #[test]
    fn a_module_without_a_row_and_one_that_is_gone_are_named() {
        let page = "### Inside coord-bus\n\n| `bus` `bell` `bus/port` | what is in `log` |\n";
        let faults = faults(page);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("no row for `log`"), "{faults:?}");
        assert!(faults[1].contains("`bell`, which is gone"), "{faults:?}");
    }
}
