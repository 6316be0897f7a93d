//! The signals by which a process may be asked to stop.

use std::fmt;
use std::str::FromStr;

use rustix::process::Signal;

/// All of them, with their names.
const ALL: [(StopSignal, &str, Signal); 7] = [
    (StopSignal::Term, "SIGTERM", Signal::TERM),
    (StopSignal::Int, "SIGINT", Signal::INT),
    (StopSignal::Quit, "SIGQUIT", Signal::QUIT),
    (StopSignal::Hup, "SIGHUP", Signal::HUP),
    (StopSignal::Usr1, "SIGUSR1", Signal::USR1),
    (StopSignal::Usr2, "SIGUSR2", Signal::USR2),
    (StopSignal::Kill, "SIGKILL", Signal::KILL),
];

/// The signal by which a process is asked to stop; SIGTERM by default.
///
/// In text it has its usual name, and is read in either case, with `SIG` before it or without.
///
/// ```
/// use coord_patterns::process::StopSignal;
///
/// assert_eq!(StopSignal::default().to_string(), "SIGTERM");
/// assert_eq!("int".parse(), Ok(StopSignal::Int));
/// assert!("SIGSTOP".parse::<StopSignal>().is_err());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopSignal {
    /// SIGTERM, which most programs take for a request to finish.
    #[default]
    Term,
    /// SIGINT, as Ctrl-C sends it: what many programs that are run by hand expect.
    Int,
    /// SIGQUIT: nginx finishes its requests first, a Java machine prints its threads.
    Quit,
    /// SIGHUP, as when a terminal is closed.
    Hup,
    /// SIGUSR1, for a program that gives it this meaning.
    Usr1,
    /// SIGUSR2, for a program that gives it this meaning.
    Usr2,
    /// SIGKILL, for what has nothing to save: it is not asked at all.
    Kill,
}

/// No signal of this name asks a process to stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no signal that asks a process to stop; use one of {}", StopSignal::NAMES.join(", "))]
pub struct UnknownStopSignal {
    /// The name.
    pub name: String,
}

impl StopSignal {
    /// The names of all, for messages.
    pub const NAMES: [&str; 7] = {
        let mut names = [""; ALL.len()];
        let mut index = 0;
        while index < ALL.len() {
            names[index] = ALL[index].1;
            index += 1;
        }
        names
    };

    pub(super) fn signal(self) -> Signal {
        self.row().2
    }

    fn row(self) -> (Self, &'static str, Signal) {
        let row = ALL.into_iter().find(|(signal, ..)| *signal == self);
        row.unwrap_or(ALL[0])
    }
}

impl FromStr for StopSignal {
    type Err = UnknownStopSignal;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let upper = name.to_ascii_uppercase();
        let short = upper.strip_prefix("SIG").unwrap_or(&upper);
        let row = ALL
            .into_iter()
            .find(|(_, name, _)| name.strip_prefix("SIG") == Some(short));
        row.map(|(signal, ..)| signal)
            .ok_or_else(|| UnknownStopSignal {
                name: name.to_owned(),
            })
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.row().1)
    }
}
