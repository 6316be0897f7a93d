//! The text of a workflow file: where things are in it, and how much of it faults show.

use std::fmt::{self, Display, Formatter};
use std::ops::Range;
use std::path::Path;

use coordination::bus::{text::cut, text::is_printable};
use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::read::is_stdin;

/// The most of a file that one excerpt shows, in bytes: a screen of usual lines, and no more of a
/// line that is a million characters long.
const EXCERPT_BYTES_MAX: usize = 2_000;
/// What is kept on each side of a place in a line that is cut, in bytes.
const MARGIN_BYTES: usize = 60;
/// The longest part of a line that is underlined, in bytes.
const UNDERLINED_BYTES_MAX: usize = 120;

/// Where something stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The line, from 1.
    pub(crate) line: usize,
    /// The character in the line, from 1.
    pub(crate) column: usize,
}

impl Display for Place {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// A file's name and text as a terminal may show them: what is not printed as itself is replaced,
/// byte for byte, so that offsets into the file stay right.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    name: String,
    shown: String,
    /// The offset at which each line starts.
    lines: Vec<usize>,
    /// The files behind the first.
    appended: Vec<Appended>,
}

/// A file whose text stands behind that of others.
#[derive(Debug, Clone)]
struct Appended {
    name: String,
    /// Where its text begins.
    start: usize,
    /// The index of its first line.
    line: usize,
}

/// One of the files of a text.
struct Part<'t> {
    name: &'t str,
    end: usize,
    line: usize,
}

impl Text {
    /// Bytes that are no UTF-8 are shown as `?`.
    pub(super) fn new(path: &Path, bytes: &[u8]) -> Self {
        let mut shown = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            shown.push_str(&printable(chunk.valid()));
            shown.extend(chunk.invalid().iter().map(|_| '?'));
        }
        let ends = shown.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(end, _)| end + 1));
        // Wherever it was read.
        let path = match is_stdin(path) {
            true => path.file_name().map_or(path, Path::new),
            false => path,
        };
        Self {
            name: printable(&path.display().to_string()).replace('\n', "?"),
            lines: lines.collect(),
            shown,
            appended: Vec::new(),
        }
    }

    /// Puts the text of another file behind, and says where it begins. What is beyond the end of the
    /// file before is still of that.
    pub(super) fn append(&mut self, path: &Path, bytes: &[u8]) -> usize {
        let other = Self::new(path, bytes);
        self.shown.push('\n');
        let (start, line) = (self.shown.len(), self.lines.len());
        self.shown.push_str(&other.shown);
        self.lines.extend(other.lines.iter().map(|at| at + start));
        let name = other.name;
        self.appended.push(Appended { name, start, line });
        start
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.shown.len()
    }

    /// The file that an offset is in.
    fn part(&self, offset: usize) -> Part<'_> {
        let after = self.appended.partition_point(|file| file.start <= offset);
        // Without the line break that is between two.
        let end = self.appended.get(after).map(|next| next.start - 1);
        let end = end.unwrap_or(self.shown.len());
        match after.checked_sub(1).map(|at| &self.appended[at]) {
            None => Part {
                name: &self.name,
                end,
                line: 0,
            },
            Some(file) => Part {
                name: &file.name,
                end,
                line: file.line,
            },
        }
    }

    /// The name of the file that an offset is in.
    pub(super) fn name_at(&self, offset: usize) -> &str {
        self.part(offset).name
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn place(&self, offset: usize) -> Place {
        let offset = self.boundary(offset);
        let line = self.line(offset);
        Place {
            line: line - self.part(offset).line + 1,
            column: self.shown[self.lines[line]..offset].chars().count() + 1,
        }
    }

    /// What to underline of a range: the part in its first line, if that is not too long.
    pub(super) fn underlined(&self, range: &Range<usize>) -> SourceSpan {
        let start = self.boundary(range.start);
        let end = self.boundary(range.end.min(start + UNDERLINED_BYTES_MAX));
        let underlined = self.shown[start..end.max(start)].lines().next();
        (start, underlined.unwrap_or_default().len()).into()
    }

    /// Whether this text stands there, and nothing of it had to be replaced.
    pub(super) fn is_at(&self, range: &Range<usize>, text: &str) -> bool {
        self.shown.get(range.clone()) == Some(text)
    }

    /// The index of the line that an offset is in.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|&start| start <= offset) - 1
    }

    /// Whether a line, by its index, begins like the heading of a table.
    pub(super) fn is_heading(&self, line: usize) -> bool {
        let start = self.lines.get(line);
        start.is_some_and(|&start| {
            self.shown[start..]
                .trim_start_matches([' ', '\t'])
                .starts_with('[')
        })
    }

    /// Where a line ends, without its line break.
    fn end_of_line(&self, offset: usize) -> usize {
        let rest = &self.shown[offset..];
        let end = rest.find('\n').unwrap_or(rest.len());
        offset + rest[..end].trim_end_matches('\r').len()
    }

    /// The nearest offset, downwards, at which the text may be cut.
    fn boundary(&self, offset: usize) -> usize {
        cut(&self.shown, offset).len()
    }
}

impl SourceCode for Text {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let (from, to) = (span.offset(), span.offset() + span.len());
        let part = self.part(from);
        if to > part.end || span.len() > EXCERPT_BYTES_MAX {
            return Err(MietteError::OutOfBounds);
        }
        let first = self.line(from).saturating_sub(lines_before).max(part.line);
        let after = self.line(to) + lines_after + 1;
        let mut start = if lines_before == 0 {
            from
        } else {
            self.lines[first]
        };
        let end = self.lines.get(after).copied();
        let mut end = end.unwrap_or(part.end).min(part.end);
        if end - start > EXCERPT_BYTES_MAX {
            let line = self.lines[self.line(from)];
            start = self
                .boundary(from.saturating_sub(MARGIN_BYTES).max(line))
                .max(start);
            end = self.boundary(self.end_of_line(to).min(to + MARGIN_BYTES));
        }
        let place = self.place(start);
        Ok(Box::new(MietteSpanContents::new_named(
            part.name.to_owned(),
            &self.shown.as_bytes()[start..end],
            (start..end).into(),
            place.line - 1,
            place.column - 1,
            self.line(end) - self.line(start) + 1,
        )))
    }
}

/// The same text with what is not [printable](is_printable) replaced by as many bytes of something that is.
/// Line breaks and tabs stay.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let line_break = character == '\r' && characters.peek() == Some(&'\n');
        if line_break || matches!(character, '\n' | '\t') || is_printable(character) {
            printable.push(character);
        } else if character.len_utf8() == char::REPLACEMENT_CHARACTER.len_utf8() {
            printable.push(char::REPLACEMENT_CHARACTER);
        } else {
            printable.extend(std::iter::repeat_n('?', character.len_utf8()));
        }
    }
    printable
}
