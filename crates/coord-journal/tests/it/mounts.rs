//! File systems that tests mount, where they may; where not, a test says by its name that it was
//! skipped.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system that is unmounted when this goes.
pub(crate) struct Mount {
    at: PathBuf,
}

impl Mount {
    /// An empty file system in memory of so many bytes; why not, where that is not possible.
    pub(crate) fn memory(at: PathBuf, bytes: u64) -> Result<Self, String> {
        let options = format!("size={bytes}");
        Self::of(at, &["-t", "tmpfs", "-o", &options, "tmpfs"])
    }

    /// The file system in a file; why not, where that is not possible.
    pub(crate) fn image(at: PathBuf, image: &Path) -> Result<Self, String> {
        let image = image.to_str().expect("the path is text");
        Self::of(at, &["-o", "loop", image])
    }

    /// What is in a directory, to be read only; why not, where that is not possible.
    pub(crate) fn read_only(at: PathBuf, of: &Path) -> Result<Self, String> {
        let mount = Self::of(at, &["--bind", of.to_str().expect("the path is text")])?;
        mount.change("bind,ro");
        Ok(mount)
    }

    fn of(at: PathBuf, arguments: &[&str]) -> Result<Self, String> {
        std::fs::create_dir_all(&at).map_err(|error| error.to_string())?;
        run(Command::new("mount").args(arguments).arg(&at))?;
        Ok(Self { at })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.at
    }

    pub(crate) fn change(&self, options: &str) {
        let options = format!("remount,{options}");
        run(Command::new("mount").args(["-o", &options]).arg(&self.at)).expect("it is ours");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Also where a process of the test is about to close its last file there.
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.at));
    }
}

/// Runs a program to its good end, or says why not.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Says that a test cannot do here what it is for.
pub(crate) fn skipped(test: &str, why: &str) {
    let said = format!("SKIPPED {test}: {why}\n");
    // Past the harness, which shows what a test prints only where it fails.
    let _ = std::io::stderr().write_all(said.as_bytes());
    // Past cargo-nextest, which does the same: `cargo xtask test` prints them at the end.
    if let Some(list) = std::env::var_os("TESTS_SKIPPED") {
        let list = OpenOptions::new().append(true).create(true).open(list);
        let _ = list.and_then(|mut list| list.write_all(said.as_bytes()));
    }
}
