//! What of a run is being looked at, and what keys do.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::form::Form;
use super::look::Look;
use super::pane::{Copy, Move, Pane, Way};
use super::pattern::Pattern;
use super::prompt::{Prompt, Typed};
use crate::board::{Board, Row, State};
use crate::hands::Wish;

/// What is being looked at.
pub(super) struct View {
    /// The row whose output is shown.
    pub(super) selected: usize,
    /// Whether a person chose that row; until then the view goes where something happens.
    chosen: bool,
    /// In which form the rows are shown.
    pub(super) form: Form,
    /// Whether what the process uses is shown above its output; `None`: where there is room.
    pub(super) measures: Option<bool>,
    /// Whether it was shown in the last frame.
    pub(super) has_measures: bool,
    /// Where in that output.
    pub(super) pane: Pane,
    /// Whether the output has the whole screen, without a frame, to be copied.
    pub(super) is_wide: bool,
    pub(super) over: Option<Over>,
    /// Where in what lies over the screen.
    pub(super) scroll: Scroll,
    /// What is typed, and for what.
    pub(super) asking: Option<Asking>,
    /// What is said in the last line until the next key.
    pub(super) notice: Option<String>,
}

/// What is typed at the bottom of the screen.
pub(super) struct Asking {
    pub(super) what: Question,
    pub(super) prompt: Prompt,
    /// What was looked for before, for who leaves it as it was.
    before: Option<Pattern>,
    /// What is wrong with it.
    pub(super) fault: Option<String>,
}

/// What it is typed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    /// What to mark.
    Search,
    /// What alone to show.
    Filter,
    /// What goes with a signal to a step.
    Signal { step: String, name: String },
}

/// What lies over the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// What the keys do.
    Help,
    /// What runs, and why.
    Why,
}

/// How far what lies over the screen is scrolled.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scroll {
    top: usize,
    /// How many rows there was room for in the last frame.
    room: usize,
}

impl Scroll {
    /// How many of so many rows are above those that there is room for.
    pub(super) fn within(&mut self, rows: usize, room: usize) -> usize {
        self.room = room;
        self.top = self.top.min(rows.saturating_sub(room));
        self.top
    }

    /// Whether a key is one that scrolls.
    fn key(&mut self, code: KeyCode) -> bool {
        self.top = match code {
            KeyCode::Up | KeyCode::Char('k' | '[') => self.top.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j' | ']') => self.top.saturating_add(1),
            KeyCode::PageUp => self.top.saturating_sub(self.room),
            KeyCode::PageDown => self.top.saturating_add(self.room),
            KeyCode::Home | KeyCode::Char('g') => 0,
            KeyCode::End | KeyCode::Char('G') => usize::MAX,
            _ => return false,
        };
        true
    }
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
    /// To draw everything anew.
    Redraw,
    /// To show the run as a stream instead.
    Stream,
    /// To put something into the clipboard.
    Copy(Copy),
    /// To do something with a step or service.
    Wish(Wish),
}

impl View {
    pub(super) fn new() -> Self {
        Self {
            selected: 0,
            chosen: false,
            form: Form::List,
            measures: None,
            has_measures: false,
            pane: Pane::default(),
            is_wide: false,
            over: None,
            scroll: Scroll::default(),
            asking: None,
            notice: None,
        }
    }

    /// Goes where something happens, unless a person has chosen: to the first failure that matters to
    /// the run, also one for which it is paused, or else to what began, or failed, last.
    pub(super) fn follow(&mut self, board: &Board) {
        if self.chosen {
            return;
        }
        let rows = || board.rows.iter().enumerate();
        let failed = rows().find(|(_, row)| match row.state {
            State::Failed => !row.optional,
            state => state == State::Paused,
        });
        let latest = || {
            let happens = |row: &Row| row.state.is_under_way() || row.state == State::Failed;
            let happen = rows().filter(|(_, row)| happens(row));
            happen.max_by_key(|(_, row)| (row.happened(), row.state.is_under_way()))
        };
        if let Some((place, _)) = failed.or_else(latest) {
            self.look_at(place);
        }
    }

    fn look_at(&mut self, place: usize) {
        if self.selected != place {
            self.selected = place;
            self.pane.leave();
        }
    }

    pub(super) fn key(&mut self, key: KeyEvent, board: &Board) -> Option<Asked> {
        self.notice = None;
        if self.asking.is_some() {
            return self.answer(board, |prompt| prompt.key(key));
        }
        match key.code {
            KeyCode::Char(letter) if is_chord(key) => return chord(letter, key),
            KeyCode::Char('q') if self.over.is_none() => return Some(Asked::Quit),
            KeyCode::Char('?' | 'h') => self.toggle(Over::Help),
            KeyCode::Char('t') => self.toggle(Over::Why),
            // Anything else closes what lies over the screen, and does no more.
            code if self.over.is_some() => {
                if !self.scroll.key(code) {
                    self.over = None;
                }
            }
            KeyCode::Up | KeyCode::Char('k') => self.step(board, |at| at.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.step(board, |at| at + 1),
            KeyCode::Tab => self.choose(self.next(board, 1), board),
            // As many rows on as there are, but one.
            KeyCode::BackTab => self.choose(self.next(board, board.rows.len().max(1) - 1), board),
            KeyCode::Char('<') => self.step(board, |_| 0),
            KeyCode::Char('>') => self.step(board, |_| usize::MAX),
            KeyCode::Char('o') => return Some(Asked::Stream),
            KeyCode::Char('l') => self.form = self.form.next(),
            KeyCode::Char('m') => self.measures = Some(!self.has_measures),
            KeyCode::Enter => self.is_wide = !self.is_wide,
            KeyCode::Esc => self.leave_one(),
            KeyCode::Char('r' | 's' | 'K' | 'x') => return self.act(key.code, board),
            KeyCode::Char('p') if board.outcome.is_none() => return Some(Asked::Pause),
            code => return self.output_key(code, board),
        }
        None
    }

    /// A key while the run is shown as a stream.
    pub(super) fn stream_key(key: KeyEvent, board: &Board) -> Option<Asked> {
        match key.code {
            KeyCode::Char(letter) if is_chord(key) => chord(letter, key),
            KeyCode::Char('q') => Some(Asked::Quit),
            KeyCode::Char('p') if board.outcome.is_none() => Some(Asked::Pause),
            KeyCode::Char('o') | KeyCode::Esc => Some(Asked::Stream),
            _ => None,
        }
    }

    /// A key that is about the output of the selected row.
    fn output_key(&mut self, code: KeyCode, board: &Board) -> Option<Asked> {
        let output = &board.rows.get(self.selected)?.output;
        let pane = &mut self.pane;
        pane.catch_up(self.selected, output);
        match code {
            KeyCode::PageUp => pane.scroll(output, Move::Pages(-1)),
            KeyCode::PageDown => pane.scroll(output, Move::Pages(1)),
            KeyCode::Char('[') => pane.scroll(output, Move::Steps(-1)),
            KeyCode::Char(']') => pane.scroll(output, Move::Steps(1)),
            KeyCode::Home | KeyCode::Char('g') => pane.scroll(output, Move::Oldest),
            KeyCode::End | KeyCode::Char('G' | 'f') => pane.follow(),
            KeyCode::Char('/') => self.ask(Question::Search),
            KeyCode::Char('&') => self.ask(Question::Filter),
            KeyCode::Char('n') => self.go(board, Way::Below),
            KeyCode::Char('N') => self.go(board, Way::Above),
            KeyCode::Char('v') => pane.select(output),
            KeyCode::Char('y') => {
                let copy = pane.copy(output);
                pane.selection = None;
                return self.copied(copy);
            }
            KeyCode::Char('Y') => {
                let copy = pane.copy_all(output);
                return self.copied(copy);
            }
            _ => {}
        }
        None
    }

    /// Leaves what was entered last: the selection, the search, the filter, the output alone.
    fn leave_one(&mut self) {
        if self.pane.selection.take().is_some() {
        } else if self.pane.search.is_some() {
            self.pane.look_for(None);
        } else if self.pane.filter.is_some() {
            self.pane.only(None);
        } else {
            self.is_wide = false;
        }
    }

    fn ask(&mut self, what: Question) {
        let matches = match what {
            Question::Search => &self.pane.search,
            Question::Filter => &self.pane.filter,
            Question::Signal { .. } => &None,
        };
        let before = matches.as_ref().map(|matches| matches.pattern.clone());
        self.asking = Some(Asking {
            what,
            prompt: Prompt::default(),
            before,
            fault: None,
        });
    }

    /// What is pasted: it is typed where something is asked for, and does nothing elsewhere.
    pub(super) fn paste(&mut self, text: &str, board: &Board) {
        self.notice = None;
        match self.asking.is_some() {
            true => drop(self.answer(board, |prompt| prompt.paste(text))),
            false => self.notice = Some("what is pasted is no key: nothing was done".to_owned()),
        }
    }

    /// Something is typed: what is looked for is marked, or shown alone, at once.
    fn answer(&mut self, board: &Board, types: impl FnOnce(&mut Prompt) -> Typed) -> Option<Asked> {
        let mut asking = self.asking.take()?;
        let typed = types(&mut asking.prompt);
        asking.fault = None;
        if let Question::Signal { step, name } = &asking.what {
            let (step, name) = (step.clone(), name.clone());
            return self.answer_signal(typed, asking, step, name);
        }
        let pattern = match typed {
            Typed::Left => asking.before.clone(),
            Typed::Edited | Typed::Done => Pattern::new(&asking.prompt.text),
        };
        let is_some = pattern.is_some();
        match asking.what {
            Question::Filter => self.pane.only(pattern),
            _ => self.pane.look_for(pattern),
        }
        match typed {
            Typed::Done if asking.what == Question::Search && is_some => {
                self.go(board, Way::Nearest);
            }
            Typed::Edited => self.asking = Some(asking),
            Typed::Done | Typed::Left => {}
        }
        None
    }

    /// What is typed goes with a signal: JSON, or nothing.
    fn answer_signal(
        &mut self,
        typed: Typed,
        mut asking: Asking,
        step: String,
        name: String,
    ) -> Option<Asked> {
        match typed {
            Typed::Left => return None,
            Typed::Edited => self.asking = Some(asking),
            Typed::Done => match asking.prompt.json() {
                Ok(payload) => {
                    return Some(Asked::Wish(Wish::Signal {
                        step,
                        name,
                        payload,
                    }));
                }
                Err(fault) => {
                    asking.fault = Some(fault);
                    self.asking = Some(asking);
                }
            },
        }
        None
    }

    fn go(&mut self, board: &Board, way: Way) {
        if let Some(row) = board.rows.get(self.selected) {
            self.notice = self.pane.go(self.selected, row, way);
        }
    }

    fn copied(&mut self, copy: Option<Copy>) -> Option<Asked> {
        let said = |lines: usize| match lines {
            1 => "1 line".to_owned(),
            lines => format!("{lines} lines"),
        };
        self.notice = Some(match &copy {
            None => "there is nothing to copy".to_owned(),
            Some(copy) if copy.lines < copy.of => format!(
                "copied the last {} of {}: a terminal takes no more",
                said(copy.lines),
                copy.of
            ),
            Some(copy) => format!("copied {}", said(copy.lines)),
        });
        copy.map(Asked::Copy)
    }

    fn toggle(&mut self, over: Over) {
        self.scroll = Scroll::default();
        self.over = if self.over == Some(over) {
            None
        } else {
            Some(over)
        };
    }

    /// Selects the row above or below, as they are shown.
    fn step(&mut self, board: &Board, to: fn(usize) -> usize) {
        // In which characters does not matter.
        let entries = self.form.entries(board, Look::PLAIN);
        let at = entries
            .iter()
            .position(|entry| entry.place == self.selected);
        let to = to(at.unwrap_or(0)).min(entries.len().saturating_sub(1));
        if let Some(entry) = entries.get(to) {
            self.choose(entry.place, board);
        }
    }

    fn choose(&mut self, place: usize, board: &Board) {
        self.chosen = true;
        self.look_at(place.min(board.rows.len().saturating_sub(1)));
    }

    /// The next row that runs or has failed, going by so many.
    fn next(&self, board: &Board, by: usize) -> usize {
        let count = board.rows.len().max(1);
        let others = (1..=count).map(|step| (self.selected + step * by) % count);
        let mut wanted = others.filter(|place| {
            let row = &board.rows[*place];
            let is_of_note = matches!(row.state, State::Failed | State::Paused);
            row.state.is_under_way() || row.undoing.is_some() || is_of_note
        });
        wanted.next().unwrap_or(self.selected)
    }

    /// Does something with the selected row, which stays selected from then on: the next key is meant for
    /// the same one.
    fn act(&mut self, key: KeyCode, board: &Board) -> Option<Asked> {
        self.chosen = true;
        match key {
            KeyCode::Char('r') => self.again(board),
            KeyCode::Char('K') => self.wish(board, Wish::Stop),
            KeyCode::Char('x') => self.skip(board),
            _ => {
                self.signal(board);
                None
            }
        }
    }

    /// Runs it again, or what is exhausted.
    fn again(&mut self, board: &Board) -> Option<Asked> {
        let row = board.rows.get(self.selected)?;
        match row.state {
            State::Paused => Some(Asked::Wish(Wish::Retry(row.id.clone()))),
            _ => self.wish(board, Wish::Restart),
        }
    }

    /// Skips it, if it is a step that has not come to its end.
    fn skip(&mut self, board: &Board) -> Option<Asked> {
        let row = board.rows.get(self.selected)?;
        let id = &row.id;
        if !row.is_service && !row.state.is_over() {
            return Some(Asked::Wish(Wish::Skip(id.clone())));
        }
        self.notice = Some(match row.is_service {
            true => format!("{id} is a service: what needs it starts it, so skip that"),
            false => format!("{id} is {}: there is nothing to skip", row.state.name()),
        });
        None
    }

    /// Asks for what goes with the signal for which the row waits.
    fn signal(&mut self, board: &Board) {
        let Some(row) = board.rows.get(self.selected) else {
            return;
        };
        match &row.signal {
            Some(name) if !row.state.is_over() => {
                let (step, name) = (row.id.clone(), name.clone());
                self.ask(Question::Signal { step, name });
            }
            Some(_) => self.notice = Some(format!("{} is {}", row.id, row.state.name())),
            None => self.notice = Some(format!("{} waits for no signal", row.id)),
        }
    }

    fn wish(&mut self, board: &Board, wish: fn(String) -> Wish) -> Option<Asked> {
        let row = board.rows.get(self.selected)?;
        let wish = wish(row.id.clone());
        let is_stop = matches!(wish, Wish::Stop(_));
        // What only waits is no process.
        let has_process = row.waits.is_none();
        let is_to_run = matches!(row.state, State::Restarting { .. } | State::Retrying { .. });
        let runs = row.state.is_under_way() || is_to_run;
        let is_again = !is_stop && board.may_start_again(row);
        if has_process && runs || is_again {
            return Some(Asked::Wish(wish));
        }
        self.notice = Some(format!(
            "{} is {}: {}",
            row.id,
            row.state.name(),
            match is_stop {
                false => "only what runs, or waits to run again, and a service can be restarted",
                true => "there is nothing to stop",
            }
        ));
        None
    }
}

/// Whether a letter is pressed with more than Shift: then it is not that letter.
fn is_chord(key: KeyEvent) -> bool {
    !KeyModifiers::SHIFT.contains(key.modifiers)
}

/// What a letter asks for with Ctrl; with Alt, nothing.
fn chord(letter: char, key: KeyEvent) -> Option<Asked> {
    match letter {
        _ if !key.modifiers.contains(KeyModifiers::CONTROL) => None,
        'c' => Some(Asked::Quit),
        'z' => Some(Asked::Suspend),
        'l' => Some(Asked::Redraw),
        _ => None,
    }
}
