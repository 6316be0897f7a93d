//! Flips every bit of a small journal, where the tests of each change flip one of each byte.

use crate::command::{cargo, run as run_command};

/// Runs the tests of coord-journal that flip bits. It takes some minutes.
pub(crate) fn run() -> Result<(), String> {
    run_command(
        cargo("test --all-features --package coord-journal --test it -- --nocapture bits::")
            .env("COORD_JOURNAL_BITS", "all"),
    )
}
