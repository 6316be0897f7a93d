//! How services lived: when they were started first, were ready first, and ended, by the clock of what is kept of it.

use std::time::Duration;

use coordination::bus::Timestamp;
use serde::Serialize;

/// When a service began and ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Life {
    /// When it was started first.
    pub(crate) began: Option<Timestamp>,
    /// When it was ready first.
    pub(crate) ready: Option<Timestamp>,
    /// When it ended, if it has.
    pub(crate) ended: Option<Timestamp>,
}

/// The same for programs: times are in seconds since the beginning of the run.
#[derive(Serialize)]
pub(crate) struct Lived<'l> {
    id: &'l str,
    state: &'static str,
    started: f64,
    /// When it was ready first.
    ready: Option<f64>,
    /// Nothing while it runs.
    ended: Option<f64>,
    starts: u32,
    error: Option<&'l str>,
}

impl Life {
    /// It is started.
    pub(crate) fn start(&mut self, at: Timestamp) {
        self.began.get_or_insert(at);
        self.ended = None;
    }

    /// How long it lived until then.
    pub(crate) fn until(&self, at: Timestamp) -> Option<Duration> {
        self.began.map(|began| between(began, at))
    }

    /// How long it took until it was ready.
    pub(crate) fn ready_in(&self) -> Option<Duration> {
        self.until(self.ready?)
    }

    /// For programs: what it was called in a run that began then, where it is, how often it was started, and why
    /// it failed.
    pub(crate) fn told<'l>(
        &self,
        run: Timestamp,
        id: &'l str,
        state: &'static str,
        starts: u32,
        error: Option<&'l str>,
    ) -> Option<Lived<'l>> {
        let since = |at| between(run, at).as_secs_f64();
        Some(Lived {
            id,
            state,
            started: since(self.began?),
            ready: self.ready.map(since),
            ended: self.ended.map(since),
            starts,
            error,
        })
    }
}

/// Nothing, where the clock was set back meanwhile.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or_default()
}
