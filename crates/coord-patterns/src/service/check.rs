//! What can be asked of a service.

mod exec;
#[cfg(feature = "http-probe")]
mod http;
mod tcp;

use std::io;

use regex_lite::Regex;

#[cfg(feature = "http-probe")]
use self::http::Http;
use self::tcp::Tcp;
use super::CheckError;
use super::answer::Answer;
use crate::process::{ProcessRunner, ProcessSpec};

/// What is asked of a service.
#[derive(Debug, Clone)]
pub struct Check(pub(super) Kind);

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Question(Question),
    Log(Regex),
}

/// What can be asked again and again.
#[derive(Debug, Clone)]
pub(super) enum Question {
    #[cfg(feature = "http-probe")]
    Http(Box<Http>),
    Tcp(Tcp),
    Exec(String),
}

impl Check {
    /// A GET of this URL, `http://host[:port]/path`: good is a status from 200 to 399. Redirects
    /// are not followed, and the body is not read. It needs the feature `http-probe`.
    ///
    /// # Errors
    ///
    /// When the URL is not of this form; `https` is none that a probe can speak.
    ///
    /// ```
    /// use coord_patterns::service::Check;
    ///
    /// Check::http("http://localhost:8080/health")?;
    /// let error = Check::http("https://localhost").unwrap_err();
    /// assert!(error.to_string().contains("plain HTTP"));
    /// # Ok::<(), coord_patterns::service::CheckError>(())
    /// ```
    #[cfg(feature = "http-probe")]
    pub fn http(url: &str) -> Result<Self, CheckError> {
        let http = Http::parse(url)?;
        Ok(Self(Kind::Question(Question::Http(Box::new(http)))))
    }

    /// A connection to this `host:port`: good is that it is accepted, at any of the host's
    /// addresses.
    ///
    /// # Errors
    ///
    /// When the address is not of this form.
    pub fn tcp(address: &str) -> Result<Self, CheckError> {
        Ok(Self(Kind::Question(Question::Tcp(Tcp::parse(address)?))))
    }

    /// A command line for `/bin/sh -c`, in the directory and the environment of the service: good
    /// is the exit code 0. What it prints is not published.
    pub fn exec(line: impl Into<String>) -> Self {
        Self(Kind::Question(Question::Exec(line.into())))
    }

    /// A line that the service prints, on standard output or standard error, in which this regular
    /// expression finds something. The line is looked at without its colours.
    ///
    /// Only for readiness, and ready at the first such line: a probe's
    /// [`start_delay`](super::Probe::start_delay) and [`period`](super::Probe::period) only say
    /// how long is waited for it.
    ///
    /// # Errors
    ///
    /// When this is no regular expression.
    pub fn log(pattern: &str) -> Result<Self, CheckError> {
        let compiled = Regex::new(pattern).map_err(|fault| CheckError::Pattern {
            pattern: pattern.to_owned(),
            fault: fault.to_string(),
        })?;
        Ok(Self(Kind::Log(compiled)))
    }
}

impl Question {
    /// Asks once. Dropped, it leaves nothing behind.
    pub(super) async fn ask(&self, service: &ProcessSpec, processes: &ProcessRunner) -> Answer {
        match self {
            #[cfg(feature = "http-probe")]
            Self::Http(http) => http.ask().await,
            Self::Tcp(tcp) => match tcp.connect().await {
                Ok(_) => Answer::good("connected"),
                Err(error) => Answer::bad(&in_words(&error)),
            },
            Self::Exec(line) => exec::ask(line, service, processes).await,
        }
    }
}

/// What the network said, without the number that the system has for it.
fn in_words(error: &io::Error) -> String {
    use io::ErrorKind::*;
    match error.kind() {
        kind @ (ConnectionRefused | ConnectionReset | ConnectionAborted | TimedOut
        | NetworkUnreachable | HostUnreachable | AddrNotAvailable) => kind.to_string(),
        _ => error.to_string(),
    }
}
