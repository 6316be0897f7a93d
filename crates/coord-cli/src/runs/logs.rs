//! `coord logs`: what the processes of a run have printed, as far as it is kept.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use anstyle::{AnsiColor, Color, Style};
use coordination::bus::time::{Clock, SystemClock, sleep};
use coordination::bus::vocabulary::OutputStream;
use coordination::bus::{Timestamp, text::nearest};
use coordination::workflow::{RunId, RunJournal, RunState, RunView};
use serde::Serialize;

use super::find::latest;
use super::hint::hint;
use super::list::local;
use super::marks::{Marks, is_of};
use super::show::step_of;
use super::take_up::unit;
use super::{RunsFault, find, journal_flag, with_journal};
use crate::args::{Grep, Lines, LogsArgs, Stream};
use crate::exit_code::ExitCode;
use crate::file::{Items, Unit, printable};
use crate::kept_output::{EVENTS, Kept, KeptEvent, Merged, Record};
use crate::process_name::{self, hook_name, is_item, item_place, undo_name};
use crate::screen::{self, NAME_WIDTH_MAX, NAMES, QUIET, printed};

/// How often it is looked whether there is more.
const LOOK: Duration = Duration::from_millis(100);

/// How long what was written is waited for that is earlier than what is there.
const SETTLED: Duration = Duration::from_millis(50);

/// The mark where lines were removed before they could be read.
const GAP: &str = "some of what it printed is missing here";

/// A line, for programs.
#[derive(Serialize)]
struct Line<'l> {
    process: &'l str,
    #[serde(flatten)]
    record: &'l Record,
}

/// Prints what was printed.
pub(crate) fn logs(args: &LogsArgs) -> ExitCode {
    with_journal(&args.of, async |journal| {
        let runs = RunJournal::of(Arc::clone(journal));
        let (run, named) = match (&args.run, &args.step) {
            (Some(run), None) => asked(&runs, run).await?,
            (Some(run), Some(step)) => (find(&runs, run).await?, Some(&**step)),
            (None, _) => (latest(&runs).await?, None),
        };
        let view = runs.view(&run).await?;
        let only = match named {
            Some(named) => Some(meant(&runs, &run, &view, named).await?),
            None => None,
        };
        let kept = Kept::of(journal.dir(), &run);
        let mut printer = Printer::new(args, &view, only.clone());
        let mut lines = Merged::new(kept.clone(), only);
        let mut is_over = !args.follow;
        if !is_over {
            is_over = has_ended(&runs, &run, &kept).await?;
        }
        let mut last = Last::default();
        lines.take(is_over, Timestamp::MAX, |process, record| {
            match (printer.entry(process, record), args.tail) {
                (Some(entry), None) => printer.print(&entry),
                (Some(entry), Some(tail)) => {
                    last.push(entry, tail);
                    Ok(())
                }
                (None, _) => Ok(()),
            }
        })?;
        for entry in last.entries {
            printer.print(&entry)?;
        }
        while !is_over {
            printer.out.flush()?;
            sleep(LOOK).await;
            // Looked at first: what was printed before the end is there by then.
            is_over = has_ended(&runs, &run, &kept).await?;
            let until = match is_over {
                true => Timestamp::MAX,
                false => SystemClock.now() - SETTLED,
            };
            lines.take(is_over, until, |process, record| {
                let entry = printer.entry(process, record);
                entry.map_or(Ok(()), |entry| printer.print(&entry))
            })?;
        }
        printer.out.flush()?;
        say_what_is_missing(args, &kept, &lines, &run)?;
        if args.follow && runs.view(&run).await?.state == RunState::Interrupted {
            let said = format!("run {run} was interrupted: `coord resume {run}` goes on with it");
            screen::say(args.of.color, &hint(&said, &journal_flag(journal)));
        }
        Ok(())
    })
}

/// What is printed.
enum Entry {
    Line(String, Record),
    /// Where a process was started again: when, which, and why.
    Mark(Timestamp, String, String),
}

/// The last lines, with the marks between them.
#[derive(Default)]
struct Last {
    entries: VecDeque<Entry>,
    lines: usize,
}

impl Last {
    /// Keeps so many lines at most, and the marks between and after them.
    fn push(&mut self, entry: Entry, most: usize) {
        match entry {
            Entry::Line(..) => self.lines += 1,
            Entry::Mark(..) if self.lines == 0 => return,
            Entry::Mark(..) => {}
        }
        self.entries.push_back(entry);
        if self.lines > most {
            self.entries.pop_front();
            self.lines -= 1;
            while let Some(Entry::Mark(..)) = self.entries.front() {
                self.entries.pop_front();
            }
        }
    }
}

/// What is meant: a step or service by its id; the hooks of the run; or a process of it by the name that stands before its lines, of
/// an item with the beginning of that behind it or without.
async fn meant(
    runs: &RunJournal,
    run: &RunId,
    view: &RunView,
    named: &str,
) -> Result<String, RunsFault> {
    let process = match named.split_once('[') {
        Some((process, _)) if is_item(process) && named.ends_with(']') => process,
        _ => named,
    };
    if named == hook_name(None) {
        return Ok(named.to_owned());
    }
    let id = step_of(view, process_name::step_of(process))?.id.clone();
    let unit = match process == id {
        true => None,
        false => unit(runs, run, &id).await?,
    };
    if unit.is_none_or(|unit| has_process(&unit, process)) {
        return Ok(process.to_owned());
    }
    Err(RunsFault::NoStep {
        step: printable(named),
        run: run.to_string(),
        help: format!("`coord logs {run} {id}` prints all of `{id}`"),
    })
}

/// Whether a step has such a process beside its own.
fn has_process(unit: &Unit, process: &str) -> bool {
    let Some(step) = unit.step() else {
        return false;
    };
    match item_place(process) {
        Some(place) => match step.each.as_ref().map(|each| &each.items) {
            Some(Items::Listed(items)) => place < items.len(),
            Some(_) => true,
            None => false,
        },
        None if process == undo_name(&unit.id) => step.undo.is_some(),
        None => process == hook_name(Some(&unit.id)) && step.hooks.is_some(),
    }
}

/// The run that is meant by what stands alone, or, where there is no such run, the latest, and what it names in that.
async fn asked<'t>(
    runs: &RunJournal,
    text: &'t str,
) -> Result<(RunId, Option<&'t str>), RunsFault> {
    let no_run = match find(runs, text).await {
        Ok(run) => return Ok((run, None)),
        Err(fault) => fault,
    };
    if let RunsFault::NoRun { run, .. } = &no_run
        && let Ok(latest) = latest(runs).await
    {
        let view = runs.view(&latest).await?;
        if meant(runs, &latest, &view, text).await.is_ok() {
            return Ok((latest, Some(text)));
        }
        let step = process_name::step_of(text);
        if let Some(near) = nearest(step, view.steps.iter().map(|step| &*step.id)) {
            return Err(RunsFault::NoRun {
                run: run.clone(),
                help: format!("nor is it a step of the latest, `{latest}`: did you mean `{near}`?"),
            });
        }
    }
    Err(no_run)
}

fn is_wanted(args: &LogsArgs, record: &Record) -> bool {
    let stream = match record.stream {
        OutputStream::Stdout => Stream::Stdout,
        OutputStream::Stderr => Stream::Stderr,
    };
    let is_in = |grep: &Grep| grep.is_in(&record.line, args.ignore_case);
    args.since.is_none_or(|since| record.at >= since)
        && args.stream.is_none_or(|wanted| stream == wanted)
        && args.attempt.is_none_or(|attempt| record.attempt == attempt)
        && args
            .grep
            .as_ref()
            .is_none_or(|grep| is_in(grep) != args.invert_match)
}

/// Marks are between lines: there are none where only some lines are looked for, and none for programs, as each
/// line says of which attempt it is.
fn has_marks(args: &LogsArgs) -> bool {
    let is_whole = args.grep.is_none() && args.stream.is_none() && args.attempt.is_none();
    is_whole && args.output == Lines::Text
}

/// Whether nothing more will be printed, for nobody drives the run and all is written.
async fn has_ended(runs: &RunJournal, run: &RunId, kept: &Kept) -> Result<bool, RunsFault> {
    Ok(!kept.is_written() && runs.view(run).await?.state != RunState::Running)
}

/// Says what was printed and is not there.
fn say_what_is_missing(
    args: &LogsArgs,
    kept: &Kept,
    lines: &Merged,
    run: &RunId,
) -> Result<(), RunsFault> {
    let say = |what: &str| screen::say(args.of.color, what);
    if !kept.is_there() {
        say(&format!("the output of run {run} was not kept"));
    }
    for process in lines.gaps() {
        let process = printable(process);
        say(&format!(
            "some of what {process} printed is missing in between: it was not kept until it could be read"
        ));
    }
    // Whoever wants the end does not miss the beginning.
    if args.tail.is_none() {
        for process in lines.cut() {
            let process = printable(process);
            say(&format!(
                "the oldest output of {process} is not kept any more"
            ));
        }
    }
    if let Some(missing) = kept.missing()? {
        let (since, until) = (local(missing.since), local(missing.until));
        let (lines, why) = (missing.lines, printable(&missing.why));
        say(&format!(
            "{lines} lines or more are missing that were printed from {since} to {until}: {why}"
        ));
    }
    if lines.damaged() > 0 {
        let dir = printable(&kept.dir().display().to_string());
        let damaged = lines.damaged();
        say(&format!(
            "{damaged} lines in {dir} cannot be read, and are left out"
        ));
    }
    Ok(())
}

/// Prints lines, each behind the name of its process where there may be several.
struct Printer<'a> {
    args: &'a LogsArgs,
    /// The process whose lines need no name.
    only: Option<String>,
    /// The colours that they have while the run goes on, too.
    colors: HashMap<&'a str, AnsiColor>,
    width: usize,
    marks: Marks,
    out: screen::Out,
}

impl<'a> Printer<'a> {
    fn new(args: &'a LogsArgs, view: &'a RunView, only: Option<String>) -> Self {
        let ids = view.steps.iter().map(|step| &*step.id);
        let width = ids.clone().map(str::len).max();
        Self {
            args,
            only,
            colors: ids.zip(NAMES.into_iter().cycle()).collect(),
            width: width.unwrap_or_default().min(NAME_WIDTH_MAX),
            marks: Marks::default(),
            out: screen::out(args.of.color.into()),
        }
    }

    /// What is to be printed for what is kept, if anything is.
    fn entry(&mut self, process: &str, record: Record) -> Option<Entry> {
        if process != EVENTS {
            return is_wanted(self.args, &record).then(|| Entry::Line(process.to_owned(), record));
        }
        let told = KeptEvent::read(&record)?;
        let (process, why) = self.marks.take(&told)?;
        let is_wanted = has_marks(self.args)
            && self.args.since.is_none_or(|since| record.at >= since)
            && is_of(&process, self.only.as_deref());
        is_wanted.then_some(Entry::Mark(record.at, process, why))
    }

    fn print(&mut self, entry: &Entry) -> io::Result<()> {
        match entry {
            Entry::Line(process, record) if self.args.output == Lines::Jsonl => {
                serde_json::to_writer(&mut self.out, &Line { process, record })?;
                writeln!(self.out)
            }
            Entry::Line(process, record) => {
                if record.is_after_gap && has_marks(self.args) {
                    self.mark(record.at, process, GAP)?;
                }
                self.name(record.at, process, "|")?;
                printed(&mut self.out, &record.line)
            }
            Entry::Mark(at, process, why) => self.mark(*at, process, why),
        }
    }

    fn mark(&mut self, at: Timestamp, process: &str, why: &str) -> io::Result<()> {
        let is_named = self.name(at, process, "·")?;
        let mark = if is_named { "" } else { "· " };
        writeln!(self.out, "{QUIET}{mark}{}{QUIET:#}", printable(why))
    }

    /// What stands before a line; whether that has a name.
    fn name(&mut self, at: Timestamp, process: &str, mark: &str) -> io::Result<bool> {
        if self.args.timestamps {
            write!(self.out, "{QUIET}{at:.6}{QUIET:#} ")?;
        }
        let step = self.only.as_deref();
        let is_named = step.is_none_or(|step| step != process && process_name::is_item(process));
        if is_named {
            let (style, width) = (self.style(process), self.width);
            let process = printable(process);
            write!(
                self.out,
                "{style}{process:width$}{style:#} {QUIET}{mark}{QUIET:#} "
            )?;
        }
        Ok(is_named)
    }

    fn style(&self, process: &str) -> Style {
        let color = self.colors.get(process_name::step_of(process));
        Style::new().fg_color(color.copied().map(Color::Ansi))
    }
}
