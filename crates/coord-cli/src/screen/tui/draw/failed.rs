//! What went wrong in a run that is over: what failed and where the file has it, what was undone, and
//! the command that goes on from there.

use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::{Scene, cut};
use crate::board::{Row, State};
use crate::screen::tui::wrap;

/// What there is to say, in rows of this width, about as many as there is room for, but never more than `most`;
/// nothing of a run that goes on or went well. The command that goes on is there, and whole, wherever it fits.
pub(super) fn lines(
    scene: &Scene<'_>,
    width: usize,
    room: usize,
    most: usize,
) -> Vec<(String, Style)> {
    let (board, look) = (scene.board, scene.look);
    let is_over = board.outcome.is_some() && board.rows.iter().all(|row| row.state.is_over());
    let has_failed = |row: &&Row| row.state == State::Failed && !row.optional;
    let failed: Vec<&Row> = board.rows.iter().filter(has_failed).collect();
    if !is_over || failed.is_empty() {
        return Vec::new();
    }
    let mut last = Vec::new();
    for (wanted, said, style) in [
        (true, "undone", look.odd()),
        (false, "not undone", look.bad()),
    ] {
        let rows = board.rows.iter();
        let rows = rows.filter(|row| row.undone == Some(wanted));
        let ids: Vec<&str> = rows.map(|row| row.id.as_str()).collect();
        if !ids.is_empty() {
            let ids = as_many_as_fit(&ids, width.saturating_sub(said.len() + 2));
            last.push((format!("{said}: {ids}"), style));
        }
    }
    if let Some(journal) = scene.kept {
        let command = format!("coord retry {}{journal}", board.run);
        let said = format!("to do again what is not done: {command}");
        let mut again = wrap::words(&said, width);
        if again.len() > most {
            again = wrap::words(&command, width);
        }
        // It is what is wanted most.
        last.truncate(most.saturating_sub(again.len()));
        last.extend(again.into_iter().map(|row| (row, look.title())));
        last.truncate(most);
    }
    let said = |row: &Row| format!("{}: {}; {}", row.id, row.remark, row.at);
    let room = room.saturating_sub(last.len()).max(1);
    let room = room.min(most.saturating_sub(last.len()));
    let whole = failed.iter().flat_map(|row| wrap::words(&said(row), width));
    let whole: Vec<String> = whole.take(room + 1).collect();
    let rows = if whole.len() <= room {
        whole
    } else if failed.len() <= room {
        let rows = failed.iter();
        rows.map(|row| cut(&said(row), width, look)).collect()
    } else {
        let shown = room.saturating_sub(1);
        let rows = failed.iter().take(shown);
        let mut rows: Vec<String> = rows.map(|row| cut(&said(row), width, look)).collect();
        rows.push(match shown {
            0 => format!("{} have failed", failed.len()),
            shown => format!("and {} more", failed.len() - shown),
        });
        rows
    };
    let rows = rows.into_iter().take(room).map(|row| (row, look.bad()));
    rows.chain(last).collect()
}

/// As many of these as fit, and how many there are besides.
fn as_many_as_fit(ids: &[&str], width: usize) -> String {
    let more = |shown: usize| match ids.len() - shown {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let mut said = more(0);
    let mut listed = String::new();
    for (index, id) in ids.iter().enumerate() {
        if index > 0 {
            listed += ", ";
        }
        listed += id;
        let fits = listed.clone() + &more(index + 1);
        if fits.width() > width && index > 0 {
            break;
        }
        said = fits;
    }
    said
}
