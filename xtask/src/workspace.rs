//! What cargo says of the workspace's own crates.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::command;

#[derive(Deserialize)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// From the root of the workspace.
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` is an ordinary one.
    pub(crate) kind: Option<DependencyKind>,
    pub(crate) features: Vec<String>,
    pub(crate) uses_default_features: bool,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DependencyKind {
    Build,
    Dev,
}

/// Asks cargo.
pub(crate) fn read() -> Result<Workspace, String> {
    let json = command::output(&mut command::cargo("metadata --no-deps --format-version 1"))?;
    let mut workspace: Workspace = serde_json::from_slice(&json)
        .map_err(|error| format!("cannot read what `cargo metadata` wrote: {error}"))?;
    for package in &mut workspace.packages {
        if let Ok(path) = package
            .manifest_path
            .strip_prefix(&workspace.workspace_root)
        {
            package.manifest_path = path.to_owned();
        }
    }
    Ok(workspace)
}
