//! What is wrong with a file of settings, or with variables: everything at once.

use std::fmt;

use coord_bus::{text::cut, text::is_printable};

/// The most faults that are told at once; of more, the number is told.
const FAULTS_MAX: usize = 100;

/// The most of a line that is shown, and what of it stands before the fault, in characters.
const SHOWN_MAX: usize = 120;
const SHOWN_BEFORE: usize = 60;

/// One fault of a file of settings, or of a variable.
///
/// Displayed, it says where it is, what is wrong, shows the line of a file with a caret, and says what
/// was probably meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigFault {
    /// Where: `coordination.toml:3:1`, or the name of the variable.
    pub place: String,
    /// What is wrong there.
    pub message: String,
    /// What to write instead, where that can be told.
    pub help: Option<String>,
    excerpt: Option<String>,
}

impl ConfigFault {
    pub(super) fn of_variable(name: &str, message: String, help: Option<String>) -> Self {
        Self {
            place: printable(name),
            message,
            help,
            excerpt: None,
        }
    }

    /// A fault of a file, from this byte to that one.
    pub(super) fn of_file(
        (name, text): (&str, &str),
        span: std::ops::Range<usize>,
        message: String,
        help: Option<String>,
    ) -> Self {
        let before = cut(text, span.start);
        let start = before.len();
        let line = before.matches('\n').count() + 1;
        let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
        let shown = text[begin..].lines().next().unwrap_or_default();
        let column = text[begin..start].chars().count();
        let marked = &cut(text, span.end.max(start))[start..];
        let marked = marked.lines().next().unwrap_or_default().chars().count();
        Self {
            place: format!("{}:{line}:{}", printable(name), column + 1),
            message,
            help,
            excerpt: Some(excerpt(line, shown, column, marked)),
        }
    }
}

/// The line with a caret under what is meant.
fn excerpt(line: usize, text: &str, column: usize, marked: usize) -> String {
    let from = column.saturating_sub(SHOWN_BEFORE);
    let shown: String = text.chars().skip(from).take(SHOWN_MAX).collect();
    let column = column - from;
    let carets = marked.clamp(1, (SHOWN_MAX - column).max(1));
    let margin = line.to_string();
    let blank = " ".repeat(margin.len());
    format!(
        "{blank} |\n{margin} | {}\n{blank} | {}{}",
        printable(&shown).trim_end(),
        " ".repeat(column),
        "^".repeat(carets),
    )
}

/// Character by character as a terminal may show it.
pub(super) fn printable(text: &str) -> String {
    let shown = text.chars().map(|char| match char {
        '\t' => ' ',
        char if is_printable(char) => char,
        _ => '?',
    });
    shown.collect()
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.message)?;
        match (&self.excerpt, &self.help) {
            (None, None) => Ok(()),
            (None, Some(help)) => write!(formatter, ": {help}"),
            (Some(excerpt), None) => write!(formatter, "\n{excerpt}"),
            (Some(excerpt), Some(help)) => write!(formatter, "\n{excerpt} {help}"),
        }
    }
}

/// All faults of one source, in its order.
///
/// Displayed, they stand below each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFaults {
    faults: Vec<ConfigFault>,
    left_out: usize,
}

impl ConfigFaults {
    pub(super) fn new(mut faults: Vec<ConfigFault>) -> Self {
        let left_out = faults.len().saturating_sub(FAULTS_MAX);
        faults.truncate(FAULTS_MAX);
        Self { faults, left_out }
    }

    /// One by one; the first hundred of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &ConfigFault> {
        self.faults.iter()
    }
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.faults.iter().enumerate() {
            let newline = if number == 0 { "" } else { "\n" };
            write!(formatter, "{newline}{fault}")?;
        }
        match self.left_out {
            0 => Ok(()),
            more => write!(formatter, "\nand {more} more"),
        }
    }
}

impl std::error::Error for ConfigFaults {}
