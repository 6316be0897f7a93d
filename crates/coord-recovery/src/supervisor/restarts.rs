//! How often there may be a restart: the times of those within the last period, without the waits before them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coord_bus::time::Instant;

/// The restarts of one child, or of all children of a supervisor; shared by who counts together.
#[derive(Debug, Clone)]
pub(super) struct Restarts(Arc<Mutex<Window>>);

/// Holds at most as many as there may be. Its time stands still while a child waits to be restarted: the
/// waits grow until no period would see enough failures otherwise.
#[derive(Debug)]
struct Window {
    max: Option<u32>,
    within: Duration,
    recent: VecDeque<Duration>,
    /// How many children wait now.
    waiting: u32,
    /// What has passed until `at`.
    passed: Duration,
    at: Instant,
}

/// A child waits to be restarted.
#[derive(Debug)]
pub(super) struct Waiting(Restarts);

impl Restarts {
    pub(super) fn new(max: Option<u32>, within: Duration) -> Self {
        Self(Arc::new(Mutex::new(Window {
            max,
            within,
            recent: VecDeque::new(),
            waiting: 0,
            passed: Duration::ZERO,
            at: Instant::now(),
        })))
    }

    /// Counts one more restart, if there may be one, for which a child waits from now on; otherwise says how
    /// many there were, and in which period.
    pub(super) fn admit(&self) -> Result<Waiting, (u32, Duration)> {
        let mut window = self.window();
        window.admit().map_err(|max| (max, window.within))?;
        window.waiting += 1;
        drop(window);
        Ok(Waiting(self.clone()))
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn admit(&mut self) -> Result<(), u32> {
        self.go_on();
        let Some(max) = self.max else {
            return Ok(());
        };
        let (now, within) = (self.passed, self.within);
        while (self.recent.front()).is_some_and(|then| now - *then > within) {
            self.recent.pop_front();
        }
        if self.recent.len() >= max as usize {
            return Err(max);
        }
        self.recent.push_back(now);
        Ok(())
    }

    /// Brings the time up to now.
    fn go_on(&mut self) {
        let now = Instant::now();
        if self.waiting == 0 {
            self.passed += now.duration_since(self.at);
        }
        self.at = now;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut window = self.0.window();
        window.go_on();
        window.waiting -= 1;
    }
}
