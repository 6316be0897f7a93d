//! What a service's keeper sees of its process.

use regex_lite::Regex;
use tokio::sync::watch;

use super::answer::Answer;
use crate::process::{Watch, plain};

/// Sees when the process starts and ends, and the first line in which a pattern finds something.
#[derive(Debug)]
pub(super) struct Sight<'a> {
    pattern: Option<&'a Regex>,
    seen: watch::Sender<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    pid: Option<u32>,
    ended: bool,
    /// The line, as an answer.
    line: Option<Answer>,
    /// Whether that line was published.
    published: bool,
}

impl<'a> Sight<'a> {
    pub(super) fn new(pattern: Option<&'a Regex>) -> Self {
        Self {
            pattern,
            seen: watch::Sender::default(),
        }
    }

    /// Waits until the process has started; its id.
    pub(super) async fn started(&self) -> u32 {
        self.wait(|seen| seen.pid).await
    }

    /// Waits until the process has ended.
    pub(super) async fn ended(&self) {
        self.wait(|seen| seen.ended.then_some(())).await;
    }

    /// Waits until the line has come.
    pub(super) async fn found(&self) -> Answer {
        self.wait(|seen| seen.line.clone()).await
    }

    /// Waits until the line was published.
    pub(super) async fn published(&self) {
        self.wait(|seen| seen.published.then_some(())).await;
    }

    /// The id of the process, if it has started, and the line, if that has come.
    pub(super) fn glance(&self) -> Option<(u32, Option<Answer>)> {
        let seen = self.seen.borrow();
        Some((seen.pid?, seen.line.clone()))
    }

    async fn wait<T>(&self, look: impl Fn(&Seen) -> Option<T>) -> T {
        let mut seen = self.seen.subscribe();
        loop {
            let found = look(&seen.borrow_and_update());
            if let Some(found) = found {
                return found;
            }
            // The sender is in `self`, so this is never an error.
            let _ = seen.changed().await;
        }
    }
}

impl Watch for Sight<'_> {
    fn started(&self, pid: u32) {
        self.seen.send_modify(|seen| seen.pid = Some(pid));
    }

    fn line(&self, text: &str) -> bool {
        let Some(pattern) = self.pattern else {
            return false;
        };
        if self.seen.borrow().line.is_some() {
            return false;
        }
        let text = plain(text);
        let is_found = pattern.is_match(&text);
        if is_found {
            let answer = Answer::good(&text);
            self.seen.send_modify(|seen| seen.line = Some(answer));
        }
        is_found
    }

    fn published(&self) {
        self.seen.send_modify(|seen| seen.published = true);
    }

    fn ended(&self) {
        self.seen.send_modify(|seen| seen.ended = true);
    }
}
