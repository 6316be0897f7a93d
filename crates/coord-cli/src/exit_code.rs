//! What the program's exit code says: one meaning each, told in `docs/coord.md`.

/// The exit codes of `coord`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum ExitCode {
    /// Everything that had to be done is done.
    Done = 0,
    /// A journal is damaged.
    Damaged = 1,
    /// The command line was not understood.
    Usage = 2,
    /// There was nothing to do: every step's condition is false.
    NothingSelected = 4,
    /// It did not come to a run: a bad file, or a system that did not play along.
    SetUp = 96,
    /// The run failed, or took too long.
    RunFailed = 100,
    /// The run's output could not be written.
    OutputLost = 110,
    /// The run was ended by a signal.
    Interrupted = 130,
}

impl ExitCode {
    const ALL: [Self; 8] = [
        Self::Done,
        Self::Damaged,
        Self::Usage,
        Self::NothingSelected,
        Self::SetUp,
        Self::RunFailed,
        Self::OutputLost,
        Self::Interrupted,
    ];

    /// That of another `coord`; of one that was killed, that it did not come to a run.
    pub(crate) fn of(status: std::process::ExitStatus) -> Self {
        let code = status.code();
        let said = Self::ALL
            .into_iter()
            .find(|said| code == Some(*said as i32));
        said.unwrap_or(Self::SetUp)
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
