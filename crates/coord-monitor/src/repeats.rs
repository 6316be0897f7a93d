//! Of lines that repeat so many are logged in a while, and how many more there were: as a program whose log leads
//! to the next error logs that, too, and would never be done.

use std::collections::HashMap;
use std::time::Duration;

use coord_bus::time::Instant;

/// How many lines of one source and kind are logged in a [`PERIOD`]: as many as the kernel of Linux does.
const LOGGED_MAX: u32 = 10;

const PERIOD: Duration = Duration::from_secs(5);

/// How many sources and kinds are told apart at most. Others share what is left.
const APART_MAX: usize = 1_000;

/// What was logged of late.
#[derive(Debug, Default)]
pub(crate) struct Repeats(HashMap<String, Period>);

#[derive(Debug)]
struct Period {
    began: Instant,
    logged: u32,
    more: u64,
}

impl Repeats {
    /// Whether a line is to be logged; then how many before it were not.
    pub(crate) fn admit(&mut self, source: &str, kind: &str) -> Option<u64> {
        let now = Instant::now();
        let is_over = |period: &Period| now.duration_since(period.began) >= PERIOD;
        let mut key = format!("{source}\n{kind}");
        if self.0.len() >= APART_MAX && !self.0.contains_key(&key) {
            self.0.retain(|_, period| !is_over(period));
            if self.0.len() >= APART_MAX {
                key.clear();
            }
        }
        let period = self.0.entry(key).or_insert(Period {
            began: now,
            logged: 0,
            more: 0,
        });
        if is_over(period) {
            (period.began, period.logged) = (now, 0);
        }
        if period.logged >= LOGGED_MAX {
            period.more += 1;
            return None;
        }
        period.logged += 1;
        Some(std::mem::take(&mut period.more))
    }
}
