//! Lines of output as rows of a screen: their colours kept, the long ones wrapped.

use ansi_to_tui::IntoText;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::look::Look;
use super::pattern::Pattern;

/// The columns between two tab stops.
const TAB: usize = 8;

/// What is marked in a line, and how.
pub(super) type Marks<'m> = Option<(&'m Pattern, Style)>;

/// The rows of a line on a screen of this width; at least one.
pub(super) fn rows(line: &str, width: usize, look: Look, marks: Marks<'_>) -> Vec<Line<'static>> {
    let mut rows = Rows {
        width: width.max(1),
        rows: Vec::new(),
        row: Vec::new(),
        column: 0,
    };
    for (text, style) in marked(pieces(line, look), marks) {
        rows.add(&look.text(&text), style);
    }
    rows.finish()
}

/// Prose in rows of this width, broken between words where that is possible; at least one.
pub(super) fn words(text: &str, width: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match rows.last_mut() {
            Some(row) if row.width() + 1 + word.width() <= width => {
                row.push(' ');
                row.push_str(word);
            }
            _ => rows.extend(broken(word, width)),
        }
    }
    rows
}

/// A word in as many rows as it takes.
fn broken(word: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    let mut column = 0;
    for character in word.chars() {
        let columns = character.width().unwrap_or(0);
        if column > 0 && column + columns > width {
            rows.push(String::new());
            column = 0;
        }
        let row = rows.len() - 1;
        rows[row].push(character);
        column += columns;
    }
    rows
}

/// A line in pieces of one style.
fn pieces(line: &str, look: Look) -> Vec<(String, Style)> {
    if !line.contains('\u{1b}') {
        return vec![(line.to_owned(), Style::new())];
    }
    let Ok(text) = line.into_text() else {
        return vec![(line.replace('\u{1b}', ""), Style::new())];
    };
    let spans = text.lines.into_iter().flat_map(|line| line.spans);
    let pieces = spans.map(|span| {
        let mut style = span.style;
        if !look.color {
            (style.fg, style.bg) = (None, None);
        }
        (span.content.into_owned(), style)
    });
    pieces.collect()
}

/// The same text, in more pieces where something is marked in it.
fn marked(pieces: Vec<(String, Style)>, marks: Marks<'_>) -> Vec<(String, Style)> {
    let Some((pattern, mark)) = marks else {
        return pieces;
    };
    let whole: String = pieces.iter().map(|(text, _)| text.as_str()).collect();
    let ranges = pattern.ranges(&whole);
    let mut marked = Vec::new();
    let mut start = 0;
    for (text, style) in pieces {
        let end = start + text.len();
        // From each edge of a mark to the next.
        let edges = ranges.iter().flat_map(|range| [range.start, range.end]);
        let edges = edges.filter(|edge| (start + 1..end).contains(edge));
        let mut from = start;
        for edge in edges.chain([end]) {
            let is_marked = ranges.iter().any(|range| range.contains(&from));
            let style = if is_marked { style.patch(mark) } else { style };
            marked.push((text[from - start..edge - start].to_owned(), style));
            from = edge;
        }
        start = end;
    }
    marked
}

struct Rows {
    width: usize,
    rows: Vec<Line<'static>>,
    row: Vec<Span<'static>>,
    column: usize,
}

impl Rows {
    fn add(&mut self, text: &str, style: Style) {
        let mut piece = String::new();
        for character in text.chars() {
            if character == '\t' {
                let stop = (self.column / TAB + 1) * TAB;
                let spaces = stop.min(self.width) - self.column;
                piece.extend(std::iter::repeat_n(' ', spaces));
                self.column += spaces;
                continue;
            }
            let width = character.width().unwrap_or(0);
            if self.column + width > self.width && self.column > 0 {
                self.row
                    .push(Span::styled(std::mem::take(&mut piece), style));
                self.break_row();
            }
            piece.push(character);
            self.column += width;
        }
        self.row.push(Span::styled(piece, style));
    }

    fn break_row(&mut self) {
        self.rows.push(Line::from(std::mem::take(&mut self.row)));
        self.column = 0;
    }

    fn finish(mut self) -> Vec<Line<'static>> {
        if self.rows.is_empty() || self.column > 0 {
            self.break_row();
        }
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use ratatui::style::Color;

    use super::*;

    const LOOK: Look = Look {
        color: true,
        unicode: true,
    };

    fn texts(line: &str, width: usize) -> Vec<String> {
        rows(line, width, LOOK, None)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_long_line_goes_on_in_the_next_row() {
        assert_eq!(texts("", 5), [""]);
        assert_eq!(texts("abcde", 5), ["abcde"]);
        assert_eq!(texts("abcdefghijk", 5), ["abcde", "fghij", "k"]);
        assert_eq!(texts("日本語", 5), ["日本", "語"]);
        assert_eq!(texts("a\tb", 20), ["a       b"]);
        assert_eq!(texts("abc", 0), ["a", "b", "c"]);
    }

    #[test]
    fn prose_is_broken_between_words() {
        assert_eq!(words("a bc def", 4), ["a bc", "def"]);
        assert_eq!(words("a abcdefgh i", 4), ["a", "abcd", "efgh", "i"]);
        assert_eq!(words("abcdef g", 4), ["abcd", "ef g"]);
        assert_eq!(words("日本語", 0), ["日", "本", "語"]);
        assert_eq!(words("", 4), [""]);
    }

    #[test]
    fn colours_are_kept_across_rows_and_left_out_where_there_are_none() {
        let line = "\u{1b}[31mredder\u{1b}[0m plain";
        let red = rows(line, 4, LOOK, None);
        assert_eq!(red[1].spans[0].style.fg, Some(Color::Red));
        assert_eq!(red[1].spans[0].content, "er");
        let plain = Look {
            color: false,
            ..LOOK
        };
        let spans = rows(line, 80, plain, None).remove(0).spans;
        assert!(spans.iter().all(|span| span.style.fg.is_none()));
    }

    #[test]
    fn a_terminal_without_unicode_gets_none() {
        let ascii = Look {
            unicode: false,
            ..LOOK
        };
        assert_eq!(rows("a … é", 80, ascii, None)[0].to_string(), "a ~ ?");
    }

    #[test]
    fn what_is_looked_for_is_marked_across_colours_and_rows() {
        let pattern = Pattern::new("redder").expect("it is not empty");
        let line = "a \u{1b}[31mred\u{1b}[0mder b";
        let mark = Style::new().bg(Color::Yellow);
        let rows = rows(line, 6, LOOK, Some((&pattern, mark)));
        let spans = rows.iter().flat_map(|row| &row.spans);
        let marked: String = spans
            .filter(|span| span.style.bg == Some(Color::Yellow))
            .map(|span| span.content.as_ref())
            .collect();
        assert_eq!(marked, "redder");
        let texts: Vec<String> = rows.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["a redd", "er b"]);
    }
}
