//! Durations and sizes as people say them: `310 ms`, `1.5 s`, `2 min 3 s`; `1.5 KiB`.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

pub(crate) struct Spoken(pub(crate) Duration);

impl Display for Spoken {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let text = match seconds {
            0 => format!("{} ms", self.0.as_millis()),
            1..60 => format!("{:.1} s", self.0.as_secs_f64()),
            60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
            _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        };
        formatter.pad(&text)
    }
}

/// A number of bytes: `310 B`, `1.5 KiB`, `16.0 MiB`.
pub(crate) struct Size(pub(crate) u64);

impl Display for Size {
    #[expect(
        clippy::cast_precision_loss,
        reason = "one digit after the point is shown"
    )]
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        let text = match self.0 {
            0..1024 => format!("{} B", self.0),
            1024..1_048_576 => format!("{:.1} KiB", bytes / 1024.0),
            _ => format!("{:.1} MiB", bytes / 1_048_576.0),
        };
        formatter.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_is_said_in_units_that_fit() {
        assert_eq!(Size(310).to_string(), "310 B");
        assert_eq!(Size(1_536).to_string(), "1.5 KiB");
        assert_eq!(Size(16 << 20).to_string(), "16.0 MiB");
    }

    #[test]
    fn each_length_is_said_in_units_that_fit() {
        let said = |milliseconds| Spoken(Duration::from_millis(milliseconds)).to_string();
        assert_eq!(said(7), "7 ms");
        assert_eq!(said(1_549), "1.5 s");
        assert_eq!(said(123_000), "2 min 3 s");
        assert_eq!(said(7_260_000), "2 h 1 min");
    }
}
