//! What to run: a name, a program with its arguments, a directory, an environment.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use super::{Secrets, StopSignal};

/// How long a process may take to stop where nothing else is said: long enough for a server to
/// finish what it is answering, and what other process runners give.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// What runs command lines.
pub(super) const SHELL: &str = "/bin/sh";

/// A process to run.
///
/// ```
/// use std::time::Duration;
/// use coord_patterns::process::ProcessSpec;
///
/// let server = ProcessSpec::shell("server", "migrate && exec serve --port $PORT")
///     .dir("api")
///     .env("PORT", "8080")
///     .grace(Duration::from_secs(30));
/// assert_eq!(server.name, "server");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessSpec {
    /// What its events call it.
    pub name: String,
    /// The program: a name that is looked up in `PATH`, or a path, which is relative to `dir`.
    pub program: OsString,
    /// Its arguments, without the program's name.
    pub arguments: Vec<OsString>,
    /// Where it runs; where its parent does, without one.
    pub dir: Option<PathBuf>,
    /// What is added to the environment of its parent; the last of a name counts. `COORD_PROCESS` is the runner's own: see
    /// [`Watchdog`](super::Watchdog).
    pub environment: Vec<(OsString, OsString)>,
    /// What is left out of the environment of its parent. What is added under such a name is there.
    pub not_inherited: Vec<OsString>,
    /// What is added as well, and kept out of what the process prints; `environment` wins over it.
    pub secrets: Secrets,
    /// The signal that asks it to stop; SIGTERM by default.
    pub stop_signal: StopSignal,
    /// How long it may take to stop once it was asked to, before it is killed;
    /// [`DEFAULT_GRACE`] by default.
    pub grace: Duration,
    /// Which attempt it is at what it is for, from 1, which is the default: its output says so.
    pub attempt: u32,
}

impl ProcessSpec {
    /// A program with arguments, which no shell touches.
    pub fn program(name: impl Into<String>, program: impl Into<OsString>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            arguments: Vec::new(),
            dir: None,
            environment: Vec::new(),
            not_inherited: Vec::new(),
            secrets: Secrets::default(),
            stop_signal: StopSignal::default(),
            grace: DEFAULT_GRACE,
            attempt: 1,
        }
    }

    /// A command line for `/bin/sh -c`.
    ///
    /// Where the line is nothing but a program and plain words, in quotes or not, the shell is left
    /// out, as `make` does: it would only start the program. (What some shells but not all would add to
    /// its environment, such as `SHLVL`, is not there then.) Where the program cannot be started, the
    /// shell is asked after all, and says so in its own way: exit code 127 or 126.
    pub fn shell(name: impl Into<String>, command: impl Into<OsString>) -> Self {
        // By its path: with a `PATH` in `environment`, a name would cost a fork instead of a
        // `posix_spawn`.
        Self::program(name, SHELL).args(["-c".into(), command.into()])
    }

    /// With more arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// In this directory.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// With one more variable in its environment.
    #[must_use]
    pub fn env(self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.envs([(name, value)])
    }

    /// With more variables in its environment.
    #[must_use]
    pub fn envs<N: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let variables = variables.into_iter();
        self.environment
            .extend(variables.map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Without these variables of its parent's environment.
    #[must_use]
    pub fn not_inherited<N: Into<OsString>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.not_inherited.extend(names.into_iter().map(Into::into));
        self
    }

    /// With these variables, whose values are kept out of what it prints.
    #[must_use]
    pub fn secrets(mut self, secrets: Secrets) -> Self {
        self.secrets = secrets;
        self
    }

    /// All that is added to its parent's environment; the last of a name counts.
    pub(super) fn variables(&self) -> impl DoubleEndedIterator<Item = (&OsStr, &OsStr)> {
        let all = self.secrets.variables().iter().chain(&self.environment);
        all.map(|(name, value)| (&**name, &**value))
    }

    /// With another signal that asks it to stop.
    #[must_use]
    pub fn stop_signal(mut self, signal: StopSignal) -> Self {
        self.stop_signal = signal;
        self
    }

    /// Being this attempt at what it is for.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// With this long to stop once it was asked to.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}
