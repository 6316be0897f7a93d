//! `coord logs`: what the processes of a run have printed, as far as it is kept.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use anstyle::{AnsiColor, Color, Style};
use coordination::bus::time::sleep;
use coordination::bus::vocabulary::OutputStream;
use coordination::workflow::{RunId, RunJournal, RunQuery, RunState, RunView};
use serde::Serialize;

use super::list::local;
use super::show::step_of;
use super::take_up::unit;
use super::{RunsFault, find, with_journal};
use crate::args::{Grep, Lines, LogsArgs, Stream};
use crate::exit_code::ExitCode;
use crate::file::{Items, Unit, printable};
use crate::kept_output::{Kept, Merged, Record};
use crate::process_name::{self, hook_name, is_item, item_place, undo_name};
use crate::screen::{self, NAME_WIDTH_MAX, NAMES, QUIET, printed};

/// How often it is looked whether there is more.
const LOOK: Duration = Duration::from_millis(100);

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
        let run = match &args.run {
            Some(run) => find(&runs, run).await?,
            None => latest(&runs).await?,
        };
        let view = runs.view(&run).await?;
        let only = match &args.step {
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
        let mut last = VecDeque::new();
        lines.take(is_over, |process, record| match args.tail {
            _ if !is_wanted(args, &record) => Ok(()),
            None => printer.print(process, &record),
            Some(tail) => {
                last.push_back((process.to_owned(), record));
                if last.len() > tail {
                    last.pop_front();
                }
                Ok(())
            }
        })?;
        for (process, record) in last {
            printer.print(&process, &record)?;
        }
        while !is_over {
            printer.out.flush()?;
            sleep(LOOK).await;
            // Looked at first: what was printed before the end is there by then.
            is_over = has_ended(&runs, &run, &kept).await?;
            lines.take(is_over, |process, record| match is_wanted(args, &record) {
                true => printer.print(process, &record),
                false => Ok(()),
            })?;
        }
        printer.out.flush()?;
        say_what_is_missing(args, &kept, &lines, &run)?;
        if args.follow && runs.view(&run).await?.state == RunState::Interrupted {
            let said = format!("run {run} was interrupted: `coord resume {run}` goes on with it");
            screen::say(args.of.color, &said);
        }
        Ok(())
    })
}

/// What is meant: a step or service by its id; or a process of it by the name that stands before its lines, of
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

/// The latest run there is.
async fn latest(runs: &RunJournal) -> Result<RunId, RunsFault> {
    let newest = runs.runs(&RunQuery::newest().limit(1)).await?;
    newest.into_iter().next().ok_or(RunsFault::None)
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
            out: screen::out(args.of.color.into()),
        }
    }

    fn print(&mut self, process: &str, record: &Record) -> io::Result<()> {
        if self.args.output == Lines::Jsonl {
            serde_json::to_writer(&mut self.out, &Line { process, record })?;
            return writeln!(self.out);
        }
        if self.args.timestamps {
            write!(self.out, "{QUIET}{:.6}{QUIET:#} ", record.at)?;
        }
        let step = self.only.as_deref();
        if step.is_none_or(|step| step != process && process_name::is_item(process)) {
            let (style, width) = (self.style(process), self.width);
            let process = printable(process);
            write!(
                self.out,
                "{style}{process:width$}{style:#} {QUIET}|{QUIET:#} "
            )?;
        }
        printed(&mut self.out, &record.line)
    }

    fn style(&self, process: &str) -> Style {
        let color = self.colors.get(process_name::step_of(process));
        Style::new().fg_color(color.copied().map(Color::Ansi))
    }
}
