//! `coord run --dry-run`: what would be done, and nothing of it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use coordination::workflow::OnFailure;
use serde::Serialize;

use crate::args::{Manner, Output};
use crate::definition::Prepared;
use crate::exit_code::ExitCode;
use crate::file::{Action, Each, Hooks, Items, Resources, Role, Step, Taken, Unit, printable};
use crate::graph;
use crate::screen::{self, ODD, QUIET};
use crate::spoken::Spoken;

/// What would be done with a unit, as programs read it.
#[derive(Serialize)]
struct Planned<'p> {
    /// From 1: what could begin together, if all took as long.
    stage: usize,
    id: &'p str,
    kind: &'static str,
    runs: bool,
    #[serde(flatten)]
    does: Does<'p>,
    folder: &'p Path,
    env: BTreeMap<&'p str, Variable<'p>>,
    needs: &'p [String],
    needs_any: &'p [String],
    #[serde(flatten)]
    step: Option<OfStep<'p>>,
}

/// A variable: its value, or the step that will put it out.
#[derive(Serialize)]
#[serde(untagged)]
enum Variable<'p> {
    Known(&'p str),
    Taken(&'p Taken),
}

/// What a unit does: what would be started, or what is waited for.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Does<'p> {
    Shell(&'p str),
    Command(Vec<&'p str>),
    Signal(&'p str),
    SleepMs(u128),
}

#[derive(Serialize)]
struct OfStep<'p> {
    max_attempts: u32,
    #[serde(skip_serializing_if = "<[i32]>::is_empty")]
    exit_codes: &'p [i32],
    /// None: as long as the run.
    timeout_ms: Option<u128>,
    optional: bool,
    resources: &'p Resources,
    undo: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hooks: Option<&'p Hooks>,
    outputs: &'p [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    for_each: Option<&'p Each>,
}

/// What is said of all of it, as programs read it.
#[derive(Serialize)]
struct OfRun<'p> {
    kind: &'static str,
    name: &'p str,
    concurrency: Option<NonZeroUsize>,
    /// None: as long as it takes.
    timeout_ms: Option<u128>,
    on_failure: OnFailure,
    #[serde(skip_serializing_if = "Option::is_none")]
    hooks: Option<&'p Hooks>,
}

/// Says on standard output what a run would do.
pub(crate) fn say(prepared: &Prepared, manner: Manner) -> ExitCode {
    let mut out = screen::out(manner.color.into());
    let said = match manner.output {
        Output::Jsonl => lines(&mut out, prepared),
        Output::Tui | Output::Text => text(&mut out, prepared),
    };
    match said.and_then(|()| out.flush()) {
        Err(_) => ExitCode::OutputLost,
        Ok(()) if !prepared.runs.contains(&true) => ExitCode::NothingSelected,
        Ok(()) => ExitCode::Done,
    }
}

/// The stage and the place of each unit, in the order in which they could begin.
fn in_order(prepared: &Prepared) -> Vec<(usize, usize)> {
    let stages = graph::of(&prepared.file, &prepared.runs).stages();
    let stages = stages.into_iter().zip(1..);
    let places = stages.flat_map(|(places, stage)| places.into_iter().map(move |at| (stage, at)));
    places.collect()
}

fn lines(out: &mut impl Write, prepared: &Prepared) -> io::Result<()> {
    for (stage, place) in in_order(prepared) {
        let unit = &prepared.file.units[place];
        let planned = Planned {
            stage,
            id: &unit.id,
            kind: match &unit.role {
                Role::Step(_) => "step",
                Role::Service(_) => "service",
            },
            runs: prepared.runs[place],
            does: does(unit),
            folder: &unit.folder,
            env: variables(unit),
            needs: &unit.needs,
            needs_any: &unit.needs_any,
            step: unit.step().map(of_step),
        };
        serde_json::to_writer(&mut *out, &planned)?;
        writeln!(out)?;
    }
    let file = &prepared.file;
    let of_run = OfRun {
        kind: "run",
        name: &file.name,
        concurrency: file.concurrency,
        timeout_ms: is_bounded(file.timeout).then_some(file.timeout.as_millis()),
        on_failure: file.on_failure,
        hooks: file.hooks.as_ref(),
    };
    serde_json::to_writer(&mut *out, &of_run)?;
    writeln!(out)
}

fn variables(unit: &Unit) -> BTreeMap<&str, Variable<'_>> {
    let known = unit.env.iter();
    let known = known.map(|(name, value)| (&**name, Variable::Known(value)));
    let taken = unit.taken.iter();
    let taken = taken.map(|(name, taken)| (&**name, Variable::Taken(taken)));
    known.chain(taken).collect()
}

fn does(unit: &Unit) -> Does<'_> {
    match &unit.action {
        Action::Shell(line) => Does::Shell(line),
        Action::Program { program, arguments } => {
            let arguments = arguments.iter().map(String::as_str);
            Does::Command([&**program].into_iter().chain(arguments).collect())
        }
        Action::Signal(name) => Does::Signal(name),
        Action::Sleep(wait) => Does::SleepMs(wait.as_millis()),
    }
}

fn of_step(step: &Step) -> OfStep<'_> {
    OfStep {
        max_attempts: step.retry.map_or(1, |retry| retry.max_attempts.get()),
        exit_codes: &step.exit_codes,
        timeout_ms: is_bounded(step.timeout).then_some(step.timeout.as_millis()),
        optional: step.optional,
        resources: &step.resources,
        undo: step.undo.as_ref().map(|undo| &*undo.run),
        hooks: step.hooks.as_ref(),
        outputs: &step.outputs,
        for_each: step.each.as_ref(),
    }
}

/// Where a file says nothing, there is no limit.
fn is_bounded(limit: Duration) -> bool {
    limit < Duration::MAX
}

fn text(out: &mut impl Write, prepared: &Prepared) -> io::Result<()> {
    let Prepared { file, runs, .. } = prepared;
    let at_once = file.concurrency.map_or(0, usize::from);
    let limit = match is_bounded(file.timeout) {
        true => format!(", in at most {}", Spoken(file.timeout)),
        false => String::new(),
    };
    let name = &file.name;
    writeln!(
        out,
        "{name}: would run this, at most {at_once} at once{limit}{}",
        match file.on_failure {
            OnFailure::FinishBranches => "; a failure stops only what needs it",
            OnFailure::FinishAll => "; a failure stops nothing",
            _ => "",
        }
    )?;
    let width = file.units.iter().map(|unit| unit.id.len()).max();
    let width = width.unwrap_or_default();
    let (mut left_out, mut last) = (Vec::new(), 0);
    for (stage, place) in in_order(prepared) {
        let unit = &file.units[place];
        if !runs[place] {
            left_out.push(unit);
            continue;
        }
        let number = match std::mem::replace(&mut last, stage) == stage {
            true => String::new(),
            false => format!("{stage}."),
        };
        // As a comment behind a line for a shell.
        let (what, how) = (what(unit), how(unit).join(", "));
        let line = format!("{number:>4} {:width$}  {what}", unit.id);
        match &*how {
            "" => writeln!(out, "{line}")?,
            how => writeln!(out, "{line}  {QUIET}# {how}{QUIET:#}")?,
        }
    }
    for unit in left_out {
        let why = match unit.role {
            Role::Step(_) => "its condition is false",
            Role::Service(_) => "nothing that would run needs it",
        };
        writeln!(out, "{ODD}   - {:width$}  not this: {why}{ODD:#}", unit.id)?;
    }
    for (when, line) in file.hooks.iter().flat_map(Hooks::lines) {
        writeln!(
            out,
            "{QUIET}at the end, {when}:{QUIET:#} {}",
            one_line(line)
        )?;
    }
    Ok(())
}

fn what(unit: &Unit) -> String {
    match &unit.action {
        Action::Shell(line) => one_line(line),
        Action::Program { program, arguments } => {
            let words = [program].into_iter().chain(arguments);
            // As one would write it in a shell, which it is not run by.
            let line = shlex::try_join(words.clone().map(String::as_str));
            one_line(&line.unwrap_or_else(|_| words.cloned().collect::<Vec<_>>().join(" ")))
        }
        Action::Signal(_) | Action::Sleep(_) => unit.waits().unwrap_or_default(),
    }
}

fn for_each(each: &Each) -> String {
    let of = match &each.items {
        Items::Listed(items) => format!("{} items", items.len()),
        Items::Param(name, _) => name.clone(),
        Items::Output(taken) => taken.output.clone(),
    };
    match each.max_parallel {
        Some(most) => format!("for each of {of}, {most} at once"),
        None => format!("for each of {of}"),
    }
}

fn one_line(shell: &str) -> String {
    printable(shell.trim_end()).replace('\n', "; ")
}

/// What there is to say of it beside what it does.
fn how(unit: &Unit) -> Vec<String> {
    let mut how = Vec::new();
    match &unit.role {
        Role::Service(service) => {
            how.push("a service".to_owned());
            if service.ready.is_some() {
                how.push("awaited until it is ready".to_owned());
            }
        }
        Role::Step(step) => {
            how.extend(step.each.as_ref().map(for_each));
            if let Some(retry) = step.retry {
                let codes: Vec<_> = step.exit_codes.iter().map(ToString::to_string).collect();
                let after = match codes.is_empty() {
                    true => String::new(),
                    false => format!(" after exit code {}", codes.join(", ")),
                };
                how.push(format!("up to {} attempts{after}", retry.max_attempts));
            }
            if is_bounded(step.timeout) {
                how.push(format!("at most {}", Spoken(step.timeout)));
            }
            if step.optional {
                how.push("may fail".to_owned());
            }
            let resources = step.resources.iter();
            how.extend(resources.map(|(name, permits)| format!("takes {permits} of {name}")));
            if let Some(undo) = &step.undo {
                how.push(format!("undone by `{}`", one_line(&undo.run)));
            }
            if !step.outputs.is_empty() {
                how.push(format!("puts out {}", step.outputs.join(", ")));
            }
            let hooks = step.hooks.iter().flat_map(Hooks::lines);
            how.extend(hooks.map(|(when, line)| format!("{when}: `{}`", one_line(line))));
        }
    }
    let taken = unit.taken.iter();
    how.extend(taken.map(|(name, taken)| format!("takes {} as {name}", taken.output)));
    let needs = unit.needs.join(", ");
    if !needs.is_empty() {
        how.push(format!("after {needs}"));
    }
    if !unit.needs_any.is_empty() {
        how.push(format!("after any of {}", unit.needs_any.join(", ")));
    }
    how
}
