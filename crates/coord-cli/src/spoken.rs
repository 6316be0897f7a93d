//! Durations as people say them: `310 ms`, `1.5 s`, `2 min 3 s`.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_is_said_in_units_that_fit() {
        let said = |milliseconds| Spoken(Duration::from_millis(milliseconds)).to_string();
        assert_eq!(said(7), "7 ms");
        assert_eq!(said(1_549), "1.5 s");
        assert_eq!(said(123_000), "2 min 3 s");
        assert_eq!(said(7_260_000), "2 h 1 min");
    }
}
