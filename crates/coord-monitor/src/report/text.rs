//! A table as text.

use std::fmt;

use coord_bus::{text::Printable, text::shortened};

/// What is left of a long name.
const NAME_MAX: usize = 36;
/// What is left of what stands last in its line, and so makes nothing wider.
const LAST_MAX: usize = 200;

/// Words to the left, figures to the right, as on a [page](crate::Page::table). The title is the head of
/// the first column.
pub(crate) fn write(
    out: &mut impl fmt::Write,
    title: &str,
    heads: &[&str],
    rows: &[Vec<String>],
) -> fmt::Result {
    let title = Printable(title).to_string().to_uppercase();
    let heads = heads.iter().skip(1).map(|head| Printable(head).to_string());
    let mut lines: Vec<Vec<String>> = vec![[title].into_iter().chain(heads).collect()];
    let last = lines[0].len() - 1;
    let most = |column| if column == last { LAST_MAX } else { NAME_MAX };
    let cells = |row: &Vec<String>| {
        let cells = row.iter().take(last + 1).enumerate();
        cells
            .map(|(column, cell)| {
                shortened(&Printable(cell).to_string(), most(column)).into_owned()
            })
            .collect()
    };
    lines.extend(rows.iter().map(cells));
    let cells = |column: usize| lines.iter().filter_map(move |line| line.get(column));
    let width = |column| cells(column).map(|cell| cell.chars().count()).max();
    let is_of_words = |column| {
        column == 0
            || cells(column)
                .skip(1)
                .any(|cell| cell.starts_with(char::is_alphabetic))
    };
    let columns: Vec<_> = (0..=last)
        .map(|column| (width(column).unwrap_or(0), is_of_words(column)))
        .collect();
    for line in &lines {
        let cells = line.iter().zip(&columns);
        let cells = cells.map(|(cell, (width, is_of_words))| match is_of_words {
            true => format!("{cell:width$}"),
            false => format!("{cell:>width$}"),
        });
        let text = cells.collect::<Vec<_>>().join("  ");
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}
