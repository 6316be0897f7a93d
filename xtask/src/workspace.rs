//! What cargo says of the workspace's own crates, and git of its files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Every file of these patterns that git knows or would add, from the root of the workspace.
pub(crate) fn files(patterns: &[&str]) -> Result<Vec<String>, String> {
    let mut list = Command::new("git");
    list.args(["ls-files", "-z", "--cached", "--others"]);
    let listed = command::output(list.args(["--exclude-standard", "--"]).args(patterns))?;
    let listed = String::from_utf8_lossy(&listed);
    // A file that is deleted, but not yet in a commit, is listed too.
    let there = listed
        .split_terminator('\0')
        .filter(|path| Path::new(path).exists());
    Ok(there.map(str::to_owned).collect())
}
