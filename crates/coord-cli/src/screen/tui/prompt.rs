//! A line that is typed at the bottom of the screen.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::Value;

/// The longest line: one that is longer is a mistake, such as a paste.
const CHARACTERS_MAX: usize = 4 * 1024;

/// What is typed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Prompt {
    pub(super) text: String,
    /// Before which byte of it the next character comes.
    cursor: usize,
}

/// What a key did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Typed {
    /// The line is another.
    Edited,
    /// It is what was wanted.
    Done,
    /// It is not wanted.
    Left,
}

impl Prompt {
    /// What is pasted is typed; the ends of its lines, and what cannot be seen, are not.
    pub(super) fn paste(&mut self, text: &str) -> Typed {
        let seen = text.chars().filter(|character| !character.is_control());
        seen.for_each(|character| self.insert(character));
        Typed::Edited
    }

    fn insert(&mut self, character: char) {
        if self.text.len() < CHARACTERS_MAX {
            self.text.insert(self.cursor, character);
            self.cursor += character.len_utf8();
        }
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Typed {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return Typed::Done,
            KeyCode::Esc => return Typed::Left,
            KeyCode::Char('c' | 'g') if control => return Typed::Left,
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = self.text.len(),
            KeyCode::Char('u') if control => {
                self.text.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('k') if control => self.text.truncate(self.cursor),
            KeyCode::Char('w') if control => self.erase_word(),
            KeyCode::Char(_) if control || key.modifiers.contains(KeyModifiers::ALT) => {}
            KeyCode::Char(character) => self.insert(character),
            // Nothing is left to be erased: it is not wanted.
            KeyCode::Backspace if self.text.is_empty() => return Typed::Left,
            KeyCode::Backspace => {
                if let Some(character) = self.text[..self.cursor].chars().next_back() {
                    self.cursor -= character.len_utf8();
                    self.text.remove(self.cursor);
                }
            }
            KeyCode::Delete if self.cursor < self.text.len() => {
                self.text.remove(self.cursor);
            }
            KeyCode::Left => {
                let before = self.text[..self.cursor].chars().next_back();
                self.cursor -= before.map_or(0, char::len_utf8);
            }
            KeyCode::Right => {
                let after = self.text[self.cursor..].chars().next();
                self.cursor += after.map_or(0, char::len_utf8);
            }
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            _ => {}
        }
        Typed::Edited
    }

    /// What was typed as JSON, of which nothing is `null`. The cursor goes to what is wrong.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn json(&mut self) -> Result<Value, String> {
        if self.text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&self.text).map_err(|error| {
            // Columns are bytes, from 1; at the end it is the one before.
            let mut at = error.column().saturating_sub(1).min(self.text.len());
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            self.cursor = if error.is_eof() { self.text.len() } else { at };
            let said = error.to_string();
            let (said, _) = said.rsplit_once(" at line").unwrap_or((&said, ""));
            format!("no JSON: {said}")
        })
    }

    fn erase_word(&mut self) {
        let before = self.text[..self.cursor].trim_end();
        let start = before.rfind(char::is_whitespace).map_or(0, |space| {
            space + before[space..].chars().next().map_or(0, char::len_utf8)
        });
        self.text.drain(start..self.cursor);
        self.cursor = start;
    }

    /// What is before the cursor, and what is after it.
    pub(super) fn parts(&self) -> (&str, &str) {
        self.text.split_at(self.cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(prompt: &mut Prompt, keys: &str) -> Typed {
        let mut last = Typed::Edited;
        for character in keys.chars() {
            let plain = |code| KeyEvent::new(code, KeyModifiers::NONE);
            let control = |key| KeyEvent::new(KeyCode::Char(key), KeyModifiers::CONTROL);
            last = prompt.key(match character {
                '<' => plain(KeyCode::Left),
                '>' => plain(KeyCode::Right),
                '#' => plain(KeyCode::Backspace),
                '!' => plain(KeyCode::Delete),
                '^' => control('u'),
                '~' => control('w'),
                '\n' => plain(KeyCode::Enter),
                character => plain(KeyCode::Char(character)),
            });
        }
        last
    }

    #[test]
    fn a_line_is_edited_as_in_a_shell() {
        for (keys, text) in [
            ("abc", "abc"),
            ("abc<<x", "axbc"),
            ("äöü#", "äö"),
            ("äöü<<#", "öü"),
            ("äö<<!", "ö"),
            ("one two~", "one "),
            ("one~", ""),
            ("ab<^", "b"),
            ("<<>>a", "a"),
        ] {
            let mut prompt = Prompt::default();
            assert_eq!(typed(&mut prompt, keys), Typed::Edited);
            assert_eq!(prompt.text, text, "{keys}");
        }
    }

    #[test]
    fn enter_ends_it_and_erasing_nothing_leaves_it() {
        assert_eq!(typed(&mut Prompt::default(), "a\n"), Typed::Done);
        assert_eq!(typed(&mut Prompt::default(), "a##"), Typed::Left);
    }

    #[test]
    fn json_is_taken_and_the_cursor_goes_to_what_is_none() {
        for (text, value) in [("", Value::Null), (" 1 ", 1.into()), ("\"a\"", "a".into())] {
            let mut prompt = Prompt::default();
            typed(&mut prompt, text);
            assert_eq!(prompt.json(), Ok(value));
        }
        for (text, before, fault) in [
            ("{\"a\": x}", "{\"a\": ", "no JSON: expected value"),
            ("[1, 2", "[1, 2", "no JSON: EOF while parsing a list"),
            ("yes", "", "no JSON: expected value"),
        ] {
            let mut prompt = Prompt::default();
            typed(&mut prompt, text);
            assert_eq!(prompt.json(), Err(fault.to_owned()));
            assert_eq!(prompt.parts().0, before);
        }
    }

    #[test]
    fn it_is_bounded() {
        let mut prompt = Prompt::default();
        typed(&mut prompt, &"x".repeat(CHARACTERS_MAX + 10));
        assert_eq!(prompt.text.len(), CHARACTERS_MAX);
    }
}
