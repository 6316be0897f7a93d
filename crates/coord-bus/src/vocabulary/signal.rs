//! What signals are called.

use std::fmt;

/// The name of a signal on this system, for people: `SIGTERM`. One that has none, as those for real time,
/// is told by its number: `signal 37`.
///
/// ```
/// use coord_bus::vocabulary::SignalName;
///
/// # #[cfg(unix)]
/// assert_eq!(SignalName(9).to_string(), "SIGKILL");
/// assert_eq!(SignalName(77).to_string(), "signal 77");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignalName(pub i32);

impl fmt::Display for SignalName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => formatter.pad(name),
            None => write!(formatter, "signal {}", self.0),
        }
    }
}

#[cfg(unix)]
macro_rules! names {
    ($($name:ident)*) => { &[$((libc::$name, stringify!($name))),*] };
}

/// Those of POSIX, and the two that every Unix has besides: the numbers of many differ between systems.
#[cfg(unix)]
const NAMES: &[(i32, &str)] = names! {
    SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE
    SIGALRM SIGTERM SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM
    SIGPROF SIGSYS SIGWINCH SIGIO
};

#[cfg(not(unix))]
const NAMES: &[(i32, &str)] = &[];
