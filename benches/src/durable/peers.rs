//! The peers, each a program of a workspace of its own that plays the same roles.

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
    let server = tools.join("node_modules/.bin/restate-server");
    if !server.exists() {
        let mut npm = Command::new("npm");
        // Its script would only report that it was installed.
        npm.args(["install", "--silent", "--ignore-scripts", "--prefix"]);
        let package = "@restatedev/restate-server@1.7.12";
        let status = npm.arg(&tools).arg(package).status();
        assert!(
            status.is_ok_and(|status| status.success()) && server.exists(),
            "restate-server is not installed, and `npm install {package}` did not bring it"
        );
    }
    let mut command = Command::new(peer);
    command.env("RESTATE_SERVER", server);
    command
}
