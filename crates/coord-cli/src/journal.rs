//! `coord journal`: whether a journal is as it was written, and what is in it.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use coordination::bus::{Causes, EventLog, StreamQuery, text::nearest};
use coordination::journal::{CheckReport, Compaction, Journal, JournalError, JournalOptions};
use miette::Diagnostic;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::args::{Color, JournalArgs, JournalCommand, Told};
use crate::exit_code::ExitCode;
use crate::file::printable;
use crate::runs::{self, ForgetError};
use crate::screen;

/// How many streams, the newest, are compared with a name that is none.
const NAMES_COMPARED: usize = 1_000;

/// Why a journal was not checked, or not exported whole. The codes are stable.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum JournalFault {
    #[error("{message}")]
    #[diagnostic(code(coord::journal::failed))]
    Failed { message: String },

    #[error("{message}")]
    #[diagnostic(
        code(coord::journal::damaged),
        help(
            "`coord journal check DIR` names all that is damaged, `coord journal export DIR` prints \
             all that is whole; go on with a new journal, or with a copy from before"
        )
    )]
    Damaged { message: String },

    #[error("{message}")]
    #[diagnostic(
        code(coord::audit::tampered),
        help(
            "what comes before that entry is what was written; compare the rest with a copy, or with \
             a head that was kept elsewhere (`--head`)"
        )
    )]
    Tampered { message: String },

    #[error("there is no stream `{stream}` in the journal")]
    #[diagnostic(code(coord::journal::no_stream))]
    NoStream {
        stream: String,
        #[help]
        help: Option<String>,
    },

    #[error("what was asked for cannot be written")]
    #[diagnostic(code(coord::journal::output))]
    Output(#[source] io::Error),
}

impl From<JournalError> for JournalFault {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Output { source } => Self::Output(io::Error::new(source.kind(), source)),
            JournalError::Damaged { file, source } => {
                let message = format!("the journal {} is damaged: {source}", file.display());
                let message = printable(&message);
                Self::Damaged { message }
            }
            _ => {
                let message = printable(&error.with_causes());
                Self::Failed { message }
            }
        }
    }
}

impl From<ForgetError> for JournalFault {
    fn from(error: ForgetError) -> Self {
        match error {
            ForgetError::Journal(error) => error.into(),
            _ => {
                let message = printable(&error.with_causes());
                Self::Failed { message }
            }
        }
    }
}

impl From<io::Error> for JournalFault {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Checks or exports, and says on standard error why not.
pub(crate) fn journal(command: &JournalCommand) -> ExitCode {
    let (args, done) = match command {
        JournalCommand::Check(args) => (args, check(args)),
        JournalCommand::Export { of, stream } => (of, export(of, stream.as_deref())),
        JournalCommand::Compact {
            of,
            keep_runs,
            output,
        } => (of, compact(of, *keep_runs, *output)),
    };
    answer(args.color, done)
}

/// Says on standard error why not, and what the program's exit code is.
pub(crate) fn answer(color: Color, done: Result<(), JournalFault>) -> ExitCode {
    let Err(fault) = done else {
        return ExitCode::Done;
    };
    let code = match fault {
        JournalFault::Damaged { .. } | JournalFault::Tampered { .. } => ExitCode::Damaged,
        JournalFault::Output(_) => ExitCode::OutputLost,
        JournalFault::Failed { .. } | JournalFault::NoStream { .. } => ExitCode::SetUp,
    };
    if let JournalFault::Output(error) = &fault
        && screen::is_told(error)
    {
        return code;
    }
    match screen::print_report(color, &fault) {
        Ok(()) => code,
        Err(_) => ExitCode::OutputLost,
    }
}

pub(crate) fn open(dir: &Path) -> Result<(Journal, Runtime), JournalFault> {
    open_with(JournalOptions::new(), dir)
}

fn open_with(options: JournalOptions, dir: &Path) -> Result<(Journal, Runtime), JournalFault> {
    let runtime = Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| JournalFault::Failed {
        message: format!("the program cannot begin: {error}"),
    })?;
    let journal = options.or_read_only().open(dir)?;
    Ok((journal, runtime))
}

/// Names on standard output what is damaged, or says that nothing is.
fn check(args: &JournalArgs) -> Result<(), JournalFault> {
    let (journal, runtime) = open_with(JournalOptions::new().salvaging(), &args.dir)?;
    let report = runtime.block_on(journal.check())?;
    let mut out = screen::out(args.color.into());
    let CheckReport {
        streams,
        records,
        faults,
        found,
        ..
    } = &report;
    let dir = printable(&args.dir.display().to_string());
    if report.is_clean() {
        writeln!(
            out,
            "{dir}: no damage; streams: {streams}, records: {records}"
        )?;
        return Ok(out.flush()?);
    }
    for damage in faults {
        writeln!(out, "{}", printable(&damage.to_string()))?;
    }
    out.flush()?;
    let unnamed = found - faults.len() as u64;
    let and_more = match unnamed {
        0 => String::new(),
        more => format!(", of which {more} are not named"),
    };
    Err(JournalFault::Damaged {
        message: format!(
            "the journal {dir} is damaged; faults: {found}{and_more}; streams: {streams}, records \
             that are whole: {records}"
        ),
    })
}

/// Prints records on standard output.
fn export(args: &JournalArgs, stream: Option<&str>) -> Result<(), JournalFault> {
    let (journal, runtime) = open_with(JournalOptions::new().salvaging(), &args.dir)?;
    let out = BufWriter::new(io::stdout().lock());
    let Some(stream) = stream else {
        journal.export(out)?;
        return Ok(());
    };
    match journal.export_stream(stream, out)? {
        0 => Err(no_stream(&journal, &runtime, stream)),
        _ => Ok(()),
    }
}

/// Gives space back, and says on standard output how much.
fn compact(args: &JournalArgs, keep_runs: Option<u64>, output: Told) -> Result<(), JournalFault> {
    let (journal, runtime) = open(&args.dir)?;
    let journal = Arc::new(journal);
    // What is forgotten goes to the write-ahead log first, which grows.
    let before = journal.bytes()?;
    let (runs, compaction) = runtime.block_on(async {
        let runs = match keep_runs {
            Some(keep) => runs::forget(&journal, keep).await?,
            None => 0,
        };
        Ok::<_, JournalFault>((runs, journal.compact().await?))
    })?;
    let Compaction {
        bytes_after: after,
        is_whole,
        ..
    } = compaction;
    let mut out = screen::out(args.color.into());
    match output {
        Told::Text => {
            let dir = printable(&args.dir.display().to_string());
            let again = match is_whole {
                true => "",
                false => "; somebody reads it, so there may be more to give back: try again",
            };
            writeln!(
                out,
                "{dir}: {after} bytes, {before} before; runs forgotten: {runs}{again}"
            )?;
        }
        Told::Json => {
            let line = json!({
                "bytes_before": before,
                "bytes_after": after,
                "runs_forgotten": runs,
                "whole": is_whole,
            });
            writeln!(out, "{line}")?;
        }
    }
    Ok(out.flush()?)
}

pub(crate) fn no_stream(journal: &Journal, runtime: &Runtime, stream: &str) -> JournalFault {
    let newest = StreamQuery::newest_first().limit(NAMES_COMPARED);
    // What cannot be read is no help.
    let streams = runtime
        .block_on(journal.streams(&newest))
        .unwrap_or_default();
    let meant = nearest(stream, streams.iter().map(|each| &*each.name));
    JournalFault::NoStream {
        stream: printable(stream),
        help: meant.map(|meant| format!("did you mean `{meant}`?")),
    }
}
