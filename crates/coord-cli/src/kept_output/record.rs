//! A line of output as a line of a file: when, where, whether it goes on, which attempt, and the text.
//!
//! ```text
//! 2026-03-01T09:30:00.125000Z stdout F:1 listening on port 80
//! ```
//!
//! That is the form in which Kubernetes keeps the output of containers: `F` is a full line, `P` a part
//! that the next line of the same stream continues. What follows the colon is the attempt.

use std::io::Write;

use coordination::bus::Timestamp;
use coordination::bus::vocabulary::{OutputStream, ProcessOutput};
use serde::Serialize;

/// A line of output that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Record {
    pub(crate) at: Timestamp,
    pub(crate) stream: OutputStream,
    pub(crate) attempt: u32,
    pub(crate) line: String,
    /// Whether it goes on in the next one, because it was too long for one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) continues: bool,
    /// Whether something that was printed before it was removed before it could be read.
    #[serde(skip)]
    pub(crate) is_after_gap: bool,
}

/// Writes a line of output; `at` is the time, as text.
pub(super) fn write(file: &mut Vec<u8>, at: &str, output: &ProcessOutput) {
    let stream = match output.stream {
        OutputStream::Stdout => " stdout ",
        OutputStream::Stderr => " stderr ",
    };
    file.extend_from_slice(at.as_bytes());
    file.extend_from_slice(stream.as_bytes());
    file.extend_from_slice(if output.continues { b"P:" } else { b"F:" });
    // Into memory nothing can fail.
    let _ = write!(file, "{} ", output.attempt);
    file.extend_from_slice(output.line.as_bytes());
    file.push(b'\n');
}

/// A time as it stands in a file.
pub(super) fn time(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// The line of output that is a line of a file, if it is one. Its text is safe to be shown, whatever
/// has become of the file.
pub(super) fn read(line: &[u8]) -> Option<Record> {
    let line = String::from_utf8_lossy(line);
    let mut words = line.splitn(4, ' ');
    let at = words.next()?.parse().ok()?;
    let stream = match words.next()? {
        "stdout" => OutputStream::Stdout,
        "stderr" => OutputStream::Stderr,
        _ => return None,
    };
    let (tag, attempt) = words.next()?.split_once(':')?;
    let continues = match tag {
        "F" => false,
        "P" => true,
        _ => return None,
    };
    Some(Record {
        at,
        stream,
        attempt: attempt.parse().ok()?,
        line: safe(words.next()?),
        continues,
        is_after_gap: false,
    })
}

/// A text in which a terminal finds nothing to obey but colours.
pub(super) fn safe(text: &str) -> String {
    let is_refused = |character: char| {
        (character.is_control() && character != '\t')
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut safe = String::with_capacity(text.len());
    for (place, part) in text.split('\x1b').enumerate() {
        let colour = part.strip_prefix('[').and_then(|rest| {
            let is_parameter = |byte: &u8| matches!(byte, b'0'..=b'9' | b';' | b':');
            let parameters = rest.bytes().take_while(|byte| is_parameter(byte)).count();
            rest[parameters..].starts_with('m').then_some(parameters)
        });
        match (place, colour) {
            (0, _) => {}
            (_, Some(_)) => safe.push('\x1b'),
            (_, None) => safe.push(char::REPLACEMENT_CHARACTER),
        }
        safe.extend(part.split(is_refused));
    }
    safe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn output(line: &str) -> ProcessOutput {
        ProcessOutput {
            process: "s".to_owned(),
            pid: 1,
            attempt: 3,
            stream: OutputStream::Stderr,
            line: line.to_owned(),
            continues: true,
        }
    }

    fn written(line: &str) -> String {
        let mut file = Vec::new();
        let at = "2026-03-01T09:30:00.125Z".parse().unwrap();
        write(&mut file, &time(at), &output(line));
        String::from_utf8(file).unwrap()
    }

    #[test]
    fn a_line_stands_in_a_file_as_kubernetes_would_write_it() {
        let expected = "2026-03-01T09:30:00.125000Z stderr P:3 it is  late\n";
        assert_eq!(written("it is  late"), expected);
        assert_eq!(written(""), "2026-03-01T09:30:00.125000Z stderr P:3 \n");
    }

    #[test]
    fn what_is_not_a_whole_line_is_not_taken_for_one() {
        let whole = written("");
        let whole = whole.trim_end_matches('\n').as_bytes();
        assert!(read(whole).is_some());
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None, "{length}");
        }
        assert_eq!(read(b"2026-03-01T09:30:00Z coord F:1 text"), None);
        assert_eq!(read(&[0; 512]), None);
    }

    #[test]
    fn a_file_that_somebody_has_written_into_does_not_run_the_terminal() {
        let line = b"2026-03-01T09:30:00Z stdout F:1 a\x1b[31mred\x1b[m \x1b]52;c;x\x07 \x1b[2J\x9b\xc2\x9b6n \xe2\x80\xaeb";
        let expected = "a\x1b[31mred\x1b[m \u{fffd}]52;c;x \u{fffd}[2J\u{fffd}6n b";
        assert_eq!(read(line).unwrap().line, expected);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(line in "([^\\p{Cc}\\u{202a}-\\u{202e}\\u{2066}-\\u{2069}]|\t|\x1b\\[[0-9;:]{0,5}m){0,40}") {
            let written = written(&line);
            let read = read(written.trim_end_matches('\n').as_bytes()).unwrap();
            prop_assert_eq!(read.line, line);
            prop_assert_eq!(read.attempt, 3);
            prop_assert!(read.continues);
        }

        #[test]
        fn any_bytes_are_safe_to_be_shown(bytes: Vec<u8>) {
            let mut line = b"2026-03-01T09:30:00Z stdout F:1 ".to_vec();
            line.extend(bytes);
            let line = read(&line).unwrap().line;
            for part in line.split('\x1b').skip(1) {
                let end = part.find('m').unwrap();
                prop_assert!(part[..end].starts_with('['));
            }
            prop_assert!(!line.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\x1b')));
        }
    }
}
