//! What a probe was answered.

use std::time::Duration;

use coord_bus::text::cut;

/// The longest answer that is told, in bytes; more of what a command prints is cut off.
const MAX_ANSWER: usize = 256;

/// An answer, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) healthy: bool,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn good(text: &str) -> Self {
        Self {
            healthy: true,
            text: bounded(text),
        }
    }

    pub(super) fn bad(text: &str) -> Self {
        Self {
            healthy: false,
            text: bounded(text),
        }
    }

    /// There was none.
    pub(super) fn none_within(timeout: Duration) -> Self {
        Self::bad(&format!("no answer within {}", spoken(timeout)))
    }
}

fn bounded(text: &str) -> String {
    if text.len() <= MAX_ANSWER {
        return text.to_owned();
    }
    let begin = cut(text, MAX_ANSWER - '…'.len_utf8());
    format!("{begin}…")
}

/// A duration in words: `1.5 s`, `50 ms`.
pub(super) fn spoken(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{} s", duration.as_millis() as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_answer_is_cut_between_two_characters() {
        let answer = Answer::bad(&format!("x{}", "ö".repeat(300)));
        assert!(answer.text.len() <= MAX_ANSWER);
        assert!(answer.text.starts_with("xö") && answer.text.ends_with("ö…"));
        let fits = "x".repeat(MAX_ANSWER);
        assert_eq!(Answer::good(&fits).text, fits);
    }

    #[test]
    fn a_duration_reads_as_people_write_it() {
        for (millis, text) in [
            (50, "50 ms"),
            (1000, "1 s"),
            (1500, "1.5 s"),
            (30_000, "30 s"),
        ] {
            assert_eq!(spoken(Duration::from_millis(millis)), text);
        }
    }
}
