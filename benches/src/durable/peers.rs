//! The peers, each a program of a workspace of its own that plays the same roles.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::beside;

pub(super) fn durare() -> Command {
    Command::new(beside(
        "durare-peer",
        "durare-peer, with benches/durare/Cargo.toml",
    ))
}

pub(super) fn restate() -> Command {
    let peer = beside(
        "restate-peer",
        "restate-peer, with benches/restate/Cargo.toml",
    );
    let tools = peer.with_file_name("tools").join("restate");
    if server(&tools).is_none() {
        let mut npm = Command::new("npm");
        // Its script would only report that it was installed.
        npm.args(["install", "--silent", "--ignore-scripts", "--prefix"]);
        let package = "@restatedev/restate-server@1.7.12";
        let status = npm.arg(&tools).arg(package).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "restate-server is not installed, and `npm install {package}` did not bring it"
        );
    }
    let server = server(&tools).expect("npm has brought the server for this system");
    let mut command = Command::new(peer);
    command.env("RESTATE_SERVER", server);
    command
}

/// The server itself, which is in a package for each system. What is in `.bin` only starts it, and would leave
/// it behind when it is killed.
fn server(tools: &Path) -> Option<PathBuf> {
    let packages = std::fs::read_dir(tools.join("node_modules/@restatedev")).ok()?;
    let mut servers =
        packages.filter_map(|package| Some(package.ok()?.path().join("bin/restate-server")));
    servers.find(|server| server.exists())
}
