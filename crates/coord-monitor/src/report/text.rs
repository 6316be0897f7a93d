//! A table as text.

use std::fmt;

use super::Table;
use crate::figures::printable;

/// What is left of a long name.
const NAME_MAX: usize = 36;

/// The first column to the left, the others to the right.
pub(super) fn write(formatter: &mut fmt::Formatter<'_>, table: &Table) -> fmt::Result {
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut heads: Vec<_> = table.heads.iter().map(|head| (*head).to_owned()).collect();
    heads[0] = table.title.to_uppercase();
    lines.push(heads);
    let cells = |row: &Vec<String>| row.iter().map(|cell| shortened(&printable(cell))).collect();
    lines.extend(table.rows.iter().map(cells));
    let columns = table.heads.len();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<_> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    for line in &lines {
        let mut text = format!("{:width$}", line[0], width = widths[0]);
        for (cell, width) in line.iter().zip(&widths).skip(1) {
            text.push_str(&format!("  {cell:>width$}"));
        }
        writeln!(formatter, "{}", text.trim_end())?;
    }
    match &table.rest {
        Some(rest) => writeln!(formatter, "{rest}"),
        None => Ok(()),
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= NAME_MAX {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(NAME_MAX - 1).collect();
    short.push('…');
    short
}
