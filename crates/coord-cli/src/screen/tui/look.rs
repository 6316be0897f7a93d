//! What the terminal can show: colours or none, Unicode or ASCII.

use std::env;

use ratatui::style::{Color, Modifier, Style};

use crate::args::Color as ColorChoice;
use crate::board::{Row, State};

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) color: bool,
    pub(super) unicode: bool,
}

/// The lines between the parts of the screen.
pub(super) struct Lines {
    pub(super) horizontal: &'static str,
    pub(super) vertical: &'static str,
    pub(super) down: &'static str,
    pub(super) up: &'static str,
}

impl Look {
    /// What every terminal can.
    pub(super) const PLAIN: Self = Self {
        color: false,
        unicode: false,
    };

    /// What this terminal can show, as its environment says.
    pub(super) fn of_environment(color: ColorChoice) -> Self {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        Self {
            color: match color {
                ColorChoice::Always => true,
                ColorChoice::Never => false,
                ColorChoice::Auto => !is_set("NO_COLOR"),
            },
            unicode: is_unicode(|name| env::var(name).ok()),
        }
    }

    pub(super) fn lines(self) -> Lines {
        if self.unicode {
            Lines {
                horizontal: "─",
                vertical: "│",
                down: "┬",
                up: "┴",
            }
        } else {
            Lines {
                horizontal: "-",
                vertical: "|",
                down: "+",
                up: "+",
            }
        }
    }

    /// What a bar is made of; on the critical path, and elsewhere.
    pub(super) fn bar(self, is_critical: bool) -> &'static str {
        match (self.unicode, is_critical) {
            (true, true) => "█",
            (true, false) => "▒",
            (false, true) => "#",
            (false, false) => "=",
        }
    }

    /// Between two things that are said in one line.
    pub(super) fn dot(self) -> &'static str {
        if self.unicode { " · " } else { " - " }
    }

    /// What can be shown of a text.
    pub(super) fn text(self, text: &str) -> String {
        if self.unicode || text.is_ascii() {
            return text.to_owned();
        }
        let ascii = |character: char| match character {
            '·' => '-',
            '…' => '~',
            character if character.is_ascii() => character,
            _ => '?',
        };
        text.chars().map(ascii).collect()
    }

    fn colored(self, color: Color) -> Style {
        if self.color {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }

    pub(super) fn good(self) -> Style {
        self.colored(Color::Green)
    }

    pub(super) fn bad(self) -> Style {
        self.colored(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(super) fn odd(self) -> Style {
        self.colored(Color::Yellow)
    }

    pub(super) fn busy(self) -> Style {
        self.colored(Color::Cyan)
    }

    /// What was looked for; where somebody went to it, and elsewhere.
    pub(super) fn found(self, is_current: bool) -> Style {
        let style = match (self.color, is_current) {
            (true, true) => Style::new().fg(Color::Black).bg(Color::LightYellow),
            (true, false) => Style::new().fg(Color::Black).bg(Color::Yellow),
            (false, true) => self.title().add_modifier(Modifier::REVERSED),
            (false, false) => Style::new().add_modifier(Modifier::REVERSED),
        };
        style.remove_modifier(Modifier::DIM)
    }

    pub(super) fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// A state as a mark and a style.
    pub(super) fn state(self, row: &Row) -> (&'static str, Style) {
        let (mark, ascii, style) = match row.state {
            _ if row.undoing.is_some() || row.undone == Some(true) => ("↶", "<", self.odd()),
            _ if row.undone == Some(false) => ("✗", "x", self.bad()),
            State::Waiting => ("○", ".", self.quiet()),
            State::Running | State::Starting => ("▶", ">", self.busy()),
            State::Ready => ("●", "*", self.good()),
            State::Retrying { .. } | State::Restarting { .. } => ("↻", "@", self.odd()),
            State::Paused => ("‖", "=", self.bad()),
            State::Stopping => ("■", "#", self.odd()),
            State::Done => ("✓", "+", self.good()),
            State::Failed if row.optional => ("✗", "x", self.odd()),
            State::Failed => ("✗", "x", self.bad()),
            State::Stopped => ("□", "o", self.quiet()),
            State::Skipped | State::NotRun => ("–", "-", self.quiet()),
            State::Cancelled => ("✗", "x", self.odd()),
        };
        (if self.unicode { mark } else { ascii }, style)
    }
}

/// Whether the locale is one of UTF-8: the first of these that is set decides.
fn is_unicode(variable: impl Fn(&str) -> Option<String>) -> bool {
    let names = ["LC_ALL", "LC_CTYPE", "LANG"];
    let locale = names
        .into_iter()
        .filter_map(variable)
        .find(|value| !value.is_empty());
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_says_whether_there_is_unicode() {
        let with = |set: &'static [(&str, &str)]| {
            is_unicode(|name| {
                let found = set.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(with(&[("LANG", "en_GB.UTF-8")]));
        assert!(with(&[
            ("LC_ALL", ""),
            ("LC_CTYPE", "C.utf8"),
            ("LANG", "C")
        ]));
        assert!(!with(&[("LC_ALL", "C"), ("LANG", "en_GB.UTF-8")]));
        assert!(!with(&[]));
    }
}
