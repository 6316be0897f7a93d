//! Which crate of the workspace may depend on which: arrows point one way.

use crate::workspace::{self, Dependency, DependencyKind, Package};

const BUS: &[&str] = &["coord-bus"];
const SIBLINGS: &[&str] = &[
    "coord-flow",
    "coord-journal",
    "coord-monitor",
    "coord-nats",
    "coord-optimize",
    "coord-patterns",
    "coord-recovery",
    "coord-workflow",
];
const FACADE: &[&str] = &["coordination"];
const PROGRAM: &[&str] = &["coord-cli"];
const XTASK: &[&str] = &["xtask"];
const BENCHES: &[&str] = &["coord-benches"];
const GUIDE: &[&str] = &["coord-guide"];

/// What some crates may depend on.
struct Rule {
    crates: &'static [&'static str],
    may_use: &'static [&'static [&'static str]],
    tests_may_use: &'static [&'static [&'static str]],
    because: &'static str,
}

const RULES: [Rule; 7] = [
    Rule {
        crates: BUS,
        may_use: &[],
        // Itself, with the features that only tests turn on.
        tests_may_use: &[BUS],
        because: "coord-bus stands below every other crate; move what it needs into it",
    },
    Rule {
        crates: SIBLINGS,
        may_use: &[BUS],
        tests_may_use: &[BUS],
        because: "a sibling depends on coord-bus and on no other sibling; move what two of them \
                  need into coord-bus, and what joins two of them into coordination",
    },
    Rule {
        crates: FACADE,
        may_use: &[BUS, SIBLINGS],
        tests_may_use: &[BUS, SIBLINGS],
        because: "coordination joins coord-bus and its siblings; nothing above it, nothing beside it",
    },
    Rule {
        crates: PROGRAM,
        may_use: &[FACADE],
        tests_may_use: &[FACADE],
        because: "coord-cli is built from the public API of coordination alone; re-export there \
                  what it needs",
    },
    Rule {
        crates: XTASK,
        may_use: &[],
        tests_may_use: &[],
        because: "xtask has to build while the crates do not",
    },
    Rule {
        crates: BENCHES,
        may_use: &[BUS, SIBLINGS, FACADE, PROGRAM],
        tests_may_use: &[BUS, SIBLINGS, FACADE, PROGRAM],
        because: "the benchmarks measure the crates",
    },
    Rule {
        crates: GUIDE,
        may_use: &[FACADE],
        tests_may_use: &[FACADE],
        because: "the guide reaches everything through coordination, as its readers do",
    },
];

/// The features of coord-bus that bring its in-process bus along.
const FEATURES_WITH_LOCAL_BUS: [&str; 3] = ["default", "local", "test-util"];

pub(crate) fn check() -> Result<(), String> {
    let faults = faults(&workspace::read()?.packages);
    if faults.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} forbidden:\n{}",
        faults.len(),
        faults.join("\n")
    ))
}

fn faults(packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    let is_ours =
        |name: &str| packages.iter().any(|package| package.name == name) || rule_of(name).is_some();
    for package in packages {
        let Some(rule) = rule_of(&package.name) else {
            faults.push(format!(
                "{}: `{}` stands in no rule; add it to one in xtask/src/edges.rs",
                package.manifest_path.display(),
                package.name
            ));
            continue;
        };
        for dependency in package
            .dependencies
            .iter()
            .filter(|edge| is_ours(&edge.name))
        {
            faults.extend(edge_fault(package, rule, dependency));
        }
        if SIBLINGS.contains(&package.name.as_str()) {
            faults.extend(forwarding_fault(package));
        }
    }
    faults
}

fn rule_of(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.crates.contains(&name))
}

fn edge_fault(package: &Package, rule: &Rule, edge: &Dependency) -> Option<String> {
    let (section, allowed) = match edge.kind {
        None => ("dependencies", rule.may_use),
        Some(DependencyKind::Build) => ("build-dependencies", rule.may_use),
        Some(DependencyKind::Dev) => ("dev-dependencies", rule.tests_may_use),
    };
    let place = format!(
        "{}: `{}` → `{}` in [{section}]",
        package.manifest_path.display(),
        package.name,
        edge.name
    );
    if !allowed.concat().contains(&edge.name.as_str()) {
        return Some(format!("{place}: {}", rule.because));
    }
    let local = edge.uses_default_features
        || edge
            .features
            .iter()
            .any(|name| FEATURES_WITH_LOCAL_BUS.contains(&name.as_str()));
    let sibling_takes_bus =
        SIBLINGS.contains(&package.name.as_str()) && section != "dev-dependencies";
    (sibling_takes_bus && local).then(|| {
        format!(
            "{place} brings the in-process bus along; a sibling sees traits only: write \
             `coord-bus.workspace = true`, and turn `local` and `test-util` on in \
             [dev-dependencies] alone"
        )
    })
}

/// A feature of a sibling that turns the in-process bus on after all.
fn forwarding_fault(package: &Package) -> Option<String> {
    let (feature, forwarded) = package.features.iter().find_map(|(feature, turned_on)| {
        let local = |name: &&String| {
            matches!(
                name.as_str(),
                "coord-bus/local" | "coord-bus?/local" | "coord-bus/default" | "coord-bus?/default"
            )
        };
        Some((feature, turned_on.iter().find(local)?))
    })?;
    Some(format!(
        "{}: the feature `{feature}` turns `{forwarded}` on: a sibling sees traits only; leave the \
         in-process bus to applications, tests and the facade",
        package.manifest_path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: Vec<Dependency>) -> Package {
        Package {
            name: name.to_owned(),
            manifest_path: format!("crates/{name}/Cargo.toml").into(),
            dependencies,
            features: [].into(),
        }
    }

    fn edge(name: &str, kind: Option<DependencyKind>) -> Dependency {
        Dependency {
            name: name.to_owned(),
            kind,
            features: vec![],
            uses_default_features: false,
        }
    }

    fn uses(name: &str) -> Dependency {
        edge(name, None)
    }

    /// The one fault of a crate with one edge.
    fn fault(name: &str, dependency: Dependency) -> String {
        let mut faults = faults(&[package(name, vec![dependency])]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults.remove(0)
    }

    #[test]
    fn the_arrows_of_the_design_pass() {
        let tests_of_workflow = Dependency {
            features: vec!["local".to_owned(), "test-util".to_owned()],
            ..edge("coord-bus", Some(DependencyKind::Dev))
        };
        let packages = [
            package(
                "coord-bus",
                vec![uses("tokio"), edge("coord-bus", Some(DependencyKind::Dev))],
            ),
            package("coord-workflow", vec![uses("coord-bus"), tests_of_workflow]),
            package(
                "coordination",
                vec![uses("coord-bus"), uses("coord-workflow")],
            ),
            package("coord-cli", vec![uses("coordination"), uses("clap")]),
            package("xtask", vec![uses("clap")]),
            package(
                "coord-benches",
                vec![uses("coord-bus"), uses("coord-workflow")],
            ),
        ];
        assert_eq!(faults(&packages), Vec::<String>::new());
    }

    #[test]
    fn a_fault_names_the_manifest_the_edge_and_the_rule() {
        let fault = fault("coord-flow", uses("coord-workflow"));
        assert!(
            fault.starts_with(
                "crates/coord-flow/Cargo.toml: `coord-flow` → `coord-workflow` in [dependencies]: \
                 a sibling depends on coord-bus and on no other sibling; move"
            ),
            "{fault}"
        );
    }

    #[test]
    fn no_arrow_points_up() {
        assert!(fault("coord-bus", uses("coord-workflow")).contains("stands below every other"));
        assert!(fault("coord-workflow", uses("coordination")).contains("a sibling depends on"));
        assert!(fault("coordination", uses("coord-cli")).contains("nothing above it"));
    }

    #[test]
    fn the_program_uses_the_facade_alone() {
        assert!(fault("coord-cli", uses("coord-bus")).contains("the public API of coordination"));
    }

    #[test]
    fn xtask_uses_no_crate_of_the_workspace() {
        assert!(fault("xtask", uses("coord-bus")).contains("while the crates do not"));
    }

    #[test]
    fn build_and_dev_dependencies_are_edges_too() {
        let build = edge("coord-workflow", Some(DependencyKind::Build));
        assert!(fault("coord-flow", build).contains("in [build-dependencies]"));
        let dev = edge("coord-workflow", Some(DependencyKind::Dev));
        assert!(fault("coord-flow", dev).contains("in [dev-dependencies]"));
    }

    #[test]
    fn a_sibling_takes_no_in_process_bus() {
        let by_default = Dependency {
            uses_default_features: true,
            ..uses("coord-bus")
        };
        assert!(fault("coord-flow", by_default).contains("brings the in-process bus along"));
        for feature in FEATURES_WITH_LOCAL_BUS {
            let named = Dependency {
                features: vec![feature.to_owned()],
                ..uses("coord-bus")
            };
            assert!(fault("coord-flow", named).contains("brings the in-process bus along"));
        }
    }

    #[test]
    fn a_feature_of_a_sibling_turns_no_in_process_bus_on() {
        let mut sibling = package("coord-flow", vec![uses("coord-bus")]);
        sibling
            .features
            .insert("live".to_owned(), vec!["coord-bus/local".to_owned()]);
        let faults = faults(&[sibling]);
        assert!(
            faults[0].contains("`live` turns `coord-bus/local` on"),
            "{faults:?}"
        );
    }

    #[test]
    fn a_crate_without_a_rule_is_told_where_to_stand() {
        let faults = faults(&[package("coord-new", vec![])]);
        assert_eq!(
            faults,
            [
                "crates/coord-new/Cargo.toml: `coord-new` stands in no rule; add it to one in \
                 xtask/src/edges.rs"
            ]
        );
    }
}
