//! Which steps decided how long a run took, as far as it was watched.

use super::{Board, Row, State};

impl Board {
    /// The places of the steps on the critical path, from the last to the first: each before another
    /// is the one that the other had to wait for. None before the run is over.
    pub(crate) fn critical_path(&self) -> Vec<usize> {
        let steps = self.rows.iter().enumerate();
        let steps = steps.filter(|(_, row)| !row.is_service && row.began.is_some());
        let last = steps.max_by_key(|(_, row)| row.ended);
        let last = last.filter(|_| self.outcome.is_some());
        let mut path = Vec::new();
        let mut next = last.map(|(place, _)| place);
        // No step needs itself, by whichever way: the file was checked.
        while let Some(place) = next {
            path.push(place);
            next = self.freed_by(&self.rows[place]);
        }
        path
    }

    /// Whom a row had to wait for: the last of all that it needs, or the first of any.
    fn freed_by(&self, row: &Row) -> Option<usize> {
        let released = |place: &usize| {
            let need = &self.rows[*place];
            let at = need.released.filter(|_| need.began.is_some())?;
            Some((at, *place))
        };
        let all = row.needs.iter().filter_map(released).max();
        // One of any that was not done freed nobody.
        let is_done = |place: &&usize| {
            let need = &self.rows[**place];
            need.is_service || need.state == State::Done
        };
        let any = row.needs_any.iter().filter(is_done);
        let any = any.filter_map(released).min();
        all.max(any).map(|(_, place)| place)
    }
}
