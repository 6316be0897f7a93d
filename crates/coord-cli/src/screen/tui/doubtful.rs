//! Rows with characters for which terminals have other widths than `coord` has: flags, and others that are made of
//! several, or newer than the terminal. What is drawn is only what is different from the frame before, so that
//! beside such a character, and where it was, something else could be left.

use ratatui::buffer::{Buffer, Cell, CellDiffOption};

/// The rows of the last frame that have such characters.
#[derive(Default)]
pub(super) struct Doubtful(Vec<Option<Vec<Cell>>>);

impl Doubtful {
    /// The rows of a frame that are to be cleared before it is drawn, as they have such characters, or had: all
    /// of them is drawn.
    pub(super) fn changed(&mut self, frame: &mut Buffer) -> Vec<u16> {
        let Buffer { area, content } = frame;
        self.0.resize(area.height.into(), None);
        let rows = content.chunks_mut(usize::from(area.width).max(1));
        let mut changed = Vec::new();
        for ((row, before), y) in rows.zip(&mut self.0).zip(area.y..) {
            let now = row.iter().any(is_doubtful).then(|| row.to_vec());
            if now == *before {
                continue;
            }
            for cell in row {
                cell.diff_option = CellDiffOption::AlwaysUpdate;
            }
            *before = now;
            changed.push(y);
        }
        changed
    }
}

/// Whether it is more than one character of the usual ones, with at most a small mark: then it has more bytes.
fn is_doubtful(cell: &Cell) -> bool {
    const USUAL_BYTES_MAX: usize = 3;
    cell.symbol().len() > USUAL_BYTES_MAX
}
