//! What can go wrong with a process, other than what it does itself.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coord_bus::{BusError, Refusal, Refused};
use rustix::io::Errno;

use super::ProcessSpec;

/// A process did not start, or could not be followed to its end.
///
/// That a process fails is none of these: its [`Exit`](coord_bus::vocabulary::Exit) says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// There is no such program.
    #[error("process `{process}` was not started: {}", missing(program))]
    ProgramNotFound {
        /// The process.
        process: String,
        /// The program.
        program: OsString,
        /// What the system said.
        source: io::Error,
    },
    /// The program may not be executed.
    #[error("process `{process}` was not started: {}", not_executable(program))]
    NotExecutable {
        /// The process.
        process: String,
        /// The program.
        program: OsString,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such directory.
    #[error(
        "process `{process}` was not started: its directory `{}` does not exist; make it, or \
         correct the path", dir.display()
    )]
    DirectoryNotFound {
        /// The process.
        process: String,
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// This program, or the whole system, has as many files open as it may have.
    #[error(
        "process `{process}` was not started: too many files are open, and a process takes five; \
         run fewer at once, or raise the limit (`ulimit -n`)"
    )]
    TooManyOpenFiles {
        /// The process.
        process: String,
        /// What the system said.
        source: io::Error,
    },
    /// Its arguments and variables are more than the system passes on, one of them or all together.
    #[error(
        "process `{process}` was not started: its arguments and variables are more than the system \
         passes on, the longest is {longest} with {bytes} bytes; give it that in a file"
    )]
    TooLong {
        /// The process.
        process: String,
        /// The longest of what it was to be given beside its parent's variables.
        longest: String,
        /// How long that is.
        bytes: usize,
        /// What the system said.
        source: io::Error,
    },
    /// It did not start for a reason that only the system knows.
    #[error("process `{process}` was not started: the system could not run `{}`", program.display())]
    NotStarted {
        /// The process.
        process: String,
        /// The program.
        program: OsString,
        /// What the system said.
        source: io::Error,
    },
    /// It did not start, because its stop was requested before.
    #[error("process `{process}` was not started: it was asked to stop before it began")]
    Stopped {
        /// The process.
        process: String,
    },
    /// A secret is too short to be kept out of the output.
    #[error(
        "the secret {name} is too short to be kept out of the output: it has fewer than 4 characters; \
         give it as a usual variable if nobody minds its being seen"
    )]
    Secret {
        /// The name of its variable.
        name: String,
    },
    /// It could not be killed, and runs on: it has become another user's, most likely.
    #[error(
        "process `{process}` runs on: its process group {group} could not be killed; kill it with \
         the rights of its user"
    )]
    NotKilled {
        /// The process.
        process: String,
        /// Its process group.
        group: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The system would not say when it ended or what it printed. It was killed.
    #[error("process `{process}` was lost from sight, and killed")]
    Lost {
        /// The process.
        process: String,
        /// What the system said.
        source: io::Error,
    },
    /// The bus did not take an event of the process: it is closed, most likely. The process was
    /// killed.
    #[error("process `{process}` was killed: an event of it was not published to `{topic}`")]
    Unpublished {
        /// The process.
        process: String,
        /// The topic.
        topic: Arc<str>,
        /// Why not.
        source: Refusal,
    },
    /// The bus did not open a topic.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Why a program may not be executed, and what to do.
fn not_executable(program: &OsString) -> String {
    let shown = program.display();
    match Path::new(program).is_dir() {
        true => format!("`{shown}` is a directory, and no program; name the program in it"),
        false => format!("`{shown}` may not be executed; `chmod +x` it, or correct the name"),
    }
}

fn missing(program: &OsString) -> String {
    let program = program.display().to_string();
    if program.contains('/') {
        format!(
            "`{program}` does not exist, or the interpreter that its first line names does not; \
             correct the path, which is relative to the process's directory"
        )
    } else {
        format!(
            "there is no `{program}` in the directories of PATH; correct the name, install it, or \
             give its path"
        )
    }
}

/// The longest argument or variable of a process, and its length.
fn longest(spec: &ProcessSpec) -> (String, usize) {
    let variables = spec.variables().map(|(name, value)| {
        let bytes = name.len() + 1 + value.len();
        (format!("the variable `{}`", name.display()), bytes)
    });
    let arguments = spec.arguments.iter().zip(1..);
    let arguments =
        arguments.map(|(argument, place)| (format!("argument {place}"), argument.len()));
    let all = variables.chain(arguments);
    all.max_by_key(|(_, bytes)| *bytes).unwrap_or_default()
}

impl ProcessError {
    /// Whether the same process, run again, would fail in the same way, so that it is not worth a
    /// retry or a restart: its program or its directory is missing, it may not be executed, it is given
    /// more than the system passes on, it was asked to stop, or the bus is closed.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::ProgramNotFound { .. }
                | Self::NotExecutable { .. }
                | Self::DirectoryNotFound { .. }
                | Self::TooLong { .. }
                | Self::Stopped { .. }
                | Self::Unpublished {
                    source: Refusal::Closed,
                    ..
                }
        )
    }

    pub(super) fn not_started(spec: &ProcessSpec, source: io::Error) -> Self {
        let process = spec.name.clone();
        let program = spec.program.clone();
        match (source.kind(), Errno::from_io_error(&source)) {
            // The system says the same of a missing directory and of a missing program.
            (io::ErrorKind::NotFound | io::ErrorKind::NotADirectory, _) => match &spec.dir {
                Some(dir) if !dir.is_dir() => Self::DirectoryNotFound {
                    process,
                    dir: dir.clone(),
                    source,
                },
                _ => Self::ProgramNotFound {
                    process,
                    program,
                    source,
                },
            },
            (io::ErrorKind::PermissionDenied, _) => Self::NotExecutable {
                process,
                program,
                source,
            },
            (_, Some(Errno::MFILE | Errno::NFILE)) => Self::TooManyOpenFiles { process, source },
            (_, Some(Errno::TOOBIG)) => {
                let (longest, bytes) = longest(spec);
                Self::TooLong {
                    process,
                    longest,
                    bytes,
                    source,
                }
            }
            _ => Self::NotStarted {
                process,
                program,
                source,
            },
        }
    }

    pub(super) fn lost(process: &str, source: io::Error) -> Self {
        Self::Lost {
            process: process.to_owned(),
            source,
        }
    }

    pub(super) fn unpublished<T>(process: &str, refused: Refused<T>) -> Self {
        Self::Unpublished {
            process: process.to_owned(),
            topic: refused.topic,
            source: refused.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use coord_bus::Causes;

    use super::*;

    // Here, because a test that opens too many files fails those beside it.
    #[test]
    fn too_many_open_files_are_named_as_such() {
        let spec = ProcessSpec::shell("build", "true");
        for errno in [Errno::MFILE, Errno::NFILE] {
            let error = ProcessError::not_started(&spec, errno.into());
            assert!(matches!(error, ProcessError::TooManyOpenFiles { .. }));
            assert!(error.with_causes().contains("ulimit -n"), "{error}");
        }
        let error = ProcessError::not_started(&spec, Errno::AGAIN.into());
        assert!(matches!(error, ProcessError::NotStarted { .. }));
    }
}
