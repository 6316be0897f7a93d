//! Builds the documentation of the API.

use crate::command::{cargo, run};
use crate::workspace;

/// Builds it, and says where to begin to read.
pub(crate) fn build() -> Result<(), String> {
    run(&mut cargo("doc --no-deps --all-features"))?;
    let index = workspace::read()?
        .target_directory
        .join("doc/coordination/index.html");
    println!("documentation: {}", index.display());
    Ok(())
}

/// Builds it, and refuses a broken link as any other warning.
pub(crate) fn check() -> Result<(), String> {
    run(cargo("doc --no-deps --all-features --profile ci").env("RUSTDOCFLAGS", "-D warnings"))
}
