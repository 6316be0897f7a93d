//! `coord audit`: whether an audit trail is what was written, and what is in it.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use coordination::bus::{Causes, EventLog};
use coordination::journal::{Journal, JournalError};
use coordination::patterns::audit::{self, AuditError, AuditHead};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::args::{AuditArgs, AuditCommand, Lines, Told};
use crate::exit_code::ExitCode;
use crate::file::printable;
use crate::journal::{JournalFault, answer, no_stream, open};
use crate::screen;

/// How many entries are read at once.
const PAGE: usize = 256;

/// Verifies, shows or exports, and says on standard error why not.
pub(crate) fn audit(command: &AuditCommand) -> ExitCode {
    let (of, done) = match command {
        AuditCommand::Verify { of, head, output } => (of, verify(of, head.as_ref(), *output)),
        AuditCommand::Show {
            of,
            from,
            limit,
            output,
        } => (of, show(of, *from, *limit, *output)),
        AuditCommand::Export { of } => (of, export(of)),
    };
    answer(of.color, done)
}

fn verify(of: &AuditArgs, kept: Option<&AuditHead>, output: Told) -> Result<(), JournalFault> {
    let found = match of.journal.is_file() {
        true => {
            let file = File::open(&of.journal).map_err(|error| unreadable(&of.journal, &error))?;
            match audit::verify_lines(BufReader::new(file), kept) {
                Err(AuditError::Lines(error)) => return Err(unreadable(&of.journal, &error)),
                found => found,
            }
        }
        false => {
            let (journal, runtime) = opened(of)?;
            runtime.block_on(audit::verify(&journal, &of.trail, kept))
        }
    };
    let mut out = screen::out(of.color.into());
    match (found, output) {
        (Ok(AuditHead { entries, head }), Told::Text) => {
            let place = printable(&of.journal.display().to_string());
            writeln!(
                out,
                "{place}: whole; entries: {entries}, head: {entries}:{head}"
            )?;
        }
        (Ok(AuditHead { entries, head }), Told::Json) => {
            let line = json!({ "whole": true, "entries": entries, "head": head });
            writeln!(out, "{line}")?;
        }
        (Err(AuditError::Tampered(fault)), output) => {
            if output == Told::Json {
                let line = json!({ "whole": false, "fault": fault.to_string() });
                writeln!(out, "{line}")?;
                out.flush()?;
            }
            return Err(AuditError::Tampered(fault).into());
        }
        (Err(error), _) => return Err(error.into()),
    }
    Ok(out.flush()?)
}

fn show(
    of: &AuditArgs,
    mut from: u64,
    limit: Option<u64>,
    output: Lines,
) -> Result<(), JournalFault> {
    let (journal, runtime) = opened(of)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut left, mut most) = (limit.unwrap_or(u64::MAX), PAGE);
    while left > 0 {
        let page = usize::try_from(left).map_or(most, |left| left.min(most));
        let entries = match runtime.block_on(audit::entries(&journal, &of.trail, from, page)) {
            // Those before the one that is none are shown.
            Err(AuditError::Tampered(_)) if page > 1 => {
                most = 1;
                continue;
            }
            Err(error) => {
                out.flush()?;
                return Err(error.into());
            }
            Ok(entries) => entries,
        };
        for entry in &entries {
            match output {
                Lines::Text => writeln!(out, "{}", printable(&entry.to_string()))?,
                Lines::Jsonl => {
                    serde_json::to_writer(&mut out, entry).map_err(io::Error::from)?;
                    writeln!(out)?;
                }
            }
        }
        from += entries.len() as u64;
        left -= entries.len() as u64;
        if entries.len() < page {
            break;
        }
    }
    Ok(out.flush()?)
}

fn export(of: &AuditArgs) -> Result<(), JournalFault> {
    let (journal, runtime) = opened(of)?;
    let out = BufWriter::new(io::stdout().lock());
    runtime.block_on(audit::export(&journal, &of.trail, out))?;
    Ok(())
}

/// The journal, if there is anything in its stream.
fn opened(of: &AuditArgs) -> Result<(Journal, Runtime), JournalFault> {
    if of.journal.is_file() {
        let file = of.journal.display();
        let message = format!(
            "{file} is a file, and this needs the directory of a journal; a file that `coord audit export` \
             has written is checked by `coord audit verify {file}`, and its lines are the entries as JSON"
        );
        let message = printable(&message);
        return Err(JournalFault::Failed { message });
    }
    let (journal, runtime) = open(&of.journal)?;
    let first = runtime.block_on(journal.read(&of.trail, 1, 1));
    match first {
        Ok(records) if records.is_empty() => Err(no_stream(&journal, &runtime, &of.trail)),
        // What is wrong with it, its reader says.
        _ => Ok((journal, runtime)),
    }
}

fn unreadable(file: &Path, error: &io::Error) -> JournalFault {
    let message = format!("{} cannot be read: {error}", file.display());
    let message = printable(&message);
    JournalFault::Failed { message }
}

impl From<AuditError> for JournalFault {
    fn from(error: AuditError) -> Self {
        let message = printable(&error.with_causes());
        let is_damage = is_damage(&error);
        match error {
            AuditError::Tampered(_) => Self::Tampered { message },
            AuditError::Lines(error) => Self::Output(error),
            _ if is_damage => Self::Damaged { message },
            _ => Self::Failed { message },
        }
    }
}

/// Whether the journal's own checksums do not fit: then it is not read as if it were true.
fn is_damage(error: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.any(|cause| {
        matches!(
            cause.downcast_ref::<JournalError>(),
            Some(JournalError::Damaged { .. })
        )
    })
}
