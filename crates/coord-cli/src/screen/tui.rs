//! A run as a live screen: what runs, what it prints, what happens, and keys.

mod feed;
mod stream;
mod view;
mod pane;
mod matches;
mod pattern;
mod prompt;
mod form;
mod history;
mod doubtful;
mod draw;
mod wrap;
mod look;
mod terminal;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use coordination::bus::CancellationToken;
use coordination::bus::time::{Instant, sleep_until};
use coordination::bus::vocabulary::PROCESS_OUTPUT;
use coordination::monitor::PerformanceMetrics;
use coordination::{CoordinationError, CoordinationModule};
use crossterm::event::{Event, EventStream, KeyEventKind};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;

use super::Start;
use crate::board::{Board, Bounds, Row, State};
use crate::hands::Wish;
use crate::job_control::{Job, NO_JOB, wait_until_in_front};
use crate::latency::ScreenLatency;
use crate::signals::{Interrupts, suspend};
use draw::{Load, Scene};
use feed::Feed;
use history::History;
use look::Look;
use stream::LineStream;
use terminal::Terminal;
pub(crate) use terminal::give_back_after;
use view::{Asked, Over, View};

/// Frames a second at most: what an eye can follow.
pub(super) const FRAMES: u32 = 60;
const FRAME: Duration = Duration::from_nanos(1_000_000_000 / FRAMES as u64);
/// How often times and loads are shown anew while nothing else changes.
const TICK: Duration = Duration::from_secs(1);
/// A live screen.
pub(crate) struct Tui {
    pub(super) board: Board,
    view: View,
    load: Load,
    history: History,
    look: Look,
    feed: Feed,
    stream: LineStream,
    kept: Option<String>,
    module: Arc<CoordinationModule>,
    interrupts: Interrupts,
    wishes: mpsc::Sender<Wish>,
    paused: watch::Receiver<bool>,
    latency: ScreenLatency,
}

/// What made the screen wake.
enum Woken {
    Key(io::Result<Event>),
    Suspend,
    Interrupt,
    Why,
    Paused,
    /// Whether there may be more.
    Fed(bool),
    Frame,
    Tick,
}

impl Tui {
    pub(super) fn new(start: &Start<'_>) -> Result<Self, CoordinationError> {
        let bounds = Bounds::of_screen(start.file.units.len());
        let mut board = Board::new(start.file, bounds, Arc::clone(start.labels));
        if let Some(before) = start.before {
            board.before(before);
        }
        let streams = Arc::new(AtomicBool::new(false));
        Ok(Self {
            board,
            view: View::new(),
            load: Load::default(),
            history: History::default(),
            look: Look::of_environment(start.args.color),
            feed: Feed::new(start.module, bounds, Arc::clone(&streams))?,
            stream: LineStream::new(start, streams)?,
            kept: start.kept.clone(),
            module: Arc::clone(start.module),
            interrupts: start.interrupts.clone(),
            wishes: start.wishes.clone(),
            paused: start.interrupts.paused.subscribe(),
            latency: ScreenLatency::of(start),
        })
    }

    /// Shows the run until it is over; after a failure, until somebody has seen it, unless `failed`
    /// says that it did not even come to an end.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub(super) async fn show(&mut self, failed: &CancellationToken) -> io::Result<()> {
        let mut terminal = Terminal::take(self.module.processes().ok())?;
        let mut keys = EventStream::new();
        let mut tick = Instant::now();
        let mut drawn = tick;
        let mut dirty = true;
        let mut noted = 0;
        let mut is_open = true;
        let mut ended_as_stream = false;
        loop {
            if dirty && drawn + FRAME <= Instant::now() {
                dirty = self.draw(&mut terminal)?;
                drawn = Instant::now();
            }
            let woken = tokio::select! {
                biased;
                Some(key) = keys.next() => Woken::Key(key),
                () = self.interrupts.suspend.notified() => Woken::Suspend,
                () = super::interrupt(&self.interrupts, noted) => Woken::Interrupt,
                () = self.interrupts.why.notified() => Woken::Why,
                Ok(()) = self.paused.changed() => Woken::Paused,
                () = sleep_until(drawn + FRAME), if dirty => Woken::Frame,
                more = self.feed.next(&mut self.board, &mut self.stream, &mut self.latency), if is_open => Woken::Fed(more),
                () = sleep_until(tick + TICK) => Woken::Tick,
            };
            let was_dirty = dirty;
            dirty = true;
            match woken {
                Woken::Key(key) => {
                    if self.key(&key?, is_open, &mut terminal)? {
                        return Ok(());
                    }
                    // A key is answered at once.
                    dirty = self.draw(&mut terminal)?;
                    drawn = Instant::now();
                }
                Woken::Suspend => self.suspend(&mut terminal, Job::stop_this)?,
                Woken::Interrupt => {
                    noted += 1;
                    self.stream.say(self.interrupts.said().unwrap_or_default());
                }
                // On the screen, as by `t`: what is written beside it would tear it.
                Woken::Why if !self.stream.is_on() => self.view.over = Some(Over::Why),
                Woken::Why => {
                    let report = self.board.report();
                    report.iter().for_each(|line| self.stream.say(line));
                }
                Woken::Paused => {
                    self.board.is_paused = *self.paused.borrow_and_update();
                    self.view.notice = None;
                }
                Woken::Frame | Woken::Fed(true) => {}
                Woken::Fed(false) => {
                    is_open = false;
                    ended_as_stream = self.stream.is_on();
                    self.view.notice = None;
                    self.load = Load::default();
                }
                Woken::Tick => {
                    tick = Instant::now();
                    // Nothing moves any more once all is over.
                    dirty = was_dirty || is_open;
                    if is_open {
                        self.load = self.module.monitor().map_or_else(
                            |_| Load::default(),
                            |monitor| load(&monitor.performance_metrics()),
                        );
                        self.history.read(&self.board, &self.load);
                    }
                }
            }
            let is_seen = ended_as_stream || !self.is_to_be_seen();
            if !is_open && (is_seen || noted > 0 || failed.is_cancelled()) {
                return self.leave();
            }
        }
    }

    /// Reads to the end without showing anything: nobody is held up by a terminal that is gone.
    pub(super) async fn read_on(&mut self) {
        let mut nobody_sees = ScreenLatency::default();
        let (board, stream) = (&mut self.board, &mut self.stream);
        while self.feed.next(board, stream, &mut nobody_sees).await {}
    }

    /// Whether something went wrong that somebody should see before it goes; of a run that had finished before, and
    /// in which nothing happens, the summary says it all.
    fn is_to_be_seen(&self) -> bool {
        let failed = |row: &Row| row.state == State::Failed && !row.optional;
        let outcome = self.board.outcome.as_deref();
        !self.interrupts.end.is_cancelled()
            && !self.board.run.is_empty()
            && (outcome != Some("completed") || self.board.rows.iter().any(failed))
    }

    /// Shows what a stream has not shown yet: the summary comes after it.
    fn leave(&mut self) -> io::Result<()> {
        self.stream.rest()
    }

    /// Shows what there is to show. Whether something is left for another frame.
    fn draw(&mut self, terminal: &mut Terminal) -> io::Result<bool> {
        let is_left = match self.stream.is_on() {
            true => self.stream.frame()?,
            false => {
                self.draw_screen(terminal)?;
                false
            }
        };
        if !is_left {
            self.latency.shown();
        }
        Ok(is_left)
    }

    fn draw_screen(&mut self, terminal: &mut Terminal) -> io::Result<()> {
        self.view.follow(&self.board);
        let scene = Scene {
            board: &self.board,
            load: &self.load,
            history: &self.history,
            events: self.feed.events.make_contiguous(),
            ending: self
                .interrupts
                .said()
                .filter(|_| self.interrupts.end.is_cancelled()),
            look_on: self.interrupts.look_on,
            kept: self.kept.as_deref(),
            look: self.look,
        };
        let view = &mut self.view;
        terminal.draw(|frame| {
            let area = frame.area();
            draw::draw(&scene, view, area, frame.buffer_mut());
        })?;
        Ok(())
    }

    /// Stops all that runs, and gives the terminal to who may continue it.
    fn suspend(&mut self, terminal: &mut Terminal, stop: fn(&Job)) -> io::Result<()> {
        let Some(job) = Job::of_this() else {
            self.stream.say(NO_JOB);
            self.view.notice = Some(NO_JOB.to_owned());
            return Ok(());
        };
        terminal.meanwhile(|| {
            suspend(&self.module, || {
                stop(&job);
                // Continued in the background, all stays suspended until there is a screen. Where there cannot
                // be one any more, who takes the terminal is told so.
                let _ = wait_until_in_front();
            });
        })
    }

    /// From the screen to the stream, or back.
    fn turn(&mut self, terminal: &mut Terminal) -> io::Result<()> {
        if self.stream.is_on() {
            self.stream.end()?;
            terminal.enter()
        } else {
            terminal.leave()?;
            self.stream.begin(&self.board);
            Ok(())
        }
    }

    /// Does what a key asks for. Whether that is to leave.
    fn key(&mut self, event: &Event, is_open: bool, terminal: &mut Terminal) -> io::Result<bool> {
        let key = match event {
            Event::Key(key) => *key,
            Event::Paste(text) if !self.stream.is_on() => {
                self.view.paste(text, &self.board);
                return Ok(false);
            }
            _ => return Ok(false),
        };
        if key.kind == KeyEventKind::Release {
            return Ok(false);
        }
        let asked = match self.stream.is_on() {
            true => View::stream_key(key, &self.board),
            false => self.view.key(key, &self.board),
        };
        match asked {
            // What is over is only left; what runs is ended.
            Some(Asked::Quit) if !is_open => return Ok(true),
            Some(Asked::Quit) => self.interrupts.next_by_key(),
            Some(Asked::Pause) => {
                let does = match self.board.is_paused {
                    true => "going on",
                    false => "pausing: what runs goes on, and nothing else begins",
                };
                self.stream.say(does);
                self.view.notice = Some(does.to_owned());
                self.interrupts.pause.notify_one();
            }
            Some(Asked::Stream) => self.turn(terminal)?,
            // A stream is the terminal's own.
            Some(Asked::Redraw) if self.stream.is_on() => {}
            Some(Asked::Redraw) => terminal.redraw()?,
            Some(Asked::Copy(copy)) => terminal.copy(copy.text)?,
            Some(Asked::Suspend) => self.suspend(terminal, Job::stop)?,
            Some(Asked::Wish(wish)) => {
                self.view.notice = Some(match &wish {
                    Wish::Restart(id) if self.board.retries(id) => format!("trying {id} at once"),
                    Wish::Restart(id) if self.board.has_ended(id) => {
                        format!("starting {id} again, and what it needs of services")
                    }
                    Wish::Restart(id) => format!("restarting {id}"),
                    Wish::Stop(id) => format!("stopping {id}"),
                    Wish::Retry(id) => format!("trying {id} again"),
                    Wish::Skip(id) => format!("skipping {id}: an attempt that runs goes on"),
                    Wish::Signal { step, name, .. } => {
                        format!("sending the signal `{name}` to {step}")
                    }
                });
                // More wishes than can wait are no wishes, but a cat on the keyboard.
                let _ = self.wishes.try_send(wish);
            }
            None => {}
        }
        Ok(false)
    }
}

/// What there is to say of the load.
fn load(metrics: &PerformanceMetrics) -> Load {
    let processes = || metrics.processes.iter();
    let output = metrics
        .topics
        .iter()
        .find(|topic| topic.topic == PROCESS_OUTPUT.name());
    Load {
        cpu_percent: processes()
            .map(|process| f64::from(process.cpu_percent))
            // The sum of no numbers is minus zero.
            .fold(0.0, |sum, percent| sum + percent),
        memory_bytes: processes().map(|process| process.memory_bytes).sum(),
        lines_per_second: output.map_or(0.0, |topic| topic.per_second),
        processes: processes()
            .map(|process| {
                let cpu = f64::from(process.cpu_percent);
                (process.process.clone(), cpu, process.memory_bytes)
            })
            .collect(),
    }
}
