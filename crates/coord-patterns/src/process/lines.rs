//! Bytes that a process printed become lines that are safe to show.
//!
//! Architecture invariant: what comes out depends on the bytes alone, never on how they were
//! chunked, and no more than a line's greatest length is kept in between.

use std::mem;

use anstyle_parse::state::{Action, State, state_change};
use coord_bus::text::cut;

/// The longest line, in bytes; a longer one is published in parts, each but the last marked
/// [`continues`](coord_bus::vocabulary::ProcessOutput::continues). It bounds what one process can
/// make its runner keep in memory.
pub const MAX_LINE: usize = 64 * 1024;

/// The longest colour sequence that is kept: two true colours take 40 bytes.
const MAX_SEQUENCE: usize = 64;

/// A line, without its end, or a part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) continues: bool,
}

/// Makes lines of bytes.
///
/// `\n`, `\r\n` and a lone `\r` end a line. A `\r` with nothing before it says nothing, for
/// programs that redraw a line begin or end each drawing with one.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The line so far, fit to be shown.
    line: String,
    /// The beginning of a character whose other bytes have not come yet.
    character: Vec<u8>,
    /// Where an escape sequence has got to.
    state: State,
    /// The parameters of that sequence.
    sequence: String,
    /// Whether a `\r` ended a line and nothing came since, so that a `\n` ends none.
    returned: bool,
}

impl Lines {
    /// The next line, if `input` ends one; what was read is taken from `input`.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Option<Line> {
        loop {
            if self.line.len() > MAX_LINE {
                return Some(self.part());
            }
            let (&byte, rest) = input.split_first()?;
            if self.state == State::Ground && !is_control(byte) {
                self.text(input);
                continue;
            }
            self.break_character();
            if self.line.len() > MAX_LINE {
                return Some(self.part());
            }
            *input = rest;
            match byte {
                b'\n' => {
                    self.state = State::Ground;
                    if !mem::take(&mut self.returned) {
                        return Some(self.whole());
                    }
                }
                b'\r' => {
                    self.state = State::Ground;
                    if !self.line.is_empty() {
                        self.returned = true;
                        return Some(self.whole());
                    }
                }
                byte => self.escape(byte),
            }
        }
    }

    /// What is left when nothing more comes: to be called until it has nothing.
    pub(super) fn finish(&mut self) -> Option<Line> {
        self.break_character();
        match self.line.len() {
            0 => None,
            1..=MAX_LINE => Some(self.whole()),
            _ => Some(self.part()),
        }
    }

    fn whole(&mut self) -> Line {
        let mut text = mem::take(&mut self.line);
        // It may wait long for a slow subscriber, and should not hold what it does not need.
        if text.capacity() - text.len() > text.len().max(64) {
            text.shrink_to_fit();
        }
        Line {
            text,
            continues: false,
        }
    }

    /// As much of a line that is too long as fits.
    fn part(&mut self) -> Line {
        let end = whole_until(&self.line, MAX_LINE);
        let text = self.line[..end].to_owned();
        self.line.drain(..end);
        Line {
            text,
            continues: true,
        }
    }

    /// Takes text from `input`, up to a control character or to what makes the line too long.
    fn text(&mut self, input: &mut &[u8]) {
        let room = input.len().min(MAX_LINE + 1 - self.line.len());
        let length = input[..room].iter().position(|byte| is_control(*byte));
        let (mut text, rest) = input.split_at(length.unwrap_or(room));
        *input = rest;
        while !self.character.is_empty()
            && let Some((&byte, rest)) = text.split_first()
        {
            self.character.push(byte);
            match str::from_utf8(&self.character) {
                Ok(character) => {
                    append(&mut self.line, character);
                    self.character.clear();
                    text = rest;
                }
                Err(error) if error.error_len().is_none() => text = rest,
                // The byte begins something new.
                Err(_) => {
                    self.character.pop();
                    self.break_character();
                }
            }
        }
        loop {
            match str::from_utf8(text) {
                Ok(valid) => break append(&mut self.line, valid),
                Err(error) => {
                    let (valid, rest) = text.split_at(error.valid_up_to());
                    append(&mut self.line, str::from_utf8(valid).unwrap_or_default());
                    let Some(length) = error.error_len() else {
                        break self.character.extend(rest);
                    };
                    self.line.push(char::REPLACEMENT_CHARACTER);
                    text = &rest[length..];
                }
            }
        }
        self.returned &= self.line.is_empty();
    }

    /// A character that was begun does not go on.
    fn break_character(&mut self) {
        if !self.character.is_empty() {
            self.character.clear();
            self.line.push(char::REPLACEMENT_CHARACTER);
            self.returned = false;
        }
    }

    /// A control character, or a byte within an escape sequence: of all these, only colours stay.
    fn escape(&mut self, byte: u8) {
        let (state, action) = state_change(self.state, byte);
        match action {
            // One byte more than fits says that it was too long.
            Action::Param | Action::Collect if self.sequence.len() <= MAX_SEQUENCE => {
                self.sequence.push(char::from(byte));
            }
            Action::CsiDispatch if byte == b'm' && is_colour(&self.sequence) => {
                self.line.extend(["\x1b[", &self.sequence, "m"]);
                self.returned = false;
            }
            _ => {}
        }
        match state {
            State::Anywhere => {}
            State::Escape => {
                self.sequence.clear();
                self.state = state;
            }
            state => self.state = state,
        }
    }
}

/// The last place up to this one at which no character and no colour is cut through.
pub(super) fn whole_until(line: &str, end: usize) -> usize {
    let whole = cut(line, end);
    match whole.rfind('\x1b') {
        Some(escape) if !whole[escape..].contains('m') => escape,
        _ => whole.len(),
    }
}

/// A line without its colours.
pub(crate) fn plain(line: &str) -> String {
    let mut parts = line.split('\x1b');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    // Colours end with their first `m`, and nothing else has an escape.
    plain.extend(
        parts
            .filter_map(|part| part.split_once('m'))
            .map(|(_, text)| text),
    );
    plain
}

fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

fn is_colour(sequence: &str) -> bool {
    let is_parameter = |byte| matches!(byte, b'0'..=b'9' | b';' | b':');
    sequence.len() <= MAX_SEQUENCE && sequence.bytes().all(is_parameter)
}

/// Appends text without ASCII's control characters to a line, without those of Unicode.
fn append(line: &mut String, text: &str) {
    if text.is_ascii() {
        line.push_str(text);
    } else {
        line.extend(text.split(is_refused));
    }
}

/// What a terminal would obey, or what makes text look like other text: the control characters
/// beyond ASCII, and those that turn the direction of writing round.
fn is_refused(character: char) -> bool {
    matches!(
        character,
        '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests;
