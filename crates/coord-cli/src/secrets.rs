//! The secrets of a run: fetched when it begins, given to its processes, and kept nowhere.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use coordination::patterns::process::{ProcessError, Secrets};
use miette::Diagnostic;

use crate::file::{Source, WorkflowFile};

/// The most that is read of one, in bytes: no system has room for more in a variable.
const VALUE_MAX: u64 = 1024 * 1024;

/// Why a secret cannot be had. None of these tells its value.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum SecretFault {
    #[error("the secret `{name}` is to come from the variable `{variable}`, which is not set")]
    #[diagnostic(
        code(coord::secrets::no_variable),
        help("set it where `coord` is started")
    )]
    NoVariable { name: String, variable: String },

    #[error("the secret `{name}` is to come from the file {}", path.display())]
    #[diagnostic(code(coord::secrets::unreadable))]
    Unreadable {
        name: String,
        path: PathBuf,
        source: io::Error,
    },

    #[error("the secret `{name}` is to come from `{program}`, which could not be started")]
    #[diagnostic(code(coord::secrets::not_started))]
    NotStarted {
        name: String,
        program: String,
        source: io::Error,
    },

    #[error("the secret `{name}` is to come from `{program}`, which failed: {status}")]
    #[diagnostic(
        code(coord::secrets::failed),
        help("what it said on standard error stands above, if it said anything")
    )]
    Failed {
        name: String,
        program: String,
        status: ExitStatus,
    },

    #[error("the secret `{name}` is longer than 1 MiB, so no variable can hold it")]
    #[diagnostic(
        code(coord::secrets::long),
        help("let the step read it where it is, or give it the name of a file")
    )]
    TooLong { name: String },

    #[error("the secret `{name}` is not UTF-8 text without NUL, so no variable can hold it")]
    #[diagnostic(code(coord::secrets::not_text), help("encode it, as with base64"))]
    NotText { name: String },

    #[error(transparent)]
    #[diagnostic(code(coord::secrets::short))]
    Short(#[from] ProcessError),

    #[error("{} secrets cannot be had", faults.len())]
    #[diagnostic(code(coord::secrets::several))]
    Several {
        #[related]
        faults: Vec<SecretFault>,
    },
}

/// Fetches the secrets of a file. The line breaks at the end of a file, and of what a program prints,
/// are no part of them.
pub(crate) fn fetch(file: &WorkflowFile) -> Result<Secrets, SecretFault> {
    let values = file.secrets.iter().map(|(name, source)| {
        let value = value(name, source)?;
        match String::from_utf8(value) {
            Ok(value) if !value.contains('\0') => Ok((name.clone(), value)),
            _ => Err(SecretFault::NotText { name: name.clone() }),
        }
    });
    let (mut had, mut faults) = (Vec::new(), Vec::new());
    for value in values {
        match value {
            Ok(value) => had.push(value),
            Err(fault) => faults.push(fault),
        }
    }
    match faults.len() {
        0 => Ok(Secrets::new(had)?),
        1 => Err(faults.remove(0)),
        _ => Err(SecretFault::Several { faults }),
    }
}

fn value(name: &str, source: &Source) -> Result<Vec<u8>, SecretFault> {
    let name = name.to_owned();
    match source {
        Source::Environment(variable) => match std::env::var_os(variable) {
            Some(value) => Ok(value.into_encoded_bytes()),
            None => {
                let variable = variable.clone();
                Err(SecretFault::NoVariable { name, variable })
            }
        },
        Source::File(path) => match File::open(path).and_then(bounded) {
            Ok(Some(value)) => Ok(without_line_break(value)),
            Ok(None) => Err(SecretFault::TooLong { name }),
            Err(source) => {
                let path = path.clone();
                Err(SecretFault::Unreadable { name, path, source })
            }
        },
        Source::Command(words) => printed(name, words),
    }
}

/// What a program prints. It may ask the person at the terminal.
fn printed(name: String, words: &[String]) -> Result<Vec<u8>, SecretFault> {
    let (program, arguments) = words
        .split_first()
        .map_or((String::new(), &[][..]), |(program, rest)| {
            (program.clone(), rest)
        });
    let mut command = Command::new(&program);
    command.args(arguments).stderr(Stdio::inherit());
    command.stdin(Stdio::inherit()).stdout(Stdio::piped());
    let ended = command.spawn().and_then(|mut child| {
        let value = child.stdout.take().map(bounded).transpose();
        if !matches!(value, Ok(Some(Some(_)))) {
            // It may go on for ever.
            let _ = child.kill();
        }
        Ok((child.wait()?, value?.flatten()))
    });
    match ended {
        Ok((_, None)) => Err(SecretFault::TooLong { name }),
        Ok((status, Some(value))) if status.success() => Ok(without_line_break(value)),
        Ok((status, Some(_))) => Err(SecretFault::Failed {
            name,
            program,
            status,
        }),
        Err(source) => Err(SecretFault::NotStarted {
            name,
            program,
            source,
        }),
    }
}

/// What there is to be read; `None`, where that is more than any variable can hold.
fn bounded(from: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut value = Vec::new();
    from.take(VALUE_MAX + 1).read_to_end(&mut value)?;
    Ok((value.len() as u64 <= VALUE_MAX).then_some(value))
}

fn without_line_break(mut value: Vec<u8>) -> Vec<u8> {
    while value
        .last()
        .is_some_and(|last| matches!(last, b'\n' | b'\r'))
    {
        value.pop();
    }
    value
}
