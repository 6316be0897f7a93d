//! What of a run is being looked at, and what keys do.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::board::{Board, State};
use crate::hands::Wish;

/// What is being looked at.
pub(super) struct View {
    /// The row whose output is shown.
    pub(super) selected: usize,
    /// Whether a person chose that row; until then the view goes where something happens.
    chosen: bool,
    /// The number of the last line shown; `None`: the newest, whatever it is.
    pub(super) bottom: Option<u64>,
    /// Whether the output has the whole screen, without a frame, to be copied.
    pub(super) is_wide: bool,
    pub(super) over: Option<Over>,
    /// What is said in the last line until the next key.
    pub(super) notice: Option<String>,
    /// How many lines of output fit, as drawn last.
    pub(super) page: u64,
}

/// What lies over the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// What the keys do.
    Help,
    /// What runs, and why.
    Why,
}

/// What a key asks the program for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// To end the run, or to leave one that has ended.
    Quit,
    /// To pause the run, or to go on with it.
    Pause,
    /// To be suspended.
    Suspend,
    /// To do something with a step or service.
    Wish(Wish),
}

impl View {
    pub(super) fn new() -> Self {
        Self {
            selected: 0,
            chosen: false,
            bottom: None,
            is_wide: false,
            over: None,
            notice: None,
            page: 1,
        }
    }

    /// Goes where something happens, unless a person has chosen: to the first failure, or else to
    /// what began last.
    pub(super) fn follow(&mut self, board: &Board) {
        if self.chosen {
            return;
        }
        let rows = || board.rows.iter().enumerate();
        let failed = rows().find(|(_, row)| row.state == State::Failed && !row.optional);
        let latest = || {
            let under_way = rows().filter(|(_, row)| row.state.is_under_way());
            under_way.max_by_key(|(_, row)| row.started)
        };
        if let Some((place, _)) = failed.or_else(latest) {
            self.look_at(place);
        }
    }

    fn look_at(&mut self, place: usize) {
        if self.selected != place {
            self.selected = place;
            self.bottom = None;
        }
    }

    pub(super) fn key(&mut self, key: KeyEvent, board: &Board) -> Option<Asked> {
        self.notice = None;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Some(Asked::Quit),
            KeyCode::Char('z') if control => return Some(Asked::Suspend),
            KeyCode::Char('q') if self.over.is_none() => return Some(Asked::Quit),
            KeyCode::Char('?' | 'h') => self.toggle(Over::Help),
            KeyCode::Char('t') => self.toggle(Over::Why),
            // Anything else closes what lies over the screen, and does no more.
            _ if self.over.is_some() => self.over = None,
            KeyCode::Up => self.choose(self.selected.saturating_sub(1), board),
            KeyCode::Down => self.choose(self.selected + 1, board),
            KeyCode::Tab => self.choose(self.next_under_way(board), board),
            KeyCode::PageUp => self.scroll(board, u64::saturating_sub),
            KeyCode::PageDown => self.scroll(board, |bottom, page| bottom + page),
            KeyCode::Char('[') => self.scroll(board, |bottom, _| bottom.saturating_sub(1)),
            KeyCode::Char(']') => self.scroll(board, |bottom, _| bottom + 1),
            KeyCode::Home => self.scroll(board, |_, _| 0),
            KeyCode::End => self.bottom = None,
            KeyCode::Enter => self.is_wide = !self.is_wide,
            KeyCode::Esc => self.is_wide = false,
            KeyCode::Char('r') => return self.wish(board, Wish::Restart),
            KeyCode::Char('p') if board.outcome.is_none() => return Some(Asked::Pause),
            KeyCode::Char('k') => return self.wish(board, Wish::Stop),
            _ => {}
        }
        None
    }

    fn toggle(&mut self, over: Over) {
        self.over = if self.over == Some(over) {
            None
        } else {
            Some(over)
        };
    }

    fn choose(&mut self, place: usize, board: &Board) {
        self.chosen = true;
        self.look_at(place.min(board.rows.len().saturating_sub(1)));
    }

    fn next_under_way(&self, board: &Board) -> usize {
        let count = board.rows.len().max(1);
        let others = (1..=count).map(|step| (self.selected + step) % count);
        let mut under_way = others.filter(|place| board.rows[*place].state.is_under_way());
        under_way.next().unwrap_or(self.selected)
    }

    /// Moves the last line shown; beyond the newest, new lines are followed again.
    fn scroll(&mut self, board: &Board, to: fn(u64, u64) -> u64) {
        let Some(row) = board.rows.get(self.selected) else {
            return;
        };
        let newest = row.output.next().saturating_sub(1);
        let oldest = (row.output.first() + self.page.saturating_sub(1)).min(newest);
        let bottom = to(self.bottom.unwrap_or(newest), self.page);
        self.bottom = (bottom < newest).then_some(bottom.max(oldest));
    }

    fn wish(&mut self, board: &Board, wish: fn(String) -> Wish) -> Option<Asked> {
        let row = board.rows.get(self.selected)?;
        let wish = wish(row.id.clone());
        if row.state.is_under_way() || matches!(row.state, State::Restarting { .. }) {
            return Some(Asked::Wish(wish));
        }
        self.notice = Some(format!(
            "{} is {}: {}",
            row.id,
            row.state.name(),
            match wish {
                Wish::Restart(_) => "only what runs can be restarted",
                Wish::Stop(_) => "there is nothing to stop",
            }
        ));
        None
    }
}
