//! What went wrong in a run that is over: what failed and where the file has it, what was undone, and
//! the command that goes on from there.

use ratatui::style::Style;

use super::Scene;
use crate::board::{Row, State};

/// What there is to say, so that it fits into so many lines; nothing of a run that goes on or went well.
pub(super) fn lines(scene: &Scene<'_>, room: usize) -> Vec<(String, Style)> {
    let (board, look) = (scene.board, scene.look);
    let is_over = board.outcome.is_some() && board.rows.iter().all(|row| row.state.is_over());
    let has_failed = |row: &&Row| row.state == State::Failed && !row.optional;
    let failed: Vec<&Row> = board.rows.iter().filter(has_failed).collect();
    if !is_over || failed.is_empty() {
        return Vec::new();
    }
    let mut last = Vec::new();
    let undone = |wanted: bool| {
        let rows = board.rows.iter();
        let rows = rows.filter(|row| row.undone == Some(wanted));
        let ids: Vec<&str> = rows.map(|row| row.id.as_str()).collect();
        ids.join(", ")
    };
    for (wanted, said, style) in [
        (true, "undone", look.odd()),
        (false, "not undone", look.bad()),
    ] {
        let ids = undone(wanted);
        if !ids.is_empty() {
            last.push((format!("{said}: {ids}"), style));
        }
    }
    if let Some(journal) = scene.kept {
        let run = &board.run;
        let again = format!("to do again what is not done: coord retry {run}{journal}");
        last.push((again, look.title()));
    }
    let mut lines = Vec::new();
    let mut room = room.saturating_sub(last.len()).max(1);
    if failed.len() > room {
        room = room.saturating_sub(1);
    }
    for row in failed.iter().take(room) {
        lines.push((
            format!("{}: {}; {}", row.id, row.remark, row.at),
            look.bad(),
        ));
    }
    if failed.len() > room {
        lines.push((format!("and {} more", failed.len() - room), look.bad()));
    }
    lines.extend(last);
    lines
}
