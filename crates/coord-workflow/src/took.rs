//! How long something took, as people say it.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

/// A duration in ASCII, with about three digits: `12ms`, `1.5s`, `2m05s`, `1h07m`.
pub(crate) struct Took(pub(crate) Duration);

impl Display for Took {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let (seconds, milliseconds) = (self.0.as_secs(), self.0.as_secs_f64() * 1e3);
        let text = match seconds {
            0 if milliseconds < 9.95 => format!("{milliseconds:.1}ms"),
            0 => format!("{}ms", self.0.as_millis()),
            1..60 => format!("{seconds}.{}s", self.0.subsec_millis() / 100),
            60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
            _ => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        };
        formatter.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_told_in_its_own_unit() {
        let told = |micros| Took(Duration::from_micros(micros)).to_string();
        assert_eq!(told(0), "0.0ms");
        assert_eq!(told(9_949), "9.9ms");
        assert_eq!(told(9_951), "9ms");
        assert_eq!(told(999_999), "999ms");
        assert_eq!(told(59_999_999), "59.9s");
        assert_eq!(told(125_000_000), "2m05s");
        assert_eq!(told(4_020_000_000), "1h07m");
        assert_eq!(format!("{:>6}|", Took(Duration::from_secs(2))), "  2.0s|");
    }
}
