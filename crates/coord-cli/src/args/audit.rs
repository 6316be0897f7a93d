//! What can be asked of an audit trail.

use std::path::PathBuf;

use clap::Subcommand;
use coordination::patterns::audit::AuditHead;

use super::Color;
use super::format::{Lines, Told};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check that a trail is what was written, or name the first entry that was altered, is missing or
    /// out of order.
    #[command(after_help = AUDIT_EXIT_CODES)]
    Verify {
        #[command(flatten)]
        of: AuditArgs,

        /// The head of the trail that was kept elsewhere, as `verify` prints it: whether the trail
        /// still goes on from there.
        #[arg(long, value_name = "ENTRIES:HASH", value_parser = head)]
        head: Option<AuditHead>,

        /// For people, or for programs.
        #[arg(long, value_enum, default_value_t)]
        output: Told,
    },
    /// Print the entries of a trail: who did what, and when.
    #[command(after_help = AUDIT_EXIT_CODES)]
    Show {
        #[command(flatten)]
        of: AuditArgs,

        /// The first entry.
        #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        from: u64,

        /// How many entries at most; by default all.
        #[arg(long, value_name = "N")]
        limit: Option<u64>,

        /// For people, or for programs: one entry a line, as it was written.
        #[arg(long, value_enum, default_value_t)]
        output: Lines,
    },
    /// Print a trail as lines of JSON, which `verify` checks without the journal.
    #[command(after_help = AUDIT_EXIT_CODES)]
    Export {
        #[command(flatten)]
        of: AuditArgs,
    },
}

const AUDIT_EXIT_CODES: &str = "\
Exit codes: 0 done, and for `verify`: the trail is what was written; 1 it is not, or the journal is \
damaged; 2 the command line was not understood; 96 there is no such journal, file or trail, or it \
cannot be read; 110 the output could not be written.";

/// Which trail, and how to talk of it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct AuditArgs {
    /// The directory of the journal that the trail is in; for `verify` also a file that `export` has
    /// written.
    pub(crate) journal: PathBuf,

    /// The trail: the stream that it is in.
    #[arg(default_value = "audit")]
    pub(crate) trail: String,

    /// Whether to print colours. `auto`: in a terminal, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
}

fn head(text: &str) -> Result<AuditHead, String> {
    let expected =
        || "expected the number of entries, a colon, and 64 hexadecimal digits".to_owned();
    let (entries, head) = text.split_once(':').ok_or_else(expected)?;
    let entries = entries.parse().map_err(|_| expected())?;
    let is_hash = head.len() == 64 && head.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_hash {
        true => Ok(AuditHead {
            entries,
            head: head.to_ascii_lowercase(),
        }),
        false => Err(expected()),
    }
}
